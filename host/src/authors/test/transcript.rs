//! A transcript: the text file of one HTTP exchange or one connection, as a part of a [recording](super::recording).
//! [`text`] defines how bytes are written.

use std::fmt::Write as _;

use super::text::{self, Secrets};

/// A request and its response. Only the identifying parts of the request are kept; the others can change from run to
/// run, and can be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The request's body.
    pub question: Vec<u8>,
    /// The status code of the response.
    pub status: u16,
    /// The header fields of the response, in order, without those of the connection.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body of the response.
    pub answer: Vec<u8>,
}

/// One connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The data of both sides, in turns.
    pub turns: Vec<Turn>,
    /// True if the target closed the connection.
    pub closed: bool,
}

/// The data of one side until the other sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// The collector.
    Sent(Vec<u8>),
    /// The target.
    Received(Vec<u8>),
}

/// A fault of one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It has another form.
    #[error("{0}")]
    Form(&'static str),
    /// An escape in it cannot be read.
    #[error(transparent)]
    Escape(#[from] text::EscapeError),
}

impl From<&'static str> for LineFault {
    fn from(form: &'static str) -> LineFault {
        LineFault::Form(form)
    }
}

/// A fault with its line.
pub type Wrong = (usize, LineFault);

/// The lines of a file, numbered from 1.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Lines<'a> {
        Lines { rest: text, number: 0 }
    }

    /// Returns the next line without its end.
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        (self.rest, self.number) = (rest, self.number + 1);
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    /// Makes an error about the last line.
    fn wrong(&self, fault: impl Into<LineFault>) -> Wrong {
        (self.number.max(1), fault.into())
    }
}

/// Returns the text of `who` on a line; `None` for another speaker.
fn said(line: &str, who: char) -> Option<&str> {
    let said = line.strip_prefix(who)?;
    if said.is_empty() { Some(said) } else { said.strip_prefix(' ') }
}

impl Exchange {
    /// Returns true if the response has one of these secrets.
    pub fn has_secret(&self, secrets: &Secrets) -> bool {
        let values = self.headers.iter().map(|(_, value)| value);
        values.chain([&self.answer]).any(|bytes| secrets.are_in(bytes))
    }

    /// Formats `> METHOD PATH` and the request body on further such lines; `< STATUS` and `< NAME: VALUE`; then the
    /// response body, after an empty line as it is, or after a bare `<` on lines of its own.
    pub fn write(&self, secrets: &Secrets) -> String {
        let Exchange { method, path, question, status, headers, answer } = self;
        let mut text = format!("> {method} {}\n", text::escape(path.as_bytes(), secrets));
        text.push_str(&text::lines('>', question, secrets));
        let _ = writeln!(text, "< {status}");
        for (name, value) in headers {
            let _ = writeln!(text, "< {name}: {}", text::escape(value, secrets));
        }
        if text::is_plain(answer, secrets) {
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(answer));
        } else {
            text.push_str("<\n");
            text.push_str(&text::lines('<', answer, secrets));
        }
        text
    }

    /// Parses the text of [`Exchange::write`], also as a person writes it.
    ///
    /// # Errors
    /// If a line has another form.
    pub fn read(text: &str, secrets: &Secrets) -> Result<Exchange, Wrong> {
        let mut lines = Lines::new(text);
        let request = "expected '> METHOD PATH', such as '> GET /stats'";
        let first = lines.next().and_then(|line| said(line, '>')).and_then(|line| line.split_once(' '));
        let (method, path) = first.ok_or_else(|| lines.wrong(request))?;
        let bytes = |lines: &Lines, text: &str| text::unescape(text, secrets).map_err(|why| lines.wrong(why));
        let path = String::from_utf8(bytes(&lines, path)?).map_err(|_| lines.wrong("the path is not UTF-8"))?;
        let (mut question, mut headers, mut answer) = (Vec::new(), Vec::new(), Vec::new());
        let status = loop {
            let line = lines.next().ok_or_else(|| lines.wrong("the file ends before a response, '< STATUS'"))?;
            match (said(line, '>'), said(line, '<')) {
                (Some(more), _) => question.extend(bytes(&lines, more)?),
                (None, Some(status)) => break status,
                (None, None) => return Err(lines.wrong("expected '> ' and more of the request, or '< STATUS'")),
            }
        };
        let status = status.trim().parse().ok().filter(|status| (100..1000).contains(status));
        let status = status.ok_or_else(|| lines.wrong("expected '< STATUS', such as '< 200'"))?;
        loop {
            let end = "the file ends before the response body, which follows an empty line";
            let line = lines.next().ok_or_else(|| lines.wrong(end))?;
            match said(line, '<') {
                Some("") => break,
                Some(header) => {
                    let expected =
                        || lines.wrong("expected '< NAME: VALUE', or an empty line before the response body");
                    let (name, value) = header.split_once(':').ok_or_else(expected)?;
                    headers.push((name.trim().to_owned(), bytes(&lines, value.trim_start())?));
                }
                None if line.is_empty() => {
                    answer = lines.rest.as_bytes().to_vec();
                    return Ok(Exchange { method: method.to_owned(), path, question, status, headers, answer });
                }
                None => return Err(lines.wrong("expected '< NAME: VALUE', or an empty line before the response body")),
            }
        }
        while let Some(line) = lines.next() {
            let more = said(line, '<').ok_or_else(|| lines.wrong("expected '< ' and more of the response body"))?;
            answer.extend(bytes(&lines, more)?);
        }
        Ok(Exchange { method: method.to_owned(), path, question, status, headers, answer })
    }
}

/// The last line of a conversation that the target ended. The faults of lines quote it.
const CLOSED: &str = "closed by the target";

impl Conversation {
    /// Formats the data of both sides, and a last line if the target closed the connection.
    pub fn write(&self, secrets: &Secrets) -> String {
        let turn = |turn: &Turn| match turn {
            Turn::Sent(bytes) => text::lines('>', bytes, secrets),
            Turn::Received(bytes) => text::lines('<', bytes, secrets),
        };
        let mut text: String = self.turns.iter().map(turn).collect();
        if self.closed {
            let _ = writeln!(text, "{CLOSED}");
        }
        text
    }

    /// Parses the text of [`Conversation::write`].
    ///
    /// # Errors
    /// If a line has another form.
    pub fn read(text: &str, secrets: &Secrets) -> Result<Conversation, Wrong> {
        let mut lines = Lines::new(text);
        let mut conversation = Conversation::default();
        while let Some(line) = lines.next() {
            if conversation.closed {
                return Err(lines.wrong("nothing can follow 'closed by the target'"));
            }
            let bytes = |text: &str| text::unescape(text, secrets).map_err(|why| lines.wrong(why));
            match (said(line, '>'), said(line, '<')) {
                (Some(sent), _) => conversation.sent(&bytes(sent)?),
                (None, Some(received)) => conversation.received(&bytes(received)?),
                (None, None) if line == CLOSED => conversation.closed = true,
                (None, None) => {
                    return Err(lines.wrong("expected '> ' or '< ' and data, or 'closed by the target'"));
                }
            }
        }
        Ok(conversation)
    }

    /// Appends data of the collector.
    pub fn sent(&mut self, bytes: &[u8]) {
        match self.turns.last_mut() {
            Some(Turn::Sent(all)) => all.extend_from_slice(bytes),
            _ => self.turns.push(Turn::Sent(bytes.to_vec())),
        }
    }

    /// Appends data of the target.
    pub fn received(&mut self, bytes: &[u8]) {
        match self.turns.last_mut() {
            Some(Turn::Received(all)) => all.extend_from_slice(bytes),
            _ => self.turns.push(Turn::Received(bytes.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(answer: &[u8]) -> Exchange {
        Exchange {
            method: "POST".to_owned(),
            path: "/a?token=s3cret".to_owned(),
            question: b"one\ntwo ".to_vec(),
            status: 200,
            headers: vec![("x".to_owned(), b"a: b ".to_vec()), ("y".to_owned(), Vec::new())],
            answer: answer.to_vec(),
        }
    }

    fn secrets() -> Secrets {
        Secrets::new([("token", "s3cret")].into_iter())
    }

    #[test]
    fn an_exchange_comes_back_whatever_its_body_is() {
        for answer in [&b""[..], b"\n", b"{\"a\": 1}", b"< 1\n> 2\n\n", b"a\r\n", b"\0\xff", b"is s3cret\n", b" "] {
            let text = exchange(answer).write(&secrets());
            assert!(!text.contains("s3cret"), "{text}");
            assert_eq!(Exchange::read(&text, &secrets()), Ok(exchange(answer)), "{text}");
        }
    }

    #[test]
    fn an_exchange_is_read_as_a_person_writes_it() {
        let text = "> GET /stats\n< 200\n< content-type: application/json\n\n{\"a\": 1}\n";
        let read = Exchange::read(text, &secrets()).unwrap();
        assert_eq!((read.path.as_str(), read.answer.as_slice()), ("/stats", &b"{\"a\": 1}\n"[..]));
        assert_eq!(Exchange::read(&text.replace('\n', "\r\n"), &secrets()).unwrap().status, 200);
    }

    #[test]
    fn a_conversation_comes_back() {
        let mut conversation = Conversation::default();
        conversation.received(b"220 hello\r\n");
        conversation.sent(b"AUTH s3cret\r\n");
        conversation.sent(b"more\r\nwithout an end");
        conversation.received(b"\0\x01 ");
        for closed in [false, true] {
            conversation.closed = closed;
            let text = conversation.write(&secrets());
            assert!(!text.contains("s3cret"), "{text}");
            assert_eq!(Conversation::read(&text, &secrets()), Ok(conversation.clone()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("GET /", 1),
            ("> GET", 1),
            ("> GET /", 1),
            ("> GET /\nno", 2),
            ("> GET /\n> a\\q", 2),
            ("> GET /\n< ok", 2),
            ("> GET /\n< 99", 2),
            ("> GET /\n< 200", 2),
            ("> GET /\n< 200\n< a", 3),
            ("> GET /\n< 200\n{}", 3),
            ("> GET /\n< 200\n<\n{}", 4),
        ] {
            assert_eq!(Exchange::read(text, &secrets()).map_err(|(line, _)| line), Err(line), "{text}");
        }
        for (text, line) in [("hello", 1), ("> a\n<b", 2), ("> \\x1", 1), ("closed by the target\n> a", 2)] {
            assert_eq!(Conversation::read(text, &secrets()).map_err(|(line, _)| line), Err(line), "{text}");
        }
    }
}
