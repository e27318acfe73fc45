//! Writing a log as LiveStore's own backend keeps it: an SQLite file with one store.

use std::path::{Path, PathBuf};

use ferry_protocol::events::{CommittedEvent, ExportHeader, export_table};
use rusqlite::{Connection, params};

use super::CONTEXT;
use crate::{ClientError, Result};

/// A file that is being written; it appears under its name when it is whole.
#[derive(Debug)]
pub struct ReferenceDraft {
    connection: Connection,
    path: PathBuf,
    draft: PathBuf,
    insert: String,
}

impl ReferenceDraft {
    /// Begins the file `path` with the log that `header` tells of.
    ///
    /// # Errors
    /// `FILE_EXISTS`; when it cannot be written.
    pub fn create(path: &Path, header: &ExportHeader) -> Result<Self> {
        if path.exists() {
            let message =
                format!("{} exists already: name another file, or move this one away first", path.display());
            return Err(ClientError::conflict("FILE_EXISTS", message));
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        let _ = std::fs::remove_file(&draft);
        let table = export_table(&header.store_id);
        let begin = || -> rusqlite::Result<Connection> {
            let connection = ferry_sqlite::connection::open_file(&draft, rusqlite::OpenFlags::default())?;
            connection.execute_batch(&format!(
                r#"BEGIN;
                   CREATE TABLE "{CONTEXT}" ("storeId" text primary key, "currentHead" integer not null,
                       "backendId" text not null) strict;
                   CREATE TABLE "{table}" ("seqNum" integer primary key, "parentSeqNum" integer not null,
                       "name" text not null, "args" text, "createdAt" text not null, "clientId" text not null,
                       "sessionId" text not null) strict;"#
            ))?;
            let context = format!("INSERT INTO {CONTEXT} VALUES (?1, ?2, ?3)");
            connection.execute(&context, params![header.store_id, header.head, header.backend_id])?;
            Ok(connection)
        };
        let connection = begin().map_err(|error| writing(path, &error))?;
        let insert = format!("INSERT INTO \"{table}\" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        Ok(Self { connection, path: path.to_owned(), draft, insert })
    }

    /// Adds the next event.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, CommittedEvent { event, created_at }: &CommittedEvent) -> Result<()> {
        let row = params![
            event.seq_num,
            event.parent_seq_num,
            event.name,
            event.args,
            created_at,
            event.client_id,
            event.session_id
        ];
        let pushed = self.connection.prepare_cached(&self.insert).and_then(|mut insert| insert.execute(row));
        pushed.map(drop).map_err(|error| writing(&self.path, &error))
    }

    /// Puts the file under its name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> Result<()> {
        self.connection.execute_batch("COMMIT").map_err(|error| writing(&self.path, &error))?;
        std::fs::rename(&self.draft, &self.path).map_err(|error| {
            ClientError::file("FILE_UNUSABLE", format!("writing {}: {error}", self.path.display()))
        })
    }
}

/// What was not finished leaves nothing.
impl Drop for ReferenceDraft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.draft);
    }
}

fn writing(path: &Path, error: &rusqlite::Error) -> ClientError {
    ClientError::sqlite(format!("writing {}", path.display()), error)
}
