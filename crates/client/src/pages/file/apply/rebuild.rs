//! Another page size, or a file of 0 bytes: SQLite's backup replaces the whole content (PAG-66).

use std::path::Path;

use ferry_core::pages::tree::{self, RootBuilder};
use ferry_sqlite::busy::wait_once;
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use crate::{
    ClientError, FILE_BUSY, Result,
    pages::file::{
        Part,
        image::{BUSY_TIMEOUT, FileAccess, PAGES, connect},
        point,
        scan::root_of,
    },
};

/// Where SQLite keeps the schema cookie in page 1.
const SCHEMA_COOKIE: std::ops::Range<usize> = 40..44;

/// A file that is locked for one program alone, ready to be rebuilt. Dropped, the locks go.
pub struct Rebuild {
    connection: Connection,
    shown: String,
    was_wal: bool,
    interim: Root,
}

impl Rebuild {
    /// Locks `file`, whose root must still be `root` (`None`: a file of 0 bytes).
    ///
    /// # Errors
    /// When others use the file for 30 s, it was changed meanwhile, or it cannot be read.
    pub fn lock(file: &Path, root: Option<Root>, part: &Part) -> Result<Self> {
        let shown = file.display().to_string();
        let failed = |error: rusqlite::Error| ClientError::sqlite(&shown, &error);
        let connection = connect(file, FileAccess::Ordinary).map_err(failed)?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(failed)?;
        // A backup cannot change the page size of a file in WAL mode. Leaving it needs the file alone.
        leave_wal_mode(&connection, &shown)?;
        // In this locking mode the lock of the first transaction stays. A file without pages must not be
        // written yet, which would give it one: there, that of a reader keeps others from committing.
        let first =
            if root.is_some() { "BEGIN EXCLUSIVE; COMMIT" } else { "SELECT count(*) FROM sqlite_schema" };
        connection
            .execute_batch(&format!("PRAGMA synchronous = FULL; PRAGMA locking_mode = EXCLUSIVE; {first}"))
            .map_err(failed)?;
        if root_now(&connection).map_err(failed)? != root {
            return Err(ClientError::conflict(
                "FILE_CHANGED",
                format!("{shown} was changed while it was pulled: pull again"),
            ));
        }
        let cookie: u32 =
            connection.query_row("PRAGMA schema_version", [], |row| row.get(0)).map_err(failed)?;
        let interim = interim_root(part, cookie.wrapping_add(1))?;
        Ok(Self { connection, shown, was_wal: mode == "wal", interim })
    }

    /// The root that the file has between the backup and the writing of page 1: SQLite's backup sets the
    /// schema cookie to the old one plus one.
    #[must_use]
    pub const fn interim_root(&self) -> Root {
        self.interim
    }
}

/// Replaces the content of the locked file by the received image, which must be whole.
///
/// # Errors
/// When the disk does not allow it; the file is then the old one, or the new one.
pub fn rebuild(mut target: Rebuild, part: &Part, root: Root) -> Result<()> {
    let shown = target.shown;
    let failed = |error: rusqlite::Error| ClientError::sqlite(&shown, &error);
    let source = connect(part.path(), FileAccess::ReadOnly).map_err(failed)?;
    {
        let backup = Backup::new(&source, &mut target.connection).map_err(failed)?;
        let all = -1;
        if backup.step(all).map_err(failed)? != StepResult::Done {
            return Err(busy(&shown));
        }
    }
    drop(source);
    point("pull.backup")?;
    let mut first = vec![0; part.page_size().bytes()];
    part.read(PageNo::FIRST, &mut first)?;
    target.connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    {
        let write = format!("INSERT INTO {PAGES}(pgno, data) VALUES (1, ?1)");
        let mut write = target.connection.prepare(&write).map_err(failed)?;
        // Prepared before the page, behind which nothing may be (PAG-18).
        let mut commit = target.connection.prepare("COMMIT").map_err(failed)?;
        write.execute([&first]).map_err(failed)?;
        point("pull.write")?;
        commit.execute([]).map_err(failed)?;
    }
    if root_now(&target.connection).map_err(failed)? != Some(root) {
        return Err(ClientError::unverified(format!(
            "{shown} does not hold what was pulled: check the disk, then pull again with --force"
        )));
    }
    if target.was_wal {
        // The exclusive lock goes with the first statement after the mode's change.
        target
            .connection
            .execute_batch("PRAGMA locking_mode = NORMAL; SELECT count(*) FROM sqlite_schema")
            .map_err(failed)?;
        let _mode: String =
            target.connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    }
    point("pull.commit")
}

/// Waits until nobody else has the file open. SQLite does not wait here by itself.
fn leave_wal_mode(connection: &Connection, shown: &str) -> Result<()> {
    for tried in 0.. {
        let left = connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0));
        match left {
            Ok(mode) if mode == "delete" => return Ok(()),
            Err(error) if !is_busy(&error) => return Err(ClientError::sqlite(shown, &error)),
            Ok(_) | Err(_) => {}
        }
        if !wait_once(shown, tried, BUSY_TIMEOUT) {
            break;
        }
    }
    Err(busy(shown))
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

fn busy(shown: &str) -> ClientError {
    ClientError::file(
        FILE_BUSY,
        format!(
            "{shown} is open in another program, and a version with another page size needs the file alone: close it \
             there, then try again"
        ),
    )
}

/// The root of the image as this connection sees it; `None` if it has no page.
fn root_now(connection: &Connection) -> rusqlite::Result<Option<Root>> {
    let count: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let Some(size) = PageSize::new(size).filter(|_| count > 0) else { return Ok(None) };
    let mut statement = connection.prepare(&format!("SELECT pgno, data FROM {PAGES}"))?;
    let mut rows = statement.query([])?;
    let (mut builder, mut room) = (RootBuilder::default(), Vec::new());
    while let Some(row) = rows.next()? {
        let number: u32 = row.get(0)?;
        if let Some(number) = PageNo::new(number) {
            builder.push(&tree::leaf_of(number, PageCount(count), row.get_ref(1)?.as_blob()?, &mut room));
        }
    }
    Ok(Some(builder.finish(size)))
}

fn interim_root(part: &Part, cookie: u32) -> Result<Root> {
    let mut first = vec![0; part.page_size().bytes()];
    part.read(PageNo::FIRST, &mut first)?;
    first[SCHEMA_COOKIE].copy_from_slice(&cookie.to_be_bytes());
    let mut leaves: Vec<Leaf> = part.leaves();
    leaves[0] = tree::leaf_of(PageNo::FIRST, part.page_count(), &first, &mut Vec::new());
    Ok(root_of(part.page_size(), &leaves))
}
