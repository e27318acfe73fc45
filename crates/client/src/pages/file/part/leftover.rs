//! The part's name may be taken: by what a killed run left, by a run that works, or by something of others, which is
//! neither followed nor written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    path::Path,
};

use super::super::paths;
use crate::{ClientError, Result};

/// How an image begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Makes the part of `file` at `path` anew, locked against other runs until it is closed.
pub(super) fn replace(file: &Path, path: &Path) -> Result<File> {
    remove(file, path)?;
    let mut options = OpenOptions::new();
    // Never what is there already: a link would be followed.
    let made = paths::FileMode::of(file).limit(options.read(true).write(true).create_new(true)).open(path);
    let part = made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => busy(file),
        _ => unusable(path, &error),
    })?;
    // Another run may have taken it for a leftover before it was locked, and removed it.
    if part.try_lock().is_err() || !is_at(&part, path) { Err(busy(file)) } else { Ok(part) }
}

/// Removes what a killed run left.
fn remove(file: &Path, path: &Path) -> Result<()> {
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| unusable(path, &error))?,
    };
    if !found.is_file() {
        return Err(foreign(file, path));
    }
    let mut left = open(path).map_err(|error| unusable(path, &error))?;
    if left.try_lock().is_err() {
        return Err(busy(file));
    }
    if !is_an_image(&mut left).map_err(|error| unusable(path, &error))? {
        return Err(foreign(file, path));
    }
    // Placed or replaced by another run meanwhile, it is not ours to remove.
    if !is_at(&left, path) {
        return Err(busy(file));
    }
    fs::remove_file(path).map_err(|error| unusable(path, &error))
}

/// Whether it may be a part: empty, or beginning with an image's page 1 or with the hole where that goes.
fn is_an_image(left: &mut File) -> io::Result<bool> {
    let mut head = Vec::new();
    left.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(head.is_empty() || head == MAGIC || (head.len() == MAGIC.len() && head.iter().all(|byte| *byte == 0)))
}

/// Opens a plain file that does not become a link meanwhile.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    options.read(true).open(path)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(open), Ok(named)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// A file that is open cannot be removed there.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

fn busy(file: &Path) -> ClientError {
    let message = format!("another ferry is pulling into {}: wait for it to end", file.display());
    ClientError::file("FILE_BUSY", message)
}

fn unusable(path: &Path, error: &io::Error) -> ClientError {
    ClientError::file("FILE_UNUSABLE", format!("{} cannot be written: {error}", path.display()))
}

fn foreign(file: &Path, path: &Path) -> ClientError {
    let message = format!(
        "{} is in the way, and ferry did not make it: it is the name under which {} is received. Move it away, or give \
         the new file another name",
        path.display(),
        file.display()
    );
    ClientError::file("PART_FOREIGN", message)
}
