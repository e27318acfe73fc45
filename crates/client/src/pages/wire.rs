//! The client's side of EdgeReplica's page wire (pages specification, section 2.2): one WebSocket session per
//! push or pull. It works against Ferry and against EdgeReplica's own servers.
//!
//! The hub pins one version when it answers `hello`; everything in the session is about that version. Its
//! number does not travel: [`crate::pages`] tells how it is learned.

mod failure;
mod pull;
mod push;
mod session;

use std::sync::atomic::{AtomicU64, Ordering};

pub use pull::PageSink;
pub use session::WireSession;

/// What a finished session moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Pages that travelled as data, by the hub's count.
    pub pages: u32,
    /// Their bytes, by the hub's count.
    pub bytes: u64,
    /// Bytes of all frames, both ways, without the WebSocket's own.
    pub wire_bytes: u64,
}

/// Bytes of frames that a session has moved; both directions count into it. It also tells a stalled session
/// from one that only one side is busy in.
#[derive(Debug, Default)]
struct Traffic(AtomicU64);

impl Traffic {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
