//! The commit of a push (PAG-43 to PAG-45). Each step is on disk before the next begins:
//!
//! staged pages → before-images → `pending` row → main.db, in one transaction or by taking the new file in its
//! place → index. Whoever opens the database after a crash finds from the `pending` row and main.db which side
//! of main.db's step it was.

use std::{fs, io, sync::atomic::Ordering};

use ferry_types::{
    PageNo, PageSize, Reason, UnixMillis,
    limits::{WAL_RESTART_BYTES, WAL_TRUNCATE_BYTES},
};
use rusqlite::Connection;

use super::{
    PageSource as _, Prepared, PushError, Replica, VersionInfo,
    contents::Contents,
    dbpage::{self, PageWriter, Snapshot},
    identity, index,
    index::VersionRow,
    prepare::CommitMethod,
    replica::lock,
    retain,
};
use crate::{Error, Result, connection::BUSY_TIMEOUT, fault};

/// Staged bytes that are worth a wait for the disk.
const DURABLE_FROM_BYTES: u64 = 1 << 20;

impl Replica {
    /// Commits a push, if its base still is what there is. Runs alone: no other connection may write
    /// main.db meanwhile.
    ///
    /// # Errors
    /// [`PushError::Conflict`] if another push came first; [`PushError::Store`] when a step failed: then nothing
    /// was committed, or [`Self::is_broken`] says that only opening anew will tell.
    pub fn commit_push(&self, mut prepared: Prepared) -> Result<VersionInfo, PushError> {
        let writer = lock(&self.writer);
        let current = self.current();
        if self.is_broken() {
            return Err(
                Error::Damaged("a former commit failed half-way; opening anew settles it".into()).into()
            );
        }
        if self.has_moved_on(prepared.pinned.info(), prepared.origin) {
            return Err(PushError::Conflict { current: current.version });
        }
        prepared.pin_again();
        let mut guard = Guard { replica: self, writer: &writer, unsettled: false };
        let mut commit = Commit { replica: self, writer: &writer, base: current, prepared };
        let row = commit.announce()?;
        guard.unsettled = true;
        let info = commit.conclude(row, &mut guard)?;
        guard.unsettled = false;
        self.set_current(info.clone());
        commit.tidy();
        Ok(info)
    }
}

/// Leaves the index without an open transaction whatever happens, panics included, and marks the replica as
/// broken when the outcome is unsettled.
struct Guard<'r> {
    replica: &'r Replica,
    writer: &'r Connection,
    unsettled: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let rolled_back = self.writer.is_autocommit() || self.writer.execute_batch("ROLLBACK").is_ok();
        if self.unsettled || !rolled_back {
            self.replica.broken.store(true, Ordering::Release);
        }
    }
}

struct Commit<'r> {
    replica: &'r Replica,
    writer: &'r Connection,
    base: VersionInfo,
    prepared: Prepared,
}

impl Commit<'_> {
    /// Stages, saves before-images and announces the version; on error nothing has happened.
    fn announce(&mut self) -> Result<VersionRow, PushError> {
        fault::point("push.begin")?;
        // main.db takes the pages in one transaction, which needs nothing of the stage afterwards: what is staged is brought
        // onto the disk for the sake of a retry, where that would have much to send again.
        let stage = self.replica.stage()?;
        if stage.unsynced_bytes() >= DURABLE_FROM_BYTES {
            stage.sync()?;
        }
        fault::point("push.staged")?;
        index::relax(self.writer, false)?;
        self.writer.execute_batch("BEGIN IMMEDIATE")?;
        let announced = self.announce_inside();
        let committed = announced.and_then(|row| {
            self.writer.execute_batch("COMMIT")?;
            Ok(row)
        });
        if committed.is_err() && !self.writer.is_autocommit() {
            self.writer.execute_batch("ROLLBACK")?;
        }
        committed
    }

    fn announce_inside(&mut self) -> Result<VersionRow, PushError> {
        let version = self.base.version + 1;
        let root = match &self.prepared.way {
            CommitMethod::Swap(_, root) => *root,
            CommitMethod::InPlace => {
                // The root is part of the announcement; the leaves themselves follow main.db.
                self.writer.execute_batch("SAVEPOINT root")?;
                let root = self.apply(version)?;
                self.writer.execute_batch("ROLLBACK TO root; RELEASE root")?;
                root
            }
        };
        if self.prepared.stated_root.is_some_and(|stated| stated != root) {
            return Err(PushError::RootMismatch);
        }
        let bytes = self.save_before_images(version)?;
        fault::point("push.before_images")?;
        let plan = &self.prepared.plan;
        let info = VersionInfo {
            version,
            root,
            page_size: Some(plan.page_size),
            page_count: plan.page_count,
            volatile: plan.volatile,
            time: UnixMillis(self.replica.clock.now().0.max(self.base.time.0)),
        };
        let row = VersionRow { info, base: self.base.version, pages: self.changed_count()?, bytes };
        index::announce(self.writer, &row)?;
        Ok(row)
    }

    /// Pages whose leaf is new, ascending: page 1 only if its content beyond the volatile bytes is.
    fn changed(&self) -> Result<Vec<PageNo>> {
        let plan = &self.prepared.plan;
        let resized = self.base.page_size != Some(plan.page_size);
        let page1_leaf = index::page(self.writer, PageNo::FIRST)?.map(|(leaf, _)| leaf);
        let page1 = resized || page1_leaf != Some(self.prepared.page1_leaf);
        let lock_page = plan.page_size.lock_page();
        // The lock page has one leaf for ever: it is new only where no page was.
        let lock_page_stays = !resized && self.base.page_count.contains(lock_page);
        let first = page1.then_some(PageNo::FIRST);
        let rest = plan.changed.iter().filter(|page| *page != lock_page || !lock_page_stays);
        Ok(first.into_iter().chain(rest).collect())
    }

    fn changed_count(&self) -> Result<u32> {
        Ok(u32::try_from(self.changed()?.len()).unwrap_or(u32::MAX))
    }

    /// Copies what the push replaces or cuts off into segments. Returns the bytes that took.
    fn save_before_images(&mut self, version: u64) -> Result<u64> {
        let base = self.base.page_count;
        let resized = self.base.page_size != Some(self.prepared.plan.page_size);
        let lost: Vec<PageNo> = if resized {
            base.pages().collect()
        } else {
            let kept = self.prepared.plan.page_count;
            let cut = base.pages_beyond(kept);
            self.changed()?.into_iter().filter(|page| base.contains(*page)).chain(cut).collect()
        };
        // The lock page is known without an image.
        let lock_page = self.base.page_size.map(PageSize::lock_page);
        let lost: Vec<PageNo> = lost.into_iter().filter(|page| Some(*page) != lock_page).collect();
        if lost.is_empty() {
            return Ok(0);
        }
        let mut segment = self.replica.segments.append(retain::budget(&self.replica.config, &self.base))?;
        self.prepared.pinned.read(&lost, &mut |page, data| {
            let position = segment.add(data)?;
            let found = index::page(self.writer, page)?;
            let (leaf, _) = found.ok_or_else(|| Error::Damaged(format!("the index lacks page {page}")))?;
            index::set_before(self.writer, page, version, position, &leaf)
        })?;
        segment.finish()
    }

    /// Brings leaves and tree in the index to the new image; returns its root.
    fn apply(&mut self, version: u64) -> Result<ferry_types::Root> {
        let changed = self.changed()?;
        let plan = &self.prepared.plan;
        let (old, new) = (self.base.page_count, (Some(plan.page_size), plan.page_count));
        let prepared = &mut self.prepared;
        let mut leaves = changed.into_iter().map(|page| Ok((page, prepared.leaf(page)?)));
        index::apply(self.writer, version, old, new, &mut leaves)
    }

    /// main.db, then the index, then R1. On error `guard` knows whether main.db is certainly as before.
    fn conclude(&mut self, row: VersionRow, guard: &mut Guard<'_>) -> Result<VersionInfo, PushError> {
        let written = fault::point("push.pending").map_err(PushError::from).and_then(|()| self.write_main());
        let mut present = lock(&self.replica.present);
        let written = written.and_then(|()| {
            // Closed before the checkpoint, which it would hold up; readers wait for the new one.
            *present = None;
            self.empty_wal()
        });
        if let Err(error) = written {
            guard.unsettled = self.take_back(&mut present).is_err();
            return Err(error);
        }
        self.rename()?;
        fault::point("push.main")?;
        // A lost index commit is redone from the pending row.
        index::relax(self.writer, true)?;
        self.writer.execute_batch("BEGIN IMMEDIATE")?;
        let root = self.apply(row.info.version)?;
        if root != row.info.root {
            return Err(Error::Damaged("the root changed between announcement and commit".into()).into());
        }
        index::clear_pending(self.writer, false)?;
        index::publish(self.writer, &row)?;
        let snapshot = dbpage::open_present(&self.replica.main, row.info.page_count)?;
        self.replica.note_identity(self.writer)?;
        self.writer.execute_batch("COMMIT")?;
        *present = snapshot;
        fault::point("push.index")?;
        Ok(row.info)
    }

    /// In place: the transaction on main.db. For a swap nothing: its step is a rename.
    fn write_main(&mut self) -> Result<(), PushError> {
        if matches!(self.prepared.way, CommitMethod::Swap(..)) {
            return Ok(());
        }
        let stage = self.replica.stage()?;
        // In normal form: SQLite puts in its own counters, the writer the file's own journal mode.
        let (page1, count) = (&self.prepared.page1, self.prepared.plan.page_count);
        let mut pages = PageWriter::begin(&self.replica.main, BUSY_TIMEOUT, page1, count)?;
        let zeros = vec![0; self.prepared.plan.page_size.bytes()];
        let mut data = Vec::new();
        for page in self.prepared.plan.changed.clone().iter() {
            self.prepared.content(stage, page, &mut data)?;
            pages.write(page, if data.is_empty() { &zeros } else { &data })?;
        }
        fault::point("push.written")?;
        pages.commit()?;
        Ok(())
    }

    /// In place: keeps the WAL small. For a swap: moves main.db's WAL into it and removes it for good, since it
    /// must never meet the new file.
    fn empty_wal(&self) -> Result<(), PushError> {
        let main = &self.replica.main;
        if matches!(self.prepared.way, CommitMethod::InPlace) {
            if let Err(error) = checkpoint_if_due(main) {
                tracing::warn!(%error, "checkpoint failed; it is tried again after the next push");
            }
            return Ok(());
        }
        if main.exists() && !dbpage::checkpoint_truncate(main)? {
            let message = "another program is using the database on the hub: try again";
            return Err(Error::from(ferry_types::Error::new(Reason::Busy, message)).into());
        }
        fault::point("swap.checkpointed")?;
        for suffix in ["-wal", "-shm", "-journal"] {
            match fs::remove_file(identity::side_file(main, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        sync_parent(main)?;
        Ok(fault::point("swap.cleared")?)
    }

    /// For a swap: the new file takes main.db's place.
    fn rename(&mut self) -> Result<()> {
        if let CommitMethod::Swap(image, _) = std::mem::replace(&mut self.prepared.way, CommitMethod::InPlace)
        {
            image.rename(&self.replica.main)?;
            fault::point("swap.renamed")?;
            sync_parent(&self.replica.main)?;
            fault::point("swap.synced")?;
        }
        Ok(())
    }

    /// main.db is as it was: takes the announcement back, so that the replica stays usable.
    fn take_back(&self, present: &mut Option<Snapshot>) -> Result<()> {
        index::clear_pending(self.writer, true)?;
        if present.is_none() {
            *present = dbpage::open_present(&self.replica.main, self.base.page_count)?;
        }
        self.replica.note_identity(self.writer)
    }

    /// What may fail without harm: the next commit or opening does it again.
    fn tidy(&mut self) {
        let changed = self.prepared.plan.changed.clone();
        let lock_page = self.prepared.plan.page_size.lock_page();
        let noted = &mut self.prepared.noted;
        let leaves = changed.iter().filter(|page| *page != lock_page).map(|page| noted.get(page));
        let forgotten = match self.prepared.contents {
            Contents::Staged => self.replica.stage().and_then(|stage| stage.forget(leaves)),
            Contents::Version(_) => Ok(()),
        };
        let retained = retain::run(self.replica, self.writer);
        if let Err(error) = forgotten.and(retained) {
            tracing::warn!(%error, "tidying up after a push failed");
        }
    }
}

fn checkpoint_if_due(main: &std::path::Path) -> Result<()> {
    let wal = fs::metadata(identity::side_file(main, "-wal")).map_or(0, |wal| wal.len());
    if wal >= WAL_TRUNCATE_BYTES {
        dbpage::checkpoint_truncate(main)?;
    } else if wal >= WAL_RESTART_BYTES {
        dbpage::checkpoint_restart(main)?;
    }
    Ok(())
}

fn sync_parent(main: &std::path::Path) -> Result<()> {
    crate::folder::sync(main.parent().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?)?;
    Ok(())
}
