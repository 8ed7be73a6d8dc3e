//! A registry in memory, for what a real one does not produce on demand: other challenges, tokens and redirects.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use crate::port;
use crate::server::Server;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    body: Vec<u8>,
}

/// A registry that accepts everything. Drop it to stop it.
pub struct FakeRegistry {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    _server: Server,
}

impl FakeRegistry {
    /// Starts one. `respond` gets the request and the registry's address, and returns a response that replaces the
    /// registry's own.
    ///
    /// # Panics
    ///
    /// If it has no address.
    pub fn start(respond: impl Fn(&Request, SocketAddr) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = port::listen();
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, content) = (Arc::clone(&requests), Mutex::default());
        let handle = move |stream: TcpStream| {
            let serve = || -> io::Result<()> {
                let Ok(request) = read(&stream) else {
                    return (&stream).write_all(&response("400 Bad Request", &[], b""));
                };
                seen.lock().expect("a lock").push(request.clone());
                let own = || registry(&request, &mut content.lock().expect("a lock"));
                let response = respond(&request, address).unwrap_or_else(own);
                (&stream).write_all(&response)
            };
            drop(serve());
        };
        Self { address, requests, _server: Server::start(listener, handle) }
    }

    /// Returns its address, as references contain it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes the requests so far, a line each: method, path without query, and the authorization.
    ///
    /// # Panics
    ///
    /// If a handler panicked.
    pub fn take_requests(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.requests.lock().expect("a lock"));
        let line = |request: Request| {
            let path = request.path.split('?').next().unwrap_or_default().to_owned();
            [Some(request.method), Some(path), request.authorization]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" ")
        };
        requests.into_iter().map(line).collect()
    }
}

/// Returns a response with these header lines.
pub fn response(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let headers = headers.iter().map(|line| format!("{line}\r\n")).collect::<Vec<_>>().concat();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn read(stream: &TcpStream) -> io::Result<Request> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length, mut authorization) = (String::new(), 0, None);
    stream.read_line(&mut line)?;
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, path) = (word(), word());
    loop {
        let mut field = String::new();
        if stream.read_line(&mut field)? <= 2 {
            break;
        }
        let (name, value) = field.trim().split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or_default(),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    // Through a proxy the whole address is requested.
    let path = path
        .strip_prefix("http://")
        .map_or(path.clone(), |rest| rest.find('/').map_or_else(|| "/".to_owned(), |slash| rest[slash..].to_owned()));
    Ok(Request { method, path, authorization, body })
}

/// Answers as a registry does that has `content`, by path.
fn registry(request: &Request, content: &mut BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    match request.method.as_str() {
        "POST" => response("202 Accepted", &[&format!("Location: {path}1?state=a%3Db")], b""),
        "PUT" => {
            // An upload is kept as a blob with its digest.
            let digest = query.split('&').find_map(|pair| pair.strip_prefix("digest="));
            let place = match (digest, path.split_once("/uploads/")) {
                (Some(digest), Some((blobs, _))) => format!("{blobs}/{}", digest.replace("%3A", ":")),
                _ => path.to_owned(),
            };
            content.insert(place, request.body.clone());
            response("201 Created", &[], b"")
        }
        method => match content.get(path) {
            Some(body) if method == "GET" => response("200 OK", &[], body),
            Some(_) => response("200 OK", &[], b""),
            None => response("404 Not Found", &[], b"{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"unknown\"}]}"),
        },
    }
}
