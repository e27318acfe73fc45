//! A push over Ferry's own page wire, as its body arrives (PAG-21, PAG-23, PAG-25): what is whole of it is staged at once, so
//! that memory does not grow with the body and a retry sends only the rest.

use ferry_core::pages::{
    PageSet, PushPlan, Volatile,
    body::{BodySink, Content},
    header, tree,
};
use ferry_protocol::pages::body::{BodyError, BodyHeader, BodyViolation, runs_of};
use ferry_types::{DatabaseId, Leaf, PageCount, PageNo, PageSize, Root};

use super::{
    NotedHashes, PageSource as _, PinnedVersion, Prepared, PushError, ReadConsistency,
    contents::{Contents, read_normal},
};
use crate::{Error, Result};

/// Pages whose leaves are compared with those of the base at once.
const COMPARED_AT_ONCE: usize = 1024;
/// Pages of the base that are copied at once.
const COPIED_AT_ONCE_BYTES: usize = 256 << 10;

/// A push whose body arrives.
pub struct Upload {
    pinned: PinnedVersion,
    database: DatabaseId,
    noted: NotedHashes,
    header: Option<BodyHeader>,
    /// Pages other than page 1 that differ from the base.
    changed: PageSet,
    /// Page 1, if it came.
    page1: Option<Vec<u8>>,
    /// Targets and their sources that are not read yet.
    copies: Vec<(PageNo, PageNo)>,
    /// Targets that are not compared with the base yet.
    arrived: Vec<(PageNo, Leaf)>,
    /// The leaf of a page of zeros.
    zeros: Leaf,
    room: Vec<u8>,
}

/// What came of a body that is whole.
pub enum Uploaded {
    /// The image that the hub has already.
    Unchanged,
    /// A new one.
    Changed(Box<Prepared>),
}

impl Upload {
    /// A push of `database` onto the version that `pinned` holds.
    ///
    /// # Errors
    /// When the stage cannot be opened.
    pub fn new(pinned: PinnedVersion, database: DatabaseId) -> Result<Self> {
        pinned.replica().expire_stage()?;
        let noted = pinned.replica().noted_hashes()?;
        Ok(Self {
            pinned,
            database,
            noted,
            header: None,
            changed: PageSet::default(),
            page1: None,
            copies: Vec::new(),
            arrived: Vec::new(),
            zeros: Leaf::LOCK_PAGE,
            room: Vec::new(),
        })
    }

    /// The body is whole, and leads to an image with this root.
    ///
    /// # Errors
    /// [`PushError`]; what was staged stays.
    ///
    /// # Panics
    /// Never: a body that ended has a header.
    pub fn finish(mut self, root: Root) -> Result<Uploaded, PushError> {
        self.copy_pages()?;
        self.compare()?;
        let header = self.header.expect("BUG: a body that ended has a header");
        let base = self.pinned.info().clone();
        let Some(page_size) = header.page_size else {
            return match base.version {
                0 if root == base.root => Ok(Uploaded::Unchanged),
                0 => Err(PushError::RootMismatch),
                _ => Err(PushError::NothingPushed),
            };
        };
        let volatile = Volatile(header.volatile.unwrap_or(Volatile::NORMAL.0));
        let mut page1 = match self.page1.take() {
            Some(page1) => page1,
            None => {
                let mut page1 = Vec::with_capacity(page_size.bytes());
                read_normal(&self.pinned, &[PageNo::FIRST], &mut page1)?;
                page1
            }
        };
        let page1_leaf = tree::leaf(&page1);
        volatile.apply(&mut page1);
        header::check_image(&page1, header.page_count).map_err(PushError::NotSqlite)?;
        let is_same_size = (base.page_size, base.page_count) == (Some(page_size), header.page_count);
        if is_same_size && self.changed.is_empty() && page1_leaf == self.base_leaf(PageNo::FIRST)? {
            return if root == base.root { Ok(Uploaded::Unchanged) } else { Err(PushError::RootMismatch) };
        }
        let plan = PushPlan {
            base: base.image(),
            page_size,
            page_count: header.page_count,
            page1,
            volatile,
            changed: self.changed,
        };
        let prepared =
            Prepared::of(plan, self.pinned, self.noted, ReadConsistency::Snapshot, Contents::Staged)?;
        Ok(Uploaded::Changed(Box::new(prepared.leading_to(root)?)))
    }

    fn base_leaf(&self, page: PageNo) -> Result<Leaf> {
        let mut found = std::collections::VecDeque::new();
        self.pinned.leaves(page, page.get() + 1, &mut found)?;
        found.pop_front().ok_or_else(|| Error::Damaged(format!("no leaf of page {page}")))
    }

    fn page_size(&self) -> PageSize {
        self.header.and_then(|header| header.page_size).expect("BUG: an image with pages has a page size")
    }

    /// Stages a page, and notes whose it is.
    fn take(&mut self, page: PageNo, data: &[u8]) -> Result<(), PushError> {
        if page == PageNo::FIRST {
            self.page1 = Some(data.to_vec());
            return Ok(());
        }
        let leaf = tree::leaf(data);
        if leaf != self.zeros {
            self.pinned.replica().stage()?.put(&leaf, data)?;
        }
        self.note(page, leaf)
    }

    fn note(&mut self, page: PageNo, leaf: Leaf) -> Result<(), PushError> {
        self.arrived.push((page, leaf));
        if self.arrived.len() >= COMPARED_AT_ONCE { self.compare() } else { Ok(()) }
    }

    /// Of what arrived, notes what differs from the base.
    fn compare(&mut self) -> Result<(), PushError> {
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.sort_unstable_by_key(|(page, _)| *page);
        let base = self.pinned.info();
        let is_in_base = |page: &PageNo| {
            base.page_size == self.header.and_then(|header| header.page_size)
                && base.page_count.contains(*page)
        };
        let mut known = std::collections::VecDeque::new();
        for run in runs_of(arrived.iter().map(|(page, _)| *page).filter(is_in_base)) {
            let end = u32::try_from(run.end()).unwrap_or(u32::MAX);
            self.pinned.leaves(run.first, end, &mut known)?;
        }
        for (page, leaf) in &arrived {
            let had = if is_in_base(page) { known.pop_front() } else { None };
            if had != Some(*leaf) {
                self.noted.set(*page, leaf)?;
                self.changed.insert(*page);
            }
        }
        arrived.clear();
        self.arrived = arrived;
        Ok(())
    }

    /// Reads the pages of the base that are to be copied.
    fn copy_pages(&mut self) -> Result<(), PushError> {
        let copies = std::mem::take(&mut self.copies);
        let Some((_, first)) = copies.first() else { return Ok(()) };
        debug_assert!(self.pinned.info().page_count.contains(*first), "BUG: sources are pages of the base");
        let sources: Vec<PageNo> = copies.iter().map(|(_, source)| *source).collect();
        let mut data = std::mem::take(&mut self.room);
        data.clear();
        read_normal(&self.pinned, &sources, &mut data)?;
        for ((target, _), page) in copies.iter().zip(data.chunks_exact(self.page_size().bytes())) {
            self.take(*target, page)?;
        }
        self.room = data;
        Ok(())
    }

    fn staged(&mut self, page: PageNo, leaf: Leaf) -> Result<(), PushError> {
        let mut data = std::mem::take(&mut self.room);
        let found = self.pinned.replica().stage()?.read(&leaf, &mut data)?;
        if !found || data.len() != self.page_size().bytes() {
            return Err(PushError::StagedGone { page });
        }
        if page == PageNo::FIRST {
            self.page1 = Some(data.clone());
        }
        self.room = data;
        if page == PageNo::FIRST { Ok(()) } else { self.note(page, leaf) }
    }
}

impl BodySink for Upload {
    type Error = PushError;

    fn begin(&mut self, header: &BodyHeader) -> Result<(), PushError> {
        let base = self.pinned.info();
        let wrong = |offset, fault| Err(PushError::Body(BodyError { offset, fault }));
        if !header.flags.push {
            return wrong(5, BodyViolation::Header("set of flags: a push has flag 08"));
        }
        if header.database != self.database {
            return Err(PushError::WrongDatabase);
        }
        if !header.flags.full {
            let stated = (header.base_version, header.base_root, header.base_count);
            if stated != (base.version, base.tag().root_prefix, base.page_count) {
                return wrong(24, BodyViolation::Header("base: it is not the version that If-Match names"));
            }
            if header.page_size.is_some() && header.page_size != base.page_size {
                return wrong(
                    6,
                    BodyViolation::Header("page size: another one than before asks for a full body"),
                );
            }
        }
        let PageCount(count) = header.page_count;
        let bytes = u64::from(count) * header.page_size.map_or(0, |size| u64::from(size.get()));
        let max_bytes = self.pinned.replica().config.max_database_bytes;
        if bytes > max_bytes {
            return Err(PushError::TooLarge { max_bytes });
        }
        self.zeros = header.page_size.map_or(Leaf::LOCK_PAGE, |size| tree::leaf(&vec![0; size.bytes()]));
        self.header = Some(*header);
        Ok(())
    }

    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), PushError> {
        Ok(read_normal(&self.pinned, pages, into)?)
    }

    fn put(&mut self, page: PageNo, content: Content<'_>) -> Result<(), PushError> {
        if !matches!(content, Content::Base(_)) {
            self.copy_pages()?;
        }
        match content {
            Content::Bytes(data) => self.take(page, data),
            Content::Zero if page == PageNo::FIRST => {
                self.page1 = Some(vec![0; self.page_size().bytes()]);
                Ok(())
            }
            Content::Zero => self.note(page, self.zeros),
            Content::Base(source) => {
                self.copies.push((page, source));
                let bytes = self.copies.len() * self.page_size().bytes();
                if bytes >= COPIED_AT_ONCE_BYTES { self.copy_pages() } else { Ok(()) }
            }
            Content::Staged(leaf) => self.staged(page, leaf),
        }
    }
}
