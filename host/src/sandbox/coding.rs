//! Content codings: a target can compress its response although no request offers that. gzip is decoded, within the
//! limits of the response; others are named.

use std::io::Read as _;

use bytesize::ByteSize;
use flate2::read::MultiGzDecoder;

use super::exceeded::Exceeded;
use super::memory::Memory;
use super::wire::mackerel::collector::http::Response;
use crate::text::foreign;

/// A body that cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodingError {
    /// The sandbox has no memory for it.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// The decoded body exceeds the limit.
    #[error("decoded body exceeds {0}")]
    TooLarge(ByteSize),
    /// Another coding than gzip.
    #[error("response is compressed with {0}, which is not supported, and the request did not ask for it")]
    Unsupported(String),
    /// The data is not gzip, or incomplete.
    #[error("response is not the gzip data that its Content-Encoding announces: {0}")]
    Invalid(String),
}

/// Bytes that are decoded at once. Other sandboxes get their turn in between.
const PIECE: usize = 64 * 1024;

/// Decodes the body of a response, and removes the header fields about its coding.
///
/// # Errors
/// If the coding is not gzip, or the body is damaged or exceeds a limit.
pub async fn decode(response: &mut Response, limit: ByteSize, memory: &mut Memory) -> Result<(), CodingError> {
    let codings = response.headers.iter().filter(|(name, _)| name == "content-encoding");
    let codings: Vec<&str> = codings.flat_map(|(_, value)| value.split(',')).map(str::trim).collect();
    let is_plain = |coding: &&str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
    match codings.into_iter().filter(|coding| !is_plain(coding)).collect::<Vec<_>>()[..] {
        [] => return Ok(()),
        [coding] if ["gzip", "x-gzip"].iter().any(|gzip| coding.eq_ignore_ascii_case(gzip)) => {}
        ref others => return Err(CodingError::Unsupported(foreign(&others.join(", ")).to_string())),
    }
    if !response.body.is_empty() {
        response.body = gunzip(&response.body, limit, memory).await?;
    }
    response.headers.retain(|(name, _)| !matches!(name.as_str(), "content-encoding" | "content-length"));
    Ok(())
}

async fn gunzip(body: &[u8], limit: ByteSize, memory: &mut Memory) -> Result<Vec<u8>, CodingError> {
    let mut compressed = MultiGzDecoder::new(body);
    let mut decoded = Vec::new();
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let bytes = compressed.by_ref().take(PIECE as u64).read_to_end(&mut piece);
        let bytes = bytes.map_err(|error| CodingError::Invalid(error.to_string()))?;
        if bytes == 0 {
            return Ok(decoded);
        }
        if (decoded.len() + bytes) as u64 > limit.as_u64() {
            return Err(CodingError::TooLarge(limit));
        }
        memory.reserve(bytes).await?;
        decoded.append(&mut piece);
        tokio::task::yield_now().await;
    }
}

/// Returns true if a body is gzip data.
pub fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b, 8])
}
