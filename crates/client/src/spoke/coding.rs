//! Bodies are compressed in both directions (RFC 9110, 8.4): a small op is mostly ids that look alike.

use std::io::{self, Read};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};

/// What an answer may be compressed with.
pub(super) const ACCEPTED: &str = "zstd, gzip";
/// What a request is compressed with.
pub(super) const SENT: &str = "zstd";
/// A shorter body stays as it is.
const COMPRESSED_MIN_BYTES: usize = 512;
/// How hard zstd tries: its own default.
const LEVEL: i32 = 3;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// That of an answer; `None`: one that was not asked for.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Some(Self::Identity),
            Some(b"gzip") => Some(Self::Gzip),
            Some(b"zstd") => Some(Self::Zstd),
            Some(_) => None,
        }
    }

    /// What `compressed` holds.
    pub(super) fn reader<'a>(
        self,
        compressed: impl Read + Send + 'a,
    ) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Identity => Box::new(compressed),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(compressed)),
            Self::Zstd => Box::new(zstd::Decoder::new(compressed)?),
        })
    }

    /// The whole of a body, of at most so many bytes.
    pub(super) fn decoded(self, body: Bytes, max_bytes: usize) -> io::Result<Bytes> {
        if self == Self::Identity {
            return Ok(body);
        }
        let mut whole = Vec::new();
        let most = max_bytes as u64 + 1;
        self.reader(&*body)?.take(most).read_to_end(&mut whole)?;
        if whole.len() > max_bytes {
            return Err(io::Error::other("it is larger than any answer may be"));
        }
        Ok(whole.into())
    }
}

/// A body as it is sent, and whether it is compressed.
pub(super) fn encoded(body: Bytes) -> (Bytes, bool) {
    if body.len() < COMPRESSED_MIN_BYTES {
        return (body, false);
    }
    match zstd::bulk::compress(&body, LEVEL) {
        Ok(compressed) if compressed.len() < body.len() => (compressed.into(), true),
        _ => (body, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compressed_is_read_again_up_to_its_limit() {
        let body = Bytes::from(vec![b'x'; 100_000]);
        let (sent, is_compressed) = encoded(body.clone());
        assert!(is_compressed && sent.len() < 1_000, "{}", sent.len());
        assert_eq!(Coding::Zstd.decoded(sent.clone(), 100_000).unwrap(), body);
        assert!(Coding::Zstd.decoded(sent.clone(), 99_999).is_err());
        assert!(Coding::Gzip.decoded(sent, 100_000).is_err());
        let short = Bytes::from_static(b"{}");
        assert_eq!(encoded(short.clone()), (short, false));
    }
}
