//! `<file>-ferry-part`: the image that a pull receives, at first beside the file. It has the layout of the
//! image itself, with holes where pages of the local file stay.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_core::pages::{header, tree};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root};

mod leftover;

use super::{
    at::{read_at, write_at},
    paths, point,
    scan::root_of,
};
use crate::{ClientError, Result, pages::wire::PageSink, progress::Progress};

const SUFFIX: &str = "-ferry-part";
/// Where page 1 tells the journal mode, and what it says of a rollback journal (SQLite file format, 1.3.3).
const FORMAT_VERSIONS_AT: u64 = 18;
const ROLLBACK_VERSIONS: [u8; 2] = [1, 1];
const WAL_VERSIONS: [u8; 2] = [2, 2];

/// A received image, not yet in its place. Dropped, it is removed.
pub struct Part {
    file: File,
    path: PathBuf,
    page_size: PageSize,
    page_count: PageCount,
    received: BTreeMap<PageNo, Leaf>,
    /// Room for page 1 in normal form.
    room: Vec<u8>,
    progress: Arc<dyn Progress>,
    placed: bool,
}

impl Part {
    /// Makes the part of `file` for an image of this shape.
    ///
    /// # Errors
    /// When another run works on the same file, something of others has the part's name, or the disk does not allow it.
    pub fn create(
        file: &Path,
        page_size: PageSize,
        page_count: PageCount,
        progress: Arc<dyn Progress>,
    ) -> Result<Self> {
        let path = paths::beside(file, SUFFIX);
        let part = leftover::replace(file, &path)?;
        let failed = |error: &io::Error| ClientError::io(path.display(), error);
        let bytes = u64::from(page_count.0) * u64::from(page_size.get());
        part.set_len(bytes).map_err(|error| failed(&error))?;
        let (received, room) = (BTreeMap::new(), Vec::new());
        Ok(Self { file: part, path, page_size, page_count, received, room, progress, placed: false })
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

    /// The pages that were received and their leaves, ascending.
    pub fn received(&self) -> impl ExactSizeIterator<Item = (PageNo, Leaf)> + '_ {
        self.received.iter().map(|(page, leaf)| (*page, *leaf))
    }

    /// The leaves of an image of which all pages were received.
    #[must_use]
    pub fn leaves(&self) -> Vec<Leaf> {
        self.leaves_over(&[])
    }

    /// The image's leaves, where those of the pages that were not received are those of the local file.
    #[must_use]
    pub fn leaves_over(&self, local: &[Leaf]) -> Vec<Leaf> {
        let mut leaves = vec![Leaf::LOCK_PAGE; self.page_count.0 as usize];
        let kept = local.len().min(leaves.len());
        leaves[..kept].copy_from_slice(&local[..kept]);
        for (page, leaf) in &self.received {
            leaves[page.index()] = *leaf;
        }
        leaves
    }

    /// Takes a page of the image and its leaf.
    ///
    /// # Errors
    /// When the disk does not allow it.
    pub fn put(&mut self, number: PageNo, data: &[u8], leaf: Leaf) -> Result<()> {
        write_at(&self.file, data, self.offset(number))
            .map_err(|error| ClientError::io(self.path.display(), &error))?;
        self.received.insert(number, leaf);
        self.progress.advance(data.len() as u64);
        Ok(())
    }

    /// Reads a received page back and compares it with what was received.
    ///
    /// # Errors
    /// When the disk gives back something else.
    pub fn read(&self, number: PageNo, page: &mut [u8]) -> Result<()> {
        read_at(&self.file, page, self.offset(number))
            .map_err(|error| ClientError::io(self.path.display(), &error))?;
        let leaf = tree::leaf_of(number, self.page_count, page, &mut Vec::new());
        if self.received.get(&number) == Some(&leaf) {
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

    /// Whether the image is whole and begins with a proper SQLite header; its root. `local` are the leaves of the local
    /// file's pages and its page 1, which stay where the hub sent none.
    ///
    /// # Errors
    /// When a page is missing or the header is not that of such an image.
    pub fn verify(&self, local: &[Leaf], local_first: Option<&[u8]>) -> Result<Root> {
        let lock_page = self.page_size.lock_page();
        let is_known = |page: &PageNo| {
            page.index() < local.len() || *page == lock_page || self.received.contains_key(page)
        };
        if let Some(missing) = self.page_count.pages().find(|page| !is_known(page)) {
            return Err(ClientError::unverified(format!("the hub did not send page {missing}: pull again")));
        }
        self.check_header(local_first)?;
        Ok(root_of(self.page_size, &self.leaves_over(local)))
    }

    /// Whether the image begins with a proper SQLite header; `local_first` is page 1 where none was received.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_header(&self, local_first: Option<&[u8]>) -> Result<()> {
        if self.page_count.0 == 0 {
            return Ok(());
        }
        let mut first = vec![0; self.page_size.bytes()];
        match local_first {
            // Its page count is that of the file as it was, and changes with the image.
            Some(_) if !self.received.contains_key(&PageNo::FIRST) => return Ok(()),
            _ => self.read(PageNo::FIRST, &mut first)?,
        }
        header::check_image(&first, self.page_count).map(drop).map_err(|error| {
            ClientError::unverified(format!("the hub's image is no SQLite database: {error}"))
        })
    }

    /// Marks the image as one in WAL mode. The mark is no part of page 1's leaf.
    ///
    /// # Errors
    /// When the disk does not allow it.
    pub fn mark_wal(&self) -> Result<()> {
        write_at(&self.file, &WAL_VERSIONS, FORMAT_VERSIONS_AT)
            .map_err(|error| ClientError::io(self.path.display(), &error))
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
        if self.received.contains_key(&number) {
            return wrong("twice");
        }
        let leaf = tree::leaf_of(number, self.page_count, data, &mut self.room);
        self.put(number, data, leaf)?;
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
