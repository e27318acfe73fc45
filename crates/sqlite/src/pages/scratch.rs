//! Files that exist only while something is built: unnamed ones, and images that are built page by page before
//! SQLite ever opens them.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use ferry_core::pages::header;
use ferry_types::{PageCount, PageNo, PageSize};

use super::check::{self, CheckOutcome};
use crate::Result;

/// What is gathered before it is written.
const WRITE_BYTES: usize = 256 << 10;

/// Names of files in this folder that an earlier process may have left behind.
const LEFTOVERS: [&str; 2] = ["next-", "tmp-"];

static COUNTER: AtomicU64 = AtomicU64::new(0);

fn numbered(dir: &Path, prefix: &str, suffix: &str) -> PathBuf {
    // Unique within the process, which owns the folder; leftovers of another are removed at open.
    dir.join(format!("{prefix}{}{suffix}", COUNTER.fetch_add(1, Ordering::Relaxed)))
}

/// A readable and writable file without a name: it is gone with its last descriptor.
///
/// # Errors
/// When `dir` takes no file.
pub fn unnamed_file(dir: &Path) -> Result<File> {
    loop {
        let path = numbered(dir, "tmp-", ".tmp");
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => {
                fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes what an earlier process left.
pub(super) fn remove_leftovers(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| LEFTOVERS.iter().any(|prefix| name.starts_with(prefix))) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// An SQLite file that is being built; removed when dropped, unless it was moved to its place.
pub struct ImageFile {
    path: Option<PathBuf>,
    file: File,
    page_size: PageSize,
    page_count: PageCount,
    /// Not yet written: a run of pages that begins at this offset.
    pending: (u64, Vec<u8>),
}

impl ImageFile {
    /// An image of `page_count` zero pages in `dir`; zero pages take no room on disk.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(dir: &Path, page_size: PageSize, page_count: PageCount) -> Result<Self> {
        let path = numbered(dir, "next-", ".db");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let image = Self { path: Some(path), file, page_size, page_count, pending: (0, Vec::new()) };
        image.file.set_len(u64::from(page_count.0) * u64::from(page_size.get()))?;
        Ok(image)
    }

    /// Where the file is.
    ///
    /// # Panics
    /// If it was moved away.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.as_deref().expect("BUG: an image has a path until it is moved")
    }

    /// Checks the image as [`check::check`] does; all of it must be [flushed](Self::flush).
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn check(&self, is_wanted: &dyn Fn() -> bool) -> Result<CheckOutcome> {
        check::check(&self.file, self.page_size, self.page_count, is_wanted)
    }

    /// Sets a page. Ascending runs are written together.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn write(&mut self, page: PageNo, data: &[u8]) -> Result<()> {
        debug_assert_eq!(data.len(), self.page_size.bytes());
        let at = page.index() as u64 * u64::from(self.page_size.get());
        let (start, bytes) = &self.pending;
        if start + bytes.len() as u64 != at || bytes.len() >= WRITE_BYTES {
            self.flush()?;
            self.pending.0 = at;
        }
        self.pending.1.extend_from_slice(data);
        Ok(())
    }

    /// Writes what was gathered, so that others see the whole image.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn flush(&mut self) -> Result<()> {
        let (at, bytes) = &mut self.pending;
        self.file.write_all_at(bytes, *at)?;
        bytes.clear();
        Ok(())
    }

    /// Marks the image as a file in WAL mode and brings it onto the disk.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn seal_as_wal(&mut self) -> Result<()> {
        self.flush()?;
        if self.page_count.0 > 0 {
            let mut page1 = vec![0; self.page_size.bytes()];
            self.file.read_exact_at(&mut page1, 0)?;
            header::mark_wal(&mut page1);
            self.file.write_all_at(&page1, 0)?;
        }
        self.file.sync_all()?;
        Ok(())
    }

    /// Moves the file to `to`, over what is there.
    ///
    /// # Errors
    /// When the file system refuses it.
    ///
    /// # Panics
    /// If it was moved before.
    pub fn rename(mut self, to: &Path) -> Result<()> {
        fs::rename(self.path(), to)?;
        self.path = None;
        Ok(())
    }
}

impl Drop for ImageFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, "a scratch image stays until the next start");
        }
    }
}
