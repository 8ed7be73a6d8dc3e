//! A recording: what one target said to a collector, as a folder of text files that an author reads, edits and commits.
//!
//! | file | |
//! |---|---|
//! | `target.json` | what the collector is told of the target; the format's version |
//! | `001.http`, … | a request and its answer, in the order in which they were asked |
//! | `001.tcp`, … | one connection of any other protocol, from its begin to its end |
//! | `container.json` | what was asked of the container, and the answers |
//!
//! Everything else in the folder is the author's, and left alone. How bytes are written is [`text`]'s.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::text::{self, Secrets};
use crate::address::Address;
use crate::engine;
use crate::limits;
use crate::pipeline::target::Target;
use crate::sandbox::container::{Error as ContainerError, Source, State, Stats};

/// The version of the format that is written, and the latest that is read.
const FORMAT: u64 = 1;

/// The file that makes a folder a recording. It is written last.
const HEAD: &str = "target.json";

/// The file of what was asked of the container.
const CALLS: &str = "container.json";

/// What is known of a recording before its conversations are read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    format: u64,
    /// The collector that it was made with: its name and version.
    pub collector: String,
    /// Where the target was. Where it is played back, another address takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container>,
    /// The collector's secret options that were given, and the length of each in bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, usize>,
}

/// The container, as the collector is told of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Container {
    id: String,
    name: String,
    image: String,
    image_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Head {
    /// For this target.
    pub fn new(collector: String, target: &Target, secrets: BTreeMap<String, usize>) -> Head {
        let container = target.container.clone().map(|container| Container {
            id: container.id,
            name: container.name,
            image: container.image,
            image_id: container.image_id,
            port: target.container_port,
            labels: container.labels,
        });
        Head {
            format: FORMAT,
            collector,
            endpoint: target.address.as_ref().map(Address::to_string),
            container,
            secrets,
        }
    }

    /// The target, where the recording is played back at `address`.
    pub fn target(&self, address: Option<Address>) -> Target {
        let container = self.container.as_ref().map(|container| engine::Container {
            id: container.id.clone(),
            name: container.name.clone(),
            image: container.image.clone(),
            image_id: container.image_id.clone(),
            labels: container.labels.clone(),
            ..engine::Container::default()
        });
        let container_port = self.container.as_ref().and_then(|container| container.port);
        Target { address, container, container_port, reason: "a recording".to_owned() }
    }

    /// Where the target was.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Whether the target was a container.
    pub fn has_container(&self) -> bool {
        self.container.is_some()
    }
}

/// What a target said.
#[derive(Debug, Default)]
pub struct Recording {
    /// By HTTP, in the order in which it was asked.
    pub exchanges: Vec<Exchange>,
    /// By other protocols, connection by connection.
    pub conversations: Vec<Conversation>,
    /// Of the container.
    pub calls: Vec<Call>,
}

/// A request about the container, and the response. The names of the fields are those of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "asked", rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// Its stats.
    Stats {
        /// The requested parts.
        parts: Vec<String>,
        /// The source.
        source: Option<Source>,
        /// The stats, or the error.
        answer: Result<Box<Stats>, ContainerError>,
    },
    /// Its restarts and health.
    State {
        /// The state, or the error.
        answer: Result<State, ContainerError>,
    },
}

/// A request and its answer. Of the request there is what tells it from others; whatever else it carries can change from run to
/// run, and can be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The request's body.
    pub question: Vec<u8>,
    /// The answer's status code.
    pub status: u16,
    /// The answer's header fields, in their order, but for those that belong to the connection.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The answer's body.
    pub answer: Vec<u8>,
}

/// What went over one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Who said what, in turns.
    pub turns: Vec<Turn>,
    /// Whether the target closed the connection at the end.
    pub closed: bool,
}

/// What one side said until the other spoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// The collector.
    Sent(Vec<u8>),
    /// The target.
    Received(Vec<u8>),
}

impl Recording {
    /// The files of a recording, with no secret in them.
    fn files(&self, secrets: &Secrets) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for (number, exchange) in (1..).zip(&self.exchanges) {
            files.push((name(number, "http"), exchange.write(secrets)));
        }
        for (number, conversation) in (1..).zip(&self.conversations) {
            files.push((name(number, "tcp"), conversation.write(secrets)));
        }
        if !self.calls.is_empty() {
            files.push((CALLS.to_owned(), json(&self.calls)));
        }
        files
    }
}

/// The name of a conversation's file.
pub fn name(number: usize, kind: &str) -> String {
    format!("{number:03}.{kind}")
}

/// Whether a file of this name is a conversation's.
fn is_conversation(name: &str) -> bool {
    let number = name.strip_suffix(".http").or_else(|| name.strip_suffix(".tcp"));
    number.is_some_and(|number| number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn json(value: &impl Serialize) -> String {
    // Records of texts and numbers: this cannot fail.
    format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default())
}

/// Checks beforehand that a recording can be made in `folder`: it is new or empty, or holds one already, which is replaced.
///
/// # Errors
/// What is there instead.
pub fn check_place(folder: &Path) -> Result<(), String> {
    let of = |error| format!("{}: cannot be read: {error}", folder.display());
    let mut entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(of)?,
    };
    if entries.next().is_none() || folder.join(HEAD).exists() {
        return Ok(());
    }
    Err(format!(
        "{}: there are files in it that are no recording: name a new folder, or one that --record made before",
        folder.display()
    ))
}

/// Writes a recording into `folder`, in place of one that is there. Until all of it is written, the folder holds none.
///
/// # Errors
/// Which file cannot be written, and why.
pub fn write(folder: &Path, head: &Head, recording: &Recording, secrets: &Secrets) -> Result<(), String> {
    let of = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: cannot be written: {error}")
    };
    fs::create_dir_all(folder).map_err(of(folder))?;
    let mut old = vec![folder.join(HEAD), folder.join(CALLS)];
    old.extend(conversations(folder)?);
    for path in old {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(of(&path)(error)),
            _ => {}
        }
    }
    for (name, text) in recording.files(secrets) {
        let path = folder.join(name);
        fs::write(&path, text).map_err(of(&path))?;
    }
    let path = folder.join(HEAD);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(of(&path))?;
    file.write_all(json(head).as_bytes()).map_err(of(&path))?;
    // Such a file is its owner's alone, and a recording is for all who get the repository.
    let public = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(public).map_err(of(&path))?;
    file.persist(&path).map_err(|error| of(&path)(error.error))?;
    Ok(())
}

/// The files of the conversations in `folder`, by name.
fn conversations(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let of = |error| format!("{}: cannot be read: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(of)? {
        let entry = entry.map_err(of)?;
        if entry.file_name().to_str().is_some_and(is_conversation) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads the head of the recording in `folder`.
///
/// # Errors
/// Why there is none that this program reads.
pub fn read_head(folder: &Path) -> Result<Head, String> {
    let path = folder.join(HEAD);
    let mut room = limits::RECORDING.as_u64();
    let none = || format!("{}: is no recording, for it has no {HEAD}: --record makes one", folder.display());
    let text = read_file(&path, &mut room)?.ok_or_else(none)?;
    let wrong = |why: String| format!("{}: {why}", path.display());
    let unreadable = |error: serde_json::Error| wrong(format!("cannot be read: {error}"));
    let any: serde_json::Value = serde_json::from_str(&text).map_err(unreadable)?;
    match any["format"].as_u64() {
        Some(FORMAT) => serde_json::from_str(&text).map_err(unreadable),
        Some(later) if later > FORMAT => Err(wrong(format!(
            "the recording has format {later}, and this program reads format {FORMAT}: a newer one made it"
        ))),
        _ => Err(wrong(format!("its \"format\" is not {FORMAT}"))),
    }
}

/// Reads what the target said. The secrets are put in where they were.
///
/// # Errors
/// What cannot be read, with its file and line.
pub fn read(folder: &Path, secrets: &Secrets) -> Result<Recording, String> {
    let mut recording = Recording::default();
    let mut room = limits::RECORDING.as_u64();
    let paths = conversations(folder)?;
    if paths.len() > limits::RECORDED {
        return Err(format!(
            "{}: holds {} conversations, {} are the limit",
            folder.display(),
            paths.len(),
            limits::RECORDED
        ));
    }
    for path in paths {
        let Some(text) = read_file(&path, &mut room)? else { continue };
        let at = |(line, why): (usize, String)| format!("{}:{line}: {why}", path.display());
        if path.extension().is_some_and(|kind| kind == "http") {
            recording.exchanges.push(Exchange::read(&text, secrets).map_err(at)?);
        } else {
            recording.conversations.push(Conversation::read(&text, secrets).map_err(at)?);
        }
    }
    let path = folder.join(CALLS);
    if let Some(text) = read_file(&path, &mut room)? {
        let wrong = |error: serde_json::Error| format!("{}: cannot be read: {error}", path.display());
        recording.calls = serde_json::from_str(&text).map_err(wrong)?;
        let given: serde_json::Value = serde_json::from_str(&text).map_err(wrong)?;
        let known = serde_json::to_value(&recording.calls).map_err(wrong)?;
        if let Some(field) = unknown(&given, &known) {
            return Err(format!("{}: the field \"{field}\" is none that is known there", path.display()));
        }
    }
    Ok(recording)
}

/// The first field of `given` that `known`, which was read from it, lacks.
fn unknown<'a>(given: &'a serde_json::Value, known: &serde_json::Value) -> Option<&'a str> {
    use serde_json::Value::{Array, Object};
    match (given, known) {
        (Array(given), Array(known)) => given.iter().zip(known).find_map(|(given, known)| unknown(given, known)),
        (Object(given), Object(known)) => given.iter().find_map(|(field, value)| match known.get(field) {
            Some(known) => unknown(value, known),
            None => Some(field.as_str()),
        }),
        _ => None,
    }
}

/// The text of a file, none where there is no such file. What it takes of `room` is gone.
fn read_file(path: &Path, room: &mut u64) -> Result<Option<String>, String> {
    let of = |error| format!("{}: cannot be read: {error}", path.display());
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(of)?,
    };
    let mut text = String::new();
    let length = file.take(*room + 1).read_to_string(&mut text).map_err(of)?;
    *room = room.checked_sub(length as u64).ok_or_else(|| {
        format!(
            "{}: the recording is larger than {:.0}, which is the limit",
            path.display(),
            limits::RECORDING.display().iec()
        )
    })?;
    Ok(Some(text))
}

/// Something wrong, and in which line.
type Wrong = (usize, String);

/// The lines of a file, numbered from 1, each with who speaks and what.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Lines<'a> {
        Lines { rest: text, number: 0 }
    }

    /// The next line, without its end.
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        (self.rest, self.number) = (rest, self.number + 1);
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    /// Something wrong in the line that came last.
    fn wrong(&self, why: impl Into<String>) -> Wrong {
        (self.number.max(1), why.into())
    }
}

/// What `who` says on a line; none where another speaks.
fn said(line: &str, who: char) -> Option<&str> {
    let said = line.strip_prefix(who)?;
    if said.is_empty() { Some(said) } else { said.strip_prefix(' ') }
}

impl Exchange {
    /// `> METHOD PATH`, the request's body on further such lines; `< STATUS` and `< NAME: VALUE`; then the answer's body: behind an
    /// empty line as it is, or behind a bare `<` on lines of its own.
    fn write(&self, secrets: &Secrets) -> String {
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

    fn read(text: &str, secrets: &Secrets) -> Result<Exchange, Wrong> {
        let mut lines = Lines::new(text);
        let request = "expected '> METHOD PATH', such as '> GET /stats'";
        let first = lines.next().and_then(|line| said(line, '>')).and_then(|line| line.split_once(' '));
        let (method, path) = first.ok_or_else(|| lines.wrong(request))?;
        let bytes = |lines: &Lines, text: &str| text::unescape(text, secrets).map_err(|why| lines.wrong(why));
        let path = String::from_utf8(bytes(&lines, path)?).map_err(|_| lines.wrong("the path is no text"))?;
        let (mut question, mut headers, mut answer) = (Vec::new(), Vec::new(), Vec::new());
        let status = loop {
            let line = lines.next().ok_or_else(|| lines.wrong("the file ends before an answer, '< STATUS'"))?;
            match (said(line, '>'), said(line, '<')) {
                (Some(more), _) => question.extend(bytes(&lines, more)?),
                (None, Some(status)) => break status,
                (None, None) => return Err(lines.wrong("expected '> ' and more of the request, or '< STATUS'")),
            }
        };
        let status = status.trim().parse().ok().filter(|status| (100..1000).contains(status));
        let status = status.ok_or_else(|| lines.wrong("expected '< STATUS', such as '< 200'"))?;
        loop {
            let end = "the file ends before the answer's body, which stands behind an empty line";
            let line = lines.next().ok_or_else(|| lines.wrong(end))?;
            match said(line, '<') {
                Some("") => break,
                Some(header) => {
                    let expected =
                        || lines.wrong("expected '< NAME: VALUE', or an empty line before the answer's body");
                    let (name, value) = header.split_once(':').ok_or_else(expected)?;
                    headers.push((name.trim().to_owned(), bytes(&lines, value.trim_start())?));
                }
                None if line.is_empty() => {
                    answer = lines.rest.as_bytes().to_vec();
                    return Ok(Exchange { method: method.to_owned(), path, question, status, headers, answer });
                }
                None => return Err(lines.wrong("expected '< NAME: VALUE', or an empty line before the answer's body")),
            }
        }
        while let Some(line) = lines.next() {
            let more = said(line, '<').ok_or_else(|| lines.wrong("expected '< ' and more of the answer's body"))?;
            answer.extend(bytes(&lines, more)?);
        }
        Ok(Exchange { method: method.to_owned(), path, question, status, headers, answer })
    }
}

/// The line that ends a conversation which the target ended.
const CLOSED: &str = "closed by the target";

impl Conversation {
    fn write(&self, secrets: &Secrets) -> String {
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

    fn read(text: &str, secrets: &Secrets) -> Result<Conversation, Wrong> {
        let mut lines = Lines::new(text);
        let mut conversation = Conversation::default();
        while let Some(line) = lines.next() {
            if conversation.closed {
                return Err(lines.wrong(format!("nothing is said behind '{CLOSED}'")));
            }
            let bytes = |text: &str| text::unescape(text, secrets).map_err(|why| lines.wrong(why));
            match (said(line, '>'), said(line, '<')) {
                (Some(sent), _) => conversation.sent(&bytes(sent)?),
                (None, Some(received)) => conversation.received(&bytes(received)?),
                (None, None) if line == CLOSED => conversation.closed = true,
                (None, None) => {
                    return Err(lines.wrong(format!("expected '> ' or '< ' and what is said, or '{CLOSED}'")));
                }
            }
        }
        Ok(conversation)
    }

    /// The collector says more.
    pub fn sent(&mut self, bytes: &[u8]) {
        match self.turns.last_mut() {
            Some(Turn::Sent(all)) => all.extend_from_slice(bytes),
            _ => self.turns.push(Turn::Sent(bytes.to_vec())),
        }
    }

    /// The target says more.
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

    #[test]
    fn a_field_that_nobody_reads_is_found() {
        let value = |text: &str| serde_json::from_str(text).unwrap();
        let known = value(r#"[{"a": {"b": 1, "c": null}}]"#);
        assert_eq!(unknown(&value(r#"[{"a": {"b": 2}}]"#), &known), None);
        assert_eq!(unknown(&value(r#"[{"a": {"B": 2}}]"#), &known), Some("B"));
    }
}
