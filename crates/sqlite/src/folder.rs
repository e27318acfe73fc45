//! Folders whose names are on disk before anything in them is.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Makes the folder `dir`, and those above it that are missing. The name of each is synced, or a power cut would take all
/// that was synced inside it along.
///
/// # Errors
/// When one cannot be made or synced.
pub fn create(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync(parent)
}

/// Brings the names in `dir` onto the disk.
///
/// # Errors
/// When the disk refuses.
pub fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
