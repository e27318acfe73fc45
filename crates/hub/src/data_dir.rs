//! The data directory: made private on first start, and held by one process at a time (CFG-02).

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::fs::{FlockOperation, Mode, flock};

use crate::config::ConfigError;

/// Proof that this process holds the data directory; let go when dropped.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// Makes `dir` if it is missing (mode 0700), checks that others cannot enter it, and locks it. From here on, whatever
/// this process makes is its owner's alone: every file in the directory has mode 0600, whoever writes it.
///
/// # Errors
/// When it cannot be made, is open to others, or another process holds it.
pub fn open(dir: &Path) -> Result<DataDirLock, ConfigError> {
    let failed = |error: io::Error| ConfigError(format!("data_dir {}: {error}", dir.display()));
    rustix::process::umask(Mode::from_raw_mode(0o077));
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    refuse_wider(dir, 0o700)?;
    let path = dir.join("lock");
    let file =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        ConfigError(format!(
            "data_dir {}: another ferry process uses it; stop that one or choose another --data-dir",
            dir.display()
        ))
    })?;
    Ok(DataDirLock { _file: file })
}

/// Refuses a file or folder that grants more than `mode`.
///
/// # Errors
/// Names the path, what it grants and the command that mends it.
pub fn refuse_wider(path: &Path, mode: u32) -> Result<(), ConfigError> {
    let metadata = path.metadata().map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
    let granted = metadata.permissions().mode() & 0o777;
    if granted & !mode != 0 {
        return Err(ConfigError(format!(
            "{} is open to other users (mode {granted:04o}); run: chmod {mode:o} {}",
            path.display(),
            path.display()
        )));
    }
    Ok(())
}
