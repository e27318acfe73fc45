//! Sample databases: the standard one of the page benchmarks, and small ones of every shape SQLite knows.

use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use rusqlite::Connection;

use crate::rng::Rng;

/// Rows of the standard database at its full size of 102 MB.
pub const STANDARD_ROWS: u64 = 400_000;

/// Makes the standard database (pages specification, section 7) with `rows` rows: page size 4096, WAL mode,
/// checkpointed. Equal seeds give equal content.
///
/// # Panics
/// If the file cannot be written.
pub fn standard(path: &Path, rows: u64, seed: u64) {
    let mut connection = Connection::open(path).expect("the file can be made");
    connection
        .execute_batch(
            "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
             CREATE TABLE t(id INTEGER PRIMARY KEY, uid TEXT, name TEXT, note TEXT, amount REAL, ts INTEGER);",
        )
        .expect("the schema is made");
    append(&mut connection, rows, seed);
    connection
        .execute_batch(
            "CREATE INDEX t_uid ON t(uid); CREATE INDEX t_ts ON t(ts); PRAGMA wal_checkpoint(TRUNCATE);",
        )
        .expect("the indexes are made");
}

/// Appends `rows` rows of the same generator to a standard database.
///
/// # Panics
/// If the file cannot be written.
pub fn append(connection: &mut Connection, rows: u64, seed: u64) {
    let mut rng = Rng::new(seed);
    let words: Vec<String> = (0..3000).map(|_| word(&mut rng)).collect();
    let first: u64 = connection
        .query_row("SELECT coalesce(max(id), 0) + 1 FROM t", [], |row| row.get(0))
        .expect("the table is there");
    let transaction = connection.transaction().expect("a transaction begins");
    {
        let mut insert =
            transaction.prepare("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5, ?6)").expect("the table is there");
        for id in first..first + rows {
            let uid = format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64());
            let name = text(&mut rng, &words, 2);
            let note_words = 8 + rng.below(21);
            let note = text(&mut rng, &words, note_words);
            let amount = rng.below(1_000_001) as f64 / 100.0;
            insert
                .execute((id, uid, name, note, amount, 1_700_000_000 + 7 * id))
                .expect("the row is written");
        }
    }
    transaction.commit().expect("the rows are committed");
}

fn word(rng: &mut Rng) -> String {
    let length = 3 + rng.below(7);
    (0..length).map(|_| char::from(b'a' + rng.below(26) as u8)).collect()
}

fn text(rng: &mut Rng, words: &[String], count: u64) -> String {
    let picked: Vec<&str> =
        (0..count).map(|_| words[rng.below(words.len() as u64) as usize].as_str()).collect();
    picked.join(" ")
}

/// What a file looks like from outside, whatever its tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes per page.
    pub page_size: u32,
    /// 0 none, 1 full, 2 incremental.
    pub auto_vacuum: u8,
    /// Bytes at the end of each page that SQLite leaves alone.
    pub reserved: u8,
    /// Text as UTF-16 instead of UTF-8.
    pub utf16: bool,
    /// WAL instead of a rollback journal.
    pub wal: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { page_size: 4096, auto_vacuum: 0, reserved: 0, utf16: false, wal: false }
    }
}

impl Shape {
    /// Makes a database of this shape with `rows` rows in two tables and an index, and closes it.
    ///
    /// # Panics
    /// If SQLite does not take the shape.
    pub fn create(self, path: &Path, rows: u32, seed: u64) {
        {
            let connection = Connection::open(path).expect("the file can be made");
            let encoding = if self.utf16 { "UTF-16le" } else { "UTF-8" };
            connection
                .execute_batch(&format!(
                    "PRAGMA page_size={}; PRAGMA encoding='{encoding}'; PRAGMA auto_vacuum={}; PRAGMA user_version=1;",
                    self.page_size, self.auto_vacuum
                ))
                .expect("SQLite takes the shape");
        }
        if self.reserved > 0 {
            reserve(path, self.page_size, self.reserved);
        }
        let connection = Connection::open(path).expect("the file opens");
        if self.wal {
            let mode: String = connection
                .query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))
                .expect("SQLite takes the journal mode");
            assert_eq!(mode, "wal");
        }
        connection
            .execute_batch(
                "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT NOT NULL, body BLOB, price REAL);
                 CREATE TABLE tag(name TEXT PRIMARY KEY, item INTEGER) WITHOUT ROWID;
                 CREATE INDEX item_name ON item(name);",
            )
            .expect("the schema is made");
        self.fill(&connection, rows, seed);
        assert_eq!(integrity(&connection), "ok", "{self:?}");
    }

    /// Adds `rows` rows to a database of [`Self::create`].
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn fill(self, connection: &Connection, rows: u32, seed: u64) {
        let mut rng = Rng::new(seed);
        connection.execute_batch("BEGIN").expect("a transaction begins");
        for _ in 0..rows {
            let name = format!("item {:08x} – größe", rng.next_u64() as u32);
            let body_bytes = rng.below(300) as usize;
            let body = rng.bytes(body_bytes);
            let price = rng.below(100_000) as f64 / 100.0;
            connection
                .prepare_cached("INSERT INTO item(name, body, price) VALUES (?1, ?2, ?3)")
                .and_then(|mut insert| insert.execute((name, body, price)))
                .expect("the row is written");
            let id = connection.last_insert_rowid();
            connection
                .prepare_cached("INSERT OR REPLACE INTO tag VALUES (?1, ?2)")
                .and_then(|mut insert| insert.execute((format!("tag-{:x}", rng.below(1_000_000)), id)))
                .expect("the row is written");
        }
        connection.execute_batch("COMMIT").expect("the rows are committed");
    }
}

/// Sets the reserved bytes of a database that is still one empty page: byte 20 of the header, and the start of
/// the cell area of the empty schema table (SQLite file format, sections 1.3.4 and 1.6).
fn reserve(path: &Path, page_size: u32, reserved: u8) {
    assert_eq!(fs::metadata(path).expect("the file is there").len() % u64::from(page_size), 0);
    let usable = page_size - u32::from(reserved);
    let mut file = OpenOptions::new().write(true).open(path).expect("the file opens");
    let mut put = |at: u64, bytes: &[u8]| {
        file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes)).expect("the file can be written");
    };
    put(20, &[reserved]);
    // 0 stands for 65536, which a page with reserved bytes never has.
    put(105, &u16::try_from(usable).expect("BUG: usable is below 65536").to_be_bytes());
}

/// The first line of `PRAGMA integrity_check`.
///
/// # Panics
/// If the file cannot be read.
#[must_use]
pub fn integrity(connection: &Connection) -> String {
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("the check runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_a_sound_database() {
        let dir = tempfile::tempdir().unwrap();
        let mut made = 0;
        for page_size in [512, 4096, 65536] {
            for auto_vacuum in [0, 1, 2] {
                for reserved in [0, 32] {
                    for utf16 in [false, true] {
                        let shape = Shape { page_size, auto_vacuum, reserved, utf16, wal: made % 2 == 0 };
                        let path = dir.path().join(format!("{made}.db"));
                        shape.create(&path, 50, made);
                        let header = fs::read(&path).unwrap();
                        assert_eq!(header[20], reserved);
                        assert_eq!(header[18], if shape.wal { 2 } else { 1 });
                        made += 1;
                    }
                }
            }
        }
    }

    #[test]
    fn the_standard_database_is_deterministic() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["one.db", "two.db"].map(|name| dir.path().join(name));
        standard(&one, 500, 7);
        standard(&two, 500, 7);
        assert_eq!(crate::dump::dump(&one), crate::dump::dump(&two));
    }
}
