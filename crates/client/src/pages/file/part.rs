//! `<file>-ferry-part`: the image that a pull receives, at first beside the file. It has the layout of the
//! image itself, with holes where pages of the local file stay.

use std::{
    fs::{self, File},
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_core::pages::{PageSet, header, tree};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root};

mod leftover;

use super::{paths, point, scan::root_of};
use crate::{ClientError, Result, pages::wire::PageSink, progress::Progress};

const SUFFIX: &str = "-ferry-part";
/// Where page 1 tells the journal mode, and what it says of a rollback journal (SQLite file format, 1.3.3).
const FORMAT_VERSIONS_AT: u64 = 18;
const ROLLBACK_VERSIONS: [u8; 2] = [1, 1];

/// A received image, not yet in its place. Dropped, it is removed.
pub struct Part {
    file: File,
    path: PathBuf,
    page_size: PageSize,
    page_count: PageCount,
    /// What the image's leaves are known to be: received, or the local file's own.
    leaves: Vec<Leaf>,
    known: PageSet,
    received: PageSet,
    /// Room for page 1 in normal form.
    room: Vec<u8>,
    progress: Arc<dyn Progress>,
    placed: bool,
}

impl Part {
    /// Makes the part of `file` for an image of this shape. `local` are the leaves of the local file if it has
    /// the same page size: the hub does not send what equals them.
    ///
    /// # Errors
    /// When another run works on the same file, something of others has the part's name, or the disk does not allow it.
    pub fn create(
        file: &Path,
        page_size: PageSize,
        page_count: PageCount,
        local: &[Leaf],
        progress: Arc<dyn Progress>,
    ) -> Result<Self> {
        let path = paths::beside(file, SUFFIX);
        let part = leftover::replace(file, &path)?;
        let failed = |error: &io::Error| ClientError::io(path.display(), error);
        let bytes = u64::from(page_count.0) * u64::from(page_size.get());
        part.set_len(bytes).map_err(|error| failed(&error))?;
        let count = page_count.0 as usize;
        let mut leaves = vec![Leaf::LOCK_PAGE; count];
        let kept = local.len().min(count);
        leaves[..kept].copy_from_slice(&local[..kept]);
        let own = page_count.pages().take(kept);
        let lock_page = Some(page_size.lock_page()).filter(|page| page_count.contains(*page));
        Ok(Self {
            file: part,
            path,
            page_size,
            page_count,
            leaves,
            known: own.chain(lock_page).collect(),
            received: PageSet::default(),
            room: Vec::new(),
            progress,
            placed: false,
        })
    }

    /// Bytes per page.
    #[must_use]
    pub const fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Number of pages.
    #[must_use]
    pub const fn page_count(&self) -> PageCount {
        self.page_count
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The image's leaves; whole once [`Self::verify`] has said so.
    #[must_use]
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The pages that were received, ascending.
    pub fn received(&self) -> impl Iterator<Item = PageNo> + '_ {
        self.received.iter()
    }

    /// Reads a received page back and compares it with what was received.
    ///
    /// # Errors
    /// When the disk gives back something else.
    pub fn read(&self, number: PageNo, page: &mut [u8]) -> Result<()> {
        read_at(&self.file, page, self.offset(number))
            .map_err(|error| ClientError::io(self.path.display(), &error))?;
        if tree::leaf_of(number, self.page_count, page, &mut Vec::new()) == self.leaves[number.index()] {
            Ok(())
        } else {
            Err(ClientError::unverified(format!(
                "{}: page {number} is not what was received: check the disk, then pull again",
                self.path.display()
            )))
        }
    }

    fn offset(&self, number: PageNo) -> u64 {
        number.index() as u64 * u64::from(self.page_size.get())
    }

    /// Whether the image is whole and begins with a proper SQLite header; its root. `local_first` is page 1 of
    /// the local file, which stays if the hub sent none.
    ///
    /// # Errors
    /// When a page is missing or the header is not that of such an image.
    pub fn verify(&self, local_first: Option<&[u8]>) -> Result<Root> {
        if let Some(missing) = self.page_count.pages().find(|page| !self.known.contains(*page)) {
            return Err(ClientError::unverified(format!("the hub did not send page {missing}: pull again")));
        }
        if self.page_count.0 > 0 {
            let mut first = vec![0; self.page_size.bytes()];
            match local_first {
                Some(local) if !self.received.contains(PageNo::FIRST) => first.copy_from_slice(local),
                _ => self.read(PageNo::FIRST, &mut first)?,
            }
            header::check_image(&first, self.page_count).map_err(|error| {
                ClientError::unverified(format!("the hub's image is no SQLite database: {error}"))
            })?;
        }
        Ok(root_of(self.page_size, &self.leaves))
    }

    /// Marks the image as one with a rollback journal, so that SQLite opens it without making a WAL beside it.
    /// The mark is no part of page 1's leaf.
    ///
    /// # Errors
    /// When the disk does not allow it.
    pub fn mark_rollback(&self) -> Result<()> {
        write_at(&self.file, &ROLLBACK_VERSIONS, FORMAT_VERSIONS_AT)
            .map_err(|error| ClientError::io(self.path.display(), &error))
    }

    /// Gives the whole image the name of `file`, which must be free. Durable when it returns.
    ///
    /// # Errors
    /// When the file exists by now, or the disk does not allow it.
    pub fn rename_to(mut self, file: &Path) -> Result<()> {
        let failed = |error: io::Error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                ClientError::conflict(
                    "FILE_EXISTS",
                    format!("{} has appeared meanwhile and is left as it is", file.display()),
                )
            } else {
                ClientError::io(file.display(), &error)
            }
        };
        self.file.sync_all().map_err(failed)?;
        point("pull.part")?;
        paths::place_database(&self.path, file).map_err(failed)?;
        self.placed = true;
        point("pull.commit")
    }
}

impl PageSink for Part {
    fn page(&mut self, number: PageNo, data: &[u8]) -> Result<ControlFlow<()>> {
        let wrong = |what: &str| Err(ClientError::unverified(format!("the hub sent page {number} {what}")));
        if !self.page_count.contains(number) {
            return wrong("beyond the end of its image");
        }
        if number == self.page_size.lock_page() {
            return wrong("which is never sent");
        }
        if data.len() != self.page_size.bytes() {
            return wrong("with another length than a page");
        }
        if !self.received.insert(number) {
            return wrong("twice");
        }
        write_at(&self.file, data, self.offset(number))
            .map_err(|error| ClientError::io(self.path.display(), &error))?;
        self.leaves[number.index()] = tree::leaf_of(number, self.page_count, data, &mut self.room);
        self.known.insert(number);
        self.progress.advance(data.len() as u64);
        Ok(ControlFlow::Continue(()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Left over, it is only litter: the next run starts it afresh.
        if !self.placed
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, "the part is left over");
        }
    }
}

#[cfg(unix)]
fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, data, offset)
}

#[cfg(unix)]
fn read_at(file: &File, data: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, data, offset)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(data)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, data: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(data)
}
