//! What this program would do to the `control.db` of a data directory, found out without changing anything (OPR-77).

use std::{fs, path::Path};

use ferry_sqlite::{
    connection,
    migrate::{self, SchemaState},
    sidecars,
};
use rusqlite::Connection;

use crate::{
    config::StartError,
    directory::tables::MIGRATIONS,
    start::{NEWER, failed},
};

/// The schema of a `control.db`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlSchema {
    /// What this program would do.
    pub step: SchemaStep,
    /// Length of the file, bytes.
    pub bytes: u64,
}

/// What a program does with a file of this schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaStep {
    /// Nothing.
    Current,
    /// So many migrations.
    Migrate(usize),
    /// Nothing: a newer program wrote it, and lets this one write it.
    Compatible,
}

/// Reads the schema of the hub in `data_dir`, whether it runs or not; `None` where there is none yet.
///
/// # Errors
/// When this program cannot take the file over, or not read it.
pub fn read_schema(data_dir: &Path) -> Result<Option<ControlSchema>, StartError> {
    let path = data_dir.join("control.db");
    let Ok(bytes) = path.metadata().map(|metadata| metadata.len()) else { return Ok(None) };
    if bytes == 0 {
        return Ok(None);
    }
    let state = state(&path).map_err(|error| failed(&path, &error))?;
    let step = match state {
        SchemaState::Current => SchemaStep::Current,
        SchemaState::Pending(count) => SchemaStep::Migrate(count),
        SchemaState::Compatible(_) => SchemaStep::Compatible,
        SchemaState::Newer(_) => return Err(failed(&path, &NEWER)),
    };
    Ok(Some(ControlSchema { step, bytes }))
}

fn state(path: &Path) -> ferry_sqlite::Result<SchemaState> {
    beside_the_hub(path, |connection| migrate::state(connection, MIGRATIONS))
}

/// Reads a `control.db` that a hub may have open, and makes no file.
///
/// # Errors
/// What `of` or SQLite reports.
pub(crate) fn beside_the_hub<T>(
    path: &Path,
    of: impl FnOnce(&Connection) -> ferry_sqlite::Result<T>,
) -> ferry_sqlite::Result<T> {
    let [wal, shm] = ["-wal", "-shm"].map(|end| sidecars::beside(path, end));
    if shm.exists() {
        // A hub runs, or was killed: the files that SQLite would make are there.
        return of(&connection::open_reader(path)?);
    }
    if !wal.exists() {
        return of(&connection::open_immutable(path)?);
    }
    // Reading would make a file that the hub's own user might not be let use.
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("control.db");
    fs::copy(path, &copy)?;
    fs::copy(&wal, sidecars::beside(&copy, "-wal"))?;
    of(&connection::open_reader(&copy)?)
}
