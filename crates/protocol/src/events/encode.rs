//! Frames from the hub. A page of events is encoded once; the frames of its subscribers differ only in the prefix
//! that carries the request's id.

use std::fmt::Write as _;

use bytes::Bytes;

use super::{ErrorCode, EventRef, LiveStoreDialect, RequestId, RpcError};

/// Appends `text` as a JSON string.
pub(super) fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut clean_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[clean_from..at]);
        clean_from = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[clean_from..]);
    out.push('"');
}

/// Appends an integer.
pub(super) fn number(out: &mut String, number: i64) {
    let _ = write!(out, "{number}");
}

/// What a page says of the pages behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageInfo {
    /// It is the last one.
    NoMore,
    /// So many events follow.
    MoreKnown(u64),
    /// More follow; ask again.
    MoreUnknown,
}

/// The part of a Chunk behind its request id: one page of events.
///
/// Events are added one by one, so that a page can be cut at a limit; [`Self::finish`] closes it.
#[derive(Debug)]
pub struct PageBody {
    text: String,
    count: u32,
}

const BODY_START: &str = "{\"batch\":[";

impl Default for PageBody {
    fn default() -> Self {
        Self::with_capacity(256)
    }
}

impl PageBody {
    /// An empty page with room for about so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push_str(BODY_START);
        Self { text, count: 0 }
    }

    /// Events added so far.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an event.
    pub fn push(&mut self, event: &EventRef<'_>) {
        self.separate();
        self.count += 1;
        let out = &mut self.text;
        out.push_str("{\"eventEncoded\":{\"name\":");
        string(out, event.name);
        if let Some(args) = event.args {
            out.push_str(",\"args\":");
            out.push_str(args);
        }
        out.push_str(",\"seqNum\":");
        number(out, event.seq_num);
        out.push_str(",\"parentSeqNum\":");
        number(out, event.parent_seq_num);
        out.push_str(",\"clientId\":");
        string(out, event.client_id);
        out.push_str(",\"sessionId\":");
        string(out, event.session_id);
        out.push_str("},\"metadata\":{\"_tag\":\"Some\",\"value\":{\"_tag\":\"SyncMessage.SyncMetadata\",\"createdAt\":");
        string(out, event.created_at);
        out.push_str("}}}");
    }

    /// Adds the events of a finished page.
    pub fn extend(&mut self, encoded_events: &str, count: u32) {
        if count > 0 {
            self.separate();
            self.text.push_str(encoded_events);
            self.count += count;
        }
    }

    fn separate(&mut self) {
        if self.count > 0 {
            self.text.push(',');
        }
    }

    /// The encoded events alone, joined by commas.
    #[must_use]
    pub fn events(&self) -> &str {
        &self.text[BODY_START.len()..]
    }

    /// Takes back to the state in which the page had `count` events and `len` bytes.
    pub fn truncate(&mut self, len: usize, count: u32) {
        self.text.truncate(len);
        self.count = count;
    }

    /// Closes the page: the bytes that follow a Chunk's prefix, up to the end of the frame.
    #[must_use]
    pub fn finish(mut self, info: PageInfo, backend_id: &str) -> Bytes {
        let out = &mut self.text;
        out.push_str("],\"pageInfo\":{\"_tag\":");
        match info {
            PageInfo::NoMore => out.push_str("\"NoMore\""),
            PageInfo::MoreKnown(remaining) => {
                let _ = write!(out, "\"MoreKnown\",\"remaining\":{remaining}");
            }
            PageInfo::MoreUnknown => out.push_str("\"MoreUnknown\""),
        }
        out.push_str("},\"backendId\":");
        string(out, backend_id);
        out.push_str("}]}");
        Bytes::from(self.text)
    }
}

/// A Chunk for `id` with a finished page.
#[must_use]
pub fn chunk(id: &RequestId, body: &[u8]) -> Bytes {
    let mut prefix = String::with_capacity(64);
    prefix.push_str("{\"_tag\":\"Chunk\",\"requestId\":");
    id.write(&mut prefix);
    prefix.push_str(",\"values\":[");
    let mut frame = Vec::with_capacity(prefix.len() + body.len());
    frame.extend_from_slice(prefix.as_bytes());
    frame.extend_from_slice(body);
    frame.into()
}

fn exit(id: &RequestId, outcome: impl FnOnce(&mut String)) -> Bytes {
    let mut out = String::with_capacity(160);
    out.push_str("{\"_tag\":\"Exit\",\"requestId\":");
    id.write(&mut out);
    out.push_str(",\"exit\":{\"_tag\":");
    outcome(&mut out);
    out.push_str("}}");
    out.into()
}

/// The end of a non-live Pull.
#[must_use]
pub fn exit_void(id: &RequestId) -> Bytes {
    exit(id, |out| {
        out.push_str(match id.dialect() {
            LiveStoreDialect::A => "\"Success\"",
            LiveStoreDialect::B => "\"Success\",\"value\":null",
        });
    })
}

/// An accepted Push.
#[must_use]
pub fn exit_empty(id: &RequestId) -> Bytes {
    exit(id, |out| out.push_str("\"Success\",\"value\":{}"))
}

/// The answer to the HTTP transport's Ping.
#[must_use]
pub fn exit_pong(id: &RequestId) -> Bytes {
    exit(id, |out| out.push_str("\"Success\",\"value\":{\"_tag\":\"SyncMessage.Pong\"}"))
}

/// A call that failed.
#[must_use]
pub fn exit_error(id: &RequestId, error: &RpcError) -> Bytes {
    failure(id, |out| {
        out.push_str("{\"_tag\":\"Fail\",\"error\":");
        write_error(out, error);
        out.push('}');
    })
}

/// A call that cannot be understood.
#[must_use]
pub fn exit_die(id: &RequestId, defect: &str) -> Bytes {
    failure(id, |out| {
        out.push_str("{\"_tag\":\"Die\",\"defect\":");
        string(out, defect);
        out.push('}');
    })
}

fn failure(id: &RequestId, cause: impl FnOnce(&mut String)) -> Bytes {
    let (open, close) = match id.dialect() {
        LiveStoreDialect::A => ("", ""),
        LiveStoreDialect::B => ("[", "]"),
    };
    exit(id, |out| {
        out.push_str("\"Failure\",\"cause\":");
        out.push_str(open);
        cause(out);
        out.push_str(close);
    })
}

fn write_error(out: &mut String, error: &RpcError) {
    match error {
        RpcError::ServerAhead { head, provided } => {
            let _ = write!(
                out,
                "{{\"_tag\":\"ServerAheadError\",\"minimumExpectedNum\":{head},\"providedNum\":{provided}}}"
            );
        }
        RpcError::BackendIdMismatch { expected, received } => {
            out.push_str("{\"_tag\":\"BackendIdMismatchError\",\"expected\":");
            string(out, expected);
            out.push_str(",\"received\":");
            string(out, received);
            out.push('}');
        }
        RpcError::Unknown { code, message, retry_after_ms } => unknown(out, *code, message, *retry_after_ms),
    }
}

fn unknown(out: &mut String, code: ErrorCode, message: &str, retry_after_ms: Option<u64>) {
    out.push_str("{\"_tag\":\"UnknownError\",\"cause\":{\"name\":\"FerryError\",\"message\":");
    string(out, message);
    let _ = write!(out, "}},\"payload\":{{\"code\":\"{}\"", code.as_str());
    if let Some(ms) = retry_after_ms {
        let _ = write!(out, ",\"retryAfterMs\":{ms}");
    }
    out.push_str("}}");
}

/// The answer to a Ping.
#[must_use]
pub const fn pong() -> Bytes {
    Bytes::from_static(b"{\"_tag\":\"Pong\"}")
}

/// A frame that is no JSON of this wire: fails every call of the client's socket.
#[must_use]
pub fn defect(text: &str) -> Bytes {
    let mut out = String::from("{\"_tag\":\"Defect\",\"defect\":");
    string(&mut out, text);
    out.push('}');
    out.into()
}
