//! Bytes to frames, in two passes over the same buffer: the first finds `kind`, the second reads `data` as that
//! kind demands. Nothing is buffered between them, so page data stays borrowed whatever the order of the keys.

use serde::{Deserialize, de::IgnoredAny};

use super::{ENVELOPE_VERSION, Frame, PageBytes};

/// The bytes are no frame of this wire.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing at all.
    #[error("empty frame")]
    Empty,
    /// The first byte is not [`ENVELOPE_VERSION`].
    #[error("frame begins with byte {0:#04x}, not 0x01")]
    Version(u8),
    /// Well-formed, but of a kind that this program does not know.
    #[error("unknown kind of message: {0}")]
    UnknownKind(String),
    /// Not the MessagePack map that the kind demands; the text says why.
    #[error("malformed message: {0}")]
    Malformed(String),
}

/// No honest frame nests deeper than map, map, list, map.
const MAX_DEPTH: usize = 16;
/// Longest kind that is repeated in an error.
const KIND_SHOWN_MAX_CHARS: usize = 32;

#[derive(Deserialize)]
struct KindOnly<'a> {
    #[serde(borrow)]
    kind: &'a str,
}

#[derive(Deserialize)]
struct DataOnly<T> {
    data: T,
}

#[derive(Deserialize)]
struct Pages<'a> {
    #[serde(borrow)]
    pages: Vec<PageBytes<'a>>,
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

impl<'a> Frame<'a> {
    /// Reads one frame, which must fill `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong; the bytes may be anything.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (&version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
        if version != ENVELOPE_VERSION {
            return Err(DecodeError::Version(version));
        }
        let kind = read::<KindOnly<'a>>(body)?.kind;
        Ok(match kind {
            "hello" => Self::Hello(data(body)?),
            "hello_reply" => Self::HelloReply(data(body)?),
            "page_hash" => Self::PageHash(data(body)?),
            "page_hash_batch" => Self::PageHashBatch(data(body)?),
            "hash_mismatch_batch" => Self::HashMismatchBatch(data(body)?),
            "hash_mismatch" => Self::HashMismatch(data(body)?),
            "request_page" => Self::RequestPage(data(body)?),
            "request_pages" => Self::RequestPages(data(body)?),
            "page_data" => Self::PageData(data(body)?),
            "page_data_batch" => Self::PageDataBatch(data::<Pages<'a>>(body)?.pages),
            "complete" => Self::Complete,
            "sync_complete" => Self::SyncComplete(data(body)?),
            "error" => Self::Error(data::<Message>(body)?.message),
            other => {
                let shown = other.chars().take(KIND_SHOWN_MAX_CHARS).collect();
                return Err(DecodeError::UnknownKind(shown));
            }
        })
    }
}

fn data<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    Ok(read::<DataOnly<T>>(body)?.data)
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
    deserializer.set_max_depth(MAX_DEPTH);
    let value =
        T::deserialize(&mut deserializer).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    // Only at the end of the buffer is there no further marker to read.
    match IgnoredAny::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
        _ => Err(DecodeError::Malformed("bytes follow the message".to_owned())),
    }
}
