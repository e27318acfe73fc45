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
    let mut has_given_up = false;
    connection.busy_handler(Some(move |tried| {
        let tried = u32::try_from(tried).unwrap_or(0);
        // A schema that cannot be read is passed over (writable_schema), the lock that it lacked is then asked for once more by
        // the statement itself: what was in vain just now is not waited for again.
        if std::mem::take(&mut has_given_up) && tried == 0 {
            return false;
        }
        let waits = wait_once(&shown, tried, longest);
        has_given_up = !waits;
        waits
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

#[cfg(test)]
mod tests {
    use super::*;

    // It was waited for twice as long as was said.
    #[test]
    fn a_locked_file_is_waited_for_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let holder = Connection::open(&path).unwrap();
        holder.execute_batch("CREATE TABLE t(x); BEGIN EXCLUSIVE").unwrap();
        let longest = Duration::from_millis(600);
        let mut waiting = Connection::open(&path).unwrap();
        waiting.execute_batch("PRAGMA writable_schema = ON; BEGIN").unwrap();
        wait_for_others(&mut waiting, &path, longest).unwrap();
        let ask = || waiting.query_row("PRAGMA page_count", [], |row| row.get::<_, u32>(0));
        let (took, found) = ferry_testkit::wait::timed(ask);
        assert!(found.is_err());
        assert!(took >= longest && took < longest * 2, "{took:?}");
        holder.execute_batch("COMMIT").unwrap();
        assert_eq!(ask().ok(), Some(2));
    }
}
