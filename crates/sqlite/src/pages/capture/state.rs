//! What a capture knows between two versions.

use std::sync::{Arc, Mutex, atomic::AtomicU64};

use rusqlite::Connection;

use super::{
    asked::LastAsked,
    wal::{Wal, WalPosition},
};

/// How versions come of a database that the hub writes.
pub(in crate::pages) struct Captured {
    /// Frames that the writer has committed to the WAL, as far as it told.
    committed_frames: Arc<AtomicU64>,
    asked: LastAsked,
    /// ChangedPages by whoever holds the index's writing connection.
    state: Mutex<CaptureState>,
}

/// Where it stands.
pub(super) struct CaptureState {
    /// Up to where the WAL is known; `None`: from its beginning nothing is.
    pub(super) position: Option<WalPosition>,
    /// The connection that R2 will use.
    pub(super) spare: Option<Connection>,
    /// Device and inode of main.db.
    pub(super) inode: Option<(u64, u64)>,
    /// When history was last looked at.
    pub(super) retained_ms: i64,
}

impl Captured {
    pub(super) fn new(
        committed_frames: Arc<AtomicU64>,
        asked: LastAsked,
        position: Option<WalPosition>,
        inode: Option<(u64, u64)>,
    ) -> Self {
        let state = CaptureState { position, spare: None, inode, retained_ms: 0 };
        Self { committed_frames, asked, state: Mutex::new(state) }
    }

    pub(super) fn committed_frames(&self) -> &AtomicU64 {
        &self.committed_frames
    }

    pub(super) const fn asked(&self) -> &LastAsked {
        &self.asked
    }

    pub(super) const fn state(&self) -> &Mutex<CaptureState> {
        &self.state
    }
}

impl CaptureState {
    /// Frames of this WAL that are known.
    pub(super) fn known_frames(&self, wal: &Wal) -> u64 {
        self.position.filter(|known| known.salts == wal.salts()).map_or(0, |known| known.frames)
    }
}
