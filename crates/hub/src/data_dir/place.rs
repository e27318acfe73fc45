//! Which directories a hub makes its own: a folder that is there for it alone. Locking others out of `/`, of a home or of
//! a disk would harm whoever else lives there, and so would the advice to do it (CFG-07).

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use crate::config::ConfigError;
use ferry_control::shell_word;

/// Directories of the system that may well be empty or private, on Linux and macOS. The others hold files that are no
/// hub's, and are known by that.
const SYSTEM: &[&str] =
    &["/", "/Users", "/Volumes", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/usr/local"];
/// The directories of homes.
const HOMES: &[&str] = &["/home", "/Users"];
/// What a hub keeps in its data directory: by one of these it is known.
const OURS: &[&str] = &["control.db", "keyring.json", super::FILLING];
/// What file systems keep in the folder where they are mounted.
pub(super) const OF_FILE_SYSTEMS: &[&str] = &["lost+found"];
/// In the mode of a directory where everybody may write, such as `/tmp`.
const STICKY: u32 = 0o1000;

/// Refuses a directory that serves others, before anything is written to it. One that does not exist yet is fine, and so
/// is one of any kind that is private and holds nothing but a hub's data.
///
/// # Errors
/// Names what the directory is, and a folder to take instead.
pub(super) fn check(dir: &Path) -> Result<(), ConfigError> {
    let failed = |error: io::Error| ConfigError(format!("data_dir {}: {error}", dir.display()));
    let real = match dir.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let metadata = real.metadata().map_err(failed)?;
    if !metadata.is_dir() {
        return Err(ConfigError(format!("data_dir {} is a file: name a folder", dir.display())));
    }
    let is_private = metadata.permissions().mode() & 0o077 == 0;
    let has_data = OURS.iter().any(|name| real.join(name).symlink_metadata().is_ok());
    let is_ours = has_data || holds_nothing(&real).map_err(failed)?;
    if is_private && is_ours {
        return Ok(());
    }
    let what = match serves_others(&real, &metadata) {
        Some(what) => what,
        None if is_private || is_ours => return Ok(()),
        None => "open to others and holds files that are no hub's",
    };
    let first = if has_data { "move the hub's files out of it, and " } else { "" };
    Err(ConfigError(format!(
        "data_dir {}: it is {what}, so a hub does not take it for itself; {first}start with --data-dir {}, which is made \
         if it is missing",
        dir.display(),
        shell_word(&real.join("ferry"))
    )))
}

/// Whether nobody keeps anything in it.
fn holds_nothing(dir: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if !OF_FILE_SYSTEMS.iter().any(|known| name == *known) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the directory is for everybody, if it is.
fn serves_others(real: &Path, metadata: &Metadata) -> Option<&'static str> {
    let is_one_of = |paths: &[&str], path: &Path| paths.iter().any(|one| Path::new(one) == path);
    // Names before mounts: `/` is one as well.
    if is_one_of(SYSTEM, real) || metadata.permissions().mode() & STICKY != 0 {
        return Some("a directory of the system");
    }
    let above = real.parent()?;
    let home = std::env::home_dir().and_then(|home| home.canonicalize().ok());
    if home.is_some_and(|home| home == real) || is_one_of(HOMES, above) {
        return Some("a user's home");
    }
    above.metadata().is_ok_and(|above| above.dev() != metadata.dev()).then_some("a mount point")
}
