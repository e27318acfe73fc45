//! Server-sent events of a stream (records specification, 2.5; WHATWG HTML, section 9.2).

use super::{UnixNanos, encode::write_time, json};

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bye {
    /// The credential's time is over.
    Expired,
    /// The credential was revoked.
    Revoked,
    /// The account may no longer sync.
    PaymentRequired,
    /// The credential may transfer no more bytes today.
    ByteBudget,
    /// The hub stops.
    Shutdown,
}

impl Bye {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::PaymentRequired => "payment_required",
            Self::ByteBudget => "byte_budget",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Changes of one table. `id` is the cursor that a later `Last-Event-ID` brings back.
#[must_use]
pub fn changes_event(
    table: &str,
    changes: &[u8],
    has_more: bool,
    id: UnixNanos,
    until: UnixNanos,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(changes.len() + 200);
    out.extend_from_slice(b"event: changes\nid: ");
    id.write(&mut out);
    out.extend_from_slice(b"\ndata: {\"changes\":[");
    out.extend_from_slice(changes);
    out.extend_from_slice(if has_more { b"],\"hasMore\":true" } else { b"],\"hasMore\":false" });
    out.extend_from_slice(b",\"syncedUntil\":");
    write_time(&mut out, until);
    out.extend_from_slice(b",\"table\":");
    json::write_string(&mut out, table);
    out.extend_from_slice(b"}\n\n");
    out
}

/// Tells that the stream lives.
#[must_use]
pub const fn heartbeat() -> &'static [u8] {
    b"event: heartbeat\ndata: {}\n\n"
}

/// The last event of a stream.
#[must_use]
pub fn bye(reason: Bye) -> Vec<u8> {
    format!("event: bye\ndata: {{\"reason\":\"{}\"}}\n\n", reason.as_str()).into_bytes()
}
