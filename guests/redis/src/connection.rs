//! The part of Redis' protocol that `AUTH`, `INFO` and `CONFIG GET` use.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Take, Write};

use mackerel_collector::CollectError;

/// The limit of all replies of a connection together, in bytes. `INFO` takes about 6 kB, and 100 bytes more for each
/// database and replica.
const LIMIT: u32 = 1024 * 1024;

/// The length of the excerpt of an invalid reply in an error, in characters.
const EXCERPT: usize = 40;

/// The first byte of a TLS record that is an alert: the response of a TLS server to anything else.
const TLS_ALERT: u8 = 0x15;

/// A stream to a server.
pub(crate) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A connection to a server that may not be Redis.
pub(crate) struct Connection {
    replies: BufReader<Take<Box<dyn Stream>>>,
    uses_tls: bool,
    /// True after the first byte of a reply.
    is_answered: bool,
}

/// A reply to a command.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// A simple or bulk string.
    Text(String),
    /// An error message of Redis. Its first word is the error's kind.
    Error(String),
}

impl Connection {
    pub(crate) fn new(stream: impl Stream + 'static, uses_tls: bool) -> Connection {
        let stream: Box<dyn Stream> = Box::new(stream);
        Connection { replies: BufReader::new(stream.take(LIMIT.into())), uses_tls, is_answered: false }
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// If the connection closes early, or if the reply is invalid or exceeds [`LIMIT`].
    pub(crate) fn send(&mut self, words: &[&str]) -> Result<Reply, CollectError> {
        self.write(words);
        let line = self.line()?;
        self.reply(&line)
    }

    /// Sends a command whose reply is a list of a name and a value, such as `CONFIG GET maxmemory`, and waits for the
    /// value.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub(crate) fn send_for_value(&mut self, words: &[&str]) -> Result<Reply, CollectError> {
        self.write(words);
        let mut line = self.line()?;
        if line == "*2" {
            line = self.line()?;
            self.reply(&line)?;
            line = self.line()?;
        }
        self.reply(&line)
    }

    fn write(&mut self, words: &[&str]) {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            let _ = write!(command, "${}\r\n{word}\r\n", word.len());
        }
        // A server that closes the connection may have sent its reason before, so a failed write does not end the call.
        let _ = self.replies.get_mut().get_mut().write_all(command.as_bytes());
    }

    /// Reads the rest of a reply, which begins with `line`.
    fn reply(&mut self, line: &str) -> Result<Reply, CollectError> {
        match line.split_at_checked(1) {
            Some(("+", text)) => Ok(Reply::Text(text.to_owned())),
            Some(("-", message)) => Ok(Reply::Error(message.to_owned())),
            Some(("$", length)) if length.parse::<u32>().is_ok_and(|length| length <= LIMIT) => {
                let mut body = vec![0; length.parse().unwrap_or_default()];
                self.fill(&mut body)?;
                self.line()?;
                Ok(Reply::Text(String::from_utf8_lossy(&body).into_owned()))
            }
            _ => Err(CollectError::unexpected(format!(
                "not a Redis reply: {}",
                line.chars().take(EXCERPT).collect::<String>()
            ))),
        }
    }

    /// Reads a line, without its line break.
    fn line(&mut self) -> Result<String, CollectError> {
        let mut line = Vec::new();
        let read = self.replies.read_until(b'\n', &mut line);
        if !self.uses_tls && !self.is_answered && line.first() == Some(&TLS_ALERT) {
            return Err("the server uses TLS: try --tls".into());
        }
        self.is_answered |= !line.is_empty();
        // A server that closes the connection resets it or not by chance.
        if self.is_answered || self.uses_tls {
            read?;
        }
        if line.pop() != Some(b'\n') {
            return Err(self.early_end(&line));
        }
        let line = String::from_utf8_lossy(&line);
        Ok(line.trim_end_matches('\r').to_owned())
    }

    /// Fills the buffer.
    fn fill(&mut self, body: &mut [u8]) -> Result<(), CollectError> {
        match self.replies.read_exact(body) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(self.early_end(&[])),
            Err(error) => Err(error.into()),
        }
    }

    /// The error for a reply that ends early, after these bytes of an incomplete line.
    fn early_end(&self, received: &[u8]) -> CollectError {
        let excerpt: String = String::from_utf8_lossy(received).chars().take(EXCERPT).collect();
        if self.replies.get_ref().limit() == 0 {
            CollectError::Other(format!("response exceeds {} MiB", LIMIT >> 20))
        } else if !self.is_answered && !self.uses_tls {
            CollectError::Other("connection closed before any reply (if the server uses TLS: --tls)".to_owned())
        } else if excerpt.is_empty() {
            CollectError::Other("incomplete response: connection closed before the reply ended".to_owned())
        } else {
            CollectError::Other(format!("incomplete response: connection closed after: {excerpt}"))
        }
    }
}
