//! Databases that are new: the file is written whole, with the tables of the model that will use it. Had SQLite to make
//! it, that would be a rollback journal, some twenty statements to parse and several waits for the disk.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use ferry_core::pages::header;
use rusqlite::Connection;

use crate::{Error, NativeSql, Result, connection, folder, meta::META};

/// A database that holds nothing but empty tables, as the bytes of its file.
#[derive(Clone, Debug)]
pub struct Blank(Vec<u8>);

impl Blank {
    /// One with the tables that `make` makes.
    ///
    /// # Errors
    /// What `make` reports.
    pub fn with(make: impl FnOnce(&NativeSql<'_>) -> Result<()>) -> Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(META)?;
        make(&NativeSql(&connection))?;
        bytes_of(&connection).map(Self)
    }

    /// Writes it to `path`, where no file is, and brings it onto the disk. Its name is there as soon as the first commit
    /// is, since SQLite syncs the folder when it makes the WAL.
    ///
    /// # Errors
    /// When the file or its folder cannot be written.
    pub(crate) fn make(&self, path: &Path) -> Result<()> {
        write_new(path, &self.0)
    }
}

/// The file, in WAL mode, that a database in memory would be, with what its open transaction changed.
pub(crate) fn bytes_of(memory: &Connection) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut statement = memory.prepare_cached("SELECT data FROM sqlite_dbpage ORDER BY pgno")?;
    let mut pages = statement.query([])?;
    while let Some(page) = pages.next()? {
        let data = page.get_ref(0)?.as_blob().map_err(|_| Error::Damaged("a page is no blob".into()))?;
        bytes.extend_from_slice(data);
    }
    header::mark_wal(&mut bytes);
    Ok(bytes)
}

/// Brings a file onto the disk under the name `path`, where none is. The name itself may be lost until its folder is synced.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    connection::set_leftovers_aside(path)?;
    if let Some(folder) = path.parent() {
        folder::create(folder)?;
    }
    // Never half of it under its own name.
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&new, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Writer;

    #[test]
    fn a_blank_is_a_sound_database_in_wal_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("main.db");
        let blank = Blank::with(|sql| {
            sql.0
                .execute_batch("CREATE TABLE a(x PRIMARY KEY); CREATE TABLE b(x); CREATE INDEX c ON b(x)")?;
            Ok(())
        });
        let mut writer = Writer::open_or_make(&path, &blank.unwrap()).unwrap();
        writer.connection().execute_batch("INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)").unwrap();
        let text = |sql: &str, writer: &mut Writer| -> String {
            writer.connection().query_row(sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(text("PRAGMA integrity_check", &mut writer), "ok");
        assert_eq!(text("PRAGMA journal_mode", &mut writer), "wal");
        writer.close().unwrap();
        let left: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["main.db"]);
        let mut again = Writer::open(&path).unwrap();
        assert_eq!(text("SELECT count(*) || '' FROM a JOIN b", &mut again), "1");
    }
}
