//! A local database as one read transaction shows it (PAG-60): other programs go on reading and writing.
//!
//! Pages are read through `sqlite_dbpage`, never from the file: closing another descriptor of a file drops
//! the locks that SQLite holds on it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use ferry_core::pages::header::{self, HeaderError};
use ferry_sqlite::{
    busy::wait_for_others,
    connection::{open_file, open_immutable},
    sidecars,
};
use ferry_types::{PageCount, PageNo, PageSize};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig};

use crate::{ClientError, Result};

/// How long a step waits for another program's lock (PAG-64).
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The table of pages. It reads `main`; named in `temp`, no table of the file can stand before it.
pub(super) const PAGES: &str = "temp.sqlite_dbpage";

/// What is found at a path.
pub enum OpenedFile {
    /// Nothing.
    Missing,
    /// A database without any page: a file of 0 bytes.
    Empty,
    /// A database.
    Image(LocalImage),
}

/// A database in a read transaction: nothing that others commit changes what it shows.
pub struct LocalImage {
    connection: Connection,
    path: PathBuf,
    page_size: PageSize,
    page_count: PageCount,
    first: Vec<u8>,
}

/// Whether a connection may tidy up the database's WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileAccess {
    /// As any program: the last connection to close moves the WAL into the file.
    Ordinary,
    /// The database's bytes are not touched, whatever happens.
    ReadOnly,
}

impl LocalImage {
    /// Opens the database at `path` and begins the read transaction.
    ///
    /// # Errors
    /// When the file is no plain SQLite database (PAG-70), is locked by another program or cannot be read.
    pub fn open(path: &Path, access: FileAccess) -> Result<OpenedFile> {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(OpenedFile::Missing),
            Err(error) => {
                return Err(ClientError::file("FILE_UNUSABLE", format!("{}: {error}", path.display())));
            }
            Ok(found) if !found.is_file() => {
                return Err(ClientError::file("FILE_UNUSABLE", format!("{} is not a file", path.display())));
            }
            Ok(_) => {}
        }
        let (connection, count, size) = begin(path, access)?;
        let Some(page_size) = PageSize::new(size) else {
            return Err(not_sqlite(path, "its page size is none that SQLite has"));
        };
        if count == 0 {
            return Ok(OpenedFile::Empty);
        }
        let mut image = Self {
            connection,
            path: path.to_owned(),
            page_size,
            page_count: PageCount(count),
            first: Vec::new(),
        };
        let mut first = vec![0; page_size.bytes()];
        image.read(PageNo::FIRST, &mut first)?;
        match header::check_image(&first, image.page_count) {
            // SQLite counts what is there; the header tells what was.
            Err(HeaderError::PageCount { stated, announced }) if stated > announced => {
                return Err(image.cut_off(file_bytes(path)?, stated));
            }
            checked => checked.map_err(|error| not_sqlite(path, &error.to_string()))?,
        };
        image.first = first;
        image.check_length()?;
        Ok(OpenedFile::Image(image))
    }

    /// Refuses a file whose last pages are missing, in part or whole: SQLite reads zeros there. Where a WAL has content, they
    /// may not be in the file yet.
    fn check_length(&self) -> Result<()> {
        let bytes = file_bytes(&self.path)?;
        let has_wal = sidecars::beside(&self.path, "-wal").metadata().is_ok_and(|wal| wal.len() > 0);
        if has_wal || bytes >= self.bytes() {
            return Ok(());
        }
        Err(self.cut_off(bytes, self.page_count.0))
    }

    fn cut_off(&self, bytes: u64, pages: u32) -> ClientError {
        let message = format!(
            "{} is cut off: {} of {pages} pages are there; restore it from a backup, or move it away and get the hub's \
             version with ferry clone",
            self.path.display(),
            bytes / u64::from(self.page_size.get())
        );
        ClientError::file("FILE_DAMAGED", message)
    }

    /// Where the database lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes per page.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Number of pages.
    #[must_use]
    pub const fn page_count(&self) -> PageCount {
        self.page_count
    }

    /// Bytes of the image.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.page_count.0) * u64::from(self.page_size.get())
    }

    /// Page 1 as it is.
    #[must_use]
    pub fn first_page(&self) -> &[u8] {
        &self.first
    }

    /// Reads one page into `page`, which must have the page's length. The lock page reads as zeros.
    ///
    /// # Errors
    /// When SQLite cannot read it.
    pub fn read(&self, number: PageNo, page: &mut [u8]) -> Result<()> {
        read_page(&self.connection, &self.path, number, page)
    }

    /// All pages in order; `each` gets number and data.
    pub(super) fn read_all(&self, mut each: impl FnMut(PageNo, &[u8])) -> Result<()> {
        let failed = |error: rusqlite::Error| ClientError::sqlite(self.path.display(), &error);
        let mut statement =
            self.connection.prepare(&format!("SELECT pgno, data FROM {PAGES}")).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let number: u32 = row.get(0).map_err(failed)?;
            let data = row.get_ref(1).and_then(|data| Ok(data.as_blob()?)).map_err(failed)?;
            if let Some(number) = PageNo::new(number) {
                each(number, data);
            }
        }
        Ok(())
    }

    /// Has the WAL stay as it is when this connection, perhaps the last one, is closed: what was said of the file with its
    /// [`super::FileMark`] stays true then.
    ///
    /// # Errors
    /// When SQLite reports one.
    pub fn leave_wal(&self) -> Result<()> {
        let has_content = sidecars::beside(&self.path, "-wal").metadata().is_ok_and(|wal| wal.len() > 0);
        if has_content {
            self.connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .map_err(|error| ClientError::sqlite(self.path.display(), &error))?;
        }
        Ok(())
    }

    /// Appends these pages to `into`, page 1 in normal form.
    ///
    /// # Errors
    /// When SQLite cannot read them.
    pub fn read_normal(&self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<()> {
        read_normal(pages, self.page_size, self.page_count, into, |page, data| self.read(page, data))
    }

    /// Whether the file is in WAL mode.
    #[must_use]
    pub fn is_in_wal_mode(&self) -> bool {
        self.first.get(18..20) == Some(&[2, 2])
    }

    /// Which table or index each page belongs to; pages that are in none are left out.
    ///
    /// # Errors
    /// When SQLite cannot read the file's schema or b-trees.
    pub fn tables(&self) -> Result<HashMap<PageNo, String>> {
        let read = || {
            let mut statement = self.connection.prepare("SELECT pageno, name FROM temp.dbstat")?;
            let rows =
                statement.query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?)))?;
            let mut tables = HashMap::new();
            for row in rows {
                let (page, name) = row?;
                tables.extend(PageNo::new(page).map(|page| (page, name)));
            }
            Ok(tables)
        };
        read().map_err(|error: rusqlite::Error| ClientError::sqlite(self.path.display(), &error))
    }

    /// Ends the read transaction; what is left tells whether others have changed the database since.
    ///
    /// # Errors
    /// When SQLite reports one.
    pub fn release(self) -> Result<Base> {
        let failed = |error: rusqlite::Error| ClientError::sqlite(self.path.display(), &error);
        let identity = FileIdentity::of(&self.path)?;
        let data_version = data_version(&self.connection).map_err(failed)?;
        self.connection.execute_batch("COMMIT").map_err(failed)?;
        Ok(Base {
            connection: self.connection,
            path: self.path,
            page_size: self.page_size,
            page_count: self.page_count,
            first: self.first,
            data_version,
            identity,
        })
    }
}

/// A database as it was when it was read, without holding anything of it.
pub struct Base {
    connection: Connection,
    path: PathBuf,
    page_size: PageSize,
    page_count: PageCount,
    first: Vec<u8>,
    data_version: i64,
    identity: FileIdentity,
}

impl Base {
    /// Where the database lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes per page, when it was read.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Number of pages, when it was read.
    #[must_use]
    pub const fn page_count(&self) -> PageCount {
        self.page_count
    }

    /// Page 1, when it was read.
    #[must_use]
    pub fn first_page(&self) -> &[u8] {
        &self.first
    }

    /// Appends these pages to `into`, page 1 in normal form. Whether they are still those of the image tells
    /// [`Self::is_unchanged`] afterwards, and the root that they lead to.
    ///
    /// # Errors
    /// When SQLite cannot read them.
    pub fn read_normal(&self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<()> {
        read_normal(pages, self.page_size, self.page_count, into, |page, data| {
            read_page(&self.connection, &self.path, page, data)
        })
    }

    /// Whether the database is still what was read: nobody committed (SQLite tells a connection of every
    /// commit but its own), and the path still names the same file.
    ///
    /// # Errors
    /// When SQLite or the file system reports one.
    pub fn is_unchanged(&self) -> Result<bool> {
        let now = data_version(&self.connection)
            .map_err(|error| ClientError::sqlite(self.path.display(), &error))?;
        Ok(now == self.data_version && FileIdentity::of(&self.path)? == self.identity)
    }
}

/// Sees that others change a file.
pub struct Watcher {
    connection: Connection,
    path: PathBuf,
    data_version: i64,
    identity: FileIdentity,
}

impl Watcher {
    /// Watches from now on.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error: rusqlite::Error| ClientError::sqlite(path.display(), &error);
        let connection = connect(path, FileAccess::Ordinary).map_err(failed)?;
        let data_version = data_version(&connection).map_err(failed)?;
        Ok(Self { connection, path: path.to_owned(), data_version, identity: FileIdentity::of(path)? })
    }

    /// Whether somebody has committed to it since, or another file has its name.
    ///
    /// # Errors
    /// When SQLite or the file system reports one.
    pub fn has_changed(&self) -> Result<bool> {
        let now = data_version(&self.connection)
            .map_err(|error| ClientError::sqlite(self.path.display(), &error))?;
        Ok(now != self.data_version || FileIdentity::of(&self.path)? != self.identity)
    }
}

fn read_normal(
    pages: &[PageNo],
    size: PageSize,
    count: PageCount,
    into: &mut Vec<u8>,
    read: impl Fn(PageNo, &mut [u8]) -> Result<()>,
) -> Result<()> {
    for page in pages {
        let from = into.len();
        into.resize(from + size.bytes(), 0);
        read(*page, &mut into[from..])?;
        if *page == PageNo::FIRST {
            header::normalize(&mut into[from..], count);
        }
    }
    Ok(())
}

fn read_page(connection: &Connection, path: &Path, number: PageNo, page: &mut [u8]) -> Result<()> {
    let found = connection
        .prepare_cached(&format!("SELECT data FROM {PAGES} WHERE pgno = ?1"))
        .and_then(|mut statement| {
            statement
                .query_row([number.get()], |row| {
                    let data = row.get_ref(0)?.as_blob()?;
                    let whole = data.len() == page.len();
                    if whole {
                        page.copy_from_slice(data);
                    }
                    Ok(whole)
                })
                .optional()
        })
        .map_err(|error| ClientError::sqlite(path.display(), &error))?;
    match found {
        Some(true) => Ok(()),
        _ => {
            let message = format!("{}: page {number} cannot be read", path.display());
            Err(ClientError::file("FILE_DAMAGED", message))
        }
    }
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// Which file a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    fn of(path: &Path) -> Result<Self> {
        let found = std::fs::metadata(path)
            .map_err(|error| ClientError::file("FILE_UNUSABLE", format!("{}: {error}", path.display())))?;
        Ok(Self::read(&found))
    }

    #[cfg(unix)]
    fn read(found: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self { device: found.dev(), inode: found.ino() }
    }

    #[cfg(not(unix))]
    fn read(_found: &std::fs::Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}

/// Opens the database and begins the read transaction; the number of its pages, and their size.
fn begin(path: &Path, access: FileAccess) -> Result<(Connection, u32, u32)> {
    let snapshot = |connection: Connection| {
        connection.execute_batch("BEGIN")?;
        // The first statement that reads takes the snapshot; the size of pages is known only after it.
        let count: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        Ok((connection, count, size))
    };
    match connect(path, access).and_then(snapshot) {
        Err(error) if is_shut(&error) && is_in_wal_mode(path) => {
            // SQLite wants to make files beside a database in WAL mode, and the folder takes none.
            if sidecars::beside(path, "-wal").metadata().is_ok_and(|wal| wal.len() > 0) {
                let message = format!(
                    "{0}: its folder cannot be written, and {0}-wal holds changes that SQLite cannot read there: copy \
                     both files to a folder of yours, and use the copy",
                    path.display()
                );
                return Err(ClientError::file("FILE_UNUSABLE", message));
            }
            // Without a WAL nobody has it open.
            open_immutable(path).and_then(distrusting).and_then(snapshot)
        }
        begun => begun,
    }
    .map_err(|error| ClientError::sqlite(path.display(), &error))
}

fn is_shut(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly | PermissionDenied))
}

/// Whether the header says so (SQLite file format, 1.3.3). Nobody of this process has the file open, so that closing it
/// drops no lock.
fn is_in_wal_mode(path: &Path) -> bool {
    let mut header = [0; 20];
    let read =
        std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut header));
    read.is_ok() && header[18..] == [2, 2]
}

/// Opens a database file that exists.
pub(crate) fn connect(path: &Path, access: FileAccess) -> rusqlite::Result<Connection> {
    let mode = match access {
        FileAccess::Ordinary => OpenFlags::SQLITE_OPEN_READ_WRITE,
        FileAccess::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let mut connection = open_file(path, mode)?;
    wait_for_others(&mut connection, path, BUSY_TIMEOUT)?;
    distrusting(connection)
}

fn distrusting(connection: Connection) -> rusqlite::Result<Connection> {
    // The file may come from anywhere: none of the SQL in its schema is trusted, and a schema that cannot be
    // parsed does not keep its pages from being read.
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA writable_schema = ON")?;
    Ok(connection)
}

fn file_bytes(path: &Path) -> Result<u64> {
    let found = std::fs::metadata(path)
        .map_err(|error| ClientError::file("FILE_UNUSABLE", format!("{}: {error}", path.display())))?;
    Ok(found.len())
}

fn not_sqlite(path: &Path, why: &str) -> ClientError {
    ClientError::file(
        "NOT_SQLITE",
        format!("{}: not a plain SQLite database (encrypted?): {why}", path.display()),
    )
}
