//! Validation of a push before its commit: the lengths of its pages, whether they hang together (PAG-07), and, where
//! most pages are new, the file that will take main.db's place (PAG-45). Nothing here changes the database, so it runs
//! beside other writes.

use ferry_core::pages::{
    PushPlan,
    header::{self, HeaderError},
    tree,
};
use ferry_protocol::pages::body::BodyError;
use ferry_types::{Leaf, PageNo, Root};

use super::{
    CheckOutcome, ImageFile, NotedHashes, PageSource, PinnedVersion, ReadConsistency, ServedHashes, Stage,
    contents::Contents,
};
use crate::{Error, Result, fault};

/// Why a push was not committed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Another push came first; this is the version now.
    #[error("another push was committed first (now version {current})")]
    Conflict {
        /// The version that won.
        current: u64,
    },
    /// The pages do not hang together: they are not of one moment, or the file itself is damaged.
    #[error("{finding}")]
    Torn {
        /// Digest of what was pushed.
        root: Root,
        /// What was found first.
        finding: String,
    },
    /// The push was given up while it was checked.
    #[error("the push was given up")]
    Unwanted,
    /// A page has another length than page 1's header says.
    #[error("page {page} has another length than the {page_size} bytes that page 1's header states")]
    Length {
        /// The page.
        page: PageNo,
        /// From page 1.
        page_size: u32,
    },
    /// A staged page was dropped meanwhile: push again.
    #[error("page {page} is no longer staged")]
    StagedGone {
        /// The page.
        page: PageNo,
    },
    /// Its body breaks a rule of the format.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Its body is for another database.
    #[error("this body is for another database")]
    WrongDatabase,
    /// Page 1 is not that of a plain SQLite database.
    #[error("page 1: {0}")]
    NotSqlite(HeaderError),
    /// An image without pages.
    #[error("an empty file never replaces a database: push one with a table")]
    NothingPushed,
    /// Over the size limit of a database.
    #[error("the database is over this hub's limit of {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: u64,
    },
    /// What was pushed does not have the root that it names.
    #[error("the pages do not lead to the root that END names: the base differs; reconcile, then push again")]
    RootMismatch,
    /// Storage failed; nothing was committed.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<rusqlite::Error> for PushError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<std::io::Error> for PushError {
    fn from(error: std::io::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A push that is valid, ready to be committed on its base.
pub struct Prepared {
    pub(super) plan: PushPlan,
    pub(super) pinned: PinnedVersion,
    pub(super) noted: NotedHashes,
    /// Page 1 in normal form, and its leaf.
    pub(super) page1: Vec<u8>,
    pub(super) page1_leaf: Leaf,
    pub(super) way: CommitMethod,
    pub(super) origin: ReadConsistency,
    /// Where the pages are that differ from the base.
    pub(super) contents: Contents,
    /// The root that the client says the image has.
    pub(super) stated_root: Option<Root>,
    is_checked: bool,
    /// Built for the check alone.
    scratch: Option<(ImageFile, Root)>,
}

/// How the new image gets into main.db.
pub(super) enum CommitMethod {
    /// Page by page, in one transaction.
    InPlace,
    /// This file takes its place.
    Swap(ImageFile, Root),
}

impl Prepared {
    /// Puts together what `plan` makes of its base, `pinned`. [`Self::check`] and [`Self::seal`] follow.
    ///
    /// # Errors
    /// [`PushError`]; the staged pages stay.
    pub fn new(
        plan: PushPlan,
        pinned: PinnedVersion,
        noted: NotedHashes,
        origin: ReadConsistency,
    ) -> Result<Self, PushError> {
        let mut prepared = Self::of(plan, pinned, noted, origin, Contents::Staged)?;
        if matches!(prepared.way, CommitMethod::InPlace) && prepared.is_checked {
            prepared.check_lengths()?;
        }
        Ok(prepared)
    }

    /// The same with pages that are known to be whole, wherever they are.
    pub(super) fn of(
        mut plan: PushPlan,
        pinned: PinnedVersion,
        noted: NotedHashes,
        origin: ReadConsistency,
        contents: Contents,
    ) -> Result<Self, PushError> {
        let lock_page = plan.page_size.lock_page();
        let is_old = plan.base.page_size == Some(plan.page_size) && plan.base.page_count.contains(lock_page);
        if plan.page_count.contains(lock_page) && !is_old {
            // It never travels, and has a leaf like all pages.
            plan.changed.insert(lock_page);
        }
        let mut page1 = plan.page1.clone();
        header::normalize(&mut page1, plan.page_count);
        let page1_leaf = tree::leaf(&page1);
        let mut prepared = Self {
            plan,
            pinned,
            noted,
            page1,
            page1_leaf,
            way: CommitMethod::InPlace,
            origin,
            contents,
            stated_root: None,
            is_checked: true,
            scratch: None,
        };
        let swap = prepared.is_mostly_new();
        let image_bytes = u64::from(prepared.plan.page_count.0) * prepared.plan.page_size.bytes() as u64;
        let checked = origin == ReadConsistency::Unknown
            && image_bytes <= prepared.pinned.replica().config.check_max_bytes;
        if !swap && !checked {
            return Ok(prepared);
        }
        let (image, root) = prepared.build()?;
        fault::point("push.built")?;
        prepared.is_checked = !checked;
        if swap {
            prepared.way = CommitMethod::Swap(image, root);
        } else {
            prepared.scratch = Some((image, root));
        }
        Ok(prepared)
    }

    /// The same, to be committed only if the image has this root (PAG-21).
    pub(super) fn leading_to(mut self, root: Root) -> Result<Self, PushError> {
        if let CommitMethod::Swap(_, found) = &self.way
            && *found != root
        {
            return Err(PushError::RootMismatch);
        }
        self.stated_root = Some(root);
        Ok(self)
    }

    /// Whether [`Self::check`] has something to do.
    #[must_use]
    pub const fn needs_check(&self) -> bool {
        !self.is_checked
    }

    /// Checks that the pages hang together (PAG-07, PAG-19). Ends early once `is_wanted` says no.
    ///
    /// # Errors
    /// [`PushError::Torn`] with what was found, [`PushError::Unwanted`], or [`PushError::Store`].
    pub fn check(&mut self, is_wanted: &dyn Fn() -> bool) -> Result<(), PushError> {
        if self.is_checked {
            return Ok(());
        }
        let ((CommitMethod::Swap(image, root), _) | (_, Some((image, root)))) = (&self.way, &self.scratch)
        else {
            return Ok(());
        };
        match image.check(is_wanted)? {
            CheckOutcome::Ok => {}
            CheckOutcome::Damaged(finding) => return Err(PushError::Torn { root: *root, finding }),
            CheckOutcome::Unwanted => return Err(PushError::Unwanted),
        }
        self.is_checked = true;
        self.scratch = None;
        Ok(())
    }

    /// Brings the file that will take main.db's place onto the disk.
    ///
    /// # Errors
    /// When the disk refuses it.
    ///
    /// # Panics
    /// If the check is still due.
    pub fn seal(&mut self) -> Result<()> {
        assert!(self.is_checked, "BUG: an image is checked before it is sealed");
        if let CommitMethod::Swap(image, _) = &mut self.way {
            image.seal_as_wal()?;
            fault::point("swap.built")?;
        }
        Ok(())
    }

    /// Takes the present version, whose content is that of the base, as the base.
    pub(super) fn pin_again(&mut self) {
        self.pinned = self.pinned.replica().pin();
        self.plan.base = self.pinned.info().image();
    }

    /// The replica it is for.
    #[must_use]
    pub fn replica(&self) -> &std::sync::Arc<super::Replica> {
        self.pinned.replica()
    }

    /// First push, another page size, or more than half of the pages: written in place, all would be written
    /// twice.
    fn is_mostly_new(&self) -> bool {
        let plan = &self.plan;
        let new_pages = u64::from(plan.changed.len()) + 1;
        plan.base.page_size != Some(plan.page_size) || new_pages * 2 > u64::from(plan.page_count.0)
    }

    /// The leaf of a page that differs from the base.
    pub(super) fn leaf(&mut self, page: PageNo) -> Result<Leaf> {
        if page == self.plan.page_size.lock_page() {
            Ok(Leaf::LOCK_PAGE)
        } else if page == PageNo::FIRST {
            Ok(self.page1_leaf)
        } else {
            self.noted.get(page)
        }
    }

    /// Puts the content of a changed page other than page 1 into `into`; it stays empty for zeros.
    pub(super) fn content(
        &mut self,
        stage: &Stage,
        page: PageNo,
        into: &mut Vec<u8>,
    ) -> Result<Leaf, PushError> {
        into.clear();
        let leaf = self.leaf(page)?;
        if leaf == Leaf::LOCK_PAGE {
            return Ok(leaf);
        }
        let size = self.plan.page_size;
        let wrong_length = || PushError::Length { page, page_size: size.get() };
        if let Some(zeros) = tree::zero_page_size(&leaf) {
            return if zeros == size { Ok(leaf) } else { Err(wrong_length()) };
        }
        match &mut self.contents {
            Contents::Version(pages) => pages.read(page, into)?,
            Contents::Staged if stage.read(&leaf, into)? => {}
            Contents::Staged => return Err(PushError::StagedGone { page }),
        }
        if into.len() == size.bytes() { Ok(leaf) } else { Err(wrong_length()) }
    }

    fn check_lengths(&mut self) -> Result<(), PushError> {
        let replica = std::sync::Arc::clone(self.pinned.replica());
        let stage = replica.stage()?;
        let mut data = Vec::new();
        for page in self.plan.changed.clone().iter() {
            self.content(stage, page, &mut data)?;
        }
        Ok(())
    }

    /// Builds the image as a file in rollback mode.
    fn build(&mut self) -> Result<(ImageFile, Root), PushError> {
        let replica = std::sync::Arc::clone(self.pinned.replica());
        let stage = replica.stage()?;
        let (size, count) = (self.plan.page_size, self.plan.page_count);
        let mut image = ImageFile::create(&replica.dir, size, count)?;
        let mut root = tree::RootBuilder::default();
        let mut base = BasePages::new(&self.plan);
        let changed = std::mem::take(&mut self.plan.changed);
        let mut data = Vec::with_capacity(size.bytes());
        for page in count.pages() {
            if page == PageNo::FIRST {
                image.write(page, &self.page1)?;
                root.push(&self.page1_leaf);
            } else if changed.contains(page) {
                base.flush(&self.pinned, &mut image, &mut root)?;
                let leaf = self.content(stage, page, &mut data)?;
                if !data.is_empty() {
                    image.write(page, &data)?;
                }
                root.push(&leaf);
            } else if page == size.lock_page() && self.plan.base.page_size == Some(size) {
                base.flush(&self.pinned, &mut image, &mut root)?;
                root.push(&Leaf::LOCK_PAGE);
            } else if self.plan.base.page_size == Some(size) {
                base.push(page, &self.pinned, &mut image, &mut root)?;
            } else {
                // Equal to a page of the base, which has another page size.
                return Err(PushError::Length { page, page_size: size.get() });
            }
        }
        base.flush(&self.pinned, &mut image, &mut root)?;
        image.flush()?;
        self.plan.changed = changed;
        Ok((image, root.finish(size)))
    }
}

/// A run of pages that the new image takes from its base.
struct BasePages {
    pages: Vec<PageNo>,
    max_pages: usize,
}

impl BasePages {
    fn new(plan: &PushPlan) -> Self {
        Self { pages: Vec::new(), max_pages: (1 << 20) / plan.page_size.bytes() }
    }

    fn push(
        &mut self,
        page: PageNo,
        base: &PinnedVersion,
        image: &mut ImageFile,
        root: &mut tree::RootBuilder,
    ) -> Result<()> {
        self.pages.push(page);
        if self.pages.len() >= self.max_pages { self.flush(base, image, root) } else { Ok(()) }
    }

    fn flush(
        &mut self,
        base: &PinnedVersion,
        image: &mut ImageFile,
        root: &mut tree::RootBuilder,
    ) -> Result<()> {
        if self.pages.is_empty() {
            return Ok(());
        }
        base.read(&self.pages, &mut |page, data| {
            root.push(&tree::leaf(data));
            image.write(page, data)
        })?;
        self.pages.clear();
        Ok(())
    }
}

/// What a push needs of storage while its frames come in.
pub struct PushFiles {
    hashes: ServedHashes<PinnedVersion>,
    noted: NotedHashes,
}

impl PushFiles {
    /// A push on the version that `pinned` holds.
    ///
    /// # Errors
    /// When the stage cannot be opened.
    pub fn new(pinned: PinnedVersion) -> Result<Self> {
        pinned.replica().expire_stage()?;
        let noted = pinned.replica().noted_hashes()?;
        Ok(Self { hashes: ServedHashes::new(pinned), noted })
    }

    /// The version it is based on.
    pub fn pinned(&self) -> &PinnedVersion {
        self.hashes.source()
    }

    /// Puts together the push that these files belong to: see [`Prepared::new`].
    ///
    /// # Errors
    /// See [`Prepared::new`].
    pub fn prepare(self, plan: PushPlan, origin: ReadConsistency) -> Result<Prepared, PushError> {
        Prepared::new(plan, self.hashes.into_source(), self.noted, origin)
    }
}

impl ferry_core::pages::ImageHashes for PushFiles {
    type Error = Error;

    fn served_hash(&mut self, page: PageNo) -> Result<Leaf> {
        self.hashes.get(page)
    }
}

impl ferry_core::pages::push::PushStore for PushFiles {
    fn is_staged(&mut self, hash: &Leaf) -> Result<bool> {
        self.pinned().replica().stage()?.contains(hash)
    }

    fn stage(&mut self, hash: &Leaf, data: &[u8]) -> Result<()> {
        self.pinned().replica().stage()?.put(hash, data)
    }

    fn note(&mut self, page: PageNo, hash: &Leaf) -> Result<()> {
        self.noted.set(page, hash)
    }

    fn noted(&mut self, page: PageNo) -> Result<Leaf> {
        self.noted.get(page)
    }
}
