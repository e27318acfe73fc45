//! Taking an image: its pages are read once, in order, and what the target lacks of them is stored.

use ferry_core::{
    backup::{
        ChunkId,
        chunk::{self, ChunkPlan},
        manifest::ImageShape,
        map::MapEntry,
    },
    pages::{Volatile, header, tree},
};
use ferry_sqlite::pages::{PageSource, dbpage::Snapshot};
use ferry_types::{Leaf, PageCount, PageNo, PageSize};

use crate::{JobProgress, Result, catalog::ChunkCatalog, packs::Packs};

/// Where `user_version` stands on page 1 (SQLite file format, section 1.3).
const USER_VERSION: std::ops::Range<usize> = 60..64;
/// Chunks whose leaves are remembered at once.
const LEAVES_AT_ONCE: usize = 256;

/// One moment of a database.
pub trait ImageReader {
    /// Bytes per page; `None`: it has no page.
    fn page_size(&self) -> Option<PageSize>;

    /// Its pages.
    fn pages(&self) -> PageCount;

    /// Appends `count` pages from `first` on to `into`.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&self, first: PageNo, count: u32, into: &mut Vec<u8>) -> Result<()>;
}

fn run_of(first: PageNo, count: u32) -> impl Iterator<Item = PageNo> {
    (first.get()..first.get().saturating_add(count)).filter_map(PageNo::new)
}

impl ImageReader for Snapshot {
    fn page_size(&self) -> Option<PageSize> {
        (self.page_count().0 > 0).then_some(Self::page_size(self))
    }

    fn pages(&self) -> PageCount {
        self.page_count()
    }

    fn read(&self, first: PageNo, count: u32, into: &mut Vec<u8>) -> Result<()> {
        for page in run_of(first, count) {
            Self::read(self, page, into)?;
        }
        Ok(())
    }
}

impl ImageReader for dyn PageSource + '_ {
    fn page_size(&self) -> Option<PageSize> {
        self.info().page_size
    }

    fn pages(&self) -> PageCount {
        self.info().page_count
    }

    fn read(&self, first: PageNo, count: u32, into: &mut Vec<u8>) -> Result<()> {
        let pages: Vec<PageNo> = run_of(first, count).collect();
        PageSource::read(self, &pages, &mut |_, data| {
            into.extend_from_slice(data);
            Ok(())
        })?;
        Ok(())
    }
}

/// An image, and how it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenImage {
    /// What it is like.
    pub shape: ImageShape,
    /// Its chunks.
    pub map: Vec<MapEntry>,
    /// `user_version`.
    pub schema: u32,
}

/// Where chunks come from and go to while an image is taken.
pub(crate) struct ImageTaker<'a> {
    pub(crate) catalog: &'a mut ChunkCatalog,
    pub(crate) packs: &'a mut Packs,
    /// The map that the last snapshot has of this database; none: it has none.
    pub(crate) last: &'a [MapEntry],
    /// Whether some pack of the target is not whole, so that each chunk must be looked for.
    pub(crate) is_damaged: bool,
}

impl ImageTaker<'_> {
    /// Reads `image` from its first page to its last.
    pub(crate) fn take<R: ImageReader + ?Sized>(
        &mut self,
        image: &R,
        progress: &JobProgress,
    ) -> Result<TakenImage> {
        let Some(size) = image.page_size() else {
            return Ok(TakenImage { shape: ImageShape::empty(), map: Vec::new(), schema: 0 });
        };
        let pages = image.pages();
        let (mut data, mut map, mut new_leaves) = (Vec::new(), Vec::new(), Vec::new());
        let mut root = tree::RootBuilder::default();
        let (mut volatile, mut schema) = (Volatile::NORMAL, 0);
        for place in 0..chunk::count(pages) {
            progress.check()?;
            let count = chunk::pages_of(place, pages);
            let first = PageNo::new(place * chunk::PAGES + 1).expect("BUG: it is not 0");
            data.clear();
            image.read(first, count, &mut data)?;
            if place == 0 {
                volatile = Volatile::of(&data);
                schema = data[USER_VERSION].iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
                header::normalize(&mut data, pages);
            }
            let leaves = leaves_of(first, size, &data);
            leaves.iter().for_each(|leaf| root.push(leaf));
            let (entry, is_new) = self.store(place as usize, &leaves, size, &data)?;
            if is_new {
                new_leaves.push((entry.chunk(), leaves));
            }
            if new_leaves.len() >= LEAVES_AT_ONCE {
                self.catalog.set_leaves(&std::mem::take(&mut new_leaves))?;
            }
            map.push(entry);
        }
        self.catalog.set_leaves(&new_leaves)?;
        let shape = ImageShape { page_size: Some(size), pages, volatile, root: root.finish(size) };
        Ok(TakenImage { shape, map, schema })
    }

    /// Stores what is new of a chunk. True if that is all of it.
    fn store(
        &mut self,
        place: usize,
        leaves: &[Leaf],
        size: PageSize,
        data: &[u8],
    ) -> Result<(MapEntry, bool)> {
        let mut last = self.last.get(place);
        if self.is_damaged
            && let Some(entry) = last
        {
            for chunk in entry.chunks() {
                if !self.catalog.has(chunk)? {
                    last = None;
                }
            }
        }
        let base = match last {
            Some(entry) if entry.node() != chunk::node(leaves) => self.catalog.leaves(entry.chunk())?,
            _ => None,
        };
        match chunk::plan(leaves, last, base.as_deref()) {
            ChunkPlan::Same => Ok((last.expect("BUG: the same as the last").clone(), false)),
            ChunkPlan::Patched(entry) => {
                for patch in entry.patches() {
                    let page = data.chunks_exact(size.bytes()).nth(patch.page.into());
                    let page = page.expect("BUG: a patch is one of the pages");
                    self.packs.add(self.catalog, ChunkId::of_page(patch.leaf), page)?;
                }
                Ok((entry, false))
            }
            ChunkPlan::Whole(entry) => {
                self.packs.add(self.catalog, entry.chunk(), data)?;
                Ok((entry, true))
            }
        }
    }
}

/// The leaves of pages in normal form, from `first` on.
pub(crate) fn leaves_of(first: PageNo, size: PageSize, data: &[u8]) -> Vec<Leaf> {
    let pages = run_of(first, u32::MAX).zip(data.chunks_exact(size.bytes()));
    let leaf = |(page, data): (PageNo, &[u8])| {
        if page == size.lock_page() { Leaf::LOCK_PAGE } else { tree::leaf(data) }
    };
    pages.map(leaf).collect()
}
