//! The little HTTP that scenarios need: one GET, and a server whose answers can go wrong.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::server::{Listener, Server};

/// What a registry does not show to who does not name it.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Asks for one path and gives the body of a 200, of whatever type.
///
/// # Errors
///
/// No connection, no answer within 5 s, or another status.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // Version 1.0, so that the answer is not chunked and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: */*, {MANIFEST}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("not a 200: {answer:?}"))),
    }
}

/// How much comes of a [`Reply::Flood`], in bytes.
pub const FLOOD: usize = 200_000_000;

/// How a server answers one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// As it should: a status and a JSON body.
    Whole(u16, String),
    /// The first half of a JSON body. Then the connection ends.
    Half(String),
    /// These bytes, from the status line on. Then the connection ends.
    Raw(String),
    /// These bytes, and then the others again and again, [`FLOOD`] bytes in all, or until the caller has enough.
    Flood(String, String),
    /// A status of 200 and a JSON body, of which a byte comes each second.
    Drip(String),
    /// Never. The connection stays open for as long as the caller likes.
    Silence,
}

/// Answers every request with the reply for its path and query.
pub fn serve<L: Listener<Stream: Read + Write>>(
    listener: L,
    reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> Server {
    Server::start(listener, move |stream| drop(answer_one(stream, &reply)))
}

fn answer_one(stream: impl Read + Write, reply: impl Fn(&str) -> Reply) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request)?;
    let mut field = String::new();
    while stream.read_line(&mut field)? > 2 {
        field.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let head = |status: u16, length: usize| {
        format!(
            "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    };
    match reply(path) {
        Reply::Whole(status, body) => write!(stream.get_mut(), "{}{body}", head(status, body.len())),
        Reply::Half(body) => {
            let half: String = body.chars().take(body.chars().count() / 2).collect();
            write!(stream.get_mut(), "{}{half}", head(200, body.len()))
        }
        Reply::Raw(bytes) => stream.get_mut().write_all(bytes.as_bytes()),
        Reply::Flood(first, more) => {
            stream.get_mut().write_all(first.as_bytes())?;
            let some = more.repeat(100_000 / more.len() + 1);
            (0..FLOOD / some.len()).try_for_each(|_| stream.get_mut().write_all(some.as_bytes()))
        }
        Reply::Drip(body) => {
            stream.get_mut().write_all(head(200, body.len()).as_bytes())?;
            body.bytes().try_for_each(|byte| {
                thread::sleep(Duration::from_secs(1));
                stream.get_mut().write_all(&[byte])
            })
        }
        Reply::Silence => io::copy(&mut stream, &mut io::sink()).map(drop),
    }
}
