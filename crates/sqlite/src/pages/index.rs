//! `index.db`: what Ferry knows of a replica's pages (pages specification, section 4): the leaf of every page and
//! the version that last changed it, the tree over them, the versions, and where before-images stand.
//!
//! Its writer commits with `synchronous=FULL` where the order of things on disk depends on it, and NORMAL where
//! a lost commit is redone from the `pending` row (PAG-43).

use std::{collections::BTreeSet, path::Path};

use ferry_core::pages::{PageSet, Volatile, tree};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root, UnixMillis};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{VersionInfo, listed_version::ListedVersion, segment::SegmentPosition};
use crate::{Error, Result, connection, migrate};

const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
    CREATE TABLE pages(pgno INTEGER PRIMARY KEY, leaf BLOB NOT NULL, changed INTEGER NOT NULL) STRICT;
    CREATE INDEX pages_changed ON pages(changed);
    CREATE TABLE nodes(level INTEGER NOT NULL, n INTEGER NOT NULL, hash BLOB NOT NULL,
                       PRIMARY KEY(level, n)) STRICT, WITHOUT ROWID;
    CREATE TABLE versions(version INTEGER PRIMARY KEY, base INTEGER NOT NULL, root BLOB NOT NULL,
                          page_size INTEGER NOT NULL, page_count INTEGER NOT NULL, volatile BLOB NOT NULL,
                          time_ms INTEGER NOT NULL, pages INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
    CREATE INDEX versions_root ON versions(root);
    -- The page as it was until `version` replaced or cut it off.
    CREATE TABLE before(pgno INTEGER NOT NULL, version INTEGER NOT NULL, seg INTEGER NOT NULL,
                        offset INTEGER NOT NULL, slot INTEGER NOT NULL, leaf BLOB NOT NULL,
                        PRIMARY KEY(pgno, version)) STRICT, WITHOUT ROWID;
    CREATE INDEX before_version ON before(version);
    CREATE INDEX before_seg ON before(seg, version);
    -- At most one: the version that is being committed.
    CREATE TABLE pending(version INTEGER PRIMARY KEY, base INTEGER NOT NULL, root BLOB NOT NULL,
                         page_size INTEGER NOT NULL, page_count INTEGER NOT NULL, volatile BLOB NOT NULL,
                         time_ms INTEGER NOT NULL, pages INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
    "];

/// A row of `versions` or `pending`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VersionRow {
    pub(super) info: VersionInfo,
    /// The version it replaced.
    pub(super) base: u64,
    /// Pages changed against the base.
    pub(super) pages: u32,
    /// Bytes of before-images that it cost.
    pub(super) bytes: u64,
}

/// Opens the writing connection, creating the file.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    let mut connection = connection::open_writer(path)?;
    connection.execute_batch("PRAGMA wal_autocheckpoint=1000; PRAGMA journal_size_limit=4194304;")?;
    migrate::run(&mut connection, MIGRATIONS)?;
    Ok(connection)
}

/// Commits made until the next call need not be on disk when they return.
pub(super) fn relax(connection: &Connection, relaxed: bool) -> Result<()> {
    let mode = if relaxed { "PRAGMA synchronous=NORMAL" } else { "PRAGMA synchronous=FULL" };
    Ok(connection.execute_batch(mode)?)
}

/// The version with which an index began over a file that was there: it was put back from a backup, or its index was lost. What
/// was before, nobody knows.
pub(super) const BEGUN: &str = "begun";

pub(super) fn meta(connection: &Connection, key: &str) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

pub(super) fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<()> {
    connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?.execute([key, value])?;
    Ok(())
}

const VERSION_COLUMNS: &str = "version, base, root, page_size, page_count, volatile, time_ms, pages, bytes";

fn version_row(row: &Row<'_>) -> rusqlite::Result<VersionRow> {
    let (size, count): (u32, u32) = (row.get(3)?, row.get(4)?);
    let page_size = PageSize::new(size);
    // The empty image alone has none.
    if page_size.is_none() && (size, count) != (0, 0) {
        return Err(rusqlite::Error::IntegralValueOutOfRange(3, size.into()));
    }
    Ok(VersionRow {
        base: row.get(1)?,
        info: VersionInfo {
            version: row.get(0)?,
            root: Root(row.get(2)?),
            page_size,
            page_count: PageCount(count),
            volatile: Volatile(row.get(5)?),
            time: UnixMillis(row.get(6)?),
        },
        pages: row.get(7)?,
        bytes: row.get(8)?,
    })
}

/// The newest version; `None` before the first.
pub(super) fn newest(connection: &Connection) -> Result<Option<VersionRow>> {
    let sql = format!("SELECT {VERSION_COLUMNS} FROM versions ORDER BY version DESC LIMIT 1");
    Ok(connection.query_row(&sql, [], version_row).optional()?)
}

/// The version that was being committed when the last process ended.
pub(super) fn pending(connection: &Connection) -> Result<Option<VersionRow>> {
    let sql = format!("SELECT {VERSION_COLUMNS} FROM pending");
    Ok(connection.query_row(&sql, [], version_row).optional()?)
}

fn insert_version(connection: &Connection, table: &str, row: &VersionRow) -> Result<()> {
    let info = &row.info;
    connection.execute(
        &format!("INSERT INTO {table}({VERSION_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"),
        (
            info.version,
            row.base,
            info.root.0,
            info.page_size.map_or(0, PageSize::get),
            info.page_count.0,
            info.volatile.0,
            info.time.0,
            row.pages,
            row.bytes,
        ),
    )?;
    Ok(())
}

/// Says what is about to be committed.
pub(super) fn announce(connection: &Connection, row: &VersionRow) -> Result<()> {
    insert_version(connection, "pending", row)
}

/// What was announced is committed; or, with `drop_images`, was not.
pub(super) fn clear_pending(connection: &Connection, drop_images: bool) -> Result<()> {
    if drop_images {
        connection.execute("DELETE FROM before WHERE version IN (SELECT version FROM pending)", [])?;
    }
    connection.execute("DELETE FROM pending", [])?;
    Ok(())
}

/// Adds a version to the list.
pub(super) fn publish(connection: &Connection, row: &VersionRow) -> Result<()> {
    insert_version(connection, "versions", row)
}

/// Brings the leaves and the tree to a new image: `changed` lists, ascending, each page whose leaf is new, with
/// that leaf. Returns the root.
pub(super) fn apply(
    connection: &Connection,
    version: u64,
    old: PageCount,
    new: (Option<PageSize>, PageCount),
    changed: &mut dyn Iterator<Item = Result<(PageNo, Leaf)>>,
) -> Result<Root> {
    let (page_size, count) = new;
    connection.execute("DELETE FROM pages WHERE pgno > ?1", [count.0])?;
    let mut parents: Vec<PageNo> = Vec::new();
    let mut upsert = connection.prepare_cached(
        "INSERT INTO pages VALUES (?1, ?2, ?3)
         ON CONFLICT(pgno) DO UPDATE SET leaf = excluded.leaf, changed = excluded.changed",
    )?;
    for entry in changed {
        let (page, leaf) = entry?;
        upsert.execute((page.get(), leaf.0, version))?;
        // One page per parent is enough for the tree, and keeps this list short.
        let parent = |page: PageNo| (page.get() - 1) / tree::FAN_OUT;
        if parents.last().is_none_or(|last| parent(*last) != parent(page)) {
            parents.push(page);
        }
    }
    let top = tree::update(&mut SqlNodes(connection), old, count, parents)?;
    Ok(tree::root(page_size, count, &top))
}

/// The tree in `pages` (level 0) and `nodes`.
struct SqlNodes<'c>(&'c Connection);

impl tree::NodeStore for SqlNodes<'_> {
    type Error = Error;

    fn read(&mut self, level: u8, first: u32, end: u32, into: &mut Vec<tree::Node>) -> Result<()> {
        let before = into.len();
        let sql = if level == 0 {
            "SELECT leaf FROM pages WHERE pgno > ?1 AND pgno <= ?2 AND ?3 = 0 ORDER BY pgno"
        } else {
            "SELECT hash FROM nodes WHERE n >= ?1 AND n < ?2 AND level = ?3 ORDER BY n"
        };
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query((first, end, level))?;
        while let Some(row) = rows.next()? {
            into.push(row.get(0)?);
        }
        if into.len() - before == (end - first) as usize {
            Ok(())
        } else {
            Err(Error::Damaged(format!("the index lacks nodes {first} to {end} of level {level}")))
        }
    }

    fn write(&mut self, level: u8, n: u32, node: &tree::Node) -> Result<()> {
        let mut statement = self.0.prepare_cached("INSERT OR REPLACE INTO nodes VALUES (?1, ?2, ?3)")?;
        statement.execute((level, n, node))?;
        Ok(())
    }

    fn truncate(&mut self, level: u8, count: u32) -> Result<()> {
        self.0.execute("DELETE FROM nodes WHERE level = ?1 AND n >= ?2", (level, count))?;
        Ok(())
    }
}

/// Appends nodes `first` up to, not including, `end` of `level` of the newest image.
pub(super) fn read_nodes(
    connection: &Connection,
    level: u8,
    first: u32,
    end: u32,
    into: &mut Vec<tree::Node>,
) -> Result<()> {
    tree::NodeStore::read(&mut SqlNodes(connection), level, first, end, into)
}

/// A page of the present image: its leaf and the version that last changed it.
pub(super) fn page(connection: &Connection, page: PageNo) -> Result<Option<(Leaf, u64)>> {
    let mut statement = connection.prepare_cached("SELECT leaf, changed FROM pages WHERE pgno = ?1")?;
    Ok(statement.query_row([page.get()], |row| Ok((Leaf(row.get(0)?), row.get(1)?))).optional()?)
}

/// The page as it was at `version`, if it was changed since: its leaf and where it stands.
pub(super) fn before(
    connection: &Connection,
    page: PageNo,
    version: u64,
) -> Result<Option<(Leaf, SegmentPosition)>> {
    let mut statement = connection.prepare_cached(
        "SELECT leaf, seg, offset, slot FROM before WHERE pgno = ?1 AND version > ?2 ORDER BY version LIMIT 1",
    )?;
    let found = statement.query_row((page.get(), version), |row| {
        Ok((
            Leaf(row.get(0)?),
            SegmentPosition { segment: row.get(1)?, offset: row.get(2)?, slot: row.get(3)? },
        ))
    });
    Ok(found.optional()?)
}

/// Remembers where a before-image stands.
pub(super) fn set_before(
    connection: &Connection,
    page: PageNo,
    version: u64,
    position: SegmentPosition,
    leaf: &Leaf,
) -> Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO before VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    statement.execute((page.get(), version, position.segment, position.offset, position.slot, leaf.0))?;
    Ok(())
}

/// The newest version that a segment serves; `None` if the index names none of its images.
pub(super) fn segment_version(connection: &Connection, segment: u32) -> Result<Option<u64>> {
    let mut statement = connection.prepare_cached("SELECT max(version) FROM before WHERE seg = ?1")?;
    Ok(statement.query_row([segment], |row| row.get(0))?)
}

/// Cuts the history: versions before `oldest` can no longer be read.
pub(super) fn cut_history(connection: &Connection, oldest: u64) -> Result<()> {
    connection.execute("DELETE FROM before WHERE version <= ?1", [oldest])?;
    connection.execute("DELETE FROM versions WHERE version < ?1", [oldest])?;
    Ok(())
}

/// Segments that hold images which versions up to this one replaced.
pub(super) fn segments_up_to(connection: &Connection, version: u64) -> Result<Vec<u32>> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT seg FROM before WHERE version <= ?1")?;
    let rows = statement.query_map([saturated(version)], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The listed versions from `from` on that were made before `time`, oldest first, `most` at most, with their times.
pub(super) fn versions_made_before(
    connection: &Connection,
    from: u64,
    time: UnixMillis,
    most: usize,
) -> Result<Vec<(u64, UnixMillis)>> {
    let mut statement = connection.prepare_cached(
        "SELECT version, time_ms FROM versions WHERE version >= ?1 AND time_ms < ?2 ORDER BY version LIMIT ?3",
    )?;
    let rows = statement.query_map((saturated(from), time.0, most), number_and_time)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The listed version after `version`.
pub(super) fn version_after(connection: &Connection, version: u64) -> Result<Option<(u64, UnixMillis)>> {
    let mut statement = connection.prepare_cached(
        "SELECT version, time_ms FROM versions WHERE version > ?1 ORDER BY version LIMIT 1",
    )?;
    Ok(statement.query_row([saturated(version)], number_and_time).optional()?)
}

/// The oldest listed version that was made at `time` or later.
pub(super) fn version_made_from(connection: &Connection, time: UnixMillis) -> Result<Option<u64>> {
    let mut statement = connection
        .prepare_cached("SELECT version FROM versions WHERE time_ms >= ?1 ORDER BY version LIMIT 1")?;
    Ok(statement.query_row([time.0], |row| row.get(0)).optional()?)
}

fn number_and_time(row: &Row<'_>) -> rusqlite::Result<(u64, UnixMillis)> {
    Ok((row.get(0)?, UnixMillis(row.get(1)?)))
}

/// Takes `version` off the list: what it replaced counts as replaced by the next one, `follower`. Adds the segments that may
/// have images now that nothing leads to.
pub(super) fn merge_version(
    connection: &Connection,
    version: u64,
    follower: u64,
    touched: &mut BTreeSet<u32>,
) -> Result<()> {
    let mut earlier = connection.prepare_cached("SELECT 1 FROM versions WHERE version < ?1 LIMIT 1")?;
    if !earlier.exists([version])? {
        // The history begins with the next one, and what led back from there leads nowhere.
        touched.extend(segments_up_to(connection, follower)?);
        return cut_history(connection, follower);
    }
    let mut overtaken = connection.prepare_cached(
        "SELECT DISTINCT later.seg FROM before AS earlier JOIN before AS later USING (pgno)
         WHERE earlier.version = ?1 AND later.version = ?2",
    )?;
    for segment in overtaken.query_map([version, follower], |row| row.get(0))? {
        touched.insert(segment?);
    }
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([version, follower]);
    run("INSERT OR REPLACE INTO before
         SELECT pgno, ?2, seg, offset, slot, leaf FROM before WHERE version = ?1")?;
    run("DELETE FROM before WHERE version = ?1 AND ?2 > ?1")?;
    run("UPDATE versions AS kept SET base = gone.base, bytes = kept.bytes + gone.bytes,
         pages = max(kept.pages, (SELECT count(*) FROM before WHERE version = ?2))
         FROM versions AS gone WHERE gone.version = ?1 AND kept.version = ?2")?;
    run("DELETE FROM versions WHERE version = ?1 AND ?2 > ?1")?;
    Ok(())
}

/// A before-image, and where it stands.
pub(super) struct BeforeImage {
    pub(super) page: PageNo,
    /// The version that replaced it.
    pub(super) version: u64,
    pub(super) position: SegmentPosition,
    pub(super) page_bytes: usize,
}

/// Page size of the image that `before.version` replaced.
const REPLACED_PAGE_SIZE: &str = "(SELECT page_size FROM versions WHERE versions.version < before.version
     ORDER BY versions.version DESC LIMIT 1)";

/// Bytes of the images in a segment that are still needed.
pub(super) fn live_bytes(connection: &Connection, segment: u32) -> Result<u64> {
    let sql = format!("SELECT coalesce(sum({REPLACED_PAGE_SIZE}), 0) FROM before WHERE seg = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([segment], |row| row.get(0))?)
}

/// The first images of a segment that are still needed, in the order of their places.
pub(super) fn images_of(connection: &Connection, segment: u32, most: u32) -> Result<Vec<BeforeImage>> {
    let sql = format!(
        "SELECT pgno, version, offset, slot, {REPLACED_PAGE_SIZE} FROM before WHERE seg = ?1
         ORDER BY offset, slot LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([segment, most])?;
    let mut images = Vec::new();
    while let Some(row) = rows.next()? {
        let page = PageNo::new(row.get(0)?).ok_or_else(|| Error::Damaged("the index names page 0".into()))?;
        images.push(BeforeImage {
            page,
            version: row.get(1)?,
            position: SegmentPosition { segment, offset: row.get(2)?, slot: row.get(3)? },
            page_bytes: row.get(4)?,
        });
    }
    Ok(images)
}

/// A before-image stands elsewhere now.
pub(super) fn move_before(
    connection: &Connection,
    page: PageNo,
    version: u64,
    to: SegmentPosition,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE before SET seg = ?3, offset = ?4, slot = ?5 WHERE pgno = ?1 AND version = ?2",
    )?;
    statement.execute((page.get(), version, to.segment, to.offset, to.slot))?;
    Ok(())
}

/// `version` has no before-images: older versions lead nowhere without them.
pub(super) fn forget_before(connection: &Connection, version: u64) -> Result<()> {
    connection.execute("DELETE FROM before", [])?;
    connection.execute("DELETE FROM versions WHERE version < ?1", [version])?;
    Ok(())
}

/// Forgets everything.
pub(super) fn clear(connection: &Connection) -> Result<()> {
    for table in ["meta", "pages", "nodes", "versions", "before", "pending"] {
        connection.execute(&format!("DELETE FROM {table}"), [])?;
    }
    Ok(())
}

fn version_info(row: &Row<'_>) -> rusqlite::Result<VersionInfo> {
    version_row(row).map(|row| row.info)
}

/// The newest listed version up to `version`.
pub(super) fn version_not_after(connection: &Connection, version: u64) -> Result<Option<VersionInfo>> {
    let sql =
        format!("SELECT {VERSION_COLUMNS} FROM versions WHERE version <= ?1 ORDER BY version DESC LIMIT 1");
    Ok(connection.prepare_cached(&sql)?.query_row([saturated(version)], version_info).optional()?)
}

/// The newest listed version that was made until `time`. Times never decrease from version to version.
pub(super) fn version_at(connection: &Connection, time: UnixMillis) -> Result<Option<VersionInfo>> {
    let sql =
        format!("SELECT {VERSION_COLUMNS} FROM versions WHERE time_ms <= ?1 ORDER BY version DESC LIMIT 1");
    Ok(connection.prepare_cached(&sql)?.query_row([time.0], version_info).optional()?)
}

/// The newest listed version with this root.
pub(super) fn version_of(connection: &Connection, root: &Root) -> Result<Option<VersionInfo>> {
    let sql = format!("SELECT {VERSION_COLUMNS} FROM versions WHERE root = ?1 ORDER BY version DESC LIMIT 1");
    Ok(connection.prepare_cached(&sql)?.query_row([root.0], version_info).optional()?)
}

/// The oldest listed version.
pub(super) fn oldest(connection: &Connection) -> Result<Option<VersionInfo>> {
    let sql = format!("SELECT {VERSION_COLUMNS} FROM versions ORDER BY version LIMIT 1");
    Ok(connection.query_row(&sql, [], version_info).optional()?)
}

/// The listed versions before `before`, newest first.
pub(super) fn versions_before(
    connection: &Connection,
    before: Option<u64>,
    most: u32,
) -> Result<Vec<ListedVersion>> {
    let sql =
        format!("SELECT {VERSION_COLUMNS} FROM versions WHERE version < ?1 ORDER BY version DESC LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((saturated(before.unwrap_or(u64::MAX)), most), version_row)?;
    rows.map(|row| {
        let row = row?;
        Ok(ListedVersion { info: row.info, pages: row.pages, bytes: row.bytes })
    })
    .collect()
}

/// Pages that some version after `low`, up to `high`, changed or cut off; and perhaps such as a later one changed.
pub(super) fn changed_between(connection: &Connection, low: u64, high: u64) -> Result<PageSet> {
    let mut statement = connection.prepare_cached(
        "SELECT pgno FROM pages WHERE changed > ?1 AND changed <= ?2
         UNION ALL SELECT pgno FROM before WHERE version > ?1 AND version <= ?2",
    )?;
    let rows = statement.query_map((saturated(low), saturated(high)), |row| row.get(0))?;
    page_set(rows)
}

/// Pages up to `count` that no version after `version` changed.
pub(super) fn unchanged_since(connection: &Connection, version: u64, count: PageCount) -> Result<PageSet> {
    let mut statement =
        connection.prepare_cached("SELECT pgno FROM pages WHERE changed <= ?1 AND pgno <= ?2")?;
    let rows = statement.query_map((saturated(version), count.0), |row| row.get(0))?;
    page_set(rows)
}

fn page_set(rows: impl Iterator<Item = rusqlite::Result<u32>>) -> Result<PageSet> {
    let mut pages = PageSet::default();
    for row in rows {
        let page = PageNo::new(row?).ok_or_else(|| Error::Damaged("the index names page 0".into()))?;
        pages.insert(page);
    }
    Ok(pages)
}

/// As SQLite compares it: its integers end at 2⁶³ - 1.
fn saturated(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
