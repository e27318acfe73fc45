//! The client's announcements: each page once, none above `max_page` (PAG-05), and what the hub answers to
//! batches that differ.

use std::collections::VecDeque;

use ferry_protocol::pages::{Frame, PageHash, PageHashBatch, PageNumbers};
use ferry_types::{
    Leaf, PageCount, PageNo,
    limits::{EDGEREPLICA_BATCHES_UNANSWERED_MAX, EDGEREPLICA_MISMATCH_FRAME_PAGES},
};

use super::{PageSet, Refusal};

/// The pages announced so far.
#[derive(Debug)]
pub(super) struct Announcements {
    max_page: PageCount,
    announced: PageSet,
    /// Runs of pages of batches that differ, first to last, not yet answered.
    mismatches: VecDeque<(u32, u32)>,
}

impl Announcements {
    pub(super) fn new(max_page: PageCount) -> Self {
        Self { max_page, announced: PageSet::default(), mismatches: VecDeque::new() }
    }

    pub(super) const fn max_page(&self) -> PageCount {
        self.max_page
    }

    /// Takes a `page_hash`.
    pub(super) fn page(&mut self, frame: &PageHash<'_>) -> Result<(PageNo, Leaf), Refusal> {
        let page = self.in_range(frame.page_no)?;
        let hash = hash(frame.page_no, "hash", frame.hash)?;
        if !self.announced.insert(page) {
            return Err(Refusal::page(frame.page_no, "announced twice"));
        }
        Ok((page, hash))
    }

    /// Checks a `page_hash_batch`; [`Self::accept`] or [`Self::refuse`] follows.
    pub(super) fn batch(&self, frame: &PageHashBatch<'_>) -> Result<((PageNo, PageNo), Leaf), Refusal> {
        let run = (self.in_range(frame.start_page)?, self.in_range(frame.end_page)?);
        if run.0 > run.1 {
            return Err(Refusal::page(frame.start_page, "start_page of a batch is above its end_page"));
        }
        Ok((run, hash(frame.start_page, "combined_hash", frame.combined_hash)?))
    }

    /// Counts the pages of a batch as announced.
    pub(super) fn accept(&mut self, (first, last): (PageNo, PageNo)) -> Result<(), Refusal> {
        for page in (first.get()..=last.get()).filter_map(PageNo::new) {
            if !self.announced.insert(page) {
                return Err(Refusal::page(page.get(), "announced twice"));
            }
        }
        Ok(())
    }

    /// Answers a batch that differs, whose pages stay unannounced (PAG-15).
    pub(super) fn refuse(&mut self, (first, last): (PageNo, PageNo)) -> Result<(), Refusal> {
        if self.mismatches.len() >= EDGEREPLICA_BATCHES_UNANSWERED_MAX {
            return Err(Refusal::page(
                first.get(),
                "too many batches that differ: read the answers before sending more",
            ));
        }
        self.mismatches.push_back((first.get(), last.get()));
        Ok(())
    }

    /// The next `hash_mismatch_batch`.
    pub(super) fn next_frame(&mut self) -> Option<Frame<'static>> {
        let (first, last) = self.mismatches.pop_front()?;
        let end = last.min(first.saturating_add(EDGEREPLICA_MISMATCH_FRAME_PAGES - 1));
        if end < last {
            self.mismatches.push_front((end + 1, last));
        }
        Some(Frame::HashMismatchBatch(PageNumbers { page_numbers: (first..=end).collect() }))
    }

    /// At complete of a push: every page was announced.
    pub(super) fn check_all(&self) -> Result<(), Refusal> {
        if self.announced.len() == self.max_page.0 {
            return Ok(());
        }
        let missing = self.max_page.pages().find(|page| !self.announced.contains(*page));
        let missing = missing.expect("BUG: fewer pages announced than there are, yet none is missing");
        Err(Refusal::page(missing.get(), "not announced before complete"))
    }

    fn in_range(&self, page_no: u32) -> Result<PageNo, Refusal> {
        let max_page = self.max_page;
        PageNo::new(page_no).filter(|page| max_page.contains(*page)).ok_or_else(|| {
            Refusal::page(page_no, format_args!("pages run from 1 to max_page, which is {max_page}"))
        })
    }
}

fn hash(page_no: u32, field: &str, bytes: &[u8]) -> Result<Leaf, Refusal> {
    let hash = bytes.try_into().map(Leaf);
    hash.map_err(|_| Refusal::page(page_no, format_args!("{field} must have 32 bytes, not {}", bytes.len())))
}
