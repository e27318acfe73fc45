//! Logs of LiveStore's own backend: an SQLite file with a table `eventlog_7_…` per store and one `context_7`, which says
//! whose logs they are. A log is written out as an export that a hub imports.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read as _, Write},
    path::{Path, PathBuf},
};

use ferry_protocol::events::{
    EXPORT_FERRY, EXPORT_TABLE_PREFIX, EXPORT_VERSION, EventRef, ExportHeader, ExportTrailer, export_table,
    write_committed,
};
use ferry_sqlite::connection::{open_file, open_immutable};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use sha2::{Digest as _, Sha256};

mod write;

pub use write::ReferenceDraft;

use super::ExportSummary;
use crate::{ClientError, Result};

/// Where the reference writes down the stores of a file: id, newest event, identity.
const CONTEXT: &str = "context_7";
/// Stores that a message lists.
const LISTED_MAX: usize = 10;
/// Where a database file says how it is written, and the value that means WAL (SQLite file format, section 1.3.3).
const READ_VERSION_AT: usize = 19;
const READ_VERSION_WAL: u8 = 2;

/// What the caller expects of a log; a file that differs is refused.
#[derive(Clone, Debug, Default)]
pub struct ExpectedLog {
    /// Its store.
    pub store: Option<String>,
    /// Its table.
    pub table: Option<String>,
    /// The identity that its clients know.
    pub backend_id: Option<String>,
}

/// A log that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceLog {
    /// Its store.
    pub store: String,
    /// The identity that its clients know.
    pub backend_id: String,
    table: String,
    /// The newest event, as the file says.
    head: Option<i64>,
}

/// An opened file.
pub struct ReferenceFile {
    connection: Connection,
    path: PathBuf,
    lacks_wal: bool,
}

impl ReferenceFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let lacks_wal = is_in_wal_mode(path)? && !has_wal(path);
        let opened = open_file(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(readable);
        let opened = match opened {
            // SQLite makes files beside one in WAL mode, which a folder may not allow; nobody can be writing it then.
            Err(_) if lacks_wal => open_immutable(path).and_then(readable),
            opened => opened,
        };
        let connection = opened.map_err(|error| reading(path, &error))?;
        Ok(Self { connection, path: path.to_owned(), lacks_wal })
    }

    /// What the person must know of this file, if anything.
    #[must_use]
    pub fn warning(&self, log: &ReferenceLog) -> Option<String> {
        let path = self.path.display();
        if self.lacks_wal {
            return Some(format!(
                "{path} is in WAL mode and {path}-wal is not beside it: the newest events may be missing, those that \
                 the worker had not moved into {path} yet. Copy both files while the worker is stopped."
            ));
        }
        log.head.is_none().then(|| {
            format!(
                "{path} has no table {CONTEXT}: nothing confirms the backend id {:?}. Clients that know another one \
                 wipe their copies, unpushed work included.",
                log.backend_id
            )
        })
    }

    /// The log that `named` means: the only one of the file where it says nothing.
    ///
    /// # Errors
    /// When there is none or several, or the file contradicts.
    pub fn log(&self, named: &ExpectedLog) -> Result<ReferenceLog> {
        let stores = match self.has_table(CONTEXT)? {
            true => self.stores()?,
            false => return self.unconfirmed(named),
        };
        let mut fitting = Vec::new();
        for (store, head, backend_id) in &stores {
            let table = self.table_of(store)?;
            let is_named = named.store.as_ref().is_none_or(|name| name == store);
            let is_its_table = || named.table.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(&table));
            if is_named && (named.store.is_some() || is_its_table()) {
                fitting.push(ReferenceLog {
                    store: store.clone(),
                    backend_id: backend_id.clone(),
                    table,
                    head: Some(*head),
                });
            }
        }
        let path = self.path.display();
        let log = match fitting.len() {
            1 => fitting.remove(0),
            0 => return Err(self.no_such_log(named, &stores)?),
            _ => {
                let message = format!("{path} holds several stores, {}: name one of them", listed(&stores));
                return Err(ClientError::file("SEVERAL_STORES", message));
            }
        };
        let contradiction = match (&named.table, &named.backend_id) {
            (Some(table), _) if !table.eq_ignore_ascii_case(&log.table) => {
                format!("the log of {:?} in {path} is the table {:?}, not {table:?}", log.store, log.table)
            }
            (_, Some(id)) if *id != log.backend_id => format!(
                "the backend id of {:?} in {path} is {:?}, not {id:?}: leave --backend-id out",
                log.store, log.backend_id
            ),
            _ => return Ok(log),
        };
        Err(ClientError::file("CONTRADICTED", contradiction))
    }

    /// A log of a file that does not say whose it is.
    fn unconfirmed(&self, named: &ExpectedLog) -> Result<ReferenceLog> {
        let (Some(store), Some(backend_id)) = (&named.store, &named.backend_id) else {
            let message = format!(
                "{} has no table {CONTEXT}, which says whose log it is: name the store and give --backend-id, the \
                 identity that its clients know",
                self.path.display()
            );
            return Err(ClientError::file("NO_CONTEXT", message));
        };
        let table = match &named.table {
            Some(table) => table.clone(),
            None => self.table_of(store)?,
        };
        if !self.has_table(&table)? {
            return Err(self.no_table(&table));
        }
        Ok(ReferenceLog { store: store.clone(), backend_id: backend_id.clone(), table, head: None })
    }

    fn no_such_log(&self, named: &ExpectedLog, stores: &[Context]) -> Result<ClientError> {
        if let Some(table) = &named.table
            && !self.has_table(table)?
        {
            return Ok(self.no_table(table));
        }
        let (path, wanted) = (self.path.display(), named.store.as_ref().or(named.table.as_ref()));
        let message = match (stores, wanted) {
            ([], _) => format!("{path} holds no store: its table {CONTEXT} is empty"),
            (_, Some(wanted)) => format!("{path} holds no log of {wanted:?} but of {}", listed(stores)),
            (_, None) => format!("{path} holds no log"),
        };
        Ok(ClientError::file("NO_SUCH_STORE", message))
    }

    fn no_table(&self, table: &str) -> ClientError {
        ClientError::file("NO_SUCH_TABLE", format!("{} has no table {table:?}", self.path.display()))
    }

    fn stores(&self) -> Result<Vec<Context>> {
        let failed = |error: rusqlite::Error| reading(&self.path, &error);
        let text = format!("SELECT storeId, currentHead, backendId FROM {CONTEXT} ORDER BY storeId");
        let mut statement = self.connection.prepare(&text).map_err(failed)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.map_err(failed)?.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    fn has_table(&self, name: &str) -> Result<bool> {
        let text = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
        let found = self.connection.query_row(text, [name], |_| Ok(())).optional();
        Ok(found.map_err(|error| reading(&self.path, &error))?.is_some())
    }

    /// The reference's name of a store's log, or the documented pattern where that one is there.
    fn table_of(&self, store: &str) -> Result<String> {
        let (usual, plain) = (export_table(store), format!("{EXPORT_TABLE_PREFIX}{store}"));
        Ok(if !self.has_table(&usual)? && self.has_table(&plain)? { plain } else { usual })
    }

    /// Writes `log` as an export. Whether its numbers make a chain is checked by the hub.
    ///
    /// # Errors
    /// When the file cannot be read, lacks events that it says it has, or a row is not an event's.
    pub fn export(&self, log: &ReferenceLog, out: &mut dyn Write) -> Result<ExportSummary> {
        let failed = |error: rusqlite::Error| reading(&self.path, &error);
        if !self.has_table(&log.table)? {
            return Err(self.no_table(&log.table));
        }
        // One snapshot, whoever writes beside.
        let snapshot = self.connection.unchecked_transaction().map_err(failed)?;
        let table = log.table.replace('"', "\"\"");
        let ends = format!("SELECT count(*), coalesce(max(seqNum), 0) FROM \"{table}\"");
        let (count, head): (u64, i64) =
            snapshot.query_row(&ends, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        if let Some(recorded) = log.head.filter(|recorded| *recorded > head) {
            let message = format!(
                "{} says that the newest event of {:?} is {recorded}, and its log ends at {head}: it was not copied whole",
                self.path.display(),
                log.store
            );
            return Err(ClientError::file("INCOMPLETE", message));
        }
        let first = format!("SELECT parentSeqNum FROM \"{table}\" ORDER BY seqNum LIMIT 1");
        let base = snapshot.query_row(&first, [], |row| row.get(0)).optional().map_err(failed)?.unwrap_or(0);
        let header = ExportHeader {
            ferry: EXPORT_FERRY.into(),
            version: EXPORT_VERSION,
            store_id: log.store.as_str().into(),
            backend_id: log.backend_id.as_str().into(),
            head,
            base,
            count,
        };
        write_export(&snapshot, &table, &header, out, &self.path)?;
        Ok(ExportSummary { count, head })
    }
}

/// A row of `context_7`: store, newest event, identity.
type Context = (String, i64, String);

fn listed(stores: &[Context]) -> String {
    let mut names: Vec<String> = stores.iter().take(LISTED_MAX).map(|(id, ..)| format!("{id:?}")).collect();
    if stores.len() > LISTED_MAX {
        names.push(format!("{} more", stores.len() - LISTED_MAX));
    }
    names.join(", ")
}

fn write_export(
    snapshot: &Connection,
    table: &str,
    header: &ExportHeader,
    out: &mut dyn Write,
    path: &Path,
) -> Result<()> {
    let failed = |error: rusqlite::Error| reading(path, &error);
    let writing = |error: std::io::Error| ClientError::io("writing the log", &error);
    let mut line = String::new();
    header.write(&mut line);
    writeln!(out, "{line}").map_err(writing)?;
    let mut digest = Sha256::new();
    let rows = format!(
        "SELECT seqNum, parentSeqNum, name, args, createdAt, clientId, sessionId FROM \"{table}\" ORDER BY seqNum"
    );
    let mut statement = snapshot.prepare(&rows).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        line.clear();
        write_row(&mut line, row).map_err(failed)?;
        line.push('\n');
        digest.update(&line);
        out.write_all(line.as_bytes()).map_err(writing)?;
    }
    let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let trailer = ExportTrailer { end: true, count: header.count, sha256: sha256.into() };
    writeln!(out, "{}", trailer.line()).map_err(writing)?;
    out.flush().map_err(writing)
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

fn reading(path: &Path, error: &rusqlite::Error) -> ClientError {
    ClientError::sqlite(format!("reading {}", path.display()), error)
}

/// The same connection, once something was read over it: opening alone reads nothing.
fn readable(connection: Connection) -> rusqlite::Result<Connection> {
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(connection)
}

fn is_in_wal_mode(path: &Path) -> Result<bool> {
    let unusable = |error: std::io::Error| {
        ClientError::file("FILE_UNUSABLE", format!("reading {}: {error}", path.display()))
    };
    let mut header = Vec::new();
    let file = File::open(path).map_err(unusable)?;
    file.take(READ_VERSION_AT as u64 + 1).read_to_end(&mut header).map_err(unusable)?;
    Ok(header.get(READ_VERSION_AT) == Some(&READ_VERSION_WAL))
}

/// Whether a WAL with something in it lies beside: an empty one may be of whoever only looked at a copy.
fn has_wal(path: &Path) -> bool {
    let mut beside = OsString::from(path);
    beside.push("-wal");
    std::fs::metadata(beside).is_ok_and(|found| found.len() > 0)
}
