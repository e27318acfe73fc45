//! The local image, and what is known of it: which pages differ from what was synced last, found at the cost of what has
//! changed where the file's marks allow it (PAG-62).

use std::path::Path;

use ferry_core::pages::tree::leaf_of;
use ferry_types::{PageCount, PageNo, Root, UnixMillis};

use super::{
    FileMark, ImageDigests, ImageTree, LocalImage, OpenedFile, SyncState, Synced,
    image::{FileAccess, connect},
    mark::{self, ChangedSince, WalEnd},
    state::STATE_CHANGED,
};
use crate::{ClientError, FILE_BUSY, Result, progress::Progress};

/// How often a snapshot is begun anew because others commit meanwhile.
const STILL_ATTEMPTS: u32 = 20;

/// What lies at a path.
pub enum FoundFile {
    /// Nothing.
    Missing,
    /// A file of 0 bytes.
    Empty,
    /// A database.
    Image(Box<KnownImage>),
}

/// A local image in its read transaction, compared with what was synced last.
pub struct KnownImage {
    /// The image.
    pub image: LocalImage,
    /// Its digests; the state they are recorded in is inside.
    pub tree: ImageTree,
    /// Its root.
    pub root: Root,
    /// The last sync, whatever database it was with.
    pub synced: Option<Synced>,
    /// The pages that differ from those that were synced, ascending; `None`: the digests of those are not known.
    pub changed: Option<Vec<PageNo>>,
    /// Whether nothing unsynced is in it.
    pub is_untouched: bool,
    /// What the file looks like while it is this image.
    pub mark: Option<FileMark>,
    /// How it was found which pages changed.
    pub looked_at: LookedAt,
}

/// How much of a file was read to find what has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookedAt {
    /// Page 1.
    Mark,
    /// The pages of the newest frames of the WAL.
    WalTail,
    /// All of it.
    Everything,
}

impl LookedAt {
    /// The word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mark => "mark",
            Self::WalTail => "wal_tail",
            Self::Everything => "scan",
        }
    }
}

impl KnownImage {
    /// Opens the database at `path`, and finishes or forgets what a killed run had begun.
    ///
    /// # Errors
    /// When the file is no database, is locked or cannot be read, or its state is not usable.
    pub fn open(
        path: &Path,
        access: FileAccess,
        now: &dyn Fn() -> UnixMillis,
        progress: &dyn Progress,
    ) -> Result<FoundFile> {
        Self::open_while(false, path, access, now, progress)
    }

    /// The same; `held`: the image that was synced last is held in a read transaction since then.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_while(
        held: bool,
        path: &Path,
        access: FileAccess,
        now: &dyn Fn() -> UnixMillis,
        progress: &dyn Progress,
    ) -> Result<FoundFile> {
        let mut attempts = STILL_ATTEMPTS;
        loop {
            let (opened, mark) = open_marked(path, access, now)?;
            let image = match opened {
                OpenedFile::Missing => return Ok(FoundFile::Missing),
                OpenedFile::Empty => return Ok(FoundFile::Empty),
                OpenedFile::Image(image) => image,
            };
            match Self::examine(image, mark, held, progress) {
                Err(error) if error.reason == STATE_CHANGED && attempts > 0 => attempts -= 1,
                examined => return examined.map(|known| FoundFile::Image(Box::new(known))),
            }
        }
    }

    fn examine(
        image: LocalImage,
        mark: Option<FileMark>,
        held: bool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let state = SyncState::open(image.path())?;
        let (mut synced, mut pending, mut known_mark) = (None, None, None);
        if let Some(state) = &state {
            (synced, pending, known_mark) = (state.synced()?, state.pending()?, state.mark()?);
        }
        let base = synced.clone().filter(|synced| synced.page_size == image.page_size());
        let stored = match (state, &base) {
            (Some(state), Some(base)) => ImageTree::stored(state, base.page_count)?,
            (Some(state), None) => Err(state),
            (None, _) => {
                let digests = ImageDigests::of(&image, progress)?;
                let tree = ImageTree::of_leaves(&digests.leaves);
                return Ok(Self::without_state(image, tree, digests.root, mark));
            }
        };
        let (mut tree, changed, looked_at) = match (stored, base) {
            (Ok(mut tree), Some(base)) => {
                let since = match (&known_mark, &mark) {
                    // What a killed pull left is not what the mark is of.
                    (Some(known), Some(mark)) if pending.is_none() => {
                        known.compare(image.path(), mark, image.page_size().bytes() as u64, held)
                    }
                    _ => ChangedSince::Anything,
                };
                let (changed, looked_at) = bring_up_to_date(&mut tree, &base, &image, since, progress)?;
                (tree, Some(changed), looked_at)
            }
            (Ok(_), None) => unreachable!("BUG: a tree is stored of a base"),
            (Err(state), _) => {
                let digests = ImageDigests::of(&image, progress)?;
                (ImageTree::of_leaves(&digests.leaves).kept_in(Some(state)), None, LookedAt::Everything)
            }
        };
        let root = tree.root(image.page_size())?;
        let mut is_untouched = synced.as_ref().is_some_and(|synced| synced.root == root);
        let mut changed = changed;
        if let Some(pull) = pending {
            if pull.synced.root == root {
                tree.record_as(image.path(), &pull.synced, mark.as_ref())?;
                (synced, changed, is_untouched) = (Some(pull.synced), Some(Vec::new()), true);
                known_mark = mark;
            } else if pull.interim == Some(root) {
                is_untouched = true;
            } else if let Some(state) = tree.state_mut() {
                state.clear_pending()?;
            }
        }
        if is_untouched && let Some(synced) = synced.as_ref().filter(|synced| synced.root == root) {
            if changed.is_none() {
                tree.record_as(image.path(), synced, mark.as_ref())?;
                changed = Some(Vec::new());
            } else if let (Some(state), Some(mark)) = (tree.state(), &mark)
                && (looked_at != LookedAt::Mark || known_mark.is_none())
                && mark.is_settled()
            {
                // Where it cannot be written the next run looks as far as this one did.
                let _ = state.set_mark(Some(mark));
            }
        }
        if let Some(state) = tree.state() {
            state.check_current()?;
        }
        Ok(Self { image, tree, root, synced, changed, is_untouched, mark, looked_at })
    }

    fn without_state(image: LocalImage, tree: ImageTree, root: Root, mark: Option<FileMark>) -> Self {
        let looked_at = LookedAt::Everything;
        Self { image, tree, root, synced: None, changed: None, is_untouched: false, mark, looked_at }
    }
}

/// Sets the leaves of what has changed in `tree`, which is that of `base`; the pages.
fn bring_up_to_date(
    tree: &mut ImageTree,
    base: &Synced,
    image: &LocalImage,
    since: ChangedSince,
    progress: &dyn Progress,
) -> Result<(Vec<PageNo>, LookedAt)> {
    let count = image.page_count();
    let pages = match since {
        ChangedSince::Nothing if count == base.page_count => return Ok((Vec::new(), LookedAt::Mark)),
        ChangedSince::Pages(pages) => pages,
        ChangedSince::Nothing | ChangedSince::Anything => {
            let digests = ImageDigests::of(image, progress)?;
            tree.resize(count)?;
            let mut changed = Vec::new();
            for (page, leaf) in count.pages().zip(digests.leaves) {
                if page.get() > base.page_count.0 || tree.leaf(page)? != leaf {
                    tree.set(page, leaf)?;
                    changed.push(page);
                }
            }
            return Ok((changed, LookedAt::Everything));
        }
    };
    // A page may be part of the image without a frame: one that was added and freed in one transaction.
    let added = (base.page_count.0..count.0).filter_map(|n| PageNo::new(n + 1));
    let within = PageCount(base.page_count.0.min(count.0));
    let mut looked_at: Vec<PageNo> = pages.into_iter().filter(|page| within.contains(*page)).collect();
    // Its normal form tells the page count.
    looked_at.push(PageNo::FIRST);
    looked_at.extend(added);
    looked_at.sort_unstable();
    looked_at.dedup();
    tree.resize(count)?;
    let (mut changed, mut room) = (Vec::new(), Vec::new());
    let mut data = vec![0; image.page_size().bytes()];
    for page in looked_at {
        image.read(page, &mut data)?;
        let leaf = leaf_of(page, count, &data, &mut room);
        if page.get() > base.page_count.0 || tree.leaf(page)? != leaf {
            tree.set(page, leaf)?;
            changed.push(page);
        }
    }
    Ok((changed, LookedAt::WalTail))
}

/// Opens the image, and the mark of the file while it is this image.
///
/// # Errors
/// As [`LocalImage::open`].
pub fn open_marked(
    path: &Path,
    access: FileAccess,
    now: &dyn Fn() -> UnixMillis,
) -> Result<(OpenedFile, Option<FileMark>)> {
    if let Some(wait) = mark::unsettled(path, now()) {
        std::thread::sleep(wait);
    }
    let (opened, wal) = open_still(path, access)?;
    let mut mark = None;
    if let OpenedFile::Image(image) = &opened
        && access == FileAccess::Ordinary
    {
        image.leave_wal()?;
        mark = wal.and_then(|wal| FileMark::take(path, image.first_page(), wal, now()));
    }
    Ok((opened, mark))
}

/// Opens the image, and where its WAL ends, if it can be told.
fn open_still(path: &Path, access: FileAccess) -> Result<(OpenedFile, Option<Option<WalEnd>>)> {
    let watcher = match access {
        FileAccess::Ordinary if path.is_file() => connect(path, access).ok(),
        FileAccess::Ordinary | FileAccess::ReadOnly => None,
    };
    let Some(watcher) = watcher else { return Ok((LocalImage::open(path, access)?, None)) };
    // Where it is locked, it was waited for once: that is enough. The size of pages is told without a lock, so that something
    // of the header is asked for first.
    let page_bytes = |watcher: &rusqlite::Connection| {
        let page_size = |()| watcher.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0));
        let found = watcher.query_row("PRAGMA schema_version", [], |_| Ok(())).and_then(page_size);
        match found.map_err(|error| ClientError::sqlite(path.display(), &error)) {
            Err(error) if error.reason == FILE_BUSY => Err(error),
            found => Ok(found.map_or(0, u64::from)),
        }
    };
    for _ in 0..STILL_ATTEMPTS {
        let before = wal_end(&watcher, path, page_bytes(&watcher)?);
        let opened = LocalImage::open(path, access)?;
        let after = wal_end(&watcher, path, page_bytes(&watcher)?);
        if before.is_some() && before == after {
            return Ok((opened, after));
        }
        if before.is_none() && after.is_none() {
            return Ok((opened, None));
        }
    }
    Ok((LocalImage::open(path, access)?, None))
}

fn wal_end(watcher: &rusqlite::Connection, path: &Path, page_bytes: u64) -> Option<Option<WalEnd>> {
    mark::wal_end(watcher, path, page_bytes)
}
