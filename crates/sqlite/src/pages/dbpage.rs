//! Single pages of a live SQLite file, read and written through `sqlite_dbpage`, so that SQLite's own locks and
//! its WAL hold for them too. Works on any SQLite file, in either journal mode.
//!
//! The file may be hostile, and its schema is nothing that pages need: it is never read. SQLite loads it when it
//! prepares a first statement; the load is broken off before its first row, and `writable_schema` makes SQLite go on
//! with the empty schema that it has then. No `CREATE` statement of the file is parsed, none of its expressions run.

use std::{ops::Range, path::Path, time::Duration};

use ferry_types::{PageCount, PageNo, PageSize, Seq};
use rusqlite::{Connection, OpenFlags, StatementStatus, limits::Limit};

use crate::{
    Error, NativeSql, Result,
    busy::wait_for_others,
    connection::{BUSY_TIMEOUT, open_file},
    meta::seq_of,
};

/// Longest value that a connection may build: more than any page.
const VALUE_MAX_BYTES: i32 = 1 << 20;
/// Memory for cached pages. Set always: the file's own header may ask for any amount.
const CACHE_KIB: u32 = 2000;
/// The same of a connection that is held for long.
const HELD_CACHE_KIB: u32 = 64;
// Named in `temp`, where no schema of the file can put a table of that name before it; it reads `main` all the same.
const READ_PAGE: &str = "SELECT data FROM temp.sqlite_dbpage WHERE pgno = ?1";
const WRITE_PAGE: &str = "INSERT INTO temp.sqlite_dbpage(pgno, data) VALUES (?1, ?2)";
/// Cuts off this page and all behind it, at the COMMIT.
const CUT: &str = "INSERT INTO temp.sqlite_dbpage(pgno, data) VALUES (?1, NULL)";
const COMMIT: &str = "COMMIT";
/// Where page 1 tells the journal mode, and the schema cookie (SQLite file format, section 1.3).
const FORMAT_VERSIONS: Range<usize> = 18..20;
const SCHEMA_COOKIE: Range<usize> = 40..44;

/// Whether a connection knows the tables of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// It does not: the file is somebody else's.
    Ignored,
    /// It does: the hub itself writes this file.
    Read,
}

fn open(path: &Path, flags: OpenFlags, busy: Duration, schema: Schema) -> Result<Connection> {
    let mut connection = open_file(path, flags)?;
    connection.busy_timeout(busy)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_MAX_BYTES)?;
    connection.execute_batch("PRAGMA writable_schema=ON; PRAGMA trusted_schema=OFF")?;
    if schema == Schema::Ignored {
        ignore_schema(&mut connection)?;
    }
    connection.execute_batch(&format!(
        "PRAGMA synchronous=FULL; PRAGMA cache_size=-{CACHE_KIB}; PRAGMA wal_autocheckpoint=0"
    ))?;
    Ok(connection)
}

fn ignore_schema(connection: &mut Connection) -> Result<()> {
    // SQLite calls it before it hands on the first row of the schema; true breaks the load off.
    connection.progress_handler(1, Some(|| true))?;
    let loaded = connection.prepare("PRAGMA synchronous").map(drop);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    Ok(loaded?)
}

fn read_page(connection: &Connection, page: PageNo, into: &mut Vec<u8>) -> Result<()> {
    let mut statement = connection.prepare_cached(READ_PAGE)?;
    let mut rows = statement.query([page.get()])?;
    let row = rows.next()?.ok_or_else(|| Error::Damaged(format!("page {page} is missing from the file")))?;
    let data = row.get_ref(0)?.as_blob().map_err(|error| Error::Damaged(error.to_string()))?;
    into.extend_from_slice(data);
    Ok(())
}

fn dimensions(connection: &Connection) -> Result<(PageSize, PageCount)> {
    let count: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let size = PageSize::new(size).ok_or_else(|| Error::Damaged(format!("page size {size}")))?;
    Ok((size, PageCount(count)))
}

/// One moment of a file, held by an open read transaction.
pub struct Snapshot {
    connection: Connection,
    page_size: PageSize,
    page_count: PageCount,
}

impl Snapshot {
    /// Opens the file and begins a read transaction. The file must exist.
    ///
    /// # Errors
    /// When SQLite cannot open or lock the file.
    pub fn open(path: &Path, schema: Schema) -> Result<Self> {
        Self::begin(open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, BUSY_TIMEOUT, schema)?)
    }

    /// As [`Self::open`], of a file of the hub's own, with little memory: it may be held for long.
    ///
    /// # Errors
    /// When SQLite cannot open or lock the file.
    pub(super) fn open_held(path: &Path) -> Result<Self> {
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, BUSY_TIMEOUT, Schema::Read)?;
        connection.execute_batch(&format!("PRAGMA cache_size=-{HELD_CACHE_KIB}"))?;
        Self::begin(connection)
    }

    /// main.db alone, without its WAL. Nobody may write the file meanwhile.
    ///
    /// # Errors
    /// When SQLite cannot open the file.
    pub(super) fn open_without_wal(path: &Path) -> Result<Self> {
        let mut connection = crate::connection::open_immutable(path)?;
        connection.execute_batch("PRAGMA writable_schema=ON; PRAGMA trusted_schema=OFF")?;
        ignore_schema(&mut connection)?;
        Self::begin(connection)
    }

    /// A read transaction on a connection that [`Self::end`] gave back.
    ///
    /// # Errors
    /// When SQLite cannot lock the file.
    pub(super) fn begin(connection: Connection) -> Result<Self> {
        connection.execute_batch("BEGIN")?;
        let (page_size, page_count) = dimensions(&connection)?;
        Ok(Self { connection, page_size, page_count })
    }

    /// Ends the read transaction.
    ///
    /// # Errors
    /// When SQLite cannot.
    pub(super) fn end(self) -> Result<Connection> {
        self.connection.execute_batch("COMMIT")?;
        Ok(self.connection)
    }

    /// Bytes per page.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Pages of the image; 0 for an empty file.
    #[must_use]
    pub const fn page_count(&self) -> PageCount {
        self.page_count
    }

    /// Appends the page to `into`, as it stands in the file; the lock page as zeros.
    ///
    /// # Errors
    /// When the page does not exist or cannot be read.
    pub fn read(&self, page: PageNo, into: &mut Vec<u8>) -> Result<()> {
        read_page(&self.connection, page, into)
    }

    /// The newest commit that it shows of a database that the hub writes; opened with [`Schema::Read`].
    ///
    /// # Errors
    /// When the database keeps no such number.
    pub fn seq(&self) -> Result<Seq> {
        seq_of(&NativeSql(&self.connection))
    }

    /// The connection, inside the read transaction.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// A write transaction that replaces pages (PAG-44). Its connection does nothing else and is closed at the end,
/// since it would go on using its parsed pages.
///
/// Between the first page and the COMMIT no statement is prepared (PAG-18), since that would read the schema from
/// pages of two images. SQLite prepares a statement anew, unasked, when it is run and the schema cookie on page 1 is
/// not the one it was prepared for. So all statements are prepared before the first page, and page 1 is written with
/// the cookie that it had; the new cookie comes last, by a pragma, which like COMMIT looks at no cookie.
///
/// Page 1 and the cut are not one statement of two rows, which would look at the cookie only once: SQLite puts a
/// savepoint around such a statement, and at its end believes the page count on page 1, after which there is nothing
/// to cut.
pub struct PageWriter {
    connection: Connection,
    page_size: PageSize,
    page_count: PageCount,
    new: NewImage,
    /// SQLite's count of commits of others, taken while the write lock keeps them away.
    data_version: i64,
}

/// Pages that are committed, and a connection that knows whether others have committed since.
pub struct CommittedPages {
    connection: Connection,
    data_version: i64,
}

impl CommittedPages {
    /// Whether the file is still what was committed.
    ///
    /// # Errors
    /// When SQLite reports one.
    pub fn is_newest(&self) -> Result<bool> {
        Ok(data_version(&self.connection)? == self.data_version)
    }

    /// Moves the WAL, if there is one, into the file and empties it, as far as readers allow without waiting for them.
    ///
    /// # Errors
    /// When SQLite reports one other than busy.
    pub fn checkpoint(&self) -> Result<()> {
        self.connection.busy_timeout(Duration::ZERO)?;
        match self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            Err(error) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }
}

fn data_version(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}

/// What a [`PageWriter`] knows of the image from the start.
struct NewImage {
    page_count: PageCount,
    /// As it will be, but with the schema cookie that the file had.
    page1: Vec<u8>,
    /// The statement that sets the schema cookie.
    set_cookie: String,
}

impl PageWriter {
    /// Opens the file and takes the write lock, waiting for other writers at most `busy`. The image to come has this
    /// page 1, whose journal mode does not count, and this many pages.
    ///
    /// # Errors
    /// When the file cannot be opened or locked, or is empty, or page 1 has another length than the file's pages.
    pub fn begin(path: &Path, busy: Duration, page1: &[u8], page_count: PageCount) -> Result<Self> {
        let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, busy, Schema::Ignored)?;
        wait_for_others(&mut connection, path, busy)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let (page_size, old_count) = dimensions(&connection)?;
        let data_version = data_version(&connection)?;
        if page1.len() != page_size.bytes() {
            return Err(Error::Damaged(format!(
                "page 1 has {} bytes, the file's pages {page_size}",
                page1.len()
            )));
        }
        let mut old = Vec::with_capacity(page_size.bytes());
        // The first statement within the transaction that looks at the schema cookie: what is prepared from here on
        // is prepared for the cookie of this page 1.
        read_page(&connection, PageNo::FIRST, &mut old)?;
        let auto_vacuum: u32 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
        if auto_vacuum == 1 {
            // With auto_vacuum FULL the COMMIT would move pages about by the pointer maps that were there before,
            // and can fail as corrupt. The setting itself comes with the new page 1.
            connection.execute_batch("PRAGMA auto_vacuum=2")?;
        }
        let new = NewImage::over(&old, page1, page_count);
        for statement in [WRITE_PAGE, CUT, &new.set_cookie, COMMIT] {
            // Dropped, it stays in the connection's cache, prepared.
            drop(connection.prepare_cached(statement)?);
        }
        Ok(Self { connection, page_size, page_count: old_count, new, data_version })
    }

    /// Replaces a page other than page 1; the lock page is passed over.
    ///
    /// # Errors
    /// When SQLite refuses it.
    ///
    /// # Panics
    /// If it is page 1.
    pub fn write(&mut self, page: PageNo, data: &[u8]) -> Result<()> {
        assert_ne!(page, PageNo::FIRST, "BUG: page 1 is written last");
        if page == self.page_size.lock_page() {
            return Ok(());
        }
        self.run(WRITE_PAGE, (page.get(), data))
    }

    /// Writes page 1, sets the page count and commits.
    ///
    /// # Errors
    /// When SQLite cannot commit; the file is as before.
    pub fn commit(self) -> Result<()> {
        let committed = self.commit_and_watch()?;
        committed.connection.close().map_err(|(_, error)| error.into())
    }

    /// As [`Self::commit`], but the connection stays, to tell of later commits.
    ///
    /// # Errors
    /// When SQLite cannot commit; the file is as before.
    pub fn commit_and_watch(self) -> Result<CommittedPages> {
        // Nobody else commits while the write lock is held.
        self.run(WRITE_PAGE, (PageNo::FIRST.get(), &self.new.page1))?;
        if self.new.page_count < self.page_count {
            // Behind all pages: one written after it would cancel it.
            self.run(CUT, [u64::from(self.new.page_count.0) + 1])?;
        }
        self.run(&self.new.set_cookie, [])?;
        self.run(COMMIT, [])?;
        Ok(CommittedPages { connection: self.connection, data_version: self.data_version })
    }

    /// Runs one of the statements that [`Self::begin`] prepared.
    fn run(&self, statement: &str, parameters: impl rusqlite::Params) -> Result<()> {
        let mut statement = self.connection.prepare_cached(statement)?;
        statement.execute(parameters)?;
        debug_assert_eq!(
            statement.get_status(StatementStatus::RePrepare),
            0,
            "BUG: the schema was read anew"
        );
        Ok(())
    }
}

impl NewImage {
    fn over(old: &[u8], page1: &[u8], page_count: PageCount) -> Self {
        let cookie = page1[SCHEMA_COOKIE].iter().fold(0, |cookie: i32, byte| cookie << 8 | i32::from(*byte));
        let mut page1 = page1.to_vec();
        page1[SCHEMA_COOKIE].copy_from_slice(&old[SCHEMA_COOKIE]);
        // The file's own journal mode stays.
        page1[FORMAT_VERSIONS].copy_from_slice(&old[FORMAT_VERSIONS]);
        Self { page_count, page1, set_cookie: format!("PRAGMA schema_version={cookie}") }
    }
}

/// Moves the WAL into the file as far as readers allow; true if all of it was moved and the WAL emptied.
///
/// # Errors
/// When SQLite reports one other than busy.
pub fn checkpoint_truncate(path: &Path) -> Result<bool> {
    checkpoint(path, "PRAGMA wal_checkpoint(TRUNCATE)")
}

/// As [`checkpoint_truncate`], but the WAL keeps its length and is overwritten from its start.
///
/// # Errors
/// When SQLite reports one other than busy.
pub fn checkpoint_restart(path: &Path) -> Result<bool> {
    checkpoint(path, "PRAGMA wal_checkpoint(RESTART)")
}

fn checkpoint(path: &Path, pragma: &str) -> Result<bool> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, BUSY_TIMEOUT, Schema::Ignored)?;
    let busy: rusqlite::Result<bool> = connection.query_row(pragma, [], |row| row.get(0));
    let done = match busy {
        Ok(busy) => !busy,
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => false,
        Err(error) => return Err(error.into()),
    };
    connection.close().map_err(|(_, error)| error)?;
    Ok(done)
}

/// Brings the file into WAL mode, in which readers do not hold up the writer.
///
/// # Errors
/// When SQLite cannot change the mode.
pub fn ensure_wal(path: &Path) -> Result<()> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, BUSY_TIMEOUT, Schema::Ignored)?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    connection.close().map_err(|(_, error)| error)?;
    if mode == "wal" { Ok(()) } else { Err(Error::Damaged(format!("journal mode {mode} cannot become WAL"))) }
}

/// R1 at the present version; `None` for an empty image.
pub(super) fn open_present(main: &Path, count: PageCount) -> Result<Option<Snapshot>> {
    if count.0 == 0 {
        return Ok(None);
    }
    let snapshot = Snapshot::open(main, Schema::Ignored)?;
    if snapshot.page_count() != count {
        return Err(Error::Damaged(format!(
            "main.db has {} pages, its index {count}",
            snapshot.page_count()
        )));
    }
    Ok(Some(snapshot))
}
