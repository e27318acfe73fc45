//! Same page size: the differing pages are written in one transaction (PAG-44, PAG-64).

use ferry_types::PageNo;
use rusqlite::Connection;

use crate::{
    ClientError, Result,
    local::{
        Base, Part,
        image::{Access, connect},
        point,
    },
    progress::Progress,
};

/// File format versions of page 1: what the file's journal mode is, which is nobody's business but its own.
const FORMAT_VERSIONS: std::ops::Range<usize> = 18..20;
/// `PRAGMA auto_vacuum` of a file that vacuums at every COMMIT.
const AUTO_VACUUM_FULL: i64 = 1;

/// Writes the received pages of `part` over `base`, which must still be what was read, in one transaction.
///
/// # Errors
/// When the file is busy for 30 s, was changed meanwhile (nothing is written then), or cannot be written.
pub fn in_place(base: &Base, part: &Part, progress: &dyn Progress) -> Result<()> {
    let failed = |error: rusqlite::Error| ClientError::sqlite(base.path().display(), &error);
    // A connection of its own, closed at the end: it would go on using pages that it has parsed.
    let connection = connect(base.path(), Access::Ordinary).map_err(failed)?;
    connection.execute_batch("PRAGMA synchronous = FULL; BEGIN IMMEDIATE").map_err(failed)?;
    if !base.is_unchanged()? {
        return Err(ClientError::conflict(
            "FILE_CHANGED",
            format!("{} was changed while it was pulled: pull again", base.path().display()),
        ));
    }
    write_pages(&connection, base, part, progress)?;
    point("pull.write")?;
    connection.execute_batch("COMMIT").map_err(failed)?;
    point("pull.commit")
}

fn write_pages(connection: &Connection, base: &Base, part: &Part, progress: &dyn Progress) -> Result<()> {
    let failed = |error: rusqlite::Error| ClientError::sqlite(base.path().display(), &error);
    // At COMMIT such a file would move pages by pointers that are overwritten here, and be damaged. Page 1,
    // always written then, sets the mode that the new image has.
    let auto_vacuum: i64 =
        connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).map_err(failed)?;
    if auto_vacuum == AUTO_VACUUM_FULL {
        connection.execute_batch("PRAGMA auto_vacuum = 2").map_err(failed)?;
    }
    let mut insert =
        connection.prepare("INSERT INTO sqlite_dbpage(pgno, data) VALUES (?1, ?2)").map_err(failed)?;
    let mut page = vec![0; part.page_size().bytes()];
    let mut has_first = false;
    for number in part.received() {
        part.read(number, &mut page)?;
        if number == PageNo::FIRST {
            has_first = true;
            page[FORMAT_VERSIONS].copy_from_slice(&base.first_page()[FORMAT_VERSIONS]);
        }
        insert.execute((number.get(), &page)).map_err(failed)?;
        progress.advance(page.len() as u64);
    }
    if !has_first && auto_vacuum == AUTO_VACUUM_FULL {
        insert.execute((1, base.first_page())).map_err(failed)?;
    }
    // Last: any write after it would undo the truncation.
    if part.page_count() < base.page_count() {
        let after = i64::from(part.page_count().0) + 1;
        insert.execute((after, rusqlite::types::Null)).map_err(failed)?;
    }
    Ok(())
}
