//! How Ferry notices that main.db is not the file it left: device, inode, size and times of the file, and the
//! state of its WAL. Equal identities mean equal content; unequal ones mean that the content must be read (PAG-47).
//!
//! main.db is examined with stat only: opening and closing it outside SQLite would drop SQLite's locks
//! (PAG-50). The WAL carries no locks, so its header may be read.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::Result;

/// Bytes of the WAL header that hold its two salts (SQLite file format, section 4.1).
const WAL_HEADER_BYTES: usize = 24;

/// What identifies the state of the file, as text; `None` if the file is missing.
pub(super) fn of(main: &Path) -> Result<Option<String>> {
    let Some(file) = stat(main)? else { return Ok(None) };
    let wal_path = side_file(main, "-wal");
    // An empty WAL says as little as a missing one, and readers make and remove it at will.
    let wal = match stat(&wal_path)? {
        Some(_) if fs::metadata(&wal_path)?.len() == 0 => None,
        Some(wal) => Some(format!("{wal} {}", salts(&wal_path)?)),
        None => None,
    };
    Ok(Some(format!("{file} / {}", wal.as_deref().unwrap_or("-"))))
}

/// The same of the file alone, whatever its WAL has.
pub(super) fn file(main: &Path) -> Result<Option<String>> {
    stat(main)
}

/// Device and inode of the file; `None` if it is missing.
pub(super) fn inode(main: &Path) -> Result<Option<(u64, u64)>> {
    match fs::metadata(main) {
        Ok(data) => Ok(Some((data.dev(), data.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The path of a file that SQLite keeps beside `main`.
pub(super) fn side_file(main: &Path, suffix: &str) -> std::path::PathBuf {
    crate::sidecars::beside(main, suffix)
}

fn stat(path: &Path) -> Result<Option<String>> {
    let data = match fs::metadata(path) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(format!(
        "{}:{} {} {}.{:09} {}.{:09}",
        data.dev(),
        data.ino(),
        data.size(),
        data.mtime(),
        data.mtime_nsec(),
        data.ctime(),
        data.ctime_nsec()
    )))
}

fn salts(wal: &Path) -> Result<String> {
    let mut header = [0; WAL_HEADER_BYTES];
    match File::open(wal)?.read_exact(&mut header) {
        Ok(()) => Ok(header[16..].iter().map(|byte| format!("{byte:02x}")).collect()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok("-".to_owned()),
        Err(error) => Err(error.into()),
    }
}
