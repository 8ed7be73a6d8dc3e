//! A recording: the responses of one target in one collection, as a folder of text files that an author reads, edits
//! and commits.
//!
//! | file | content |
//! |---|---|
//! | `target.json` | the description of the target, and the format's version |
//! | `001.http`, … | a request and its response, in order |
//! | `001.tcp`, … | one connection of another protocol |
//! | `container.json` | requests about the container, and the responses |
//!
//! Other files in the folder belong to the author and are kept. [`transcript`](super::transcript) defines
//! the format of exchanges and connections.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::text::Secrets;
use super::transcript::{Conversation, Exchange, LineFault};
use crate::address::Address;
use crate::engine;
use crate::file::{self, FileError};
use crate::limits;
use crate::pipeline::route::Routes;
use crate::pipeline::target::Target;
use crate::sandbox::container::{Error as ContainerError, Source, State, Stats};
use crate::text::{Foreign, foreign};

/// The version of the format that is written, and the latest that is read.
const FORMAT: u64 = 1;

/// The file that makes a folder a recording. It is written last.
const HEAD: &str = "target.json";

/// The file of requests about the container.
const CALLS: &str = "container.json";

/// The head of a recording, which is read before the conversations.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    format: u64,
    /// The name and version of the collector that it was made with.
    pub collector: String,
    /// The address of the target. A replay uses another.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container>,
    /// The secret options that were given, with the length of each in bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, usize>,
}

/// The container, as the collector sees it.
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
    /// Describes this target.
    pub fn new(collector: String, target: &Target, secrets: BTreeMap<String, usize>) -> Head {
        let container = target.container.clone().map(|container| Container {
            id: container.id,
            name: container.name,
            image: container.image,
            image_id: container.image_id,
            port: target.container_port,
            labels: container.labels,
        });
        Head { format: FORMAT, collector, endpoint: target.address().map(Address::to_string), container, secrets }
    }

    /// Returns the target for a replay at `address`.
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
        let reason = "a recording".to_owned();
        let routes = address.map(|address| Routes::only(address, &reason)).unwrap_or_default();
        Target { routes, container, container_port, reason, ..Target::default() }
    }

    /// The address of the target.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Returns true if the target was a container.
    pub fn has_container(&self) -> bool {
        self.container.is_some()
    }
}

/// A recording that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A fault of a file or folder.
    #[error("{}: {fault}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The fault.
        #[source]
        fault: Fault,
    },
    /// A fault of one line.
    #[error("{}:{line}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// The fault.
        #[source]
        fault: LineFault,
    },
}

/// A fault of a file or folder of a recording.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The system refuses to read it.
    #[error("cannot be read: {0}")]
    Read(#[source] FileError),
    /// The system refuses to write it.
    #[error("cannot be written: {0}")]
    Write(#[source] io::Error),
    /// It is not JSON of the expected form.
    #[error("cannot be read: {0}")]
    Json(#[source] serde_json::Error),
    /// The folder has other files.
    #[error("has files that are not a recording: name a new folder, or one that --record made")]
    Occupied,
    /// The folder has no head.
    #[error("not a recording: {HEAD} is missing; --record makes one")]
    Missing,
    /// A later version made it.
    #[error("the recording has format {0}, and this program reads format {FORMAT}: a newer one made it")]
    Newer(u64),
    /// The format has no number, or one that never existed.
    #[error("its \"format\" is not {FORMAT}")]
    Format,
    /// The folder has too many conversations.
    #[error("{0} conversations, limit {limit}", limit = limits::RECORDED)]
    TooMany(usize),
    /// A field that this program does not know.
    #[error("unknown field \"{0}\"")]
    UnknownField(Foreign),
    /// All files together are too large.
    #[error("the recording exceeds {:.0} (fixed limit)", limits::RECORDING.display().iec())]
    TooLarge,
}

impl Error {
    fn of(path: &Path, fault: Fault) -> Error {
        Error::File { path: path.to_owned(), fault }
    }
}

/// The responses of a target.
#[derive(Debug, Default)]
pub struct Recording {
    /// HTTP requests, in order.
    pub exchanges: Vec<Exchange>,
    /// Connections of other protocols.
    pub conversations: Vec<Conversation>,
    /// Requests about the container.
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

impl Recording {
    /// Returns true if there are no responses.
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty() && self.conversations.is_empty() && self.calls.is_empty()
    }

    /// Formats the files of a recording, without secrets.
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

/// Returns the file name of a conversation.
pub fn name(number: usize, kind: &str) -> String {
    format!("{number:03}.{kind}")
}

/// Returns true for the file name of a conversation.
fn is_conversation(name: &str) -> bool {
    let number = name.strip_suffix(".http").or_else(|| name.strip_suffix(".tcp"));
    number.is_some_and(|number| number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn json(value: &impl Serialize) -> String {
    // Records of texts and numbers: this cannot fail.
    format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default())
}

/// Checks that a recording can be written to `folder`: it is new, empty, or a recording, which is replaced.
///
/// # Errors
/// If it has other files.
pub fn check_place(folder: &Path) -> Result<(), Error> {
    let mut entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| Error::of(folder, Fault::Read(error.into())))?,
    };
    if entries.next().is_none() || folder.join(HEAD).exists() {
        return Ok(());
    }
    Err(Error::of(folder, Fault::Occupied))
}

/// Writes a recording into `folder`, and replaces an existing one. The folder is not a recording until all files are
/// written.
///
/// # Errors
/// If a file cannot be written.
pub fn write(folder: &Path, head: &Head, recording: &Recording, secrets: &Secrets) -> Result<(), Error> {
    let of = |path: &Path| {
        let path = path.to_owned();
        move |error| Error::File { path, fault: Fault::Write(error) }
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
    // Temporary files are private, but a recording is for everyone who gets the repository.
    let public = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(public).map_err(of(&path))?;
    file.persist(&path).map_err(|error| of(&path)(error.error))?;
    Ok(())
}

/// Lists the files of conversations in `folder`, by name.
fn conversations(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let of = |error: io::Error| Error::of(folder, Fault::Read(error.into()));
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
/// If there is none that this program reads.
pub fn read_head(folder: &Path) -> Result<Head, Error> {
    let path = folder.join(HEAD);
    let mut room = limits::RECORDING.as_u64();
    let text = read_file(&path, &mut room)?.ok_or_else(|| Error::of(folder, Fault::Missing))?;
    let unreadable = |error| Error::of(&path, Fault::Json(error));
    let any: serde_json::Value = serde_json::from_str(&text).map_err(unreadable)?;
    match any["format"].as_u64() {
        Some(FORMAT) => serde_json::from_str(&text).map_err(unreadable),
        Some(later) if later > FORMAT => Err(Error::of(&path, Fault::Newer(later))),
        _ => Err(Error::of(&path, Fault::Format)),
    }
}

/// Reads the responses, and inserts the secrets.
///
/// # Errors
/// If a file cannot be read, with its line.
pub fn read(folder: &Path, secrets: &Secrets) -> Result<Recording, Error> {
    let mut recording = Recording::default();
    let mut room = limits::RECORDING.as_u64();
    let paths = conversations(folder)?;
    if paths.len() > limits::RECORDED {
        return Err(Error::of(folder, Fault::TooMany(paths.len())));
    }
    for path in paths {
        let Some(text) = read_file(&path, &mut room)? else { continue };
        let at = |(line, fault)| Error::Line { path: path.clone(), line, fault };
        if path.extension().is_some_and(|kind| kind == "http") {
            recording.exchanges.push(Exchange::read(&text, secrets).map_err(at)?);
        } else {
            recording.conversations.push(Conversation::read(&text, secrets).map_err(at)?);
        }
    }
    let path = folder.join(CALLS);
    if let Some(text) = read_file(&path, &mut room)? {
        let wrong = |error| Error::of(&path, Fault::Json(error));
        recording.calls = serde_json::from_str(&text).map_err(wrong)?;
        let given: serde_json::Value = serde_json::from_str(&text).map_err(wrong)?;
        let known = serde_json::to_value(&recording.calls).map_err(wrong)?;
        if let Some(field) = unknown(&given, &known) {
            return Err(Error::of(&path, Fault::UnknownField(foreign(field))));
        }
    }
    Ok(recording)
}

/// Returns the first field of `given` that is missing in `known`, which was parsed from it.
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

/// Reads a file, `None` if it does not exist, and reduces `room` by its size.
fn read_file(path: &Path, room: &mut u64) -> Result<Option<String>, Error> {
    let bytes = match file::read(path, ByteSize::b(*room)) {
        Ok(bytes) => bytes,
        Err(FileError::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(FileError::TooLarge(_)) => return Err(Error::of(path, Fault::TooLarge)),
        Err(error) => return Err(Error::of(path, Fault::Read(error))),
    };
    *room -= bytes.len() as u64;
    let text = String::from_utf8(bytes).map_err(|_| Error::of(path, Fault::Read(FileError::NotText)))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_nobody_reads_is_found() {
        let value = |text: &str| serde_json::from_str(text).unwrap();
        let known = value(r#"[{"a": {"b": 1, "c": null}}]"#);
        assert_eq!(unknown(&value(r#"[{"a": {"b": 2}}]"#), &known), None);
        assert_eq!(unknown(&value(r#"[{"a": {"B": 2}}]"#), &known), Some("B"));
    }
}
