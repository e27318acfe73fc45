//! Whether two databases hold the same, as SQLite sees them: same schema, same rows in every table.

use std::path::Path;

use rusqlite::{Connection, types::ValueRef};

use super::image::{FileAccess, connect};
use crate::{ClientError, Result};

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Tables compared.
    pub tables: usize,
    /// Rows compared.
    pub rows: u64,
    /// What differs: names of tables, or `schema`. Empty: equal.
    pub differing: Vec<String>,
}

/// Compares schema and rows of two database files. Both are only read, each in one read transaction. Virtual
/// tables are compared through the tables they keep their content in.
///
/// # Errors
/// When one of them cannot be read.
pub fn contents(left: &Path, right: &Path) -> Result<Comparison> {
    let (left, right) = (Side::open(left)?, Side::open(right)?);
    let mut found = Comparison::default();
    if left.schema()? != right.schema()? {
        found.differing.push("schema".into());
        return Ok(found);
    }
    for table in left.tables()? {
        let (digest, rows) = left.digest(&table)?;
        found.tables += 1;
        found.rows += rows;
        if right.digest(&table)? != (digest, rows) {
            found.differing.push(table);
        }
    }
    Ok(found)
}

/// What `PRAGMA integrity_check` says; `ok` if nothing is wrong.
///
/// # Errors
/// When the file cannot be read.
pub fn integrity(file: &Path) -> Result<String> {
    let side = Side::open(file)?;
    side.connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| side.failed(&error))
}

struct Side {
    connection: Connection,
    shown: String,
}

impl Side {
    fn open(file: &Path) -> Result<Self> {
        let shown = file.display().to_string();
        let failed = |error: rusqlite::Error| ClientError::sqlite(&shown, &error);
        let connection = connect(file, FileAccess::ReadOnly).map_err(failed)?;
        // Here the schema matters: what is wrong with it must be seen.
        connection.execute_batch("PRAGMA writable_schema = OFF; BEGIN").map_err(failed)?;
        Ok(Self { connection, shown })
    }

    fn failed(&self, error: &rusqlite::Error) -> ClientError {
        ClientError::sqlite(&self.shown, error)
    }

    fn schema(&self) -> Result<Vec<(String, String, Option<String>)>> {
        let rows = self
            .connection
            .prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
            .and_then(|mut statement| {
                statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
            });
        rows.map_err(|error| self.failed(&error))
    }

    /// Tables with rows of their own: a virtual table has no root page.
    fn tables(&self) -> Result<Vec<String>> {
        let rows = self
            .connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect());
        rows.map_err(|error| self.failed(&error))
    }

    /// Digest over all rows in their stored order, types included, and how many they are.
    fn digest(&self, table: &str) -> Result<([u8; 32], u64)> {
        let digested = (|| {
            let quoted = table.replace('"', "\"\"");
            let mut statement =
                self.connection.prepare(&format!("SELECT * FROM \"{quoted}\" NOT INDEXED"))?;
            let columns = statement.column_count();
            let mut rows = statement.query([])?;
            let mut hasher = blake3::Hasher::new();
            let mut count = 0;
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    hash_value(&mut hasher, row.get_ref(column)?);
                }
                count += 1;
            }
            Ok((hasher.finalize().into(), count))
        })();
        digested.map_err(|error: rusqlite::Error| self.failed(&error))
    }
}

fn hash_value(hasher: &mut blake3::Hasher, value: ValueRef<'_>) {
    let mut add = |kind: u8, bytes: &[u8]| {
        hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    match value {
        ValueRef::Null => add(0, &[]),
        ValueRef::Integer(integer) => add(1, &integer.to_le_bytes()),
        ValueRef::Real(real) => add(2, &real.to_bits().to_le_bytes()),
        ValueRef::Text(text) => add(3, text),
        ValueRef::Blob(blob) => add(4, blob),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(dir: &tempfile::TempDir, name: &str, sql: &str) -> std::path::PathBuf {
        let path = dir.path().join(name);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        path
    }

    #[test]
    fn equal_rows_in_other_pages_are_equal_and_other_types_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let a = database(&dir, "a", "CREATE TABLE t(x); INSERT INTO t VALUES (1), ('1'), (NULL), (x'00')");
        let b = database(
            &dir,
            "b",
            "PRAGMA page_size=512; CREATE TABLE t(x); INSERT INTO t VALUES (1), ('1'), (NULL), (x'00')",
        );
        let c = database(&dir, "c", "CREATE TABLE t(x); INSERT INTO t VALUES (1), (1), (NULL), (x'00')");
        let equal = contents(&a, &b).unwrap();
        assert_eq!(equal, Comparison { tables: 1, rows: 4, differing: vec![] });
        assert_eq!(contents(&a, &c).unwrap().differing, ["t"]);
        assert_eq!(integrity(&a).unwrap(), "ok");
    }

    #[test]
    fn another_schema_differs() {
        let dir = tempfile::tempdir().unwrap();
        let a = database(&dir, "a", "CREATE TABLE t(x)");
        let b = database(&dir, "b", "CREATE TABLE t(x); CREATE INDEX i ON t(x)");
        assert_eq!(contents(&a, &b).unwrap().differing, ["schema"]);
    }
}
