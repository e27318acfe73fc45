//! Single pages of a live SQLite file, read and written through `sqlite_dbpage`, so that SQLite's own locks and
//! its WAL hold for them too. Works on any SQLite file, in either journal mode.
//!
//! The file may be hostile. A schema that cannot be parsed must not keep its pages from being read, so errors of
//! schema loading are ignored (`writable_schema`), and none of its SQL is trusted.

use std::{path::Path, time::Duration};

use ferry_types::{PageCount, PageNo, PageSize};
use rusqlite::{Connection, OpenFlags, limits::Limit};

use crate::{
    Error, Result,
    connection::{BUSY_TIMEOUT, open_file},
};

/// Longest row of a schema that is loaded; longer ones are left out, which harms nobody here.
const SCHEMA_ROW_MAX_BYTES: i32 = 1 << 20;
// Named in `temp`, where no schema of the file can put a table of that name before it; it reads `main` all the same.
const READ_PAGE: &str = "SELECT data FROM temp.sqlite_dbpage WHERE pgno = ?1";
const WRITE_PAGE: &str = "INSERT INTO temp.sqlite_dbpage(pgno, data) VALUES (?1, ?2)";

fn open(path: &Path, flags: OpenFlags, busy: Duration) -> Result<Connection> {
    let connection = open_file(path, flags)?;
    connection.busy_timeout(busy)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, SCHEMA_ROW_MAX_BYTES)?;
    connection.execute_batch(
        "PRAGMA writable_schema=ON; PRAGMA trusted_schema=OFF; PRAGMA synchronous=FULL; \
         PRAGMA wal_autocheckpoint=0;",
    )?;
    Ok(connection)
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
    pub fn open(path: &Path) -> Result<Self> {
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, BUSY_TIMEOUT)?;
        connection.execute_batch("BEGIN")?;
        let (page_size, page_count) = dimensions(&connection)?;
        Ok(Self { connection, page_size, page_count })
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

    /// The connection, inside the read transaction.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// A write transaction that replaces pages (PAG-44). Its connection does nothing else and is closed at the end,
/// since it would go on using its parsed pages.
pub struct PageWriter {
    connection: Connection,
    page_size: PageSize,
    page_count: PageCount,
    /// Bytes 18 and 19 of page 1: the file's own journal mode, which stays.
    own_format: [u8; 2],
    must_write_page1: bool,
    wrote_page1: bool,
}

impl PageWriter {
    /// Opens the file and takes the write lock, waiting for other writers at most `busy`.
    ///
    /// # Errors
    /// When the file cannot be opened or locked, or is empty.
    pub fn begin(path: &Path, busy: Duration) -> Result<Self> {
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, busy)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let auto_vacuum: u32 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
        if auto_vacuum == 1 {
            // With auto_vacuum FULL the COMMIT would move pages about by the pointer maps that were there before,
            // and can fail as corrupt. The setting itself comes with the new page 1.
            connection.execute_batch("PRAGMA auto_vacuum=2")?;
        }
        let (page_size, page_count) = dimensions(&connection)?;
        let mut page1 = Vec::with_capacity(page_size.bytes());
        read_page(&connection, PageNo::FIRST, &mut page1)?;
        let own_format = [page1[18], page1[19]];
        let must_write_page1 = auto_vacuum == 1;
        Ok(Self { connection, page_size, page_count, own_format, must_write_page1, wrote_page1: false })
    }

    /// Bytes per page; a page of another length cannot be written.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Pages of the file before the transaction.
    #[must_use]
    pub const fn page_count(&self) -> PageCount {
        self.page_count
    }

    /// Appends the present content of the page to `into`: to see, under the write lock, what is replaced.
    ///
    /// # Errors
    /// When the page does not exist or cannot be read.
    pub fn read(&self, page: PageNo, into: &mut Vec<u8>) -> Result<()> {
        read_page(&self.connection, page, into)
    }

    /// Replaces the page. Page 1 keeps the file's own journal mode; the lock page is passed over.
    ///
    /// # Errors
    /// When SQLite refuses it.
    pub fn write(&mut self, page: PageNo, data: &[u8]) -> Result<()> {
        if page == self.page_size.lock_page() {
            return Ok(());
        }
        if page == PageNo::FIRST {
            let mut page1 = data.to_vec();
            page1[18..20].copy_from_slice(&self.own_format);
            self.wrote_page1 = true;
            return self.insert(page, &page1);
        }
        self.insert(page, data)
    }

    fn insert(&self, page: PageNo, data: &[u8]) -> Result<()> {
        self.connection.prepare_cached(WRITE_PAGE)?.execute((page.get(), data))?;
        Ok(())
    }

    /// Sets the page count and commits.
    ///
    /// # Errors
    /// When SQLite cannot commit; the file is as before.
    ///
    /// # Panics
    /// If page 1 was not written although the file has `auto_vacuum` FULL.
    pub fn commit(self, page_count: PageCount) -> Result<()> {
        assert!(self.wrote_page1 || !self.must_write_page1, "BUG: page 1 must be among the pages written");
        if page_count < self.page_count {
            // Last: a page written after it would cancel it.
            let cut: (u64, Option<&[u8]>) = (u64::from(page_count.0) + 1, None);
            self.connection.prepare_cached(WRITE_PAGE)?.execute(cut)?;
        }
        self.connection.execute_batch("COMMIT")?;
        self.connection.close().map_err(|(_, error)| error.into())
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
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, BUSY_TIMEOUT)?;
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
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, BUSY_TIMEOUT)?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    connection.close().map_err(|(_, error)| error)?;
    if mode == "wal" { Ok(()) } else { Err(Error::Damaged(format!("journal mode {mode} cannot become WAL"))) }
}
