//! Whether a database's file is the one that its WAL belongs to. SQLite cannot tell: an older `main.db` that was put back alone, beside
//! the WAL of a hub that was killed, is read as one that lacks nothing, with pages of two times. So each WAL says in its first
//! commit, in `_ferry_meta`, how far the file was when it began: a file that is not as far is another one.

use std::path::Path;

use ferry_types::{Reason, Seq};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig};

use crate::{Error, NativeSql, Result, connection, meta::seq_of, sidecars};

/// Under which key it stands: the newest commit that the file had by itself.
const IN_FILE: &str = "in_file";
/// A WAL that is no longer holds nothing (SQLite file format, section 4.1).
const WAL_HEADER_BYTES: u64 = 32;

/// Whether all that was committed stands in the file itself.
pub(crate) fn is_empty(main: &Path) -> bool {
    sidecars::beside(main, "-wal").metadata().map_or(0, |wal| wal.len()) <= WAL_HEADER_BYTES
}

/// Notes, in the transaction of a commit, that the file has all up to `seq` by itself.
pub(crate) fn note(connection: &Connection, seq: Seq) -> Result<()> {
    let value = i64::try_from(seq.0).unwrap_or(i64::MAX);
    let sql = "INSERT INTO _ferry_meta(key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute((IN_FILE, value))?;
    Ok(())
}

/// Looks whether the file `main` belongs to the WAL beside it, before anything else opens the two together. Nothing is changed, and a WAL
/// without the note, such as an older program's, fits.
///
/// # Errors
/// A refusal that says what to do, when it does not.
pub fn check(main: &Path) -> Result<()> {
    if is_empty(main) || !main.exists() {
        return Ok(());
    }
    // Whatever else is wrong with them is told by whoever reads them.
    let (Ok(Some(both)), Ok(alone)) = (read_both(main), read_alone(main)) else { return Ok(()) };
    let (in_file, seq) = both;
    // A copy that was numbered anew brought the note of another file along.
    if alone >= in_file || in_file > seq {
        return Ok(());
    }
    Err(Error::Refused(ferry_types::Error::new(
        Reason::Unavailable,
        "the database's file main.db is older than the main.db-wal beside it belongs to: it was put back alone, and nothing is \
         served of the two together. On the hub's machine, put back the main.db that was there; or, to go on from the older \
         one, move main.db-wal and main.db-shm away: what they hold is lost then, and clients are told",
    )))
}

/// How far the file and the WAL are together, and how far the file was when that began; `None`: it does not say.
fn read_both(main: &Path) -> Result<Option<(Seq, Seq)>> {
    let connection = connection::open_file(main, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Else closing it would bring the WAL into the file.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(connection::BUSY_TIMEOUT)?;
    if !connection.table_exists(None, "_ferry_meta")? {
        return Ok(None);
    }
    let sql = "SELECT value FROM _ferry_meta WHERE key = ?1";
    let in_file: Option<i64> = connection.query_row(sql, [IN_FILE], |row| row.get(0)).optional()?;
    let Some(in_file) = in_file.and_then(|value| u64::try_from(value).ok()) else { return Ok(None) };
    Ok(Some((Seq(in_file), seq_of(&NativeSql(&connection))?)))
}

fn read_alone(main: &Path) -> Result<Seq> {
    let connection = connection::open_immutable(main)?;
    if !connection.table_exists(None, "_ferry_meta")? {
        return Ok(Seq(0));
    }
    seq_of(&NativeSql(&connection))
}
