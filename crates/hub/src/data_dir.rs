//! The data directory: made private on first start, and held by one process at a time (CFG-02), as long as it is the
//! directory that this process opened.

pub mod lineage;
mod place;
pub(crate) mod run_mark;
mod store_link;

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, Mode, flock},
    io::Errno,
};

pub(crate) use store_link::link_store;

use crate::config::ConfigError;
use ferry_control::refuse_wider;
pub use ferry_control::{ControlSchema, SchemaStep};

/// How often it is looked whether the directory is still the one that was opened.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Proof that this process holds the data directory; let go when dropped.
#[derive(Debug)]
pub struct DataDirLock {
    path: PathBuf,
    /// The directory itself: a lock on it outlives whatever happens to the files in it.
    dir: File,
    /// Whether the file system lets directories be locked.
    dir_is_locked: bool,
    /// The file `lock`, by which processes that cannot lock the directory keep each other out.
    file: File,
    /// `control.db`, by device and inode: with another one in its place, the directory is another one too.
    control_db: Option<(u64, u64)>,
}

/// The data directory was moved or replaced while the hub ran: nothing more may be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "data_dir {path}: {what} while the hub ran; it stops at once, so that nothing is written to the wrong place. What was acknowledged is in the files that were there before"
)]
pub struct DataDirLost {
    path: String,
    what: &'static str,
}

/// Makes `dir` if it is missing (mode 0700), checks that others cannot enter it, and locks it. From here on, whatever
/// this process makes is its owner's alone: every file in the directory has mode 0600, whoever writes it.
///
/// # Errors
/// When it cannot be made, is open to others, or another process holds it.
pub fn open(dir: &Path) -> Result<DataDirLock, ConfigError> {
    let failed = |error: io::Error| ConfigError(format!("data_dir {}: {error}", dir.display()));
    rustix::process::umask(Mode::from_raw_mode(0o077));
    place::check(dir)?;
    ferry_sqlite::folder::create(dir).map_err(failed)?;
    refuse_wider(dir, 0o700)?;
    let taken = || {
        ConfigError(format!(
            "data_dir {}: another ferry process uses it; stop that one or choose another --data-dir",
            dir.display()
        ))
    };
    let held = File::open(dir).map_err(failed)?;
    let dir_is_locked = match flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => true,
        Err(Errno::WOULDBLOCK) => return Err(taken()),
        // Some network file systems lock files only.
        Err(_) => false,
    };
    let file = open_lock_file(dir).map_err(failed)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| taken())?;
    let path = std::path::absolute(dir).map_err(failed)?;
    Ok(DataDirLock { path, dir: held, dir_is_locked, file, control_db: None })
}

/// Where an empty data directory is filled from, while it is restored.
pub(crate) const FILLING: &str = ".restoring";

/// What lies in a data directory in which no hub has begun: the lock, what a first start makes before `control.db`, and what an
/// operator puts there for the hub that is to come.
const BEFORE_A_HUB: [&str; 5] = ["lock", FILLING, "lineage", "keyring.json", "operator.token"];

/// What a data directory that is held holds of somebody's; `None`: it is as good as empty. Names that begin with a dot are nobody's.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn first_content(dir: &Path) -> io::Result<Option<String>> {
    for entry in dir.read_dir()? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_known = BEFORE_A_HUB.iter().chain(place::OF_FILE_SYSTEMS).any(|known| name == *known);
        if !is_known && !name.starts_with('.') {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Looks at a data directory that a hub may have open, and changes nothing: whether it may be a hub's, and others are kept out.
///
/// # Errors
/// Names what is wrong, and the command that mends it.
pub fn look_at(dir: &Path) -> Result<(), ConfigError> {
    place::check(dir)?;
    refuse_wider(dir, 0o700)?;
    for name in ["control.db", "keyring.json", "operator.token"] {
        let path = dir.join(name);
        if path.exists() {
            refuse_wider(&path, 0o600)?;
        }
    }
    Ok(())
}

/// The schema of the hub in `dir`, and what this program would do about it; `None` where there is none yet.
///
/// # Errors
/// When this program cannot take it over.
pub fn schema(dir: &Path) -> Result<Option<ControlSchema>, ConfigError> {
    Ok(ferry_control::read_schema(dir)?)
}

/// Whether a process holds the directory now; it is not held by looking.
///
/// # Errors
/// When it cannot be opened.
pub fn is_held(dir: &Path) -> io::Result<bool> {
    match flock(&File::open(dir)?, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn open_lock_file(dir: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(dir.join("lock"))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl DataDirLock {
    /// Notes which `control.db` was opened.
    pub(crate) fn note_control_db(&mut self) {
        self.control_db = self.path.join("control.db").metadata().ok().as_ref().map(identity);
    }

    /// Ends when the directory is no longer what was opened and locked.
    pub(crate) async fn lost(&mut self) -> DataDirLost {
        let mut due = tokio::time::interval(LOOK_EVERY);
        loop {
            due.tick().await;
            if let Err(what) = self.look() {
                return DataDirLost { path: self.path.display().to_string(), what };
            }
        }
    }

    fn look(&mut self) -> Result<(), &'static str> {
        let now = |path: &Path| path.metadata().ok().as_ref().map(identity);
        let held = |file: &File| file.metadata().ok().as_ref().map(identity);
        if now(&self.path) != held(&self.dir) {
            return Err("the directory was moved or replaced");
        }
        // Only its name is looked at: closing a descriptor of it would drop SQLite's locks.
        if self.control_db.is_some() && now(&self.path.join("control.db")) != self.control_db {
            return Err("control.db was removed or replaced");
        }
        if now(&self.path.join("lock")) == held(&self.file) {
            return Ok(());
        }
        if !self.dir_is_locked {
            return Err("the file lock was removed or replaced");
        }
        // Nobody else can have come in meanwhile but a process that locks the file alone.
        let again =
            open_lock_file(&self.path).map_err(|_| "the file lock was removed and cannot be made anew")?;
        flock(&again, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| "the file lock was replaced, and another process holds it")?;
        tracing::warn!("the file lock in the data directory was removed, and is made anew: leave it there");
        self.file = again;
        Ok(())
    }
}
