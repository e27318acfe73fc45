//! The content of a database as text, and its image, for comparison.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, types::ValueRef};

/// Schema and rows of a database, like the shell's `.dump`: one line per object and row, in a fixed order.
///
/// # Panics
/// If the file cannot be read or `integrity_check` finds fault with it.
#[must_use]
pub fn dump(path: &Path) -> Vec<String> {
    let connection = open(path);
    assert_eq!(crate::sample::integrity(&connection), "ok", "{}", path.display());
    let mut lines = Vec::new();
    let mut schema = connection
        .prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
        .expect("the schema is readable");
    let objects: Vec<(String, String, Option<String>)> = schema
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .and_then(Iterator::collect)
        .expect("the schema is readable");
    for (kind, name, sql) in &objects {
        lines.push(format!("{kind} {name}: {}", sql.as_deref().unwrap_or("")));
    }
    for (_, table, _) in objects.iter().filter(|(kind, ..)| kind == "table") {
        rows(&connection, table, &mut lines);
    }
    lines
}

/// The rows of one table, in the order of its key.
fn rows(connection: &Connection, table: &str, lines: &mut Vec<String>) {
    let mut statement = connection
        .prepare(&format!("SELECT * FROM \"{}\"", table.replace('"', "\"\"")))
        .expect("the table is readable");
    let columns = statement.column_count();
    let mut rows = statement.query([]).expect("the table is readable");
    while let Some(row) = rows.next().expect("the table is readable") {
        let values: Vec<String> = (0..columns)
            .map(|column| match row.get_ref(column).expect("the column is there") {
                ValueRef::Null => "NULL".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => format!("{number:?}"),
                ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
                ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            })
            .collect();
        lines.push(format!("{table}({})", values.join(", ")));
    }
}

/// Asserts that both files hold the same content.
///
/// # Panics
/// If they differ, naming the first difference.
pub fn assert_equal(left: &Path, right: &Path) {
    let (left_lines, right_lines) = (dump(left), dump(right));
    for (index, (a, b)) in left_lines.iter().zip(&right_lines).enumerate() {
        assert_eq!(a, b, "line {index} of {} and {}", left.display(), right.display());
    }
    assert_eq!(left_lines.len(), right_lines.len(), "lines of {} and {}", left.display(), right.display());
}

/// Every page of one read snapshot, page 1 in normal form (pages specification, section 2.1): what two copies of
/// one image have in common.
///
/// # Panics
/// If the file cannot be read.
#[must_use]
pub fn image(path: &Path) -> Vec<Vec<u8>> {
    let connection = open(path);
    let mut statement =
        connection.prepare("SELECT data FROM sqlite_dbpage ORDER BY pgno").expect("SQLite has sqlite_dbpage");
    let mut pages: Vec<Vec<u8>> = statement
        .query_map([], |row| row.get(0))
        .and_then(Iterator::collect)
        .expect("the pages are readable");
    let count = u32::try_from(pages.len()).expect("the number of pages fits");
    if let Some(first) = pages.first_mut() {
        first[18..20].copy_from_slice(&[1, 1]);
        first[24..28].fill(0);
        first[28..32].copy_from_slice(&count.to_be_bytes());
        first[92..100].fill(0);
    }
    pages
}

fn open(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .unwrap_or_else(|error| panic!("{} does not open: {error}", path.display()));
    connection.busy_timeout(std::time::Duration::from_secs(30)).expect("SQLite takes a timeout");
    connection
}
