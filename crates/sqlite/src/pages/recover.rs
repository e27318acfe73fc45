//! Opening a replica: whatever ended the last process, index and main.db agree afterwards (PAG-43, PAG-47).
//!
//! If main.db is as it was left, nothing is read. Else the whole image is hashed, and its root tells what
//! happened: it is that of the `pending` row: the commit got through, and is finished; that of the newest
//! version: it did not, or somebody only touched the file; another: somebody changed the file, and what differs
//! becomes a new version, without before-images, so that the history before it is gone.

use std::{fs, path::Path};

use ferry_core::pages::{Volatile, tree};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root, UnixMillis};
use rusqlite::Connection;

use super::{
    VersionInfo, dbpage,
    dbpage::{Schema, Snapshot, open_present},
    identity, index,
    index::VersionRow,
    segment::Segments,
};
use crate::{Error, Result};

/// A replica's files, in agreement.
pub(super) struct Recovered {
    pub(super) current: VersionInfo,
    pub(super) present: Option<Snapshot>,
    pub(super) writer: Connection,
    pub(super) segments: Segments,
}

/// Opens the files of the replica at `main`, whose page files are in `dir`.
pub(super) fn open(main: &Path, dir: &Path, now: UnixMillis) -> Result<Recovered> {
    or_rebuilt(dir, now, |segments, now| open_once(main, dir, segments, now))
}

/// What `open_once` makes of the page files in `dir`; of none, if those there are damaged.
pub(super) fn or_rebuilt<T>(
    dir: &Path,
    now: UnixMillis,
    mut open_once: impl FnMut(Segments, UnixMillis) -> Result<T>,
) -> Result<T> {
    let segments = Segments::open(dir.join("seg"))?;
    match open_once(segments, now) {
        Ok(opened) => Ok(opened),
        Err(error) if is_index_damage(&error) => {
            tracing::error!(%error, "the page index is damaged and is rebuilt; older versions are gone");
            let last_known = index::open_writer(&dir.join("index.db"))
                .and_then(|writer| index::newest(&writer))
                .ok()
                .flatten()
                .map_or(0, |row| row.info.version);
            for suffix in ["", "-wal", "-shm"] {
                remove_if_there(&dir.join(format!("index.db{suffix}")))?;
            }
            let segments = Segments::open(dir.join("seg"))?;
            for (id, _) in segments.list()? {
                segments.remove(id)?;
            }
            let rebuilt_after = UnixMillis(now.0.max(i64::try_from(last_known).unwrap_or(i64::MAX)));
            open_once(segments, rebuilt_after)
        }
        Err(error) => Err(error),
    }
}

fn is_index_damage(error: &Error) -> bool {
    match error {
        Error::Damaged(_) => true,
        Error::Sqlite(error) => matches!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
        ),
        Error::Io(_) | Error::Refused(_) | Error::Panicked(_) => false,
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn open_once(main: &Path, dir: &Path, segments: Segments, now: UnixMillis) -> Result<Recovered> {
    let writer = index::open_writer(&dir.join("index.db"))?;
    let newest = index::newest(&writer)?;
    let pending = index::pending(&writer)?;
    let left = index::meta(&writer, "identity")?.unwrap_or_default();
    let found = identity::of(main)?.unwrap_or_default();
    let untouched = pending.is_none() && left == found;
    let current = match newest {
        Some(row) if untouched => row.info,
        None if untouched => VersionInfo::empty(),
        newest => {
            let newest = newest.map_or_else(VersionInfo::empty, |row| row.info);
            reconcile(main, &writer, newest, pending, now)?
        }
    };
    remove_orphans(&writer, &segments)?;
    let present = open_present(main, current.page_count)?;
    // Opening may have made or emptied a WAL.
    if !untouched {
        let identity = identity::of(main)?.unwrap_or_default();
        index::set_meta(&writer, "identity", &identity)?;
    }
    Ok(Recovered { current, present, writer, segments })
}

/// What a scan of main.db found.
struct Scan {
    page_size: Option<PageSize>,
    page_count: PageCount,
    root: Root,
    volatile: Volatile,
    /// Pages whose leaf is not what the index has, ascending.
    changed: Vec<(PageNo, Leaf)>,
}

fn reconcile(
    main: &Path,
    writer: &Connection,
    newest: VersionInfo,
    pending: Option<VersionRow>,
    now: UnixMillis,
) -> Result<VersionInfo> {
    let scan = scan(main, writer)?;
    index::relax(writer, false)?;
    let transaction = writer.unchecked_transaction()?;
    let (info, keep_images) = match pending {
        Some(row) if row.info.root == scan.root => (row.info.clone(), true),
        _ if newest.root == scan.root => {
            index::clear_pending(writer, true)?;
            transaction.commit()?;
            return Ok(newest);
        }
        _ => (foreign_version(&newest, &scan, now), false),
    };
    let row = VersionRow {
        base: newest.version,
        pages: u32::try_from(scan.changed.len()).unwrap_or(u32::MAX),
        bytes: 0,
        info,
    };
    let new = (scan.page_size, scan.page_count);
    let mut changed = scan.changed.into_iter().map(Ok);
    let root = index::apply(writer, row.info.version, newest.page_count, new, &mut changed)?;
    if root != row.info.root {
        return Err(Error::Damaged("the tree of the index does not lead to its root".into()));
    }
    index::clear_pending(writer, !keep_images)?;
    if row.base == 0 {
        index::set_meta(writer, index::BEGUN, &row.info.version.to_string())?;
    }
    index::publish(writer, &row)?;
    if !keep_images {
        let version = row.info.version;
        if newest.version == 0 {
            // Nothing was known of it: it was restored, or its versions are rebuilt.
            tracing::info!(version, "the versions of a database begin with what main.db holds");
        } else {
            tracing::warn!(version, "main.db was changed outside ferry: its content is a new version");
        }
        index::forget_before(writer, row.info.version)?;
    }
    transaction.commit()?;
    Ok(row.info)
}

/// The version that somebody else's changes make. Without any version known, the index was lost: numbers start
/// at the clock, so that they only grow (PAG-48).
fn foreign_version(newest: &VersionInfo, scan: &Scan, now: UnixMillis) -> VersionInfo {
    let version = match newest.version {
        0 => u64::try_from(now.0).unwrap_or(1).max(1),
        known => known + 1,
    };
    VersionInfo {
        version,
        root: scan.root,
        page_size: scan.page_size,
        page_count: scan.page_count,
        volatile: scan.volatile,
        time: UnixMillis(now.0.max(newest.time.0)),
    }
}

fn scan(main: &Path, writer: &Connection) -> Result<Scan> {
    let empty = Scan {
        page_size: None,
        page_count: PageCount(0),
        root: tree::empty_root(),
        volatile: Volatile::NORMAL,
        changed: Vec::new(),
    };
    if !main.exists() {
        return Ok(empty);
    }
    dbpage::ensure_wal(main).map_err(main_failed)?;
    let snapshot = Snapshot::open(main, Schema::Ignored).map_err(main_failed)?;
    let (size, count) = (snapshot.page_size(), snapshot.page_count());
    if count.0 == 0 {
        return Ok(empty);
    }
    let mut scan = Scan { page_size: Some(size), page_count: count, ..empty };
    let mut root = tree::RootBuilder::default();
    let mut known = writer.prepare("SELECT pgno, leaf FROM pages WHERE pgno <= ?1 ORDER BY pgno")?;
    let mut known = known.query([count.0])?;
    let mut next =
        known.next()?.map(|row| Ok::<_, Error>((row.get::<_, u32>(0)?, row.get(1)?))).transpose()?;
    let (mut data, mut room) = (Vec::with_capacity(size.bytes()), Vec::new());
    for page in count.pages() {
        data.clear();
        snapshot.read(page, &mut data).map_err(main_failed)?;
        if page == PageNo::FIRST {
            scan.volatile = Volatile::of(&data);
        }
        let leaf = tree::leaf_of(page, count, &data, &mut room);
        root.push(&leaf);
        let indexed = next.filter(|(pgno, _)| *pgno == page.get());
        if indexed.is_some() {
            next =
                known.next()?.map(|row| Ok::<_, Error>((row.get::<_, u32>(0)?, row.get(1)?))).transpose()?;
        }
        if indexed.map(|(_, leaf)| Leaf(leaf)) != Some(leaf) {
            scan.changed.push((page, leaf));
        }
    }
    scan.root = root.finish(size);
    Ok(scan)
}

/// Damage of main.db is not damage of the index, which must then be kept.
fn main_failed(error: Error) -> Error {
    match error {
        Error::Io(_) | Error::Refused(_) => error,
        other => std::io::Error::other(format!("main.db cannot be read: {other}")).into(),
    }
}

/// Removes segments that the index does not name: tails of pushes that never committed, and histories that
/// were cut.
pub(super) fn remove_orphans(writer: &Connection, segments: &Segments) -> Result<()> {
    for (id, _) in segments.list()? {
        if index::segment_version(writer, id)?.is_none() {
            segments.remove(id)?;
        }
    }
    Ok(())
}
