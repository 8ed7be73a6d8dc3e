//! A guest's standard error: the first and the last bytes are kept, because the cause of a failure stands in one of
//! them. Writing never blocks and never fails, because a full pipe would be a trap.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::limits;
use crate::mutex::lock;

/// The beginning and the end of a guest's output. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stderr(Arc<Mutex<Kept>>);

/// The bytes that are kept.
#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    is_cut: bool,
}

/// The bytes of the beginning: a few lines.
const HEAD: usize = limits::GUEST_STDERR / 4;

/// The bytes of the end.
const TAIL: usize = limits::GUEST_STDERR - HEAD;

impl Stderr {
    /// Takes the output, with `…` on a line of its own for everything that was dropped. A character that was cut in two
    /// is replaced.
    pub fn take(&self) -> String {
        let mut kept = lock(&self.0);
        let is_cut = kept.is_cut;
        let tail = kept.tail.make_contiguous().to_vec();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if is_cut {
            // The first line of the end is not whole.
            let tail = text(&tail);
            let whole = tail.split_once('\n').map_or(tail.as_str(), |(_, lines)| lines);
            format!("{}\n…\n{whole}", text(&kept.head))
        } else {
            text(&[kept.head.as_slice(), &tail].concat())
        }
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = lock(&self.0);
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD - kept.head.len()));
        kept.head.extend(first);
        let new = &rest[rest.len().saturating_sub(TAIL)..];
        let excess = (kept.tail.len() + new.len()).saturating_sub(TAIL);
        kept.is_cut |= excess > 0 || new.len() < rest.len();
        kept.tail.drain(..excess);
        kept.tail.extend(new);
    }
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl OutputStream for Stderr {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(limits::GUEST_STDERR)
    }
}

#[async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Stderr {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept_and_the_rest_is_cut() {
        let stderr = Stderr::default();
        let all = "first\n".to_owned() + &"x".repeat(limits::GUEST_STDERR - 6);
        stderr.keep(all.as_bytes());
        assert_eq!(stderr.take(), all);
        stderr.keep(&vec![b'y'; 10 * limits::GUEST_STDERR]);
        stderr.keep(b"\nthe end");
        let text = stderr.take();
        assert!(text.len() <= limits::GUEST_STDERR, "{}", text.len());
        assert!(text.starts_with("first\nx") && text.ends_with("x\n…\nthe end"), "{text}");
    }
}
