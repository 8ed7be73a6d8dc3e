//! The beginning of a target's bytes, kept so that an error can quote it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits;
use crate::mutex::lock;

/// Bytes that are kept: enough for the first line of any protocol.
const KEPT: usize = 256;

/// Bytes that a target can send before its response begins: one head, and what was read beyond it. Interim responses
/// (HTTP 1xx) count too; hyper reads any number of them.
const BEFORE_RESPONSE: u64 = 2 * limits::HTTP_HEAD as u64;

/// The received bytes of one connection. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Received(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    begin: Vec<u8>,
    bytes: u64,
    has_response: bool,
}

/// Too many bytes came before the response.
#[derive(Debug, thiserror::Error)]
#[error("more than {BEFORE_RESPONSE} bytes before the response")]
struct Flood;

impl Received {
    /// Returns the first bytes.
    pub fn begin(&self) -> Vec<u8> {
        lock(&self.0).begin.clone()
    }

    /// Returns the number of all bytes.
    pub fn bytes(&self) -> u64 {
        lock(&self.0).bytes
    }

    /// Returns true if the limit before the response was exceeded.
    pub fn is_flood(&self) -> bool {
        let state = lock(&self.0);
        !state.has_response && state.bytes > BEFORE_RESPONSE
    }

    /// Lifts the limit: the response has begun, and its body has a limit of its own.
    pub fn set_response(&self) {
        lock(&self.0).has_response = true;
    }

    /// Returns true if the limit was lifted.
    pub fn has_response(&self) -> bool {
        lock(&self.0).has_response
    }

    fn add(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.0);
        let rest = KEPT - state.begin.len();
        state.begin.extend_from_slice(&bytes[..rest.min(bytes.len())]);
        state.bytes += bytes.len() as u64;
        if !state.has_response && state.bytes > BEFORE_RESPONSE { Err(io::Error::other(Flood)) } else { Ok(()) }
    }
}

/// A stream whose received bytes are kept.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    received: Received,
}

impl<S> Watched<S> {
    /// Keeps the beginning of `stream` in `received`.
    pub fn new(stream: S, received: Received) -> Watched<S> {
        Watched { stream, received }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, to))?;
        Poll::Ready(self.received.add(&to.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
