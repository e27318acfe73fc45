//! Where a database's capture is found by its writer, which opens, checkpoints and closes beside it.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{Afterwards, Urgency};
use crate::{
    Result,
    pages::{Replica, replica::lock},
};

/// The capture of one database, while it is open.
#[derive(Default)]
pub struct CaptureSlot {
    open: Mutex<Option<Arc<Replica>>>,
    is_open: AtomicBool,
    /// Held by whoever opens it.
    opening: Mutex<()>,
    committed_frames: Arc<AtomicU64>,
}

impl CaptureSlot {
    /// The open capture.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Replica>> {
        if !self.is_open() {
            return None;
        }
        let mut open = lock(&self.open);
        if open.as_ref().is_some_and(|replica| replica.is_broken()) {
            self.is_open.store(false, Ordering::Release);
            *open = None;
        }
        open.clone()
    }

    /// Whether one is open: cheap.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Whether somebody reads from it.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        lock(&self.open).as_ref().is_some_and(|replica| Arc::strong_count(replica) > 1)
    }

    /// Has `open` open it, unless somebody has or just does. What is empty is not kept.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn try_open(&self, open: impl FnOnce(&Arc<AtomicU64>) -> Result<Option<Arc<Replica>>>) -> Result<()> {
        let Ok(_opening) = self.opening.try_lock() else { return Ok(()) };
        if self.get().is_none()
            && let Some(replica) = open(&self.committed_frames)?
        {
            self.put(&replica);
        }
        Ok(())
    }

    /// The open capture, or that which `open` opens.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn get_or_open(
        &self,
        open: impl FnOnce(&Arc<AtomicU64>) -> Result<Arc<Replica>>,
    ) -> Result<Arc<Replica>> {
        let _opening = lock(&self.opening);
        if let Some(replica) = self.get() {
            return Ok(replica);
        }
        let replica = open(&self.committed_frames)?;
        self.put(&replica);
        Ok(replica)
    }

    fn put(&self, replica: &Arc<Replica>) {
        // The empty database has no file that could be held.
        if replica.current().version > 0 {
            *lock(&self.open) = Some(Arc::clone(replica));
            self.is_open.store(true, Ordering::Release);
        }
    }

    fn take(&self) -> Option<Arc<Replica>> {
        self.is_open.store(false, Ordering::Release);
        lock(&self.open).take()
    }

    /// Closes it, where no writer is open that would. True unless somebody reads from it.
    pub fn close_if_unused(&self) -> bool {
        let mut open: MutexGuard<'_, Option<Arc<Replica>>> = lock(&self.open);
        if open.as_ref().is_some_and(|replica| Arc::strong_count(replica) > 1) {
            return false;
        }
        self.is_open.store(false, Ordering::Release);
        let closed = open.take();
        drop(open);
        drop(closed);
        true
    }

    /// Closes it whoever reads: the database is going.
    pub fn close(&self) {
        if let Some(replica) = self.take() {
            lock(&replica.present).take();
        }
    }

    /// What counts the frames that a writer commits: how many the WAL has.
    #[must_use]
    pub const fn committed_frames(&self) -> &Arc<AtomicU64> {
        &self.committed_frames
    }

    /// Has the writer's `checkpoint` done beside the capture; see [`Replica::checkpoint`].
    pub(crate) fn checkpoint(
        &self,
        urgency: Urgency,
        checkpoint: &mut dyn FnMut() -> Result<bool>,
    ) -> Result<bool> {
        match self.get() {
            Some(replica) => replica.checkpoint(urgency, Afterwards::Continue, checkpoint),
            None => checkpoint(),
        }
    }

    /// Has the writer's last checkpoint done; then the capture is closed too, unless somebody reads from it.
    pub(crate) fn last_checkpoint(&self, checkpoint: &mut dyn FnMut() -> Result<bool>) -> Result<bool> {
        // Until it is closed nobody opens another one, which would capture the same commits. Who opens one now finds none.
        let Ok(_opening) = self.opening.try_lock() else { return checkpoint() };
        let Some((replica, afterwards)) = self.take_or_keep() else { return checkpoint() };
        replica.checkpoint(Urgency::Now, afterwards, checkpoint)
    }

    /// The open capture, which is in the slot no more if nobody reads from it: under the lock nobody can begin to.
    fn take_or_keep(&self) -> Option<(Arc<Replica>, Afterwards)> {
        let mut open = lock(&self.open);
        let replica = open.take().filter(|replica| !replica.is_broken())?;
        if Arc::strong_count(&replica) > 1 {
            *open = Some(Arc::clone(&replica));
            return Some((replica, Afterwards::Continue));
        }
        self.is_open.store(false, Ordering::Release);
        Some((replica, Afterwards::Close))
    }

    /// Whether the database in `dir` was captured before, so that its history would end with a commit that is not.
    #[must_use]
    pub fn was_captured(dir: &Path) -> bool {
        dir.join("pages").join("index.db").exists()
    }
}
