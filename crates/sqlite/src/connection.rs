//! How Ferry opens SQLite files. Every connection to a file is opened here: [`open_file`] for files of others, and for
//! the hub's own [`open_writer`], in WAL mode with `synchronous=FULL`, so that a COMMIT that returned is on disk.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{Result, fault, sidecars};

/// How long a connection waits for another process's lock. The hub holds its files alone; this covers a
/// person's `sqlite3` shell.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per reading connection.
const STATEMENT_CACHE: usize = 64;
/// The same of the writer, which runs the statements of all models. One takes about 3 KB, and only what is used is kept.
const WRITER_STATEMENT_CACHE: usize = 128;

/// Opens the file called `path`, whatever its name looks like. SQLite, as it is built here, takes a name that begins with
/// `file:` for a URI even if no flag asks for it, and `:memory:` and the empty name for no file at all.
///
/// # Errors
/// When SQLite cannot open it.
pub fn open_file(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(as_file_name(path), plain(flags))
}

/// The same through SQLite's VFS called `vfs`.
///
/// # Errors
/// When SQLite cannot open it.
pub fn open_file_with_vfs(
    path: &Path,
    flags: OpenFlags,
    vfs: &std::ffi::CStr,
) -> rusqlite::Result<Connection> {
    Connection::open_with_flags_and_vfs(as_file_name(path), plain(flags), vfs)
}

/// Opens a file that nobody writes, for reading, without locks and without any file beside it: the only way to read a
/// WAL database in a folder that takes no new files. Whoever writes it meanwhile goes unnoticed.
///
/// # Errors
/// When SQLite cannot open it.
pub fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.') {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri + "?immutable=1", flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn plain(flags: OpenFlags) -> OpenFlags {
    flags.difference(OpenFlags::SQLITE_OPEN_URI) | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// The path in a form that is a file's name to SQLite: it begins with `/` or `./`.
fn as_file_name(path: &Path) -> Cow<'_, Path> {
    if path.is_absolute() { Cow::Borrowed(path) } else { Cow::Owned(PathBuf::from(".").join(path)) }
}

/// Opens `path` for writing, creating it, in WAL mode with durable commits. Checkpoints are the caller's. A new file
/// never meets the WAL or journal of an older one: what lies there is set aside first.
///
/// # Errors
/// When SQLite cannot open or configure the file.
pub fn open_writer(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    if !path.exists() {
        set_leftovers_aside(path)?;
    }
    let connection = open_file(path, flags)?;
    keep_plans(&connection)?;
    narrow(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(WRITER_STATEMENT_CACHE);
    // Before-images of a savepoint's pages stay in memory, in small pieces: in a file's place SQLite takes 64 KiB from the
    // allocator for each savepoint, and gives them back.
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0;
         PRAGMA temp_store=MEMORY;",
    )?;
    if !fault::synced() {
        connection.execute_batch("PRAGMA synchronous=OFF")?;
    }
    Ok(connection)
}

/// Opens a database in memory that is used as [`open_writer`]'s are.
pub(crate) fn open_memory() -> Result<Connection> {
    let connection = Connection::open_in_memory()?;
    keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(WRITER_STATEMENT_CACHE);
    connection.execute_batch("PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;")?;
    Ok(connection)
}

/// Has SQLite plan a statement by its text alone. Else it parses a kept one anew whenever a value is bound that its plan
/// might depend on, such as that of a LIMIT: at every use.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Sets aside what a lost file left beside `path`, which must not meet a new one.
pub(crate) fn set_leftovers_aside(path: &Path) -> Result<()> {
    for (from, to) in sidecars::set_aside(path)? {
        tracing::warn!(from = %from.display(), to = %to.display(), "left over from a lost file: set aside");
    }
    Ok(())
}

/// Takes the rights of others from a file of an earlier version; what SQLite makes beside it gets its mode.
fn narrow(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = path.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o700))
}

/// Opens a database without a name, which is gone when it is closed. What it cannot keep in memory lies in a file.
///
/// # Errors
/// When SQLite cannot open it.
pub fn open_temporary() -> Result<Connection> {
    Ok(Connection::open("")?)
}

/// Opens an existing database for reading only.
///
/// # Errors
/// When the file is missing or SQLite cannot open it.
pub fn open_reader(path: &Path) -> Result<Connection> {
    let connection = open_file(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    keep_plans(&connection)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ferry push file:x.db` sent `x.db`: SQLite had read the name as a URI.
    #[test]
    fn no_file_name_is_read_as_a_uri() {
        for name in ["file:x.db", "file:x.db?mode=memory", ":memory:", "x.db?mode=ro", "%41.db"] {
            let shown = as_file_name(Path::new(name)).into_owned();
            assert_eq!(shown.file_name().unwrap(), name);
            assert!(shown.as_os_str().as_encoded_bytes().starts_with(b"./"), "{}", shown.display());
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(name);
            let flags = OpenFlags::default();
            open_file(&path, flags).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
            assert!(path.is_file(), "{name}");
        }
        assert!(open_file(Path::new(""), OpenFlags::default()).is_err(), "no name is no file");
    }

    /// Each use of a kept statement with a LIMIT parsed it anew, and so did each that looked for the last row of an index.
    #[test]
    fn a_kept_statement_is_parsed_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.db");
        let writer = open_writer(&path).unwrap();
        writer
            .execute_batch("CREATE TABLE t(a TEXT, b INTEGER, PRIMARY KEY(a, b)) WITHOUT ROWID; INSERT INTO t VALUES ('x', 1)")
            .unwrap();
        let reader = open_reader(&path).unwrap();
        for connection in [&writer, &reader] {
            for text in [
                "SELECT b FROM t WHERE a = ?1 ORDER BY b DESC LIMIT 1",
                "SELECT b FROM t WHERE a > ?1 ORDER BY b LIMIT 1",
            ] {
                for value in ["x", "a", "x"] {
                    let mut statement = connection.prepare_cached(text).unwrap();
                    let _ = statement.query_row([value], |row| row.get::<_, i64>(0));
                    assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0, "{text}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_nobody_writes_is_read_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a #?%41 é.db");
        open_file(&path, OpenFlags::default()).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
        let count = "SELECT count(*) FROM sqlite_schema";
        let found: u32 = open_immutable(&path).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(found, 1);
    }
}
