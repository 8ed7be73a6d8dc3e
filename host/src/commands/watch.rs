//! `watch`: a live table of all targets, for a person. It keeps counters and slots in memory alone, so it changes
//! nothing about the runs of mackerel-agent.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use clap::Args;

use crate::commands::screen::{Event, Events, Key, Screen, Style, has_colours};
use crate::commands::suggestion;
use crate::definition::{Point, bare};
use crate::error::Error;
use crate::job::{Collected, Job};
use crate::moment::Moment;
use crate::options::{Subcommand, parse_time};
use crate::pipeline::ledger::Ledger;
use crate::pipeline::protocol;
use crate::pipeline::series::Series;
use crate::pipeline::state::State;
use crate::pipeline::total::Total;
use crate::sandbox::Unit;
use crate::session::Session;
use crate::stop::Stop;
use crate::text::{escape, milliseconds};

/// `watch` takes all options of `run` except those about labelled metrics.
pub const SUBCOMMAND: Subcommand = Subcommand::new("watch");

/// The options of `watch` alone.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Watch")]
pub struct WatchOptions {
    /// The time between two collections
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "5s")]
    pub interval: Duration,

    /// Print one table and exit; counters have no rates then
    #[arg(long)]
    pub once: bool,
}

/// Shows the table until `q`. `words` is the collector's name and all options.
///
/// # Errors
/// As of [`Job::prepare`] and [`Screen::open`]. With `--once` also as of [`Job::collect`].
pub async fn watch(session: &Session, words: &[OsString]) -> Result<ExitCode, Error> {
    let (job, WatchOptions { interval, once }) = Job::prepare(session, &SUBCOMMAND, words).await?;
    let command = SUBCOMMAND.command_line(words);
    if once {
        let view = View::collect(&job, State::default()).await.0?;
        let page = view.page(&command, None, &mut Choice::default(), None);
        protocol::print(&format!("{}\n", text(&page).join("\n")))?;
        return Ok(if view.all_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let (screen, mut events) = Screen::open(&session.watchdog)?;
    let mut live = Live { screen, command, interval, choice: Choice::default(), view: View::default() };
    let mut state = State::default();
    live.draw();
    loop {
        let begun = Instant::now();
        session.watchdog.set_deadline(session.watchdog.started().elapsed() + interval + job.options.deadline);
        let Some((view, next)) = live.wait(Box::pin(View::collect(&job, state)), &mut events).await else { break };
        state = next;
        live.view = view.unwrap_or_else(|error| View::failed(&error));
        live.draw();
        if live.wait(tokio::time::sleep_until((begun + interval).into()), &mut events).await.is_none() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The table on a screen.
struct Live {
    screen: Screen,
    command: String,
    interval: Duration,
    choice: Choice,
    view: View,
}

impl Live {
    fn draw(&mut self) {
        let page = self.view.page(&self.command, Some(self.interval), &mut self.choice, Some(self.screen.size()));
        self.screen.draw(&text(&page));
    }

    /// Waits for `work`, and handles events meanwhile. Returns `None` if one of them ends the command.
    async fn wait<T>(&mut self, work: impl Future<Output = T>, events: &mut Events) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return Some(result),
                event = events.next() => {
                    if !self.choice.handle(event, &self.view) {
                        return None;
                    }
                    self.draw();
                }
            }
        }
    }
}

/// The operator's choice of rows, columns and order.
#[derive(Debug, Default)]
struct Choice {
    /// The metric by which rows are sorted, the largest first, or `None` for names.
    sort: Option<String>,
    is_reversed: bool,
    /// The positions of the first column and row that are shown.
    column: usize,
    row: usize,
}

impl Choice {
    /// Handles an event, and returns false if it ends the command.
    fn handle(&mut self, event: Event, view: &View) -> bool {
        let column = self.column.min(view.columns.len().saturating_sub(1));
        match event {
            Event::End | Event::Key(Key::Letter('q')) => return false,
            Event::Key(Key::Letter('s')) => {
                self.sort = view.columns.get(column).map(|of| of.metric.clone());
                self.is_reversed = false;
            }
            Event::Key(Key::Letter('n')) => (self.sort, self.is_reversed) = (None, false),
            Event::Key(Key::Letter('r')) => self.is_reversed = !self.is_reversed,
            Event::Key(Key::Left | Key::Letter('h')) => self.column = column.saturating_sub(1),
            Event::Key(Key::Right | Key::Letter('l')) => {
                self.column = (column + 1).min(view.columns.len().saturating_sub(1));
            }
            Event::Key(Key::Up | Key::Letter('k')) => self.row = self.row.saturating_sub(1),
            Event::Key(Key::Down | Key::Letter('j')) => self.row += 1,
            Event::Key(Key::Letter(_)) | Event::Resized => {}
        }
        true
    }
}

/// The outcome of one collection.
#[derive(Debug, Default)]
struct View {
    columns: Vec<Column>,
    /// The totals, in the order of their options.
    totals: Vec<Row>,
    rows: Vec<Row>,
    collected: usize,
    failed: usize,
    skipped: usize,
    /// The diagnostics of a run, failures included.
    notes: Vec<String>,
    /// The time that the collection took, or `None` before the first one.
    took: Option<Duration>,
}

#[derive(Debug)]
struct Column {
    /// The name for `--select`.
    metric: String,
    /// The last part of the name, or the whole one if another column has the same last part.
    heading: String,
    unit: Unit,
}

#[derive(Debug)]
struct Row {
    name: String,
    /// The values by the names of their metrics.
    values: BTreeMap<String, f64>,
}

impl View {
    /// Collects from all targets. `state` is that of the last collection, and is returned for the next.
    async fn collect(job: &Job, state: State) -> (Result<View, Error>, State) {
        let begun = Moment::now();
        let start = Instant::now();
        let collected = match Stop::new(start, job.options.deadline) {
            Ok(mut stop) => job.collect(begun, &state, &mut stop).await,
            Err(error) => Err(error),
        };
        let Collected { found, outcomes } = match collected {
            Ok(collected) => collected,
            Err(error) => return (Err(error), state),
        };
        let mut diagnostics = job.diagnostics();
        found.report_skipped(job.options.verbose, &mut diagnostics);
        diagnostics.warn_all(job.unmatched_alone(&found, false).await);
        let mut ledger = Ledger::in_memory(state, begun);
        let names = diagnostics.with_warning(ledger.foresee_names(&job.options.instance_name, &found));
        let mut series = Series::of_outcomes(&found.targets, outcomes, &mut diagnostics);
        for one in &mut series {
            one.name = Some(names[one.position].clone());
        }
        let output = &job.options.output;
        let posted = suggestion::within_budget(job, &mut ledger, &found, &mut series, &mut diagnostics);
        ledger.rates(&mut series, &mut diagnostics);
        let values = |one| output.kept(one).map(|point| (bare(&point.key), point.value)).collect();
        let rows = series.iter().filter(|_| output.each_target);
        let rows = rows.filter_map(|one| Some(Row { name: one.name.clone()?, values: values(one) }));
        let totals = posted.totals(&series);
        let total = |total: &Total| {
            let values = totals.iter().filter(|(of, ..)| of == total);
            let values = values.map(|(_, metric, value)| (metric.clone(), *value)).collect();
            Row { name: format!("({})", total.word()), values }
        };
        let view = View {
            columns: columns(job, series.iter().flat_map(|one| output.kept(one))),
            totals: posted.totals.iter().map(total).collect(),
            rows: rows.collect(),
            collected: series.len(),
            failed: diagnostics.failures(),
            skipped: found.skipped.iter().filter(|skipped| !skipped.reason.is_failure()).count(),
            notes: diagnostics.lines(),
            took: Some(start.elapsed()),
        };
        (Ok(view), ledger.into_state())
    }

    /// A collection without targets: the engine does not respond.
    fn failed(error: &Error) -> View {
        View { notes: vec![error.to_string()], failed: 1, took: Some(Duration::ZERO), ..View::default() }
    }

    /// Returns true if `run` would fail.
    fn all_failed(&self) -> bool {
        self.collected == 0 && self.failed > 0
    }

    /// Returns the lines of a page of this size, or all lines without a size. Moves the choice back to rows that exist.
    fn page(
        &self,
        command: &str,
        interval: Option<Duration>,
        choice: &mut Choice,
        size: Option<(usize, usize)>,
    ) -> Vec<(Style, String)> {
        let (width, height) = size.unwrap_or((usize::MAX, usize::MAX));
        let mut page = vec![(Style::Plain, command.to_owned()), (Style::Plain, self.summary(interval))];
        let notes = self.notes.iter().flat_map(|note| wrapped(&escape(note), width));
        let notes: Vec<(Style, String)> = notes.map(|line| (Style::Red, line)).collect();
        // Notes have a third of the page, and rows the rest: without the blank lines, the heading and the keys.
        let notes = at_most(notes, (height / 3).max(1));
        let space = height.saturating_sub(page.len() + notes.len() + 4 + self.totals.len());
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by(|a, b| order(a, b, choice));
        choice.row = choice.row.min(rows.len().saturating_sub(space));
        let first = choice.row;
        let shown: Vec<&Row> = self.totals.iter().chain(rows.iter().skip(first).take(space).copied()).collect();
        page.push((Style::Plain, String::new()));
        if !shown.is_empty() {
            page.extend(self.table(&shown, choice, width));
        }
        if !notes.is_empty() {
            page.push((Style::Plain, String::new()));
            page.extend(notes);
        }
        if let Some((_, height)) = size {
            page.resize(height.saturating_sub(1), (Style::Plain, String::new()));
            let rest = rows.len() - first - space.min(rows.len() - first);
            let rest = if rest > 0 { format!("{rest} more below   ") } else { String::new() };
            page.push((
                Style::Plain,
                format!("{rest}q quit  s sort by first metric  n by name  r reverse  arrows move"),
            ));
        }
        page.into_iter().map(|(style, line)| (style, fitted(&line, width))).collect()
    }

    fn summary(&self, interval: Option<Duration>) -> String {
        let Some(took) = self.took else { return "collecting".to_owned() };
        let mut parts = vec![format!("{} collected", self.collected)];
        parts.extend((self.failed > 0).then(|| format!("{} failed", self.failed)));
        parts.extend((self.skipped > 0).then(|| format!("{} skipped", self.skipped)));
        parts.extend(interval.map(|interval| format!("every {}", humantime::format_duration(interval))));
        parts.push(format!("took {}", milliseconds(took)));
        parts.join(", ")
    }

    /// Formats rows under a heading, with the metrics from the chosen one on that fit into the width.
    fn table(&self, rows: &[&Row], choice: &Choice, width: usize) -> Vec<(Style, String)> {
        let names = rows.iter().map(|row| row.name.len()).chain([NAME.len()]).max().unwrap_or_default();
        // A page has room for a metric beside the longest names.
        let names = if width == usize::MAX { names } else { names.min(width / 2) };
        let mut lines: Vec<String> = vec![format!("{NAME:names$}")];
        lines.extend(rows.iter().map(|row| format!("{:names$.names$}", row.name)));
        let first = choice.column.min(self.columns.len().saturating_sub(1));
        let mut left = width.saturating_sub(names);
        for column in self.columns.iter().skip(first) {
            let is_sorted = choice.sort.as_ref() == Some(&column.metric);
            let heading = if is_sorted { format!("{}*", column.heading) } else { column.heading.clone() };
            let value =
                |row: &&Row| row.values.get(&column.metric).map_or("-".to_owned(), |value| shown(*value, column.unit));
            let cells: Vec<String> = std::iter::once(heading).chain(rows.iter().map(value)).collect();
            let needed = cells.iter().map(String::len).max().unwrap_or_default() + 2;
            if needed > left {
                break;
            }
            left -= needed;
            for (line, cell) in lines.iter_mut().zip(&cells) {
                let _ = write!(line, "{cell:>needed$}");
            }
        }
        let style = |place| if place == 0 { Style::Bold } else { Style::Plain };
        lines.into_iter().enumerate().map(|(place, line)| (style(place), line)).collect()
    }
}

/// The heading of the names.
const NAME: &str = "NAME";

/// Keeps at most `count` lines, the last of which counts the others.
fn at_most(mut lines: Vec<(Style, String)>, count: usize) -> Vec<(Style, String)> {
    if lines.len() > count {
        let more = lines.len() - count + 1;
        lines.truncate(count - 1);
        lines.push((Style::Red, format!("and {more} more lines")));
    }
    lines
}

/// Breaks a note between words, and indents all lines but the first. A word that is too long is a line by itself.
fn wrapped(note: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in note.split(' ') {
        let last = lines.len() - 1;
        if lines[last].is_empty() || lines[last].chars().count() + 1 + word.chars().count() <= width {
            let blank = if lines[last].is_empty() { "" } else { " " };
            lines[last].extend([blank, word]);
        } else {
            lines.push(format!("  {word}"));
        }
    }
    lines
}

/// Cuts a line that is too long for the page.
fn fitted(line: &str, width: usize) -> String {
    match line.char_indices().nth(width) {
        Some(_) => line.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        None => line.to_owned(),
    }
}

/// Returns the metrics of all points, in the order of the definitions.
fn columns<'p>(job: &Job, points: impl Iterator<Item = &'p Point>) -> Vec<Column> {
    let metrics: BTreeSet<((usize, usize), String)> = points.map(|point| (point.order, bare(&point.key))).collect();
    let last = |metric: &str| metric.rsplit('.').next().unwrap_or_default().to_owned();
    let is_unique = |heading: &str| metrics.iter().filter(|(_, metric)| last(metric) == heading).count() == 1;
    let column = |((graph, _), metric): &((usize, usize), String)| {
        let heading = last(metric);
        let heading = if is_unique(&heading) { heading } else { metric.clone() };
        let unit = job.definitions.graphs().get(*graph).map_or(Unit::Float, |graph| graph.unit);
        Column { metric: metric.clone(), heading, unit }
    };
    metrics.iter().map(column).collect()
}

/// Orders rows by the chosen metric, the largest first and those without it last, then by name.
fn order(a: &Row, b: &Row, choice: &Choice) -> Ordering {
    let value = |row: &Row| row.values.get(choice.sort.as_ref()?).copied();
    let by_value = match (value(a), value(b)) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    let order = by_value.then_with(|| natural(&a.name).cmp(&natural(&b.name)));
    if choice.is_reversed { order.reverse() } else { order }
}

/// Orders slots and ports by their numbers: `web_9` before `web_10`.
fn natural(name: &str) -> (&str, u64, &str) {
    let text = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    (text, name[text.len()..].parse().unwrap_or(u64::MAX), name)
}

/// Formats a value for a narrow column.
fn shown(value: f64, unit: Unit) -> String {
    let per_second = if unit == Unit::BytesPerSecond { "/s" } else { "" };
    match unit {
        // A size is a whole number of bytes.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Unit::Bytes | Unit::BytesPerSecond if value >= 1024.0 => {
            format!("{}{per_second}", ByteSize::b(value as u64).display().iec())
        }
        Unit::Percentage => format!("{value:.1}%"),
        _ if value.fract() == 0.0 || value.abs() >= 1000.0 => format!("{value:.0}{per_second}"),
        _ => format!("{value:.3}{per_second}"),
    }
}

/// Returns the lines as text, with colours on a terminal.
fn text(page: &[(Style, String)]) -> Vec<String> {
    let colours = has_colours();
    page.iter().map(|(style, line)| style.apply(line.trim_end(), colours)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_into_their_width() {
        assert_eq!(wrapped("api: no response after 5s", 12), ["api: no", "  response", "  after 5s"]);
        assert_eq!(wrapped("", 12), [""]);
        assert_eq!(fitted("goroutine_num", 13), "goroutine_num");
        assert_eq!(fitted("goroutine_num", 5), "goro…");
    }

    #[test]
    fn values_are_short_and_have_their_units() {
        for (value, unit, expected) in [
            (0.0, Unit::Bytes, "0"),
            (1_807_552.0, Unit::Bytes, "1.7 MiB"),
            (2048.0, Unit::BytesPerSecond, "2.0 KiB/s"),
            (12.345, Unit::Percentage, "12.3%"),
            (7.0, Unit::Integer, "7"),
            (1_234_567.8, Unit::Float, "1234568"),
            (0.016_66, Unit::Iops, "0.017"),
            (-3.5, Unit::Bytes, "-3.500"),
        ] {
            assert_eq!(shown(value, unit), expected);
        }
    }
}
