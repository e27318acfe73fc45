//! Folders of databases that are being made: the row in `control.db` makes them one. What a crash leaves between the two is
//! settled at the next start.

use std::{fs, io, path::Path};

use ferry_sqlite::folder;

use crate::hub::Hub;

/// The file that says that a folder is no database yet.
const UNFINISHED: &str = "fork.unfinished";

/// Makes the folder of a database, marked as one that is none yet.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn begin_database(dir: &Path) -> ferry_sqlite::Result<()> {
    folder::create(dir)?;
    fs::write(dir.join(UNFINISHED), b"")?;
    folder::sync(dir)?;
    ferry_sqlite::fault::point("fork.begun")
}

/// Takes the mark away: there is a row.
///
/// # Errors
/// When it cannot be taken away; then it stays until the next start.
pub(crate) fn finish_database(dir: &Path) -> io::Result<()> {
    fs::remove_file(dir.join(UNFINISHED))?;
    folder::sync(dir)
}

/// Settles what a crash left: a folder that has its row is a database, another one is nothing.
pub(super) fn settle(hub: &Hub, databases: &Path) {
    let Ok(entries) = fs::read_dir(databases) else { return };
    for dir in entries.flatten().map(|entry| entry.path()).filter(|dir| dir.join(UNFINISHED).exists()) {
        let id = dir.file_name().and_then(|name| name.to_str()?.parse().ok());
        let is_database = id.is_some_and(|id| hub.control.database(id).is_some());
        let settled = if is_database { finish_database(&dir) } else { fs::remove_dir_all(&dir) };
        if let Err(error) = settled {
            tracing::warn!(dir = %dir.display(), %error, "what is left of a database that was being made could not be removed");
        }
    }
}
