//! What a file was last synced with: `<file>-ferry`, a small SQLite database (PAG-61): the version, the digests of its
//! pages and of the tree above them, and what the file looked like then. It is a memory, not an authority: it is believed
//! only where the file's own root agrees with it.
//!
//! A pull writes the root it is about to commit as *pending* first. Killed between the file's COMMIT and the
//! state's, the next run finds the file at the pending root and finishes the state; found at the old root, it
//! knows that nothing has happened.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use ferry_core::pages::tree::{FAN_OUT, Node};
use ferry_sqlite::{connection::open_file, migrate};
use ferry_types::{DatabaseId, PageCount, PageSize, Root, Tag};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::{
    image::BUSY_TIMEOUT,
    mark::FileMark,
    paths,
    rows::{LEVELS, RowKey, TreeRows},
};
use crate::{ClientError, Result};

const SUFFIX: &str = "-ferry";
/// Reason of the refusal when another process syncs the same file.
pub(super) const STATE_CHANGED: &str = "STATE_CHANGED";

const MIGRATIONS: &[&str] = &["
    CREATE TABLE synced(
        only INTEGER PRIMARY KEY CHECK(only = 1), server TEXT NOT NULL, database TEXT NOT NULL, name TEXT NOT NULL,
        version INTEGER, root BLOB NOT NULL, page_size INTEGER NOT NULL, page_count INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE pending(
        only INTEGER PRIMARY KEY CHECK(only = 1), server TEXT NOT NULL, database TEXT NOT NULL, name TEXT NOT NULL,
        version INTEGER, root BLOB NOT NULL, page_size INTEGER NOT NULL, page_count INTEGER NOT NULL, interim BLOB
    ) STRICT;
    CREATE TABLE leaves(chunk INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
", "
    DROP TABLE leaves;
    -- A row has up to 64 digests of one level, those of one node's children; id is level << 32 | number of the row.
    CREATE TABLE tree(id INTEGER PRIMARY KEY, digests BLOB NOT NULL) STRICT;
    ALTER TABLE synced ADD COLUMN mark TEXT;
    -- Whether a base copy is kept.
    CREATE TABLE options(only INTEGER PRIMARY KEY CHECK(only = 1), base INTEGER NOT NULL) STRICT;
    INSERT INTO options VALUES (1, 1);
"];

/// Rows of 2 KB fit thrice into such a page, and only once into one of 4096 bytes.
const PAGE_BYTES: u32 = 8192;

/// The last sync that is known to be whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Origin of the hub.
    pub server: String,
    /// The database there.
    pub database: DatabaseId,
    /// Its name at that time, for messages.
    pub name: String,
    /// Its version; `None` if it moved on while it was read, so that only the content is known.
    pub version: Option<u64>,
    /// Root of file and hub then.
    pub root: Root,
    /// Bytes per page.
    pub page_size: PageSize,
    /// Number of pages.
    pub page_count: PageCount,
}

impl Synced {
    /// The tag, where the version is known.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        self.version.map(|version| Tag::new(version, &self.root))
    }
}

/// A pull that was about to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingPull {
    /// What is to be recorded once the file has the root.
    pub synced: Synced,
    /// Root that the file has for a moment while its page size changes: everything of the new image, but the
    /// schema cookie that SQLite's backup writes.
    pub interim: Option<Root>,
}

/// The open state of one file.
pub struct SyncState {
    connection: Connection,
    shown: String,
    /// The file that it is of.
    file: PathBuf,
    /// [`Self::data_version`] when it was last known to be of one sync.
    seen: Cell<i64>,
    /// What was synced then.
    known: Option<Synced>,
}

impl SyncState {
    /// Opens the state of `file`, if it has one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(file: &Path) -> Result<Option<Self>> {
        if paths::beside(file, SUFFIX).exists() { Self::create(file).map(Some) } else { Ok(None) }
    }

    /// Opens the state of `file`, making it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn create(file: &Path) -> Result<Self> {
        let path = paths::beside(file, SUFFIX);
        let shown = path.display().to_string();
        let opened = (|| {
            // Its leaves tell of the file's content: who may not read that may not read this either.
            paths::FileMode::of(file).make(&path)?;
            let mut connection = open_file(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            if !is_ours(&connection)? {
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
                    None,
                )
                .into());
            }
            // The size of pages is taken only where there are none yet.
            connection
                .execute_batch(&format!("PRAGMA synchronous = FULL; PRAGMA page_size = {PAGE_BYTES}"))?;
            migrate::run(&mut connection, MIGRATIONS)?;
            Ok::<_, ferry_sqlite::Error>(connection)
        })();
        let connection = opened.map_err(|error| match error {
            ferry_sqlite::Error::Sqlite(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) =>
            {
                ClientError::file(
                    "STATE_FOREIGN",
                    format!(
                        "{shown} is in the way: ferry remembers there what {} was synced with, and did not write what is \
                         there. Move it away, or give {0} another name",
                        file.display()
                    ),
                )
            }
            ferry_sqlite::Error::Io(error) => {
                ClientError::file("STATE_UNUSABLE", format!("{shown} cannot be written: {error}"))
            }
            error => ClientError::store(&shown, &error),
        })?;
        let state = Self { connection, shown, file: file.to_owned(), seen: Cell::default(), known: None };
        let (seen, known) = (state.data_version()?, state.synced()?);
        state.seen.set(seen);
        Ok(Self { known, ..state })
    }

    fn failed(&self, error: &rusqlite::Error) -> ClientError {
        ClientError::sqlite(&self.shown, error)
    }

    /// SQLite's count of what others have committed.
    fn data_version(&self) -> Result<i64> {
        let found = self.connection.query_row("PRAGMA data_version", [], |row| row.get(0));
        found.map_err(|error| self.failed(&error))
    }

    /// Whether what was read since this was opened is of one sync: other processes may sync the same file.
    ///
    /// # Errors
    /// When another one has recorded its sync meanwhile.
    pub fn check_current(&self) -> Result<()> {
        let now = self.data_version()?;
        if now == self.seen.get() {
            return Ok(());
        }
        // It may have noted no more than what the file looks like.
        if self.synced()? != self.known {
            let message =
                format!("another ferry has synced {} meanwhile: run this again", self.file.display());
            return Err(ClientError::file(STATE_CHANGED, message));
        }
        self.seen.set(now);
        Ok(())
    }

    /// The last whole sync.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn synced(&self) -> Result<Option<Synced>> {
        self.connection
            .query_row(&format!("SELECT {SYNCED_COLUMNS} FROM synced"), [], read_synced)
            .optional()
            .map_err(|error| self.failed(&error))
    }

    /// The pull that was about to be committed when the last run ended.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn pending(&self) -> Result<Option<PendingPull>> {
        self.connection
            .query_row(&format!("SELECT {SYNCED_COLUMNS}, interim FROM pending"), [], |row| {
                let interim: Option<[u8; 32]> = row.get(7)?;
                Ok(PendingPull { synced: read_synced(row)?, interim: interim.map(Root) })
            })
            .optional()
            .map_err(|error| self.failed(&error))
    }

    /// Writes down what is about to be committed to the file. Durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_pending(&mut self, pending: &PendingPull) -> Result<()> {
        let interim = pending.interim.map(|root| root.0);
        write_synced(&self.connection, "pending", &pending.synced)
            .and_then(|()| self.connection.execute("UPDATE pending SET interim = ?1", [interim]))
            .map(drop)
            .map_err(|error| self.failed(&error))
    }

    /// Records a whole sync with the digests of its image, in one transaction; nothing is pending any more. Only rows of
    /// digests that changed are written.
    ///
    /// # Errors
    /// When it cannot be written, or another process has recorded a sync since this was opened.
    pub fn record(&mut self, synced: &Synced, rows: &TreeRows<'_>, mark: Option<&FileMark>) -> Result<()> {
        // Nobody else writes from here on.
        self.run("BEGIN IMMEDIATE")?;
        let recorded = self.check_current().and_then(|()| self.record_inside(synced, rows, mark));
        if recorded.is_err() && !self.connection.is_autocommit() {
            self.run("ROLLBACK")?;
        }
        recorded?;
        self.known = Some(synced.clone());
        Ok(())
    }

    fn record_inside(&self, synced: &Synced, rows: &TreeRows<'_>, mark: Option<&FileMark>) -> Result<()> {
        let recorded = (|| {
            let transaction = &self.connection;
            write_synced(transaction, "synced", synced)?;
            write_mark(transaction, mark)?;
            transaction.execute("DELETE FROM pending", [])?;
            for (key, digests) in &rows.changed {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO tree VALUES (?1, ?2)")?
                    .execute((key.id(), digests.as_flattened()))?;
            }
            for (level, row) in (0..LEVELS).zip(rows.counts) {
                transaction
                    .prepare_cached("DELETE FROM tree WHERE id >= ?1 AND id < ?2")?
                    .execute((RowKey { level, row }.id(), RowKey { level: level + 1, row: 0 }.id()))?;
            }
            transaction.execute_batch("COMMIT")
        })();
        recorded.map_err(|error: rusqlite::Error| self.failed(&error))
    }

    /// Records what the file looks like while it is what was synced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_mark(&self, mark: Option<&FileMark>) -> Result<()> {
        write_mark(&self.connection, mark).map_err(|error| self.failed(&error))
    }

    /// What the file looked like when it was synced, as far as that is known.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn mark(&self) -> Result<Option<FileMark>> {
        let text: Option<Option<String>> = self
            .connection
            .query_row("SELECT mark FROM synced", [], |row| row.get(0))
            .optional()
            .map_err(|error| self.failed(&error))?;
        // One that cannot be read costs a scan.
        Ok(text.flatten().and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// The digests of one row; empty if it is not there or damaged.
    ///
    /// # Errors
    /// When it cannot be read, or is of another sync than what was read before.
    pub fn row(&self, key: RowKey) -> Result<Vec<Node>> {
        let found: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT digests FROM tree WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([key.id()], |row| row.get(0)).optional())
            .map_err(|error| self.failed(&error))?;
        self.check_current()?;
        let (digests, rest) = found.as_deref().unwrap_or_default().as_chunks::<32>();
        Ok(if rest.is_empty() && digests.len() <= FAN_OUT as usize { digests.to_vec() } else { Vec::new() })
    }

    /// Whether a base copy is to be kept beside the file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn keeps_base(&self) -> Result<bool> {
        self.connection
            .query_row("SELECT base FROM options", [], |row| row.get(0))
            .map_err(|error| self.failed(&error))
    }

    /// Has no base copy be kept from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_no_base(&self) -> Result<()> {
        self.run("UPDATE options SET base = 0")
    }

    fn run(&self, sql: &str) -> Result<()> {
        self.connection.execute(sql, []).map(drop).map_err(|error| self.failed(&error))
    }

    /// Forgets a pull that did not happen.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn clear_pending(&mut self) -> Result<()> {
        self.run("DELETE FROM pending")
    }
}

/// Whether a file is such a state, or new: nothing is written into a database of others that has the name.
fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    // Both in one snapshot: another process may be making it.
    let snapshot = connection.unchecked_transaction()?;
    let version: i64 = snapshot.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let (ours, all): (u32, u32) = snapshot.query_row(
        "SELECT count(*) FILTER (WHERE type = 'table' AND name IN ('synced', 'pending', 'leaves', 'tree')), count(*)
         FROM sqlite_schema",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(if version == 0 { all == 0 } else { ours == 3 })
}

const SYNCED_COLUMNS: &str = "server, database, name, version, root, page_size, page_count";

fn read_synced(row: &rusqlite::Row<'_>) -> rusqlite::Result<Synced> {
    let database: String = row.get(1)?;
    let size: u32 = row.get(5)?;
    Ok(Synced {
        server: row.get(0)?,
        database: database.parse().map_err(|_| wrong(1))?,
        name: row.get(2)?,
        version: row.get(3)?,
        root: Root(row.get(4)?),
        page_size: PageSize::new(size).ok_or_else(|| wrong(5))?,
        page_count: PageCount(row.get(6)?),
    })
}

fn write_synced(connection: &Connection, table: &str, synced: &Synced) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO {table}(only, {SYNCED_COLUMNS}) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    );
    let database = synced.database.to_string();
    let (size, count) = (synced.page_size.get(), synced.page_count.0);
    connection
        .execute(&sql, (&synced.server, database, &synced.name, synced.version, synced.root.0, size, count))
        .map(drop)
}

fn write_mark(connection: &Connection, mark: Option<&FileMark>) -> rusqlite::Result<()> {
    let text = mark.and_then(|mark| serde_json::to_string(mark).ok());
    connection.execute("UPDATE synced SET mark = ?1", [text]).map(drop)
}

fn wrong(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "state".into(), rusqlite::types::Type::Blob)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced(version: Option<u64>) -> Synced {
        Synced {
            server: "http://localhost:8787".into(),
            database: "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
            name: "notes".into(),
            version,
            root: Root([7; 32]),
            page_size: PageSize::DEFAULT,
            page_count: PageCount(5000),
        }
    }

    #[test]
    fn recorded_state_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        assert!(SyncState::open(&file).unwrap().is_none());
        let mut state = SyncState::create(&file).unwrap();
        assert_eq!(state.synced().unwrap(), None);
        let pending = PendingPull { synced: synced(None), interim: Some(Root([2; 32])) };
        state.set_pending(&pending).unwrap();
        assert_eq!(state.pending().unwrap(), Some(pending));
        state.record(&synced(Some(42)), &TreeRows::default(), None).unwrap();
        drop(state);
        let state = SyncState::open(&file).unwrap().unwrap();
        assert_eq!(state.pending().unwrap(), None);
        assert_eq!(state.synced().unwrap(), Some(synced(Some(42))));
        let tag = state.synced().unwrap().unwrap().tag().unwrap();
        assert_eq!(tag.to_string(), "42-0707070707070707");
    }

    #[test]
    fn a_state_of_the_first_layout_is_taken_over_without_its_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        let connection = Connection::open(dir.path().join("x.db-ferry")).unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection.execute_batch("PRAGMA user_version = 1").unwrap();
        write_synced(&connection, "synced", &synced(Some(7))).unwrap();
        drop(connection);
        let state = SyncState::open(&file).unwrap().unwrap();
        assert_eq!(state.synced().unwrap(), Some(synced(Some(7))));
        assert!(state.row(RowKey { level: 0, row: 0 }).unwrap().is_empty());
    }

    /// A push read the version that was synced last, another one recorded its own, and the first went on with the digests of
    /// that: it sent too little, for a root that no version has.
    #[test]
    fn what_was_read_is_of_one_sync_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("app.db");
        let rows = TreeRows::default();
        let mut one = SyncState::create(&file).unwrap();
        one.record(&synced(Some(1)), &rows, None).unwrap();
        let mut two = SyncState::create(&file).unwrap();
        // What the file looks like is no sync.
        two.set_mark(None).unwrap();
        assert!(one.row(RowKey { level: 0, row: 0 }).is_ok());
        two.record(&synced(Some(2)), &rows, None).unwrap();
        let refused = [
            one.check_current().unwrap_err(),
            one.row(RowKey { level: 0, row: 0 }).unwrap_err(),
            one.record(&synced(Some(3)), &rows, None).unwrap_err(),
        ];
        assert!(refused.iter().all(|error| error.reason == STATE_CHANGED), "{refused:?}");
        two.record(&synced(Some(4)), &rows, None).unwrap();
        assert_eq!(SyncState::open(&file).unwrap().unwrap().synced().unwrap(), Some(synced(Some(4))));
    }

    /// `ferry wait` looks while `ferry follow` makes it.
    #[test]
    fn a_state_that_many_make_at_once_is_foreign_to_none() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let file = dir.path().join(format!("{round}.db"));
            std::thread::scope(|scope| {
                let makers: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| SyncState::create(&file).map(drop))).collect();
                for maker in makers {
                    maker.join().unwrap().unwrap();
                }
            });
        }
    }

    #[test]
    fn a_foreign_file_at_the_state_path_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        std::fs::write(dir.path().join("x.db-ferry"), "x".repeat(2000)).unwrap();
        let error = SyncState::open(&file).err().unwrap();
        assert!(error.message.contains("x.db-ferry is in the way"), "{error}");
    }

    #[test]
    fn a_foreign_database_at_the_state_path_is_left_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        let theirs = dir.path().join("x.db-ferry");
        for sql in [
            "CREATE TABLE mine(a)",
            "PRAGMA user_version = 1",
            "CREATE TABLE leaves(a); PRAGMA user_version = 1",
        ] {
            let _ = std::fs::remove_file(&theirs);
            Connection::open(&theirs).unwrap().execute_batch(sql).unwrap();
            let before = std::fs::read(&theirs).unwrap();
            assert_eq!(SyncState::create(&file).err().unwrap().reason, "STATE_FOREIGN", "{sql}");
            assert_eq!(std::fs::read(&theirs).unwrap(), before, "{sql}");
        }
    }
}
