//! Moving the WAL into the file: what a writer does between its groups, and at its end.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use ferry_types::limits::{WAL_BUSY_RESTART_BYTES, WAL_RESTART_BYTES, WAL_TRUNCATE_BYTES, WAL_WAIT_MAX_MS};

use super::Writer;
use crate::{
    Result, connection,
    pages::{CaptureSlot, Urgency},
};

/// By how much the WAL grows before a checkpoint is tried again that readers held off.
const WAL_RETRY_MIB: u16 = 1;
/// A writer that waits for readers looks so often whether they are done.
const WAIT_STEP_MS: u64 = 10;

impl Writer {
    /// Keeps the WAL small: above 4 MiB, and later of twice as much up to 12 MiB, it is checkpointed and started over in place,
    /// since overwriting a file costs less per fsync than growing it; above 16 MiB it is truncated too. What is captured beside is captured
    /// before. While readers still need the WAL, SQLite does what it can, and a call after some more commits the rest; but
    /// of more than 16 MiB this waits for them, at most 30 s, and as long as it `may_wait`. Was that in vain, it waits again
    /// once there is twice as much.
    ///
    /// # Errors
    /// When SQLite reports one other than busy.
    pub fn checkpoint_if_due(&mut self, may_wait: impl Fn() -> bool) -> Result<()> {
        let frames = self.capture.committed_frames().load(Ordering::Relaxed);
        let bytes = frames * u64::from(self.wal_frame_bytes);
        if bytes < WAL_RESTART_BYTES.max(u64::from(self.checkpoint_from_mib) << 20) {
            return Ok(());
        }
        let (pragma, urgency) = if bytes >= WAL_TRUNCATE_BYTES {
            ("PRAGMA wal_checkpoint(TRUNCATE)", Urgency::Now)
        } else {
            ("PRAGMA wal_checkpoint(RESTART)", Urgency::Later)
        };
        let capture = Arc::clone(&self.capture);
        let mut is_tried = false;
        let mut done = capture.checkpoint(urgency, &mut || {
            is_tried = true;
            self.checkpoint(pragma)
        });
        if matches!(done, Ok(false)) && bytes >= WAL_TRUNCATE_BYTES << self.wait_doublings {
            done = self.wait_for_readers(&capture, pragma, may_wait);
            if matches!(done, Ok(false)) {
                self.wait_doublings = doublings(bytes);
            }
        }
        self.checkpoint_from_mib = match done {
            // Put off: with the next commit.
            Ok(false) if !is_tried => self.checkpoint_from_mib,
            Ok(true) => {
                self.wait_doublings = 0;
                u16::try_from((2 * bytes).min(WAL_BUSY_RESTART_BYTES) >> 20).expect("BUG: 12 MiB")
            }
            Ok(false) | Err(_) => u16::try_from(bytes >> 20).unwrap_or(u16::MAX - 1) + WAL_RETRY_MIB,
        };
        done.map(drop)
    }

    /// Tries until readers have let go of the WAL. Between two tries nothing is held: they go on reading.
    fn wait_for_readers(
        &mut self,
        capture: &CaptureSlot,
        pragma: &str,
        may_wait: impl Fn() -> bool,
    ) -> Result<bool> {
        for _ in 0..WAL_WAIT_MAX_MS / WAIT_STEP_MS {
            if !may_wait() {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(WAIT_STEP_MS));
            if capture.checkpoint(Urgency::Now, &mut || self.checkpoint(pragma))? {
                return Ok(true);
            }
        }
        tracing::warn!("a reader has held the WAL of a database for {WAL_WAIT_MAX_MS} ms: it grows on");
        Ok(false)
    }

    /// Moves the whole WAL into the database and closes it.
    ///
    /// # Errors
    /// When SQLite reports one; everything committed is in the file or its WAL all the same.
    pub fn close(self) -> Result<()> {
        let capture = Arc::clone(&self.capture);
        let mut this = Some(self);
        let done = capture.last_checkpoint(&mut || {
            let Some(mut this) = this.take() else { return Ok(false) };
            let done = this.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
            this.connection.close().map_err(|(_, error)| error)?;
            done
        });
        done.map(drop)
    }

    /// True if all of the WAL was moved.
    fn checkpoint(&mut self, pragma: &str) -> Result<bool> {
        // A reader that holds the WAL must delay the checkpoint, not the writer.
        self.connection.busy_timeout(Duration::ZERO)?;
        let done: rusqlite::Result<bool> = self.connection.query_row(pragma, [], |row| row.get(0));
        self.connection.busy_timeout(connection::BUSY_TIMEOUT)?;
        match done {
            Ok(busy) => {
                if !busy {
                    self.unnoted().in_file = Some(self.seq);
                    self.capture.committed_frames().store(0, Ordering::Release);
                }
                Ok(!busy)
            }
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// How often 16 MiB have to be doubled to be more than `bytes`.
fn doublings(bytes: u64) -> u8 {
    (0..32).find(|doublings| WAL_TRUNCATE_BYTES << doublings > bytes).unwrap_or(32)
}
