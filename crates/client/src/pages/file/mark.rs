//! What a file looks like from outside, so that the next run knows what has changed without reading it (PAG-62): the
//! file's identity and times, SQLite's change counter, and where the WAL ends.

use std::{
    fs::{File, Metadata},
    io,
    path::Path,
    time::Duration,
};

use ferry_sqlite::sidecars::beside;
use ferry_types::{PageNo, UnixMillis};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::at::read_at;

/// A change within this time before a mark was taken may carry the times that the mark has: the coarsest clock that file
/// systems have, and of file systems of this machine with times in nanoseconds, which take the kernel's ticks.
const TICK_MS: i64 = 2_000;
const LOCAL_TICK_MS: i64 = 25;
/// Layout of a WAL (SQLite file format, section 4.1): its header, the header of a frame, and fields of both.
const WAL_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;
const WAL_SALTS_AT: usize = 16;
const FRAME_SALTS_AT: usize = 8;
const FRAME_CHECKSUM_AT: usize = 16;
/// Frame headers that are read from the WAL one by one; of more, a scan of the file is as good.
const TAIL_FRAMES_MAX: u32 = 1 << 20;

/// What a database file looked like at a moment at which its content was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: i128,
    changed_ns: i128,
    /// SQLite's, on page 1 as the snapshot shows it.
    counter: u32,
    /// The last commit in the WAL; `None`: it has none.
    wal: Option<WalEnd>,
    /// When it was taken, unix milliseconds.
    taken_ms: i64,
    /// How coarse the file's times may be.
    tick_ms: i64,
}

/// A commit in a WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalEnd {
    salts: [u8; 8],
    /// Its last frame, counted from 1.
    frame: u32,
    /// The frame's checksum, which covers all frames before it.
    checksum: [u8; 8],
}

/// What a mark says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedSince {
    /// It is the same.
    Nothing,
    /// These pages may differ, and those beyond the old end; no others.
    Pages(Vec<PageNo>),
    /// Any page may differ.
    Anything,
}

impl FileMark {
    /// The mark of `path` while its image is held in a read transaction that began when the WAL ended at `wal`; `None`
    /// where the system tells too little.
    #[must_use]
    pub fn take(path: &Path, first_page: &[u8], wal: Option<WalEnd>, now: UnixMillis) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        let identity = Identity::of(&found)?;
        let counter = first_page.get(24..28)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        Some(Self {
            device: identity.device,
            inode: identity.inode,
            bytes: found.len(),
            modified_ns: identity.modified_ns,
            changed_ns: identity.changed_ns,
            counter,
            wal,
            taken_ms: now.0,
            tick_ms: tick_ms(path),
        })
    }

    /// What has changed at `path` since this mark, of which `now` is the mark. `held`: a read transaction of this mark's image
    /// was open all the time, so that the file beneath the WAL shows what it showed, whatever its times say.
    #[must_use]
    pub fn compare(&self, path: &Path, now: &Self, page_bytes: u64, held: bool) -> ChangedSince {
        if held
            && (self.device, self.inode) == (now.device, now.inode)
            && now.wal.is_some()
            && self.wal != now.wal
        {
            return self
                .tail(path, now, page_bytes)
                .ok()
                .flatten()
                .map_or(ChangedSince::Anything, ChangedSince::Pages);
        }
        let same_file = (self.device, self.inode, self.bytes, self.modified_ns, self.changed_ns)
            == (now.device, now.inode, now.bytes, now.modified_ns, now.changed_ns);
        if !same_file || !self.is_settled() {
            return ChangedSince::Anything;
        }
        if self.wal == now.wal {
            // A page beneath the WAL cannot change without the file's times.
            return if self.counter == now.counter { ChangedSince::Nothing } else { ChangedSince::Anything };
        }
        match self.tail(path, now, page_bytes) {
            Ok(Some(pages)) => ChangedSince::Pages(pages),
            Ok(None) => ChangedSince::Anything,
            Err(error) => {
                tracing::debug!(%error, "the WAL cannot be read: the file is scanned");
                ChangedSince::Anything
            }
        }
    }

    /// Whether a change after the mark must show in the file's times.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let settled_ns = i128::from(self.taken_ms - self.tick_ms) * 1_000_000;
        self.modified_ns < settled_ns && self.changed_ns < settled_ns
    }

    /// The pages of the frames behind this mark's last commit, up to that of `now`; `None` if the WAL is another one.
    fn tail(&self, path: &Path, now: &Self, page_bytes: u64) -> io::Result<Option<Vec<PageNo>>> {
        let Some(end) = now.wal else { return Ok(None) };
        let from = match self.wal {
            None => 0,
            Some(known) if known.salts == end.salts && known.frame < end.frame => known.frame,
            Some(_) => return Ok(None),
        };
        if end.frame - from > TAIL_FRAMES_MAX {
            return Ok(None);
        }
        let wal = File::open(beside(path, "-wal"))?;
        if let Some(known) = self.wal
            && read_frame(&wal, known.frame, page_bytes)?.end(known.frame) != known
        {
            return Ok(None);
        }
        let mut pages = Vec::new();
        for frame in from + 1..=end.frame {
            let header = read_frame(&wal, frame, page_bytes)?;
            match PageNo::new(header.page) {
                Some(page) if header.salts == end.salts => pages.push(page),
                _ => return Ok(None),
            }
        }
        pages.sort_unstable();
        pages.dedup();
        Ok(Some(pages))
    }
}

struct Identity {
    device: u64,
    inode: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Identity {
    #[cfg(unix)]
    fn of(found: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            modified_ns: ns(found.mtime(), found.mtime_nsec()),
            changed_ns: ns(found.ctime(), found.ctime_nsec()),
        })
    }

    #[cfg(not(unix))]
    fn of(_found: &Metadata) -> Option<Self> {
        None
    }
}

/// How coarse the times of the file's file system may be.
fn tick_ms(path: &Path) -> i64 {
    #[cfg(target_os = "linux")]
    {
        // ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs (statfs(2)).
        const LOCAL: [rustix::fs::FsWord; 5] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630];
        let local = rustix::fs::statfs(path).is_ok_and(|found| LOCAL.contains(&found.f_type));
        let fine = std::fs::metadata(path).ok().and_then(|found| Identity::of(&found));
        if local && fine.is_some_and(|times| times.changed_ns % 1_000_000_000 != 0) {
            return LOCAL_TICK_MS;
        }
    }
    let _ = path;
    TICK_MS
}

/// How long to wait until a change of the file must show in its times, where that is not long.
#[must_use]
pub fn unsettled(path: &Path, now: UnixMillis) -> Option<Duration> {
    let times = Identity::of(&std::fs::metadata(path).ok()?)?;
    let changed_ms = i64::try_from(times.modified_ns.max(times.changed_ns) / 1_000_000).ok()?;
    let left_ms = changed_ms + LOCAL_TICK_MS + 2 - now.0;
    let is_short = (1..=LOCAL_TICK_MS + 2).contains(&left_ms) && tick_ms(path) == LOCAL_TICK_MS;
    is_short.then(|| Duration::from_millis(left_ms.unsigned_abs()))
}

/// The header of a frame.
struct FrameHeader {
    page: u32,
    salts: [u8; 8],
    checksum: [u8; 8],
}

impl FrameHeader {
    const fn end(&self, frame: u32) -> WalEnd {
        WalEnd { salts: self.salts, frame, checksum: self.checksum }
    }
}

fn read_frame(wal: &File, frame: u32, page_bytes: u64) -> io::Result<FrameHeader> {
    let mut bytes = [0; FRAME_HEADER_BYTES as usize];
    let at = WAL_HEADER_BYTES + u64::from(frame - 1) * (FRAME_HEADER_BYTES + page_bytes);
    read_at(wal, &mut bytes, at)?;
    Ok(FrameHeader {
        page: bytes[..4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte)),
        salts: eight(&bytes, FRAME_SALTS_AT),
        checksum: eight(&bytes, FRAME_CHECKSUM_AT),
    })
}

fn eight(bytes: &[u8], at: usize) -> [u8; 8] {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    field
}

/// Where the WAL ends, for connections that begin to read now. `watcher` must not be in a transaction.
///
/// # Errors
/// `None` if it cannot be told: another program is at work, or this one may only read.
pub fn wal_end(watcher: &Connection, path: &Path, page_bytes: u64) -> Option<Option<WalEnd>> {
    // NOOP does nothing but say how many frames are committed; -1: the file is not in WAL mode.
    let frames: i64 = watcher.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1)).ok()?;
    if frames <= 0 {
        return Some(None);
    }
    let frame = u32::try_from(frames).ok()?;
    // No lock of SQLite's lies on the WAL, so that closing it drops none.
    let wal = File::open(beside(path, "-wal")).ok()?;
    let mut header = [0; WAL_HEADER_BYTES as usize];
    read_at(&wal, &mut header, 0).ok()?;
    let end = read_frame(&wal, frame, page_bytes).ok()?.end(frame);
    (end.salts == eight(&header, WAL_SALTS_AT)).then_some(Some(end))
}
