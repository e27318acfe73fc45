//! Logs of LiveStore's own backend: tables `eventlog_7_…` in an SQLite file, written out as an export that a hub
//! imports.

use std::{io::Write, path::Path};

use ferry_protocol::events::{
    EXPORT_FERRY, EXPORT_VERSION, EventRef, ExportHeader, ExportTrailer, write_committed,
};
use ferry_store::connection::open_file;
use rusqlite::{OpenFlags, OptionalExtension as _};
use sha2::{Digest as _, Sha256};

use super::Exported;
use crate::{ClientError, Result};

/// Writes the log in `table` of the file at `path` as an export of `store_id` with the identity `backend_id`. Whether
/// its numbers make a chain is checked by the hub.
///
/// # Errors
/// When the file cannot be read, holds no such table, or a row is not an event's.
pub fn export(
    path: &Path,
    table: &str,
    store_id: &str,
    backend_id: &str,
    out: &mut dyn Write,
) -> Result<Exported> {
    let reading = |error: rusqlite::Error| ClientError::sqlite(format!("reading {}", path.display()), &error);
    let writing = |error: std::io::Error| ClientError::io("writing the log", &error);
    let connection = open_file(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(reading)?;
    // One snapshot, whoever writes beside.
    let snapshot = connection.unchecked_transaction().map_err(reading)?;
    let exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
    let found = snapshot.query_row(exists, [table], |_| Ok(())).optional().map_err(reading)?;
    if found.is_none() {
        let message = format!("{} has no table {table:?}", path.display());
        return Err(ClientError::file("NO_SUCH_TABLE", message));
    }
    let table = table.replace('"', "\"\"");
    let ends = format!("SELECT count(*), coalesce(max(seqNum), 0) FROM \"{table}\"");
    let (count, head): (u64, i64) =
        snapshot.query_row(&ends, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(reading)?;
    let first = format!("SELECT parentSeqNum FROM \"{table}\" ORDER BY seqNum LIMIT 1");
    let base = snapshot.query_row(&first, [], |row| row.get(0)).optional().map_err(reading)?.unwrap_or(0);
    let header = ExportHeader {
        ferry: EXPORT_FERRY.into(),
        version: EXPORT_VERSION,
        store_id: store_id.into(),
        backend_id: backend_id.into(),
        head,
        base,
        count,
    };
    let mut line = String::new();
    header.write(&mut line);
    writeln!(out, "{line}").map_err(writing)?;
    let mut digest = Sha256::new();
    let rows = format!(
        "SELECT seqNum, parentSeqNum, name, args, createdAt, clientId, sessionId FROM \"{table}\" ORDER BY seqNum"
    );
    let mut statement = snapshot.prepare(&rows).map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    while let Some(row) = rows.next().map_err(reading)? {
        line.clear();
        write_row(&mut line, row).map_err(reading)?;
        line.push('\n');
        digest.update(&line);
        out.write_all(line.as_bytes()).map_err(writing)?;
    }
    let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let trailer = ExportTrailer { end: true, count, sha256: sha256.into() };
    writeln!(out, "{}", trailer.line()).map_err(writing)?;
    out.flush().map_err(writing)?;
    Ok(Exported { count, head })
}

fn write_row(line: &mut String, row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
    let text = |column: usize| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let event = EventRef {
        seq_num: row.get(0)?,
        parent_seq_num: row.get(1)?,
        name: text(2)?,
        args: row.get_ref(3)?.as_str_or_null()?,
        created_at: text(4)?,
        client_id: text(5)?,
        session_id: text(6)?,
    };
    write_committed(line, &event, 0);
    Ok(())
}
