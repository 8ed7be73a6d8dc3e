//! Suggestions: options that bring a command below Mackerel's limits per host, from the metrics of one run.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::definition::bare;
use crate::diagnostics::Diagnostics;
use crate::job::Job;
use crate::limits;
use crate::pipeline::budget::Cut;
use crate::pipeline::find::Found;
use crate::pipeline::ledger::Ledger;
use crate::pipeline::output::{Output, TARGETS_METRICS};
use crate::pipeline::select::{Pattern, Selection};
use crate::pipeline::series::Series;
use crate::pipeline::total::Total;

/// Options to add, and the resulting number of metrics. The field names are those of the JSON output.
#[derive(Debug, Serialize)]
pub struct Suggestion {
    /// The options, as typed in a shell.
    pub options: String,
    /// The number of metrics with them.
    pub metrics: usize,
}

/// Describes what `--max-metrics` leaves out of `series`, with the options that keep the most metrics within the limit.
pub fn message(job: &Job, series: &[Series<'_>], failed: usize, cut: &Cut) -> String {
    let suggestions = suggestions(job, series, failed, &[("", cut.limit)]);
    let advice = match suggestions.iter().max_by_key(|suggestion| suggestion.metrics) {
        Some(Suggestion { options, metrics }) => format!("within the limit: {options} ({metrics} metrics)"),
        None => "for the number of each graph: mackerel-plugin-wasm plan".to_owned(),
    };
    format!("{cut}; {advice}")
}

/// Removes the names of the targets beyond the budget of a run from `series`, with a warning, and returns the output
/// without the totals beyond it.
pub fn within_budget(
    job: &Job,
    ledger: &mut Ledger,
    found: &Found,
    series: &mut [Series<'_>],
    diagnostics: &mut Diagnostics,
) -> Output {
    let budget = ledger.budget(&job.options.output, &job.options.instance_name, found, series);
    if let Some(cut) = &budget.cut {
        diagnostics.warn(message(job, series, diagnostics.failures(), cut));
    }
    budget.apply(series);
    budget.output
}

/// Suggests options that bring a host below a limit: totals instead of single targets, and fewer metrics. `failed` is
/// the number of targets without metrics, and `hosts` has the limits.
pub fn suggestions(job: &Job, series: &[Series<'_>], failed: usize, hosts: &[(&str, usize)]) -> Vec<Suggestion> {
    let count = |output: &Output| output.values(series, failed).len();
    let output = &job.options.output;
    let before = count(output);
    let exceeded = hosts.iter().map(|(_, limit)| *limit).filter(|limit| before > *limit);
    let exceeded: Vec<usize> = exceeded.collect();
    let counts: Vec<Count> = counts(job, series);
    let proposals = totals(output).into_iter().chain(exceeded.iter().filter_map(|limit| {
        let own = if output.targets_graph { limit.saturating_sub(TARGETS_METRICS) } else { *limit };
        exclusions(output, &counts, own)
    }));
    let mut suggestions: Vec<Suggestion> = Vec::new();
    for (options, fewer) in proposals {
        let metrics = count(&fewer);
        // A suggestion for the larger limit is printed even if it does not meet the smaller one.
        let helps = exceeded.iter().any(|limit| metrics <= *limit);
        let is_new = !suggestions.iter().any(|other| other.options == options);
        // Totals of two graphs can have one key, which a run rejects.
        if helps && is_new && fewer.graphs(&job.definitions).is_ok() {
            suggestions.push(Suggestion { options, metrics });
        }
    }
    suggestions
}

/// Returns totals instead of single targets, in addition to the totals that are already printed.
fn totals(output: &Output) -> Vec<(String, Output)> {
    let all = [&[Total::Sum, Total::Avg, Total::Max, Total::Min][..], &[Total::Sum, Total::Max], &[Total::Sum]];
    let proposal = |totals: &[Total]| {
        let new: Vec<Total> = totals.iter().filter(|total| !output.totals.contains(total)).copied().collect();
        let words: Vec<&str> = new.iter().map(|total| total.word()).collect();
        let more = if words.is_empty() { String::new() } else { format!("--total {} ", words.join(",")) };
        let mut totals = [output.totals.clone(), new].concat();
        totals.sort_unstable();
        (format!("{more}--total-only"), Output { totals, each_target: false, ..output.clone() })
    };
    if output.each_target { all.into_iter().map(proposal).collect() } else { Vec::new() }
}

/// A metric of this run.
struct Count {
    /// Its name for `--exclude`.
    name: String,
    /// The patterns that exclude it, from the general to the particular.
    patterns: Vec<String>,
    /// The number of targets that have it.
    targets: usize,
}

/// Counts the printed metrics of this run. Those below a wildcard have names that only the targets know, and patterns
/// of their own.
fn counts(job: &Job, series: &[Series<'_>]) -> Vec<Count> {
    let selection = &job.options.output.selection;
    let mut counts: BTreeMap<((usize, usize), &str), usize> = BTreeMap::new();
    for point in series.iter().flat_map(|series| &series.points) {
        if selection.keeps(&bare(&point.key)) {
            *counts.entry((point.order, &point.key)).or_default() += 1;
        }
    }
    let count = |(((place, metric), key), targets): (((usize, usize), &str), usize)| {
        let graph = job.definitions.graphs().get(place);
        let declared = graph.map(|graph| bare(&graph.key)).unwrap_or_default();
        let name = bare(key);
        let parent = name.rsplit_once('.').map(|(parent, _)| parent).unwrap_or_default();
        let of_graph = if declared.contains('*') { parent } else { &declared };
        let mut patterns = vec![if of_graph.is_empty() { "*".to_owned() } else { format!("{of_graph}.*") }];
        let is_open = graph.and_then(|graph| graph.metrics.get(metric)).is_some_and(|metric| metric.name == "*");
        patterns.extend(is_open.then(|| name.clone()));
        Count { name, patterns, targets }
    };
    counts.into_iter().map(count).collect()
}

/// Excludes metrics until at most `limit` are left, each time those of the pattern with the most of them. Returns
/// `None` if that would leave none, or take too many options.
fn exclusions(output: &Output, counts: &[Count], limit: usize) -> Option<(String, Output)> {
    let printed = |count: &&Count| output.totals.len() + if output.each_target { count.targets } else { 0 };
    let number = |kept: &[&Count]| kept.iter().map(printed).sum::<usize>();
    let mut kept: Vec<&Count> = counts.iter().collect();
    let mut excluded: Vec<Pattern> = Vec::new();
    while number(&kept) > limit {
        if excluded.len() == limits::SUGGESTED_OPTIONS {
            return None;
        }
        let mut sizes: Vec<(&str, usize)> = Vec::new();
        for count in &kept {
            for pattern in &count.patterns {
                if let Some((_, size)) = sizes.iter_mut().find(|(known, _)| known == pattern) {
                    *size += printed(count);
                } else if sizes.len() < limits::SUGGESTED_PATTERNS {
                    sizes.push((pattern, printed(count)));
                }
            }
        }
        sizes.sort_by_key(|(_, size)| Reverse(*size));
        let without = |(text, _): (&str, usize)| {
            let pattern: Pattern = text.parse().ok()?;
            let selection = Selection { select: Vec::new(), exclude: vec![pattern.clone()] };
            let rest: Vec<&Count> = kept.iter().filter(|count| selection.keeps(&count.name)).copied().collect();
            (!rest.is_empty()).then_some((pattern, rest))
        };
        let (pattern, rest) = sizes.into_iter().find_map(without)?;
        excluded.push(pattern);
        kept = rest;
    }
    let options: Vec<String> = excluded.iter().map(|pattern| format!("--exclude '{pattern}'")).collect();
    let mut fewer = output.clone();
    fewer.selection.exclude.extend(excluded);
    Some((options.join(" "), fewer))
}
