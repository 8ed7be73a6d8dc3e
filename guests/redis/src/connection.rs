//! Redis' protocol, as far as `AUTH` and `INFO` need it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Take, Write as _};
use std::net::TcpStream;

use mackerel_collector::CollectError;

/// How much is read of all answers together, in bytes. `INFO` takes some 6 kB, and 100 bytes more for each database and replica.
const LIMIT: u32 = 1024 * 1024;

/// How much is shown of what is no answer of Redis, in characters.
const SHOWN: usize = 40;

/// A connection to what should be Redis.
pub(crate) struct Connection {
    answers: BufReader<Take<TcpStream>>,
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// Its text.
    Text(String),
    /// An error, in Redis' words: the first says which.
    Error(String),
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Connection {
        Connection { answers: BufReader::new(stream.take(LIMIT.into())) }
    }

    /// Sends a command, and waits for its answer.
    pub(crate) fn ask(&mut self, words: &[&str]) -> Result<Reply, CollectError> {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            let _ = write!(command, "${}\r\n{word}\r\n", word.len());
        }
        // A server that has had enough can have answered why before it closed.
        let sent = self.answers.get_mut().get_mut().write_all(command.as_bytes());
        self.reply().or_else(|error| sent.map_err(CollectError::from).and(Err(error)))
    }

    fn reply(&mut self) -> Result<Reply, CollectError> {
        let line = self.line()?;
        match line.split_at_checked(1) {
            Some(("+", text)) => Ok(Reply::Text(text.to_owned())),
            Some(("-", why)) => Ok(Reply::Error(why.to_owned())),
            Some(("$", length)) if length.parse::<u32>().is_ok_and(|length| length <= LIMIT) => {
                let mut body = vec![0; length.parse().unwrap_or_default()];
                self.whole(&mut body)?;
                self.line()?;
                Ok(Reply::Text(String::from_utf8_lossy(&body).into_owned()))
            }
            _ => Err(CollectError::unexpected(format!(
                "no answer of Redis: {}",
                line.chars().take(SHOWN).collect::<String>()
            ))),
        }
    }

    /// A line, without its end.
    fn line(&mut self) -> Result<String, CollectError> {
        let mut line = Vec::new();
        self.answers.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(self.early_end(&line));
        }
        let line = String::from_utf8_lossy(&line);
        Ok(line.trim_end_matches('\r').to_owned())
    }

    fn whole(&mut self, body: &mut [u8]) -> Result<(), CollectError> {
        match self.answers.read_exact(body) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(self.early_end(&[])),
            Err(error) => Err(error.into()),
        }
    }

    /// Why there is no more to read.
    fn early_end(&self, came: &[u8]) -> CollectError {
        let begin: String = String::from_utf8_lossy(came).chars().take(SHOWN).collect();
        if self.answers.get_ref().limit() == 0 {
            CollectError::unexpected(format!("an answer of more than {LIMIT} bytes"))
        } else if begin.is_empty() {
            CollectError::unexpected("the connection ended before the whole answer had come")
        } else {
            CollectError::unexpected(format!("the connection ended behind: {begin}"))
        }
    }
}
