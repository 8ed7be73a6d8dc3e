//! Header fields that the operator adds to requests. No error shows a value, because it can be a secret.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::uri::Authority;

use crate::file;
use crate::limits;
use crate::sandbox::http::is_connection_header;
use crate::text::{Foreign, foreign};

/// Characters of a value that make it a secret worth hiding: shorter ones stand in any text.
const SECRET_LENGTH: usize = 4;

/// The source of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `--http-header`.
    Argument,
    /// A line of `--http-header-file`.
    Line(PathBuf, usize),
    /// Another option.
    Option(&'static str),
}

impl Source {
    /// Returns the option.
    fn option(&self) -> &'static str {
        match self {
            Source::Argument => "--http-header",
            Source::Line(..) => "--http-header-file",
            Source::Option(option) => option,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.option())?;
        if let Source::Line(path, line) = self {
            write!(f, " {}, line {line}", path.display())?;
        }
        Ok(())
    }
}

/// A header field that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] file::Error),
    /// A field has no colon.
    #[error("{0}: expected 'NAME: VALUE'")]
    Form(Source),
    /// A field has an illegal name or value.
    #[error("{source_of}: header '{name}' {fault}")]
    Field {
        /// The source.
        source_of: Source,
        /// The name.
        name: Foreign,
        /// The fault.
        fault: &'static str,
    },
    /// A file has no fields.
    #[error("--http-header-file {}: expected a header field in each line, but it is empty", .0.display())]
    NoFields(PathBuf),
    /// A file has no usable secret.
    #[error("{option} {}: {fault}", path.display())]
    Secret {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// The fault.
        fault: &'static str,
    },
    /// The user name cannot be part of basic authentication.
    #[error("--http-user '{0}': expected a name without colons and control characters")]
    User(Foreign),
    /// One option sets a field twice that a request can have once.
    #[error("{source_of} sets the header {name} a second time")]
    Again {
        /// The source.
        source_of: Source,
        /// The name.
        name: &'static str,
    },
    /// Two options set a field that a request can have once.
    #[error("{first} and {second} both set the header {name}: use one of them")]
    Twice {
        /// The name.
        name: &'static str,
        /// The first source.
        first: Source,
        /// The second source.
        second: Source,
    },
}

/// The added fields, in order, with their sources.
#[derive(Debug, Default)]
pub struct Fields {
    all: Vec<(Source, HeaderName, HeaderValue)>,
    /// Secrets that are a part of a value.
    parts: Vec<String>,
}

/// Fields of which a request has at most one.
const SINGLE: [(HeaderName, &str); 3] = [(HOST, "Host"), (AUTHORIZATION, "Authorization"), (USER_AGENT, "User-Agent")];

impl Fields {
    /// Adds `NAME: VALUE`.
    pub fn add_text(&mut self, source: &Source, text: &str) -> Result<(), HeaderError> {
        let (name, value) = text.split_once(':').ok_or_else(|| HeaderError::Form(source.clone()))?;
        let fault = |fault| HeaderError::Field { source_of: source.clone(), name: foreign(name), fault };
        let field: HeaderName = name.parse().map_err(|_| fault("has an illegal name"))?;
        let value = value.trim_matches([' ', '\t']);
        let value =
            HeaderValue::from_bytes(value.as_bytes()).map_err(|_| fault("has a value with control characters"))?;
        if is_connection_header(&field) {
            return Err(fault("is about the connection, which the host manages"));
        }
        if field == HOST && value.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).is_none() {
            return Err(fault("is not a host name, with or without a port"));
        }
        self.add(source.clone(), field, value)
    }

    /// Adds the lines of a file.
    pub fn add_file(&mut self, path: &Path) -> Result<(), HeaderError> {
        let text = file::read_named_text("--http-header-file", path, limits::SECRET_FILE)?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let mut is_empty = true;
        for (number, line) in lines {
            self.add_text(&Source::Line(path.to_owned(), number + 1), line)?;
            is_empty = false;
        }
        if is_empty { Err(HeaderError::NoFields(path.to_owned())) } else { Ok(()) }
    }

    /// Adds the `Authorization` of basic authentication, with the password from a file.
    pub fn add_basic(&mut self, user: &str, path: &Path, reads_file: bool) -> Result<(), HeaderError> {
        if user.contains(|c: char| c == ':' || c.is_control()) {
            return Err(HeaderError::User(foreign(user)));
        }
        let password = if reads_file { secret("--http-password-file", path)? } else { String::new() };
        let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let value = HeaderValue::try_from(format!("Basic {encoded}")).unwrap_or(HeaderValue::from_static(""));
        self.parts.extend([password, encoded]);
        self.add(Source::Option("--http-user"), AUTHORIZATION, value)
    }

    /// Adds the `Authorization` with a token from a file.
    pub fn add_bearer(&mut self, path: &Path, reads_file: bool) -> Result<(), HeaderError> {
        let option = "--http-bearer-token-file";
        let fault = |fault| HeaderError::Secret { option, path: path.to_owned(), fault };
        let token = if reads_file { secret(option, path)?.trim().to_owned() } else { "?".to_owned() };
        if token.is_empty() || token.contains(|c: char| c.is_whitespace()) {
            return Err(fault("expected one token without white space"));
        }
        let value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| fault("the token cannot be sent"))?;
        self.parts.push(token);
        self.add(Source::Option(option), AUTHORIZATION, value)
    }

    fn add(&mut self, source: Source, field: HeaderName, mut value: HeaderValue) -> Result<(), HeaderError> {
        if let Some((_, name)) = SINGLE.iter().find(|(single, _)| *single == field)
            && let Some((first, ..)) = self.all.iter().find(|(_, other, _)| *other == field)
        {
            let first = first.clone();
            return Err(if first.option() == source.option() {
                HeaderError::Again { source_of: source, name }
            } else {
                HeaderError::Twice { name, first, second: source }
            });
        }
        value.set_sensitive(is_secret(field.as_str()));
        self.all.push((source, field, value));
        Ok(())
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|(_, name, _)| name.as_str())
    }

    /// The fields whose values are not secret.
    pub fn public(&self) -> impl Iterator<Item = (&str, String)> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let public = self.all.iter().filter(|(source, _, value)| *source == Source::Argument && !value.is_sensitive());
        public.map(move |(_, name, value)| (name.as_str(), text(value)))
    }

    /// Returns the option that sets `Authorization`.
    pub fn authorization_from(&self) -> Option<&'static str> {
        self.all.iter().find(|(_, name, _)| *name == AUTHORIZATION).map(|(source, ..)| source.option())
    }

    /// Returns all secret texts, the longest first, because one can be part of another.
    pub fn secrets(&self) -> Vec<String> {
        // A host name is not secret, wherever it comes from.
        let is_secret = |(source, name, value): &&(Source, HeaderName, HeaderValue)| {
            *name != HOST && (*source != Source::Argument || value.is_sensitive())
        };
        let values = self.all.iter().filter(is_secret);
        let values = values.map(|(_, _, value)| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let mut secrets: Vec<String> = values.chain(self.parts.iter().cloned()).collect();
        secrets.retain(|secret| secret.len() >= SECRET_LENGTH);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    /// Returns the fields as they are sent.
    pub fn into_headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (_, name, value) in self.all {
            headers.append(name, value);
        }
        headers
    }
}

/// Parts of the names of fields whose values are secret.
const SECRET_NAMES: [&str; 8] = ["auth", "cookie", "token", "secret", "key", "password", "session", "credential"];

/// Returns true if the value of the field is probably a secret.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// Reads a secret. One line end at the end of the file is not part of it.
fn secret(option: &str, path: &Path) -> Result<String, HeaderError> {
    let text = file::read_named_text(option, path, limits::SECRET_FILE)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Hides the values of `--http-header` in the words of a command line.
pub fn without_values(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut is_value = false;
    let hidden = |text: &str| match text.split_once(':') {
        Some((name, _)) => format!("{name}: (hidden)"),
        None => "(hidden)".to_owned(),
    };
    words
        .map(|word| {
            if std::mem::replace(&mut is_value, word == "--http-header") {
                return hidden(&word);
            }
            match word.strip_prefix("--http-header=") {
                Some(value) => format!("--http-header={}", hidden(value)),
                None => word,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_header_fields_are_hidden_in_a_command_line() {
        let hidden = |line: &str| without_values(line.split(' ').map(str::to_owned)).join(" ");
        for (line, expected) in [
            ("gostats --http-header X-Key:s --path /", "gostats --http-header X-Key: (hidden) --path /"),
            ("gostats --http-header=X-Key:s --path /", "gostats --http-header=X-Key: (hidden) --path /"),
            ("gostats --http-header s3cr3t", "gostats --http-header (hidden)"),
            ("gostats --http-header-file /etc/headers", "gostats --http-header-file /etc/headers"),
        ] {
            assert_eq!(hidden(line), expected);
        }
    }

    #[test]
    fn secrets_are_hidden_in_debug_output() {
        let mut fields = Fields::default();
        for text in ["X-Api-Key: s3cr3t", "X-Tag: shown"] {
            fields.add_text(&Source::Argument, text).unwrap();
        }
        assert_eq!(fields.secrets(), ["s3cr3t"]);
        let headers = format!("{:?}", fields.into_headers());
        assert!(headers.contains("shown") && !headers.contains("s3cr3t"), "{headers}");
    }
}
