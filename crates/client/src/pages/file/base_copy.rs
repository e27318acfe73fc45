//! `<file>-ferry-base`: the image as it was synced last, so that a push can be made against what the hub has (PAG-61). It
//! shares its blocks with the file where the file system can do that. Nothing depends on it: a page of it is used only if
//! it has the leaf that the state tells.

use std::{
    fs::{self, File, OpenOptions},
    io::Read as _,
    path::{Path, PathBuf},
};

use ferry_core::pages::{header, tree};
use ferry_types::{Leaf, PageCount, PageNo, PageSize};

use super::{
    at::{read_at, write_at},
    image::LocalImage,
    paths,
};
use crate::{ClientError, Result};

const SUFFIX: &str = "-ferry-base";

/// An open base copy.
pub struct BaseCopy {
    file: File,
    path: PathBuf,
    page_size: PageSize,
}

impl BaseCopy {
    /// The base copy of `file`, if there is one.
    #[must_use]
    pub fn open(file: &Path, page_size: PageSize) -> Option<Self> {
        let path = paths::beside(file, SUFFIX);
        if !is_a_copy(&path) {
            return None;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
        Some(Self { file, path, page_size })
    }

    /// Makes that of an image, in place of an older one.
    ///
    /// # Errors
    /// When the disk does not allow it.
    pub fn create(image: &LocalImage) -> Result<Self> {
        let path = paths::beside(image.path(), SUFFIX);
        let failed = |error: &std::io::Error| ClientError::io(path.display(), error);
        remove_at(&path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = paths::FileMode::of(image.path())
            .limit(&mut options)
            .open(&path)
            .map_err(|error| failed(&error))?;
        let copy = Self { file, path: path.clone(), page_size: image.page_size() };
        if !share_blocks(image.path(), &copy.file) {
            let mut outcome = Ok(());
            image.read_all(|page, data| {
                if outcome.is_ok() {
                    outcome = write_at(&copy.file, data, copy.offset(page));
                }
            })?;
            outcome.map_err(|error| failed(&error))?;
        }
        copy.file.set_len(image.bytes()).map_err(|error| failed(&error))?;
        Ok(copy)
    }

    /// Removes that of `file`.
    pub fn remove(file: &Path) {
        remove_at(&paths::beside(file, SUFFIX));
    }

    /// Brings a page up to date.
    ///
    /// # Errors
    /// When the disk does not allow it.
    pub fn write(&self, page: PageNo, data: &[u8]) -> Result<()> {
        write_at(&self.file, data, self.offset(page))
            .map_err(|error| ClientError::io(self.path.display(), &error))
    }

    /// Sets the number of pages.
    ///
    /// # Errors
    /// When the disk does not allow it.
    pub fn resize(&self, count: PageCount) -> Result<()> {
        let bytes = u64::from(count.0) * u64::from(self.page_size.get());
        self.file.set_len(bytes).map_err(|error| ClientError::io(self.path.display(), &error))
    }

    /// Appends a page of the base, which has `count` pages, in normal form; false if it has not this leaf.
    pub fn read_normal(&self, page: PageNo, count: PageCount, leaf: &Leaf, into: &mut Vec<u8>) -> bool {
        let from = into.len();
        into.resize(from + self.page_size.bytes(), 0);
        let read = read_at(&self.file, &mut into[from..], self.offset(page)).is_ok();
        if read && page == PageNo::FIRST {
            header::normalize(&mut into[from..], count);
        }
        let is_same = read && tree::leaf_of(page, count, &into[from..], &mut Vec::new()) == *leaf;
        if !is_same {
            into.truncate(from);
        }
        is_same
    }

    fn offset(&self, page: PageNo) -> u64 {
        page.index() as u64 * u64::from(self.page_size.get())
    }
}

fn remove_at(path: &Path) {
    if is_a_copy(path)
        && let Err(error) = fs::remove_file(path)
    {
        tracing::debug!(%error, path = %path.display(), "the base copy stays");
    }
}

/// Whether a file may be a base copy; something of others that has the name is neither read nor written.
fn is_a_copy(path: &Path) -> bool {
    let mut head = [0; 16];
    path.symlink_metadata().is_ok_and(|found| found.is_file())
        && File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && (head == *b"SQLite format 3\0" || head == [0; 16])
}

/// Has `copy` share the blocks of `file`, where the file system can. What the WAL holds is not in it, nor what others write
/// meanwhile: such pages are found out by their leaves.
#[cfg(target_os = "linux")]
fn share_blocks(file: &Path, copy: &File) -> bool {
    let has_wal = paths::beside(file, "-wal").metadata().is_ok_and(|wal| wal.len() > 0);
    if has_wal || !shares_blocks(copy) {
        return false;
    }
    let Ok(from) = File::open(file) else { return false };
    let shared = rustix::fs::ioctl_ficlone(copy, &from).is_ok();
    // Closed, it would drop the locks that SQLite holds on the file in this process (PAG-50): it stays open until the end.
    std::mem::forget(from);
    shared
}

/// Whether the file system shares blocks: XFS and Btrfs (statfs(2)).
#[cfg(target_os = "linux")]
fn shares_blocks(copy: &File) -> bool {
    const SHARING: [rustix::fs::FsWord; 2] = [0x5846_5342, 0x9123_683E];
    rustix::fs::fstatfs(copy).is_ok_and(|found| SHARING.contains(&found.f_type))
}

#[cfg(not(target_os = "linux"))]
fn share_blocks(_file: &Path, _copy: &File) -> bool {
    false
}
