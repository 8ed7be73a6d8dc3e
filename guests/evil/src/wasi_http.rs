//! Attacks through `wasi:http`.

use std::mem;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

use crate::bindings::mackerel::collector::types::{CollectError, Target};
use crate::forbidden::{HOSTS, ports};
use crate::{Outcome, saw};

/// Sends a request and returns the status and the size of the response body.
fn send(
    method: &Method,
    scheme: &Scheme,
    authority: &str,
    path: &str,
    headers: &Fields,
) -> Result<(u16, usize), String> {
    let request = OutgoingRequest::new(headers.clone());
    let is_set = request.set_method(method).is_ok()
        && request.set_scheme(Some(scheme)).is_ok()
        && request.set_authority(Some(authority)).is_ok()
        && request.set_path_with_query(Some(path)).is_ok();
    if !is_set {
        return Err("refused".to_owned());
    }
    let response = outgoing_handler::handle(request, None).map_err(|error| word(&error))?;
    response.subscribe().block();
    let response = response.get().ok_or("no response")?.map_err(|()| "taken twice")?.map_err(|error| word(&error))?;
    let status = response.status();
    let body = response.consume().map_err(|()| "no body")?;
    read(&body).map(|bytes| (status, bytes))
}

/// Reads a body to its end and returns its size.
fn read(body: &IncomingBody) -> Result<usize, String> {
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut bytes = 0;
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(read) => bytes += read.len(),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                let known = wasip2::http::types::http_error_code(&error);
                let word = known.map_or_else(|| error.to_debug_string(), |code| word(&code));
                return Err(format!("{word} within {} MiB", bytes.div_ceil(1 << 20)));
            }
        }
    }
}

fn word(error: &ErrorCode) -> String {
    match error {
        ErrorCode::HttpRequestDenied => "refused".to_owned(),
        other => format!("{other:?}"),
    }
}

fn get(authority: &str, path: &str) -> Result<(u16, usize), String> {
    send(&Method::Get, &Scheme::Http, authority, path, &Fields::new())
}

/// Requests `/` of the target and reports what came.
pub(crate) fn get_target(target: &Target) -> Outcome {
    let endpoint = target.endpoint.as_ref().ok_or_else(|| CollectError::Other("no endpoint".to_owned()))?;
    saw(format!("{:?}", get(&format!("{}:{}", endpoint.host, endpoint.port), "/")))
}

/// Sends a POST and returns the status of the response.
pub(crate) fn post(authority: &str, path: &str) -> Result<u16, String> {
    send(&Method::Post, &Scheme::Http, authority, path, &Fields::new()).map(|(status, _)| status)
}

/// Sends a request to every notation of this machine's addresses.
pub(crate) fn addresses_by_wasi_http() -> Outcome {
    let mut sent = Vec::new();
    let mut refused = 0;
    for port in ports()? {
        for host in HOSTS {
            let authority = format!("{host}:{port}");
            match get(&authority, "/") {
                Err(why) if why == "refused" => refused += 1,
                _ => sent.push(authority),
            }
        }
    }
    saw(format!("{refused} refused, and sent to {sent:?}"))
}

/// Tries authorities with a missing or an extra part.
pub(crate) fn authorities_by_wasi_http() -> Outcome {
    let [own, other] = ports()?;
    let authorities = [
        String::new(),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:0{own}"),
        format!("user:password@127.0.0.1:{own}"),
        format!("127.0.0.1:{own}@127.0.0.1:{other}"),
        format!("127.0.0.1:{other}#@127.0.0.1:{own}"),
        format!("127.0.0.1:{other}/@127.0.0.1:{own}"),
        format!("127.0.0.1:{own}\r\nhost: other"),
        format!("127.0.0.1:{own},127.0.0.1:{other}"),
        ":".to_owned(),
    ];
    let sent: Vec<usize> = (0..authorities.len()).filter(|n| get(&authorities[*n], "/").is_ok()).collect();
    saw(format!("{} refused, and sent {sent:?}", authorities.len() - sent.len()))
}

pub(crate) fn a_redirect_by_wasi_http() -> Outcome {
    let [own, _] = ports()?;
    saw(format!("{:?}", get(&format!("127.0.0.1:{own}"), "/redirect")))
}

pub(crate) fn headers_by_wasi_http() -> Outcome {
    let [own, _] = ports()?;
    let authority = format!("127.0.0.1:{own}");
    let mut sent = Vec::new();
    for name in ["host", "connection", "upgrade", "transfer-encoding", "proxy-connection", "keep-alive", "accept"] {
        let fields = Fields::new();
        let is_set = fields.append(name, b"other").is_ok();
        if is_set && send(&Method::Get, &Scheme::Http, &authority, "/", &fields).is_ok() {
            sent.push(name);
        }
    }
    saw(format!("sent {sent:?}"))
}

pub(crate) fn methods_by_wasi_http() -> Outcome {
    let [own, other] = ports()?;
    let connect = send(&Method::Connect, &Scheme::Http, &format!("127.0.0.1:{other}"), "/", &Fields::new());
    let scheme = Scheme::Other("ftp".to_owned());
    let ftp = send(&Method::Get, &scheme, &format!("127.0.0.1:{own}"), "/", &Fields::new());
    let post = send(&Method::Post, &Scheme::Http, &format!("127.0.0.1:{own}"), "/", &Fields::new());
    let trace = send(&Method::Trace, &Scheme::Http, &format!("127.0.0.1:{own}"), "/", &Fields::new());
    saw(format!("connect {connect:?}, trace {trace:?}, ftp {ftp:?}, post {:?}", post.map(|(status, _)| status)))
}

pub(crate) fn a_body_without_end_by_wasi_http() -> Outcome {
    let [own, _] = ports()?;
    saw(format!("{:?}", get(&format!("127.0.0.1:{own}"), "/flood")))
}

/// Sends a request body that never ends, to a target that does not read it.
pub(crate) fn a_request_without_end_by_wasi_http() -> Outcome {
    let [own, _] = ports()?;
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_method(&Method::Post);
    let _ = request.set_authority(Some(&format!("127.0.0.1:{own}")));
    let _ = request.set_path_with_query(Some("/silence"));
    let Ok(body) = request.body() else { return saw("no body") };
    let response = outgoing_handler::handle(request, None);
    let Ok(stream) = body.write() else { return saw("no stream") };
    let mut written = 0;
    while written < 1 << 30 {
        match stream.blocking_write_and_flush(&[b'x'; 4096]) {
            Ok(()) => written += 4096,
            Err(_) => break,
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    saw(format!("wrote {}, response {}", written >= 1 << 30, response.is_ok()))
}

/// Sends requests and never takes their responses.
pub(crate) fn requests_without_end_by_wasi_http() -> Outcome {
    let [own, _] = ports()?;
    for _ in 0..1000 {
        let request = OutgoingRequest::new(Fields::new());
        let _ = request.set_authority(Some(&format!("127.0.0.1:{own}")));
        mem::forget(outgoing_handler::handle(request, None));
    }
    saw("a thousand requests")
}

/// Sets timeouts that are longer than the host's.
pub(crate) fn the_longest_timeouts_by_wasi_http() -> Outcome {
    let [own, _] = ports()?;
    let options = RequestOptions::new();
    let longest = Some(u64::MAX);
    let is_set = options.set_connect_timeout(longest).is_ok()
        && options.set_first_byte_timeout(longest).is_ok()
        && options.set_between_bytes_timeout(longest).is_ok();
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_authority(Some(&format!("127.0.0.1:{own}")));
    let _ = request.set_path_with_query(Some("/silence"));
    let response = outgoing_handler::handle(request, Some(options)).map_err(|error| word(&error));
    if let Ok(response) = &response {
        response.subscribe().block();
    }
    saw(format!("set {is_set}, response {}", response.is_ok()))
}

/// Sets a timeout that passes before the target responds.
pub(crate) fn a_short_timeout_by_wasi_http() -> Outcome {
    let [own, _] = ports()?;
    let options = RequestOptions::new();
    let _ = options.set_first_byte_timeout(Some(50_000_000));
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_authority(Some(&format!("127.0.0.1:{own}")));
    let _ = request.set_path_with_query(Some("/silence"));
    let Ok(response) = outgoing_handler::handle(request, Some(options)) else { return saw("refused") };
    response.subscribe().block();
    let Some(Ok(response)) = response.get() else { return saw("no response") };
    saw(response.map_or_else(|error| word(&error), |response| response.status().to_string()))
}
