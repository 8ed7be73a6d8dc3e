//! The screen: a terminal that shows whole pages, its keys, and its restoration, whatever ends the program.

use std::io::{self, IsTerminal as _, Read as _, Stdout, Write as _};
use std::panic;
use std::thread;

use rustix::termios::{OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::env;
use crate::error::Error;
use crate::stop::Watchdog;

/// Saves the page and the cursor, hides the cursor, and does not break lines at the right edge.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";

/// Undoes it.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A terminal in raw mode. Drop it to restore the terminal.
pub struct Screen {
    output: Stdout,
    before: Termios,
}

/// An event while a page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A key.
    Key(Key),
    /// The terminal has another size.
    Resized,
    /// Ctrl-C, the end of the input, SIGTERM or SIGINT.
    End,
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A letter or sign.
    Letter(char),
    /// The arrow up.
    Up,
    /// The arrow down.
    Down,
    /// The arrow to the left.
    Left,
    /// The arrow to the right.
    Right,
}

/// The source of events.
pub struct Events {
    keys: UnboundedReceiver<Event>,
    resized: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// The emphasis of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// None.
    Plain,
    /// A heading.
    Bold,
    /// A failure.
    Red,
}

impl Style {
    /// Returns the line with its emphasis, if there are `colours`.
    pub fn apply(self, line: &str, colours: bool) -> String {
        let code = match self {
            Style::Bold if colours => "1",
            Style::Red if colours => "31",
            _ => return line.to_owned(),
        };
        format!("\x1b[{code}m{line}\x1b[0m")
    }
}

/// Returns true if stdout is a terminal and the environment does not forbid colours (<https://no-color.org>).
pub fn has_colours() -> bool {
    io::stdout().is_terminal() && env::variable_os("NO_COLOR").is_none()
}

impl Screen {
    /// Takes over the terminal of stdin and stdout. A panic and the watchdog restore it before their messages are
    /// printed.
    ///
    /// # Errors
    /// If there is none, or signals cannot be handled.
    pub fn open(watchdog: &Watchdog) -> Result<(Screen, Events), Error> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(Error::usage("watch needs a terminal: for one table, add --once"));
        }
        let listen = |kind| signal(kind).map_err(|error| Error::failed(format!("cannot handle signals: {error}")));
        let resized = listen(SignalKind::window_change())?;
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let failed = |error| Error::failed(format!("cannot use the terminal: {error}"));
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        let for_panic = before.clone();
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore(&for_panic);
            hook(panic);
        }));
        let for_watchdog = before.clone();
        watchdog.set_last_step(move || restore(&for_watchdog));
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw).map_err(failed)?;
        let screen = Screen { output: io::stdout(), before };
        write(&screen.output, ENTER);
        let (sender, keys) = unbounded_channel();
        // It ends with the process: a read from a terminal cannot be interrupted.
        thread::Builder::new()
            .spawn(move || {
                let mut bytes = [0; 64];
                loop {
                    let length = io::stdin().read(&mut bytes).unwrap_or_default();
                    let events = if length == 0 { vec![Event::End] } else { parse(&bytes[..length]) };
                    if events.into_iter().any(|event| sender.send(event).is_err()) || length == 0 {
                        return;
                    }
                }
            })
            .map_err(|error| Error::failed(format!("cannot start a thread: {error}")))?;
        Ok((screen, Events { keys, resized, terminate, interrupt }))
    }

    /// Returns the numbers of columns and rows.
    pub fn size(&self) -> (usize, usize) {
        let size = tcgetwinsize(&self.output).map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        // Some serial lines report no size.
        size.ok().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((80, 24))
    }

    /// Shows a page of as many lines as the screen has, in one write: nothing flickers over a slow connection.
    pub fn draw(&self, lines: &[String]) {
        // Erased before it is written: the cursor stays on the last column of a full line.
        let lines: Vec<String> = lines.iter().map(|line| format!("\x1b[2K{line}")).collect();
        write(&self.output, &format!("\x1b[H{}", lines.join("\r\n")));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The hook of a panic did it already.
        if !thread::panicking() {
            restore(&self.before);
        }
    }
}

/// Restores the terminal, and discards keys that were not handled. The program can hang while it writes to a terminal
/// that is not read: so nothing here locks stdout, and the settings come first and do not wait for what is written.
fn restore(before: &Termios) {
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
    let _ = rustix::io::write(io::stdout(), LEAVE.as_bytes());
}

/// A terminal that is gone ends the program by a signal, or by the end of its input.
fn write(output: &Stdout, text: &str) {
    let mut stdout = output.lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

impl Events {
    /// Waits for the next event.
    pub async fn next(&mut self) -> Event {
        tokio::select! {
            key = self.keys.recv() => key.unwrap_or(Event::End),
            _ = self.resized.recv() => Event::Resized,
            _ = self.terminate.recv() => Event::End,
            _ = self.interrupt.recv() => Event::End,
        }
    }
}

/// Parses what a terminal sent: letters, and the sequences of the arrow keys in both of their modes.
fn parse(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        let event = match (first, rest) {
            (0x1b, [b'[' | b'O', arrow, after @ ..]) => {
                bytes = after;
                match arrow {
                    b'A' => Event::Key(Key::Up),
                    b'B' => Event::Key(Key::Down),
                    b'C' => Event::Key(Key::Right),
                    b'D' => Event::Key(Key::Left),
                    _ => continue,
                }
            }
            // Ctrl-C and Ctrl-D.
            (3 | 4, _) => Event::End,
            (b' '..=b'~', _) => Event::Key(Key::Letter(char::from(*first))),
            _ => continue,
        };
        events.push(event);
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_arrows_are_parsed_and_all_else_is_ignored() {
        let events = parse(b"s\x1b[A\x1bOBq\x1b[Z\x7f\xc3\xa9\x03");
        let letter = |letter| Event::Key(Key::Letter(letter));
        assert_eq!(events, [letter('s'), Event::Key(Key::Up), Event::Key(Key::Down), letter('q'), Event::End]);
        assert_eq!(parse(b"\x1b"), []);
    }
}
