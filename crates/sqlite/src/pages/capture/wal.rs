//! Which pages the frames of a WAL change (SQLite file format, section 4).
//!
//! The WAL is read through a descriptor of its own: SQLite has its locks on the database and on the WAL's index, and closing
//! a descriptor of those would drop them (PAG-50).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use ferry_types::{PageNo, PageSize};

use crate::{Result, sidecars};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The magic number, but for its last bit, which tells the order of bytes in checksums.
const MAGIC: u32 = 0x377f_0682;

/// What tells the frames of one generation of a WAL from those before it was started over.
pub(super) type Salts = [u8; 8];

/// An open WAL.
pub(super) struct Wal {
    file: File,
    page_size: PageSize,
    salts: Salts,
}

/// Up to where the frames of a WAL are known; perhaps less far than they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WalPosition {
    pub(super) salts: Salts,
    pub(super) frames: u64,
}

impl WalPosition {
    /// Where the WAL of `main` is before a snapshot begins: `committed` frames are visible by then. `None`: it is empty.
    pub(super) fn now(main: &Path, committed: &AtomicU64) -> Result<Option<Self>> {
        // In this order: a WAL is started over only after its frames were counted as none.
        let frames = committed.load(Ordering::Acquire);
        Ok(Wal::open(main)?.map(|wal| Self { salts: wal.salts, frames }))
    }
}

impl Wal {
    /// The WAL of `main`; `None` if there is none, or nothing in it.
    pub(super) fn open(main: &Path) -> Result<Option<Self>> {
        let file = match File::open(sidecars::beside(main, "-wal")) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut header = [0; HEADER_BYTES];
        if !read_whole(&file, &mut header, 0)? || u32_at(&header, 0) & !1 != MAGIC {
            return Ok(None);
        }
        let Some(page_size) = PageSize::new(u32_at(&header, 8)) else { return Ok(None) };
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        Ok(Some(Self { file, page_size, salts }))
    }

    pub(super) const fn salts(&self) -> Salts {
        self.salts
    }

    /// Whether there are frames after the first `known`, committed or not.
    pub(super) fn has_after(&self, known: u64) -> Result<bool> {
        Ok(self.page_of(known)?.is_some())
    }

    /// Pages of the frames after the first `known`, of this generation. Some may be of a transaction that was never committed.
    pub(super) fn pages_after(&self, known: u64) -> Result<BTreeSet<PageNo>> {
        let mut pages = BTreeSet::new();
        let mut frame = known;
        while let Some(page) = self.page_of(frame)? {
            pages.extend(page);
            frame += 1;
        }
        Ok(pages)
    }

    /// The page that a frame changes, counted from 0; `None` behind the last, `Some(None)` if it names none.
    fn page_of(&self, frame: u64) -> Result<Option<Option<PageNo>>> {
        let mut header = [0; FRAME_HEADER_BYTES];
        if !read_whole(&self.file, &mut header, self.offset(frame))? || header[8..16] != self.salts {
            return Ok(None);
        }
        Ok(Some(PageNo::new(u32_at(&header, 0))))
    }

    fn offset(&self, frame: u64) -> u64 {
        HEADER_BYTES as u64 + frame * (FRAME_HEADER_BYTES as u64 + u64::from(self.page_size.get()))
    }

    /// The frames of each page, oldest first.
    pub(super) fn frames_by_page(&self) -> Result<BTreeMap<PageNo, Vec<u64>>> {
        let mut frames: BTreeMap<PageNo, Vec<u64>> = BTreeMap::new();
        let mut frame = 0;
        while let Some(page) = self.page_of(frame)? {
            if let Some(page) = page {
                frames.entry(page).or_default().push(frame);
            }
            frame += 1;
        }
        Ok(frames)
    }

    /// Puts the page of a frame into `into`; false if there is none.
    pub(super) fn read(&self, frame: u64, into: &mut Vec<u8>) -> Result<bool> {
        into.resize(self.page_size.bytes(), 0);
        read_whole(&self.file, into, self.offset(frame) + FRAME_HEADER_BYTES as u64)
    }
}

/// False where the file ends before.
fn read_whole(file: &File, into: &mut [u8], at: u64) -> Result<bool> {
    match file.read_exact_at(into, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
