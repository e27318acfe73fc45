//! One step from a version to the next: which pages differ, what they were before, and the commit of the index.

use std::collections::BTreeSet;

use ferry_core::pages::{Volatile, tree};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, UnixMillis};
use rusqlite::Connection;

use super::noted::NotedFile;
use crate::{
    Error, Result, fault,
    pages::{VersionInfo, dbpage::Snapshot, index, index::VersionRow, segment::Segments},
};

/// From which version to which.
pub(super) struct CaptureStep<'a> {
    pub(super) index: &'a Connection,
    pub(super) segments: &'a Segments,
    /// Bytes of before-images that are kept.
    pub(super) history_bytes: u64,
    pub(super) base: &'a VersionInfo,
    /// The new image.
    pub(super) next: &'a Snapshot,
    /// Its number.
    pub(super) seq: u64,
    pub(super) now: UnixMillis,
}

/// Puts a page as it was before into the room, if it is still to be had; the leaf is that which it must have.
pub(super) type ReadBefore<'a> = dyn FnMut(PageNo, &Leaf, &mut Vec<u8>) -> Result<bool> + 'a;

/// A page and its new leaf.
pub(super) type ChangedPages = Vec<(PageNo, Leaf)>;

impl CaptureStep<'_> {
    /// Of the pages that may differ, those that do.
    pub(super) fn changed(&self, mut candidates: BTreeSet<PageNo>) -> Result<ChangedPages> {
        let count = self.next.page_count();
        // SQLite need not write a free page, not even a new one.
        candidates.extend(pages_beyond(self.base.page_count, count));
        let (mut changed, mut data, mut room) = (ChangedPages::new(), Vec::new(), Vec::new());
        for page in candidates.into_iter().filter(|page| count.contains(*page)) {
            data.clear();
            self.next.read(page, &mut data)?;
            let leaf = tree::leaf_of(page, count, &data, &mut room);
            if index::page(self.index, page)?.map(|(leaf, _)| leaf) != Some(leaf) {
                changed.push((page, leaf));
            }
        }
        Ok(changed)
    }

    /// Keeps what the pages were, where `read_before` still has it, and commits the version. Where it has not, versions before
    /// this one are gone.
    pub(super) fn commit(
        &self,
        changed: &ChangedPages,
        noted: &NotedFile,
        read_before: &mut ReadBefore<'_>,
    ) -> Result<VersionInfo> {
        index::relax(self.index, true)?;
        self.index.execute_batch("BEGIN IMMEDIATE")?;
        let committed = self.commit_inside(changed, noted, read_before).and_then(|info| {
            fault::point("capture.index")?;
            self.index.execute_batch("COMMIT")?;
            Ok(info)
        });
        if committed.is_err() && !self.index.is_autocommit() {
            self.index.execute_batch("ROLLBACK")?;
        }
        committed
    }

    fn commit_inside(
        &self,
        changed: &ChangedPages,
        noted: &NotedFile,
        read_before: &mut ReadBefore<'_>,
    ) -> Result<VersionInfo> {
        let kept = self.keep_before(changed, read_before)?;
        fault::point("capture.images")?;
        let (size, count) = (Some(self.next.page_size()), self.next.page_count());
        let mut leaves = changed.iter().map(|changed| Ok(*changed));
        let root = index::apply(self.index, self.seq, self.base.page_count, (size, count), &mut leaves)?;
        let info = VersionInfo {
            version: self.seq,
            root,
            page_size: size,
            page_count: count,
            volatile: Volatile::NORMAL,
            time: UnixMillis(self.now.0.max(self.base.time.0)),
        };
        let row = VersionRow {
            info: info.clone(),
            base: self.base.version,
            pages: u32::try_from(changed.len()).unwrap_or(u32::MAX),
            bytes: kept.unwrap_or(0),
        };
        index::publish(self.index, &row)?;
        if kept.is_none() {
            index::forget_before(self.index, self.seq)?;
        }
        noted.write(self.index)?;
        Ok(info)
    }

    /// Writes before-images, and returns their bytes; `None` if one could not be had.
    fn keep_before(&self, changed: &ChangedPages, read_before: &mut ReadBefore<'_>) -> Result<Option<u64>> {
        let base = self.base.page_count;
        let lock_page = self.base.page_size.map(PageSize::lock_page);
        let cut = pages_beyond(self.next.page_count(), base);
        let lost = changed.iter().map(|(page, _)| *page).filter(|page| base.contains(*page)).chain(cut);
        let mut lost = lost.filter(|page| Some(*page) != lock_page).peekable();
        if lost.peek().is_none() {
            return Ok(Some(0));
        }
        let mut segment = self.segments.append(self.history_bytes)?;
        let mut data = Vec::new();
        for page in lost {
            let (leaf, _) = index::page(self.index, page)?
                .ok_or_else(|| Error::Damaged(format!("the index lacks page {page}")))?;
            data.clear();
            if !read_before(page, &leaf, &mut data)? {
                tracing::warn!(%page, version = self.base.version, "a page is lost as it was: older versions are gone");
                return Ok(None);
            }
            let position = segment.add(&data)?;
            index::set_before(self.index, page, self.seq, position, &leaf)?;
        }
        segment.finish_unsynced().map(Some)
    }
}

/// Pages of an image of `count` pages that one of `known` pages lacks.
fn pages_beyond(known: PageCount, count: PageCount) -> impl Iterator<Item = PageNo> {
    (known.0.saturating_add(1)..=count.0).filter_map(PageNo::new)
}

/// Whether `data` is the page of this leaf.
pub(super) fn is_page(page: PageNo, count: PageCount, data: &[u8], leaf: &Leaf) -> bool {
    tree::leaf_of(page, count, data, &mut Vec::new()) == *leaf
}
