//! Versions of a database that the hub itself writes, captured from its WAL beside the writer (PAG-40 to PAG-42, PAG-46,
//! PAG-47).
//!
//! R1 is a read transaction at the newest version, R2 one begun later. What differs between the two is among the pages that
//! the WAL's frames name; before-images are read through R1, the rest through R2, which then becomes R1. Neither needs the
//! writer, and no commit waits for them. The writer asks before it moves its WAL into the file, since nobody could read
//! through R1 then.
//!
//! Nothing here is synced: what a power cut takes is history, and is noticed, since each page has its leaf.

mod asked;
mod fork;
mod noted;
mod open;
mod scan;
mod slot;
mod state;
mod step;
mod wal;

use std::{
    collections::BTreeSet,
    sync::{MutexGuard, TryLockError, atomic::Ordering},
};

use ferry_types::{Leaf, PageNo};
use rusqlite::{Connection, OptionalExtension as _};

pub use fork::make_captured_fork;
pub use open::Rescan;
pub use slot::CaptureSlot;
pub(super) use state::Captured;

use noted::NotedFile;
use state::CaptureState;
use step::{CaptureStep, is_page};
use wal::{Wal, WalPosition};

use super::{Replica, VersionInfo, dbpage::Snapshot, identity, replica::lock, retain};
use crate::{Error, Result, fault};

/// How often at most history that is over its bounds is looked for.
const RETAIN_EVERY_MS: i64 = 10_000;

/// Whether R1 is wanted again after a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    Continue,
    Close,
}

/// How long a checkpoint waits for a capture that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Not at all: it is done later.
    Later,
    /// Until it is done.
    Now,
}

/// The commit that a snapshot shows.
fn seq_of(snapshot: &Snapshot) -> Result<u64> {
    let select = "SELECT value FROM _ferry_meta WHERE key = 'seq'";
    let seq = snapshot.connection().prepare_cached(select)?.query_row([], |row| row.get(0)).optional()?;
    Ok(seq.unwrap_or(0))
}

impl Replica {
    fn captured(&self) -> &Captured {
        self.captured.as_ref().expect("BUG: this database is pushed, not captured")
    }

    /// Makes a version of what was committed since the newest, of a database that the hub writes. `None`: nothing was.
    ///
    /// # Errors
    /// When a file cannot be read or written; nothing has happened then, unless [`Self::is_broken`] says so.
    pub fn capture(&self) -> Result<Option<VersionInfo>> {
        let index = lock(&self.writer);
        self.capture_with(&index)
    }

    fn capture_with(&self, index: &Connection) -> Result<Option<VersionInfo>> {
        if self.is_broken() {
            return Err(Error::Damaged("a former capture failed; opening anew settles it".into()));
        }
        let state = &mut *lock(self.captured().state());
        let outcome = self.advance(index, state);
        let is_damaged = matches!(outcome, Err(Error::Damaged(_) | Error::Sqlite(_)));
        if is_damaged || !index.is_autocommit() {
            self.broken.store(true, Ordering::Release);
        }
        outcome
    }

    fn advance(&self, index: &Connection, state: &mut CaptureState) -> Result<Option<VersionInfo>> {
        if identity::inode(&self.main)? != state.inode {
            return Err(Error::Damaged("main.db was replaced".into()));
        }
        let position = WalPosition::now(&self.main, self.captured().committed_frames())?;
        let Some(wal) = Wal::open(&self.main)? else { return Ok(None) };
        if !wal.has_after(state.known_frames(&wal))? {
            return Ok(None);
        }
        fault::point("capture.begin")?;
        let next = match state.spare.take() {
            Some(spare) => Snapshot::begin(spare)?,
            None => Snapshot::open_held(&self.main)?,
        };
        let (base, seq) = (self.current(), seq_of(&next)?);
        if seq == base.version {
            // Uncommitted frames; or a commit of somebody else, which becomes part of the next.
            state.spare = Some(next.end()?);
            return Ok(None);
        }
        if seq < base.version || base.page_size != Some(next.page_size()) {
            return Err(Error::Damaged(format!("main.db is of commit {seq}, its index of {}", base.version)));
        }
        // Opened again: R2 may show more than there was a moment ago.
        let candidates = match Wal::open(&self.main)? {
            Some(wal) => wal.pages_after(state.known_frames(&wal))?,
            None => BTreeSet::new(),
        };
        let step = CaptureStep {
            index,
            segments: &self.segments,
            history_bytes: retain::budget(&self.config, &base),
            base: &base,
            next: &next,
            seq,
            now: self.clock.now(),
        };
        let changed = step.changed(candidates)?;
        let noted = NotedFile::now(&self.main, position, false)?;
        let info = step.commit(&changed, &noted, &mut |page, leaf, into| self.read_r1(page, leaf, into))?;
        // The index first: who reads a page that is newer than the index knows would take it for the older one.
        let r1 = lock(&self.present).replace(next);
        self.set_current(info.clone());
        state.spare = r1.and_then(|r1| r1.end().ok());
        state.position = position;
        fault::point("capture.published")?;
        self.retain(index, state);
        Ok(Some(info))
    }

    fn read_r1(&self, page: PageNo, leaf: &Leaf, into: &mut Vec<u8>) -> Result<bool> {
        let r1 = lock(&self.present);
        let r1 =
            r1.as_ref().ok_or_else(|| Error::Damaged("the snapshot of the newest version is lost".into()))?;
        r1.read(page, into)?;
        if is_page(page, r1.page_count(), into, leaf) {
            return Ok(true);
        }
        Err(Error::Damaged(format!("page {page} is not what the index says")))
    }

    /// Somebody asks for pages of a database that the hub writes: it is captured on.
    pub fn touch(&self) {
        if let Some(captured) = &self.captured {
            captured.asked().touch(self.clock.now());
        }
    }

    fn retain(&self, index: &Connection, state: &mut CaptureState) {
        let now = self.clock.now();
        if now.0.saturating_sub(state.retained_ms).abs() < RETAIN_EVERY_MS {
            return;
        }
        state.retained_ms = now.0;
        let asked = self.captured().asked();
        if asked.is_over(now, self.config.history_days) {
            // Closed by whoever looks for it next, and forgotten when the writer is opened anew.
            self.broken.store(true, Ordering::Release);
            return;
        }
        if let Err(error) = asked.note(index).and_then(|()| retain::run(self, index)) {
            tracing::warn!(%error, "old versions cannot be dropped; it is tried again");
        }
    }

    /// Has `checkpoint` move the WAL into main.db, which it tells whether it did, with everything captured before and R1 out of
    /// the way. False if it was put off. The writer calls this between its transactions.
    fn checkpoint(
        &self,
        urgency: Urgency,
        afterwards: Afterwards,
        checkpoint: &mut dyn FnMut() -> Result<bool>,
    ) -> Result<bool> {
        let index: MutexGuard<'_, Connection> = match (self.writer.try_lock(), urgency) {
            (Ok(index), _) => index,
            (Err(TryLockError::Poisoned(index)), _) => index.into_inner(),
            (Err(TryLockError::WouldBlock), Urgency::Now) => lock(&self.writer),
            (Err(TryLockError::WouldBlock), Urgency::Later) => return Ok(false),
        };
        if let Err(error) = self.capture_with(&index) {
            tracing::warn!(%error, "a commit was not captured: older versions will be gone");
            self.broken.store(true, Ordering::Release);
        }
        fault::point("checkpoint.captured")?;
        let state = &mut *lock(self.captured().state());
        // Readers wait for the new R1.
        let mut present = lock(&self.present);
        let r1 = present.take().and_then(|r1| r1.end().ok());
        let spare = state.spare.take();
        if afterwards == Afterwards::Close {
            drop((r1, spare));
            let done = checkpoint();
            self.note(&index, state, done.as_ref().is_ok_and(|done| *done));
            return done;
        }
        let done = checkpoint().and_then(|done| fault::point("checkpoint.done").map(|()| done));
        if self.is_broken() {
            return done;
        }
        match self.begin_again(r1.or(spare)) {
            Ok(snapshot) => *present = Some(snapshot),
            Err(error) => {
                tracing::warn!(%error, "the newest version cannot be read on: it is opened anew");
                self.broken.store(true, Ordering::Release);
            }
        }
        if done.as_ref().is_ok_and(|done| *done) {
            self.note(&index, state, true);
        }
        done
    }

    fn begin_again(&self, connection: Option<Connection>) -> Result<Snapshot> {
        let snapshot = match connection {
            Some(connection) => Snapshot::begin(connection)?,
            None => Snapshot::open_held(&self.main)?,
        };
        let (current, seq) = (self.current(), seq_of(&snapshot)?);
        if seq == current.version && snapshot.page_count() == current.page_count {
            return Ok(snapshot);
        }
        Err(Error::Damaged(format!("main.db is of commit {seq}, its index of {}", current.version)))
    }

    /// Notes how main.db was left.
    fn note(&self, index: &Connection, state: &CaptureState, is_moved: bool) {
        if self.is_broken() {
            return;
        }
        let noted = NotedFile::now(&self.main, state.position, is_moved).and_then(|noted| noted.write(index));
        if let Err(error) = noted {
            tracing::warn!(%error, "how a database was left is not noted: it will be read as a whole");
        }
    }
}

#[cfg(test)]
mod tests;
