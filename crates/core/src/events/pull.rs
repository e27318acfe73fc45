//! One Pull: a cursor into the log, and how many Chunks the client still has to acknowledge.

use ferry_protocol::events::RequestId;

use super::UNACKED_CHUNKS_MAX;

/// A running Pull. It holds no events: what it has not sent is in the log (EVT-22).
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) id: RequestId,
    /// Tells Pulls apart whose ids are equal, over time.
    pub(super) key: u32,
    pub(super) live: bool,
    /// Number of the last event sent.
    pub(super) cursor: i64,
    /// The head when it came, until everything up to there is sent.
    pub(super) horizon: Option<i64>,
    /// Events between cursor and horizon, once they were counted.
    pub(super) remaining: Option<u64>,
    unacked: u8,
    /// When the client last took a Chunk, or was sent the first that it has not taken.
    progress_ms: u64,
    /// Whether events wait for an Ack.
    pub(super) is_blocked: bool,
    /// Whether a page is being read for it.
    pub(super) is_reading: bool,
    /// Whether somebody is being asked if it may begin.
    pub(super) is_asking: bool,
}

impl Pull {
    pub(super) const fn new(id: RequestId, key: u32, live: bool, cursor: i64, head: i64) -> Self {
        Self {
            id,
            key,
            live,
            cursor,
            horizon: Some(head),
            remaining: None,
            unacked: 0,
            progress_ms: 0,
            is_blocked: false,
            is_reading: false,
            is_asking: false,
        }
    }

    /// Whether one more Chunk may be sent.
    pub(super) const fn has_window(&self) -> bool {
        self.unacked < UNACKED_CHUNKS_MAX
    }

    pub(super) const fn sent(&mut self, now_ms: u64) {
        if self.unacked == 0 {
            self.progress_ms = now_ms;
        }
        self.unacked = self.unacked.saturating_add(1);
    }

    pub(super) const fn acked(&mut self, now_ms: u64) {
        self.unacked = self.unacked.saturating_sub(1);
        self.progress_ms = now_ms;
        self.is_blocked = false;
    }

    /// When the client is too slow, if it takes nothing until then.
    pub(super) fn too_slow_at(&self, stall_max_ms: u64) -> Option<u64> {
        self.is_blocked.then(|| self.progress_ms.saturating_add(stall_max_ms))
    }
}
