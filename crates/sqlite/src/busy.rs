//! Waiting for another program's lock on a file: bounded, and not in silence.

use std::{path::Path, thread, time::Duration};

use rusqlite::Connection;

/// How often a lock is tried.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// After this long it is said what is waited for.
const SILENT: Duration = Duration::from_secs(1);

/// Has `connection` to `file` wait at most `longest` for another program's lock. After a second it is told, as a warning.
///
/// # Errors
/// When SQLite refuses it.
pub fn wait_for_others(connection: &mut Connection, file: &Path, longest: Duration) -> rusqlite::Result<()> {
    let shown = file.display().to_string();
    connection.busy_handler(Some(move |tried| {
        let tried = u32::try_from(tried).unwrap_or(0);
        wait_once(&shown, tried, longest)
    }))
}

/// One wait, after `tried` of them; false once there were enough.
pub fn wait_once(shown: &str, tried: u32, longest: Duration) -> bool {
    let waited = TRY_EVERY * tried;
    if waited >= longest {
        return false;
    }
    if waited == SILENT {
        tracing::warn!("{shown} is locked by another program: waiting for it");
    }
    thread::sleep(TRY_EVERY);
    true
}
