//! One read snapshot of a database that the hub itself writes, copied to a file of its own, from which pulls are
//! served: however slow they are, the snapshot is held no longer than the copy takes.

use std::{
    collections::VecDeque,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use ferry_core::pages::{Volatile, header, tree};
use ferry_types::{Leaf, PageNo, UnixMillis};
use rusqlite::OptionalExtension as _;

use super::{
    PageSource, VersionInfo,
    dbpage::{Schema, Snapshot},
    scratch,
};
use crate::{Error, Result};

const LEAF_BYTES: usize = 32;
const WRITE_BYTES: usize = 1 << 20;

/// A copy of one version; its files have no names and vanish with it.
pub struct Spool {
    info: VersionInfo,
    pages: File,
    leaves: File,
}

impl Spool {
    /// Copies the present image of the database in `dir`. A missing main.db is the empty database, version 0.
    ///
    /// # Errors
    /// When the database cannot be read, or the copy not written.
    pub fn take(dir: &Path, now: UnixMillis) -> Result<Self> {
        let (main, scratch_dir) = (dir.join("main.db"), dir.join("pages"));
        fs::create_dir_all(&scratch_dir)?;
        let (pages, leaves) = (scratch::unnamed_file(&scratch_dir)?, scratch::unnamed_file(&scratch_dir)?);
        let mut spool = Self { info: VersionInfo::empty(), pages, leaves };
        if main.exists() {
            spool.copy(&Snapshot::open(&main, Schema::Read)?, now)?;
        }
        Ok(spool)
    }

    /// Whether the database in `dir` still has the version of this copy.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_current(&self, dir: &Path) -> Result<bool> {
        let main = dir.join("main.db");
        if !main.exists() {
            return Ok(self.info.version == 0);
        }
        Ok(seq(&Snapshot::open(&main, Schema::Read)?)? == self.info.version)
    }

    fn copy(&mut self, snapshot: &Snapshot, now: UnixMillis) -> Result<()> {
        let (size, count) = (snapshot.page_size(), snapshot.page_count());
        if count.0 == 0 {
            return Ok(());
        }
        let version = seq(snapshot)?;
        let (mut data, mut leaves) = (Vec::with_capacity(WRITE_BYTES + size.bytes()), Vec::new());
        let (mut data_at, mut leaves_at) = (0, 0);
        let mut root = tree::RootBuilder::default();
        for page in count.pages() {
            let from = data.len();
            snapshot.read(page, &mut data)?;
            if page == PageNo::FIRST {
                header::normalize(&mut data[from..], count);
            }
            let leaf = if page == size.lock_page() { Leaf::LOCK_PAGE } else { tree::leaf(&data[from..]) };
            root.push(&leaf);
            leaves.extend_from_slice(&leaf.0);
            if data.len() >= WRITE_BYTES || page.get() == count.0 {
                self.pages.write_all_at(&data, data_at)?;
                self.leaves.write_all_at(&leaves, leaves_at)?;
                data_at += data.len() as u64;
                leaves_at += leaves.len() as u64;
                data.clear();
                leaves.clear();
            }
        }
        self.info = VersionInfo {
            version,
            root: root.finish(size),
            page_size: Some(size),
            page_count: count,
            volatile: Volatile::NORMAL,
            time: now,
        };
        Ok(())
    }
}

fn seq(snapshot: &Snapshot) -> Result<u64> {
    let seq = snapshot
        .connection()
        .query_row("SELECT value FROM _ferry_meta WHERE key = 'seq'", [], |row| row.get(0))
        .optional()?;
    Ok(seq.unwrap_or(0))
}

impl PageSource for Spool {
    fn info(&self) -> &VersionInfo {
        &self.info
    }

    fn read(&self, pages: &[PageNo], each: &mut dyn FnMut(PageNo, &[u8]) -> Result<()>) -> Result<()> {
        let Some(size) = self.info.page_size else { return Ok(()) };
        let mut data = vec![0; size.bytes()];
        for page in pages {
            if !self.info.page_count.contains(*page) {
                return Err(Error::Damaged(format!("version {} has no page {page}", self.info.version)));
            }
            self.pages.read_exact_at(&mut data, page.index() as u64 * u64::from(size.get()))?;
            each(*page, &data)?;
        }
        Ok(())
    }

    fn leaves(&self, first: PageNo, end: u32, into: &mut VecDeque<Leaf>) -> Result<()> {
        let count = (end - first.get()) as usize;
        let mut bytes = vec![0; count * LEAF_BYTES];
        self.leaves.read_exact_at(&mut bytes, (first.index() * LEAF_BYTES) as u64)?;
        into.extend(
            bytes
                .chunks_exact(LEAF_BYTES)
                .map(|leaf| Leaf(leaf.try_into().expect("BUG: chunks have 32 bytes"))),
        );
        Ok(())
    }
}
