//! Reading one version of an image, whatever is committed meanwhile (PAG-46): from the read transaction at the
//! present version where a page has not changed since, else from its before-image.
//!
//! The order matters: the page first, then the index. A page read from an older transaction than the index
//! knows is found changed there, and its before-image is taken; a newer page than the index knows cannot be
//! read. Every page is checked against its leaf before it leaves.

use std::{collections::VecDeque, io, sync::Arc};

use ferry_core::pages::{
    ImageHashes,
    tree::{self, Node},
};
use ferry_types::{Leaf, PageCount, PageNo, PageSize};

use super::{Replica, VersionInfo, damage, digests, index, replica::lock, segment::SegmentPosition};
use crate::{Error, Result};

/// Bytes read under the lock of the shared read transaction: others wait that long.
const READ_AT_ONCE_BYTES: usize = 256 << 10;
/// Old versions whose root is known to be right.
const CHECKED_ROOTS: usize = 32;
/// Leaves read at once.
const LEAF_WINDOW: u32 = 1024;

/// A version of an image that can be read.
pub trait PageSource: Send + Sync {
    /// Which version.
    fn info(&self) -> &VersionInfo;

    /// Reads pages, in the order given, in served form.
    ///
    /// # Errors
    /// When a page cannot be read as it was at this version; or what `each` returns.
    fn read(&self, pages: &[PageNo], each: &mut dyn FnMut(PageNo, &[u8]) -> Result<()>) -> Result<()>;

    /// Appends the leaves of pages `first` up to, not including, `end` to `into`.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn leaves(&self, first: PageNo, end: u32, into: &mut VecDeque<Leaf>) -> Result<()>;

    /// Appends nodes `first` up to, not including, `end` of `level` of the tree over the leaves.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn nodes(&self, level: u8, first: u32, end: u32, into: &mut Vec<Node>) -> Result<()> {
        let mut leaves = |first, end, into: &mut VecDeque<Leaf>| self.leaves(first, end, into);
        digests::of_leaves(&mut leaves, self.info().page_count, level, first..end, into)
    }
}

/// A version of a replica; it is kept while this lives.
pub struct PinnedVersion {
    replica: Arc<Replica>,
    info: VersionInfo,
}

impl Drop for PinnedVersion {
    fn drop(&mut self) {
        self.replica.unpin(self.info.version);
    }
}

/// A version that is kept, and that cannot be read before the index was found to lead to its root.
pub struct UncheckedVersion(PinnedVersion);

impl UncheckedVersion {
    pub(super) const fn of(pinned: PinnedVersion) -> Self {
        Self(pinned)
    }

    /// Which version.
    #[must_use]
    pub const fn info(&self) -> &VersionInfo {
        &self.0.info
    }

    /// Whether its root is known to be right, so that [`Self::check`] returns at once.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.0.is_checked()
    }

    /// Checks it, unless that was done: it reads a leaf for each page.
    ///
    /// # Errors
    /// When the index cannot be read, or does not lead to the version's root.
    pub fn check(self) -> Result<PinnedVersion> {
        self.0.check_root()?;
        Ok(self.0)
    }
}

/// Where the content of a page at the pinned version is.
enum Found {
    /// As the present version has it.
    Present(Leaf),
    /// In a segment.
    Before(Leaf, SegmentPosition),
}

impl Replica {
    /// Pins the newest version: it can be read until the pin is dropped, whatever is committed meanwhile.
    #[must_use]
    pub fn pin(self: &Arc<Self>) -> PinnedVersion {
        PinnedVersion { info: self.pin_current(), replica: Arc::clone(self) }
    }

    /// Pins a version that is listed, while no history may be cut.
    pub(super) fn pin_version(self: &Arc<Self>, info: VersionInfo) -> PinnedVersion {
        self.pin_number(info.version);
        PinnedVersion { info, replica: Arc::clone(self) }
    }
}

impl PinnedVersion {
    /// The replica it belongs to.
    #[must_use]
    pub const fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    fn find(&self, connection: &rusqlite::Connection, page: PageNo) -> Result<Found> {
        let version = self.info.version;
        if Some(page) == self.info.page_size.map(PageSize::lock_page) {
            return Ok(Found::Present(Leaf::LOCK_PAGE));
        }
        if let Some((leaf, changed)) = index::page(connection, page)?
            && changed <= version
        {
            return Ok(Found::Present(leaf));
        }
        match index::before(connection, page, version)? {
            Some((leaf, position)) => Ok(Found::Before(leaf, position)),
            // It was cut meanwhile, since it was found damaged.
            None if version < self.replica.current().version => Err(damage::gone(version)),
            None => Err(Error::Damaged(format!("page {page} of version {version} is not kept"))),
        }
    }

    fn is_checked(&self) -> bool {
        self.info == self.replica.current() || lock(&self.replica.checked_roots).contains(&self.info.tag())
    }

    /// Checks an old version against its root. Each page is checked against its leaf when it is read, but a bit that flips in
    /// the index may lead to an image of another version.
    fn check_root(&self) -> Result<()> {
        let (tag, replica) = (self.info.tag(), &self.replica);
        if self.is_checked() {
            return Ok(());
        }
        let mut root = tree::RootBuilder::default();
        let (mut first, mut leaves) = (1, VecDeque::new());
        while let Some(page) = PageNo::new(first).filter(|page| self.info.page_count.contains(*page)) {
            let end = self.info.page_count.0.saturating_add(1).min(first.saturating_add(LEAF_WINDOW));
            self.leaves(page, end, &mut leaves)?;
            leaves.drain(..).for_each(|leaf| root.push(&leaf));
            first = end;
        }
        let is_right = match self.info.page_size {
            Some(size) => root.finish(size) == self.info.root,
            None => self.info.root == VersionInfo::empty().root,
        };
        if !is_right {
            tracing::error!(
                version = self.info.version,
                "the page index does not lead to what this version was"
            );
            return Err(damage::gone(self.info.version));
        }
        let mut checked = lock(&replica.checked_roots);
        if checked.len() >= CHECKED_ROOTS {
            checked.pop_front();
        }
        checked.push_back(tag);
        Ok(())
    }

    /// Appends what R1 has of these pages to `into`; of pages it does not have, anything.
    fn read_present(&self, pages: &[PageNo], size: PageSize, into: &mut Vec<u8>) -> Result<()> {
        let present = lock(&self.replica.present);
        for (position, page) in pages.iter().enumerate() {
            match present
                .as_ref()
                .filter(|snapshot| snapshot.page_size() == size && snapshot.page_count().contains(*page))
            {
                Some(snapshot) => snapshot.read(*page, into)?,
                None => into.resize((position + 1) * size.bytes(), 0),
            }
        }
        Ok(())
    }

    /// Puts the frame of a before-image into `frame`, unless it is there. Where it stands in the end: it may be moved to
    /// another segment meanwhile.
    fn read_frame(
        &self,
        page: PageNo,
        position: SegmentPosition,
        (at, frame): &mut (Option<(u32, u64)>, Vec<u8>),
    ) -> Result<SegmentPosition> {
        if *at == Some((position.segment, position.offset)) {
            return Ok(position);
        }
        let segments = &self.replica.segments;
        *at = None;
        let position = match segments.read_frame(position.segment, position.offset, frame) {
            Ok(()) => position,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                let Found::Before(_, moved) = self.replica.with_index(|index| self.find(index, page))? else {
                    return Err(error.into());
                };
                let read = segments.read_frame(moved.segment, moved.offset, frame);
                read.map_err(|error| self.unreadable(moved, error))?;
                moved
            }
            Err(error) => return Err(self.unreadable(position, error)),
        };
        *at = Some((position.segment, position.offset));
        Ok(position)
    }

    fn unreadable(&self, at: SegmentPosition, error: Error) -> Error {
        self.replica.unreadable(self.info.version, at, error)
    }

    /// As [`PageSource::leaves`], on this connection.
    pub(super) fn leaves_on(
        &self,
        connection: &rusqlite::Connection,
        first: PageNo,
        end: u32,
        into: &mut VecDeque<Leaf>,
    ) -> Result<()> {
        let version = self.info.version;
        let mut statement = connection.prepare_cached(
            "SELECT pgno, leaf, changed FROM pages WHERE pgno >= ?1 AND pgno < ?2 ORDER BY pgno",
        )?;
        let mut rows = statement.query((first.get(), end))?;
        let mut row = rows.next()?;
        for page in (first.get()..end).filter_map(PageNo::new) {
            let mut leaf = None;
            if let Some(present) = row
                && present.get::<_, u32>(0)? == page.get()
            {
                if present.get::<_, u64>(2)? <= version {
                    leaf = Some(Leaf(present.get(1)?));
                }
                row = rows.next()?;
            }
            into.push_back(match leaf {
                Some(leaf) => leaf,
                None => match self.find(connection, page)? {
                    Found::Present(leaf) | Found::Before(leaf, _) => leaf,
                },
            });
        }
        Ok(())
    }

    fn serve(&self, page: PageNo, data: &mut [u8], leaf: &Leaf) -> Result<()> {
        let size = self.info.page_size.ok_or_else(|| Error::Damaged("a page of the empty image".into()))?;
        if page == size.lock_page() {
            data.fill(0);
            return Ok(());
        }
        if page == PageNo::FIRST {
            ferry_core::pages::header::normalize(data, self.info.page_count);
        }
        if tree::leaf(data) != *leaf {
            return Err(Error::Damaged(format!(
                "page {page} of version {} is not what the index says",
                self.info.version
            )));
        }
        if page == PageNo::FIRST {
            self.info.volatile.apply(data);
        }
        Ok(())
    }
}

impl PageSource for PinnedVersion {
    fn info(&self) -> &VersionInfo {
        &self.info
    }

    fn read(&self, pages: &[PageNo], each: &mut dyn FnMut(PageNo, &[u8]) -> Result<()>) -> Result<()> {
        let Some(size) = self.info.page_size else { return Ok(()) };
        let mut data = Vec::new();
        let mut frame = (None, Vec::new());
        for chunk in pages.chunks((READ_AT_ONCE_BYTES / size.bytes()).max(1)) {
            data.clear();
            self.read_present(chunk, size, &mut data)?;
            let found = self.replica.with_index(|connection| {
                chunk.iter().map(|page| self.find(connection, *page)).collect::<Result<Vec<_>>>()
            })?;
            for ((page, data), found) in chunk.iter().zip(data.chunks_exact_mut(size.bytes())).zip(found) {
                match found {
                    Found::Present(leaf) => self.serve(*page, data, &leaf)?,
                    Found::Before(leaf, position) => {
                        let position = self.read_frame(*page, position, &mut frame)?;
                        let from = position.slot as usize * size.bytes();
                        let lacking = || Error::Damaged("a segment lacks a page".into());
                        let image = frame.1.get(from..from + size.bytes()).ok_or_else(lacking);
                        data.copy_from_slice(image.map_err(|error| self.unreadable(position, error))?);
                        self.serve(*page, data, &leaf).map_err(|error| self.unreadable(position, error))?;
                    }
                }
                each(*page, data)?;
            }
        }
        Ok(())
    }

    fn leaves(&self, first: PageNo, end: u32, into: &mut VecDeque<Leaf>) -> Result<()> {
        self.replica.with_index(|connection| self.leaves_on(connection, first, end, into))
    }

    fn nodes(&self, level: u8, first: u32, end: u32, into: &mut Vec<Node>) -> Result<()> {
        self.replica.with_index(|index| {
            let mut leaves = |first, end, into: &mut VecDeque<Leaf>| self.leaves_on(index, first, end, into);
            digests::of_version(index, &self.info, &mut leaves, level, first..end, into)
        })
    }
}

/// The hashes by which EdgeReplica's client knows the pages of an image.
pub struct ServedHashes<S> {
    source: S,
    window: (u32, VecDeque<Leaf>),
    page1: Option<Leaf>,
}

impl<S: PageSource> ServedHashes<S> {
    /// Those of `source`.
    pub const fn new(source: S) -> Self {
        Self { source, window: (0, VecDeque::new()), page1: None }
    }

    /// The image, no longer needed here.
    pub fn into_source(self) -> S {
        self.source
    }

    /// The image.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// BLAKE3 of the page in served form; the lock page as zeros.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(&mut self, page: PageNo) -> Result<Leaf> {
        let info = self.source.info();
        let (Some(size), true) = (info.page_size, info.page_count.contains(page)) else {
            return Err(Error::Damaged(format!("version {} has no page {page}", info.version)));
        };
        if page == PageNo::FIRST {
            return self.page1();
        }
        if page == size.lock_page() {
            return Ok(tree::leaf(&vec![0; size.bytes()]));
        }
        let (first, window) = &mut self.window;
        let position = page.get().checked_sub(*first).map(|position| position as usize);
        if let Some(leaf) = position.and_then(|position| window.get(position)) {
            return Ok(*leaf);
        }
        let PageCount(count) = info.page_count;
        let end = page.get().saturating_add(LEAF_WINDOW).min(count.saturating_add(1));
        window.clear();
        self.source.leaves(page, end, window)?;
        *first = page.get();
        window.front().copied().ok_or_else(|| Error::Damaged(format!("no leaf of page {page}")))
    }

    fn page1(&mut self) -> Result<Leaf> {
        if let Some(leaf) = self.page1 {
            return Ok(leaf);
        }
        let mut leaf = None;
        self.source.read(&[PageNo::FIRST], &mut |_, data| {
            leaf = Some(tree::leaf(data));
            Ok(())
        })?;
        self.page1 = leaf;
        leaf.ok_or_else(|| Error::Damaged("page 1 was not read".into()))
    }
}

impl<S: PageSource> ImageHashes for ServedHashes<S> {
    type Error = Error;

    fn served_hash(&mut self, page: PageNo) -> Result<Leaf> {
        self.get(page)
    }
}

impl<S: PageSource + ?Sized> PageSource for Arc<S> {
    fn info(&self) -> &VersionInfo {
        (**self).info()
    }

    fn read(&self, pages: &[PageNo], each: &mut dyn FnMut(PageNo, &[u8]) -> Result<()>) -> Result<()> {
        (**self).read(pages, each)
    }

    fn leaves(&self, first: PageNo, end: u32, into: &mut VecDeque<Leaf>) -> Result<()> {
        (**self).leaves(first, end, into)
    }

    fn nodes(&self, level: u8, first: u32, end: u32, into: &mut Vec<Node>) -> Result<()> {
        (**self).nodes(level, first, end, into)
    }
}
