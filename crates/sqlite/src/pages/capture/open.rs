//! Opening the capture of a database: index and main.db agree afterwards (PAG-47), or the index is made (PAG-40).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use ferry_core::pages::Volatile;
use ferry_types::{Clock, Leaf, PageCount, PageNo, UnixMillis};
use rusqlite::Connection;

use super::{
    Captured,
    asked::{self, LastAsked},
    noted::{NotedFile, Unknown},
    scan::with_leaves,
    seq_of,
    step::{CaptureStep, is_page},
    wal::{Wal, WalPosition},
};
use crate::{
    Error, Result, fault,
    pages::{
        Replica, ReplicaConfig, VersionInfo,
        dbpage::Snapshot,
        identity, index,
        index::VersionRow,
        recover::{self, Recovered},
        retain, scratch,
        segment::Segments,
    },
};

/// Whether opening may read the whole database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescan {
    /// If need be.
    Allowed,
    /// Somebody waits.
    Refused,
}

/// What is being opened.
struct Opening<'a> {
    main: &'a Path,
    config: &'a ReplicaConfig,
    index: Connection,
    segments: Segments,
    now: UnixMillis,
    /// R1.
    present: Snapshot,
    seq: u64,
    /// Where the WAL was before R1.
    position: Option<WalPosition>,
    wal: Option<Wal>,
}

impl Replica {
    /// Opens the capture of the database that the hub writes in `dir`. `None` if that needs a scan that is refused, or if
    /// nobody has asked for its pages for long: then its page files are gone. The writer counts the frames that it commits in `committed_frames`; it may be at work meanwhile.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn open_captured(
        dir: &Path,
        config: ReplicaConfig,
        clock: Arc<dyn Clock>,
        permit: Box<dyn Send + Sync>,
        committed_frames: &Arc<AtomicU64>,
        rescan: Rescan,
    ) -> Result<Option<Arc<Self>>> {
        let (main, dir) = (dir.join("main.db"), dir.join("pages"));
        crate::folder::create(&dir)?;
        scratch::remove_leftovers(&dir)?;
        let (mut position, mut asked, mut is_over) = (None, None, false);
        let recovered = recover::or_rebuilt(&dir, clock.now(), |segments, now| {
            let index = index::open_writer(&dir.join("index.db"))?;
            index::relax(&index, true)?;
            let last = LastAsked::read(&index, now)?;
            match rescan {
                Rescan::Allowed => last.touch(now),
                Rescan::Refused => is_over = last.is_over(now, config.history_days),
            }
            if is_over {
                return Ok(None);
            }
            last.note(&index)?;
            asked = Some(last);
            position = WalPosition::now(&main, committed_frames)?;
            let Some(present) = main.exists().then(|| Snapshot::open_held(&main)).transpose()? else {
                return Ok(Some(empty(index, segments)));
            };
            let seq = seq_of(&present)?;
            if seq == 0 {
                return Ok(Some(empty(index, segments)));
            }
            let (main, config, wal) = (main.as_path(), &config, Wal::open(&main)?);
            Opening { main, config, index, segments, now, present, seq, position, wal }.settle(rescan)
        })?;
        if is_over {
            asked::forget(&dir)?;
        }
        let Some((recovered, asked)) = recovered.zip(asked) else { return Ok(None) };
        let inode = identity::inode(&main)?;
        let captured = Captured::new(Arc::clone(committed_frames), asked, position, inode);
        Ok(Some(Arc::new(Self::of(main, dir, config, clock, permit, recovered, Some(captured)))))
    }
}

fn empty(writer: Connection, segments: Segments) -> Recovered {
    Recovered { current: VersionInfo::empty(), present: None, writer, segments }
}

impl Opening<'_> {
    fn settle(self, rescan: Rescan) -> Result<Option<Recovered>> {
        let newest = index::newest(&self.index)?.map(|row| row.info);
        let current = match self.recapture(newest.as_ref())? {
            Some(current) => current,
            None if rescan == Rescan::Refused => return Ok(None),
            None => self.scan(newest.as_ref())?,
        };
        recover::remove_orphans(&self.index, &self.segments)?;
        let Self { index: writer, segments, present, .. } = self;
        Ok(Some(Recovered { current, present: Some(present), writer, segments }))
    }

    /// The newest version, if the WAL alone tells what happened since the last one.
    fn recapture(&self, newest: Option<&VersionInfo>) -> Result<Option<VersionInfo>> {
        let (Some(base), Some(noted)) = (newest, NotedFile::read(&self.index)?) else { return Ok(None) };
        if index::pending(&self.index)?.is_some() || base.page_size != Some(self.present.page_size()) {
            return Ok(None);
        }
        let candidates = match (noted.unknown_of(self.main, self.wal.as_ref())?, &self.wal) {
            (Unknown::All, _) => return Ok(None),
            (Unknown::FramesAfter(known), Some(wal)) => wal.pages_after(known)?,
            (Unknown::Nothing | Unknown::FramesAfter(_), _) => BTreeSet::new(),
        };
        let step = self.step(base);
        let changed = step.changed(candidates)?;
        let is_equal = changed.is_empty() && base.page_count == self.present.page_count();
        if is_equal && self.seq == base.version {
            return Ok(Some(base.clone()));
        }
        if is_equal || self.seq <= base.version {
            return Ok(None);
        }
        let noted = NotedFile::now(self.main, self.position, false)?;
        let mut before = Before::new(self.main, self.wal.as_ref(), base.page_count)?;
        let info = step.commit(&changed, &noted, &mut |page, leaf, into| before.read(page, leaf, into))?;
        fault::point("recapture.done")?;
        Ok(Some(info))
    }

    fn step<'s>(&'s self, base: &'s VersionInfo) -> CaptureStep<'s> {
        CaptureStep {
            index: &self.index,
            segments: &self.segments,
            history_bytes: retain::budget(self.config, base),
            base,
            next: &self.present,
            seq: self.seq,
            now: self.now,
        }
    }

    /// Hashes the whole image. What differs is a new version, before which nothing is kept; what does not stays as it is.
    fn scan(&self, newest: Option<&VersionInfo>) -> Result<VersionInfo> {
        let is_newer = newest.is_none_or(|newest| self.seq > newest.version);
        if let Some(info) = self.rewrite(newest, is_newer)? {
            return Ok(info);
        }
        tracing::warn!(
            seq = self.seq,
            "main.db is another than its page index knew: older versions are gone"
        );
        index::clear(&self.index)?;
        let made = self.rewrite(None, true)?;
        made.ok_or_else(|| Error::Damaged("an index that was made anew has no version".into()))
    }

    /// Brings the index to the image. `None`, with nothing done, if it differs and may not.
    fn rewrite(&self, base: Option<&VersionInfo>, may_differ: bool) -> Result<Option<VersionInfo>> {
        let transaction = self.index.unchecked_transaction()?;
        let (size, count) = (self.present.page_size(), self.present.page_count());
        let mut pages = 0;
        let old = base.map_or(PageCount(0), |base| base.page_count);
        let root = with_leaves(&self.present, |leaves| {
            let mut changed = leaves.filter_map(|leaf| self.if_new(leaf, base.is_some()).transpose());
            let mut counted = (&mut changed).inspect(|_| pages += 1);
            index::apply(&self.index, self.seq, old, (Some(size), count), &mut counted)
        })?;
        let is_equal = base.is_some_and(|base| base.root == root && base.version == self.seq);
        if !is_equal && !may_differ {
            return Ok(None);
        }
        fault::point("activate.scanned")?;
        let info = match base.filter(|_| is_equal) {
            Some(base) => base.clone(),
            None => {
                let info = VersionInfo {
                    version: self.seq,
                    root,
                    page_size: Some(size),
                    page_count: count,
                    volatile: Volatile::NORMAL,
                    time: UnixMillis(self.now.0.max(base.map_or(0, |base| base.time.0))),
                };
                let base = base.map_or(0, |base| base.version);
                index::publish(&self.index, &VersionRow { info: info.clone(), base, pages, bytes: 0 })?;
                index::forget_before(&self.index, self.seq)?;
                info
            }
        };
        index::clear_pending(&self.index, true)?;
        NotedFile::now(self.main, self.position, false)?.write(&self.index)?;
        transaction.commit()?;
        Ok(Some(info))
    }

    fn if_new(&self, leaf: Result<(PageNo, Leaf)>, is_indexed: bool) -> Result<Option<(PageNo, Leaf)>> {
        let (page, leaf) = leaf?;
        let is_known = is_indexed && index::page(&self.index, page)?.is_some_and(|(known, _)| known == leaf);
        Ok((!is_known).then_some((page, leaf)))
    }
}

/// Pages as they were before commits that nobody captured: in frames of the WAL that are older, or in the file, into which
/// nothing of the WAL is moved before it is captured.
struct Before<'a> {
    main: &'a Path,
    wal: Option<&'a Wal>,
    frames: BTreeMap<PageNo, Vec<u64>>,
    count: PageCount,
    file: Option<Snapshot>,
}

impl<'a> Before<'a> {
    fn new(main: &'a Path, wal: Option<&'a Wal>, count: PageCount) -> Result<Self> {
        let frames = wal.map_or_else(|| Ok(BTreeMap::new()), Wal::frames_by_page)?;
        Ok(Self { main, wal, frames, count, file: None })
    }

    fn read(&mut self, page: PageNo, leaf: &Leaf, into: &mut Vec<u8>) -> Result<bool> {
        for frame in self.frames.get(&page).into_iter().flatten() {
            if let Some(wal) = self.wal
                && wal.read(*frame, into)?
                && is_page(page, self.count, into, leaf)
            {
                return Ok(true);
            }
        }
        into.clear();
        match self.read_file(page, into) {
            Ok(is_there) => Ok(is_there && is_page(page, self.count, into, leaf)),
            // A file that lacks its WAL need not be whole.
            Err(Error::Sqlite(error)) => {
                tracing::debug!(%error, "main.db cannot be read without its WAL");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn read_file(&mut self, page: PageNo, into: &mut Vec<u8>) -> Result<bool> {
        let file = match self.file.take() {
            Some(file) => file,
            None => Snapshot::open_without_wal(self.main)?,
        };
        let is_there = file.page_count().contains(page);
        if is_there {
            file.read(page, into)?;
        }
        self.file = Some(file);
        Ok(is_there)
    }
}
