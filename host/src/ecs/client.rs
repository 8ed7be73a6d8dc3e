//! Requests to the task metadata endpoint: plain HTTP to the address in the variable, and nowhere else.
//!
//! The value comes from ECS or from the operator, so its address is trusted, as that of an engine is. It is still held
//! to one form: `http` only, an address without credentials, no proxy, and no redirect. So a mistyped value fails here,
//! and no response can lead to another server.

use std::pin::pin;

use bytes::Bytes;
use bytesize::ByteSize;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::address::Address;
use crate::limits;
use crate::text::{Foreign, foreign, root_cause};

/// The way to the endpoint of one container.
pub struct Client {
    url: String,
    address: Address,
    host: HeaderValue,
    /// The path without a slash at its end.
    path: String,
}

/// A request without a usable response. The text follows the endpoint's URL.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There is no connection.
    #[error("cannot connect: {0}: the endpoint can only be reached from a container of the task")]
    Connect(Foreign),
    /// There is no response in time.
    #[error(
        "no response after {}: is the instance overloaded, or the ECS agent restarting?",
        humantime::format_duration(limits::TASK_METADATA_TIMEOUT)
    )]
    Timeout,
    /// The response ended early.
    #[error("incomplete response: {0}: the next run tries again")]
    Incomplete(Foreign),
    /// The response is not HTTP.
    #[error("response is not HTTP: {0}: is the variable set to another server?")]
    NotHttp(Foreign),
    /// The body is too large.
    #[error("response exceeds {:.0} (fixed limit): is the variable set to another server?", limits::TASK_METADATA.display().iec())]
    TooLarge,
    /// The task is not known.
    #[error("HTTP 404{0}: the ECS agent does not know this container: restart the task if this lasts")]
    NotFound(Message),
    /// There were too many requests.
    #[error("HTTP 429{0}: the task sends too many requests: run fewer plugins, or less often")]
    TooMany(Message),
    /// The agent failed.
    #[error("HTTP {0}{1}: the next run tries again; if this lasts, see the log of the ECS agent")]
    Failed(u16, Message),
    /// Another status.
    #[error("HTTP {0}{1}: is the variable set to another server?")]
    Status(u16, Message),
    /// The response is `null`, as long as the agent does not know the task.
    #[error("response is null: the ECS agent does not know the task yet; the next run tries again")]
    Null,
    /// The response is not the expected JSON.
    #[error("invalid response: {0}: is the variable set to another server?")]
    Invalid(Foreign),
}

/// The message in the body of an error, written after the status.
#[derive(Debug)]
pub struct Message(Foreign);

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

impl Client {
    /// Prepares requests to the endpoint at `url`; `None` if that is not `http://HOST:PORT/PATH`. The default port is
    /// 80.
    pub fn new(url: &str) -> Option<Client> {
        let rest = url.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.trim_end_matches('/');
        if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b)) {
            return None;
        }
        let address: Address = authority.parse().or_else(|_| format!("{authority}:80").parse()).ok()?;
        let host = HeaderValue::try_from(authority).ok()?;
        Some(Client { url: url.to_owned(), address, host, path: path.to_owned() })
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The last part of the path, which identifies the container.
    pub fn endpoint_id(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Requests `path` below the URL. A redirect is a failure.
    ///
    /// # Errors
    /// If there is no usable response within [`limits::TASK_METADATA_TIMEOUT`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RequestError> {
        let request = self.request(path);
        let body = tokio::time::timeout(limits::TASK_METADATA_TIMEOUT, request).await;
        let body = body.map_err(|_| RequestError::Timeout)??;
        // Applications choose the bytes of labels and of health checks' output.
        let text = String::from_utf8_lossy(&body);
        let invalid = |error: serde_json::Error| RequestError::Invalid(foreign(&error.to_string()));
        serde_json::from_str::<Option<T>>(&text).map_err(invalid)?.ok_or(RequestError::Null)
    }

    async fn request(&self, path: &str) -> Result<Vec<u8>, RequestError> {
        let incomplete = |error: hyper::Error| {
            let cause = root_cause(&error).into();
            if error.is_parse() { RequestError::NotHttp(cause) } else { RequestError::Incomplete(cause) }
        };
        let stream = TcpStream::connect((self.address.host.as_str(), self.address.port)).await;
        let stream = stream.map_err(|error| RequestError::Connect(root_cause(&error).into()))?;
        let request =
            Request::get(format!("{}{path}", if self.path.is_empty() && path.is_empty() { "/" } else { &self.path }))
                .header(HOST, self.host.clone())
                .body(Empty::<Bytes>::new())
                .map_err(|error| RequestError::Incomplete(error.to_string().into()))?;
        let handshake = http1::Builder::new().max_buf_size(limits::HTTP_HEAD).handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(incomplete)?;
        // It ends with the response, or when this request is dropped.
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(incomplete)?;
        let status = response.status();
        let mut body = pin!(response.into_body());
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            bytes.extend_from_slice(&frame.map_err(incomplete)?.into_data().unwrap_or_default());
            if ByteSize::b(bytes.len() as u64) > limits::TASK_METADATA {
                return Err(RequestError::TooLarge);
            }
        }
        match status.as_u16() {
            200 => Ok(bytes),
            404 => Err(RequestError::NotFound(message(&bytes))),
            429 => Err(RequestError::TooMany(message(&bytes))),
            status @ 500.. => Err(RequestError::Failed(status, message(&bytes))),
            status => Err(RequestError::Status(status, message(&bytes))),
        }
    }
}

/// Returns the message of an error: a JSON string, or the whole body.
fn message(body: &[u8]) -> Message {
    let text: Result<String, _> = serde_json::from_slice(body);
    Message(foreign(&text.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_plain_http_to_an_address_without_credentials() {
        let of = |url: &str| Client::new(url).map(|client| format!("{} {}", client.address, client.path));
        for (url, parts) in [
            ("http://169.254.170.2/v4/0f0c-1", "169.254.170.2:80 /v4/0f0c-1"),
            ("http://169.254.170.2/v4/0f0c-1/", "169.254.170.2:80 /v4/0f0c-1"),
            ("http://127.0.0.1:51679/v4/a", "127.0.0.1:51679 /v4/a"),
            ("http://[fd00:ec2::1]:80/v4/a", "[fd00:ec2::1]:80 /v4/a"),
            ("http://[fd00:ec2::1]/v4/a", "[fd00:ec2::1]:80 /v4/a"),
        ] {
            assert_eq!(of(url).as_deref(), Some(parts), "{url}");
        }
        for url in [
            "",
            "169.254.170.2/v4/a",
            "https://169.254.170.2/v4/a",
            "file:///etc/passwd",
            "http://user:password@169.254.170.2/v4/a",
            "http:///v4/a",
            "http://169.254.170.2:0/v4/a",
            "http://169.254.170.2/v4/a?b",
            "http://169.254.170.2/v4/a b",
            "http://169.254.170.2/v4/a\r\nb",
        ] {
            assert_eq!(of(url), None, "{url}");
        }
    }
}
