//! A minimal HTTP client, and a server with faults.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::server::{Listener, Server};

/// The media type that a registry only serves if the request accepts it.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Requests one path and returns the body of a 200.
///
/// # Errors
///
/// The connection failed, no response arrived within 5 s, or it has another status.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // Version 1.0: the response is not chunked and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: */*, {MANIFEST}\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    match response.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("not a 200: {response:?}"))),
    }
}

/// The size of a [`Reply::Flood`] in bytes.
pub const FLOOD: usize = 200_000_000;

/// The reply to one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A complete response: a status and a JSON body.
    Whole(u16, String),
    /// A response that ends after half of its JSON body.
    Half(String),
    /// These bytes, including the status line. Then the connection ends.
    Raw(String),
    /// The first bytes once and the others repeatedly: [`FLOOD`] bytes, unless the client disconnects.
    Flood(String, String),
    /// A status of 200 and a JSON body at one byte per second.
    Drip(String),
    /// These bytes, including the status line. The connection stays open until the client closes it.
    Hang(String),
    /// Nothing. The connection stays open until the client closes it.
    NoResponse,
}

/// Answers every request with the reply for its path and query.
pub fn serve<L: Listener<Stream: Read + Write>>(
    listener: L,
    reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> Server {
    Server::start(listener, move |stream| drop(respond(stream, &reply)))
}

fn respond(stream: impl Read + Write, reply: impl Fn(&str) -> Reply) -> io::Result<()> {
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
        Reply::Hang(bytes) => {
            stream.get_mut().write_all(bytes.as_bytes())?;
            io::copy(&mut stream, &mut io::sink()).map(drop)
        }
        Reply::NoResponse => io::copy(&mut stream, &mut io::sink()).map(drop),
    }
}
