//! EdgeReplica's page wire (pages specification, section 2.2). A frame is the byte `01` and a MessagePack map
//! `{"kind": K, "data": {…}}`: named fields, the shortest integers, bytes as `bin`. `complete` has no `data`.
//!
//! Decoding accepts any key order and unknown fields, and borrows page data from the frame's buffer.

pub mod body;
mod decode;
mod encode;
mod frame;

pub use decode::DecodeError;
pub use frame::{
    Frame, Hello, HelloReply, PageBytes, PageData, PageHash, PageHashBatch, PageNumber, PageNumbers,
    SyncComplete,
};

/// First byte of every frame: the version of its envelope.
pub const ENVELOPE_VERSION: u8 = 1;
/// The version of the protocol that `hello` and `hello_reply` name.
pub const PROTOCOL_VERSION: u32 = 1;
/// Header of the hub's upgrade answer: the direction that the token allows, `push` or `pull`. Ferry's own addition, so that
/// a client with a token of the other direction is refused also when there is nothing to transfer.
pub const DIRECTION_HEADER: &str = "ferry-sync-direction";
/// Payloads of the pings by which the hub keeps a connection alive while it works on a push that is whole, and tells how
/// far it is. Ferry's own addition; a WebSocket client that knows nothing of it answers with a pong.
pub mod phase {
    /// The hub checks what it was sent.
    pub const CHECKING: &[u8] = b"checking";
    /// The hub commits what it was sent.
    pub const COMMITTING: &[u8] = b"committing";
}
/// What the client always names as page size in `hello`, whatever its file has.
pub const HELLO_PAGE_SIZE: u32 = 4096;

/// Header of the upgrade by which a client says that it reads its file at one moment, so that a push of it cannot be torn.
pub const SNAPSHOT_HEADER: &str = "ferry-snapshot";

/// WebSocket close codes of this wire, with the reasons that go with them.
pub mod close {
    /// The session did what it came for.
    pub const COMPLETE: (u16, &str) = (1000, "sync complete");
    /// The hub stops.
    pub const SHUTDOWN: (u16, &str) = (1001, "shutdown");
    /// A frame that cannot be decoded.
    pub const PROTOCOL_ERROR: (u16, &str) = (1002, "protocol error");
    /// A text message.
    pub const TEXT: (u16, &str) = (1003, "text frames not supported");
    /// The credential does not allow it, or no longer.
    pub const RIGHTS: (u16, &str) = (1008, "not allowed");
    /// Over a size limit.
    pub const TOO_LARGE: (u16, &str) = (1009, "too large");
    /// Wrong order or content, or a failure of the hub.
    pub const SERVER_ERROR: (u16, &str) = (1011, "server error");
    /// What was pushed is damaged; a retry does not help.
    pub const DAMAGED: (u16, &str) = (1011, "damaged");
    /// A retry may succeed.
    pub const TRY_AGAIN: (u16, &str) = (1013, "try again");
}

#[cfg(test)]
mod tests;
