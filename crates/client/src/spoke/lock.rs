//! One daemon at a time has a store, and one a socket (OPS-61): a lock on a file beside each, which ends with the process
//! however it ends.

use std::{
    ffi::OsString,
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use crate::{ClientError, Result};

/// Longest process id in decimal, with its line feed.
const PID_MAX_BYTES: u64 = 20;

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct ProcessLock {
    _file: File,
}

/// `path` with `suffix` behind its last name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Locks `path` with the file `<path>.lock`, which names this process from then on.
///
/// # Errors
/// `SPOKE_RUNNING` if another process has it: the message names that one, what it has and what to do.
pub(super) fn acquire(path: &Path, what: &str, advice: &str) -> Result<ProcessLock> {
    let lock_path = beside(path, ".lock");
    let failed = |error: std::io::Error| ClientError::io(format!("the lock {}", lock_path.display()), &error);
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    let mut file = options.open(&lock_path).map_err(failed)?;
    if let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if errno != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(errno.into()));
        }
        let mut pid = String::new();
        // Without it the message still says what to do.
        let _ = file.take(PID_MAX_BYTES).read_to_string(&mut pid);
        let pid = pid.trim();
        let holder = if pid.is_empty() { "another process".to_owned() } else { format!("process {pid}") };
        return Err(ClientError::conflict(
            "SPOKE_RUNNING",
            format!("{what} {} is in use by the spoke of {holder}: {advice}", path.display()),
        ));
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(failed)?;
    Ok(ProcessLock { _file: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPS-61
    #[test]
    fn a_second_holder_is_refused_and_told_who_has_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("s.db");
        let first = acquire(&store, "the store", "stop it").unwrap();
        let error = acquire(&store, "the store", "stop it").unwrap_err();
        assert_eq!(error.reason, "SPOKE_RUNNING");
        assert!(error.message.contains(&format!("process {}", std::process::id())), "{}", error.message);
        drop(first);
        acquire(&store, "the store", "stop it").unwrap();
    }
}
