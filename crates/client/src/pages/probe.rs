//! Finding out what the hub has, without changing anything: a pull session whose pages are only hashed.

use std::ops::ControlFlow;

use ferry_core::pages::{PageSet, tree};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root};

use super::{PagesClient, Target, local_file::Local};
use crate::{
    ClientError, Result, admin::Direction, pages::file::scan::root_of, pages::wire::PageSink,
    progress::TransferPhase,
};

/// Bytes of differing pages after which it is enough to know that hub and file differ.
const BUDGET_BYTES: u64 = 16 << 20;

/// What the hub has.
pub(super) struct HubImage {
    /// Its root; `None` if it differs by more than the budget.
    pub(super) root: Option<Root>,
    /// Its version, if the hub rested meanwhile.
    pub(super) version: Option<u64>,
    /// Whether nothing was pushed yet.
    pub(super) is_empty: bool,
}

impl PagesClient<'_> {
    /// Learns root and version of the hub's image, as far as few pages differ from the local one.
    pub(super) async fn probe(&self, target: &Target, local: &Local) -> Result<HubImage> {
        let session = self.open(target, Direction::Pull, local.page_count().0).await?;
        let count = PageCount(session.page_count());
        let same_size = session.page_size() == local.page_size().get();
        if !same_size {
            session.abandon().await;
            return Ok(HubImage { root: None, version: Some(target.version), is_empty: count.0 == 0 });
        }
        self.progress.begin(TransferPhase::Receiving, None);
        let sink = Hashing::new(local, count, BUDGET_BYTES);
        let (sink, outcome) = session.pull(&local.hashes(), sink).await;
        self.progress.end();
        let root = outcome?.and_then(|_| sink.root());
        let after = self.look_again(target).await?.version;
        Ok(HubImage { root, version: (after == target.version).then_some(after), is_empty: count.0 == 0 })
    }
}

struct Hashing {
    page_size: PageSize,
    count: PageCount,
    leaves: Vec<Leaf>,
    known: PageSet,
    room: Vec<u8>,
    bytes_left: u64,
}

impl Hashing {
    fn new(local: &Local, count: PageCount, budget: u64) -> Self {
        let page_size = local.page_size();
        let kept = local.scan.leaves.len().min(count.0 as usize);
        let mut leaves = vec![Leaf::LOCK_PAGE; count.0 as usize];
        leaves[..kept].copy_from_slice(&local.scan.leaves[..kept]);
        let lock_page = Some(page_size.lock_page()).filter(|page| count.contains(*page));
        let known = count.pages().take(kept).chain(lock_page).collect();
        Self { page_size, count, leaves, known, room: Vec::new(), bytes_left: budget }
    }

    fn root(&self) -> Option<Root> {
        (self.known.len() == self.count.0).then(|| root_of(self.page_size, &self.leaves))
    }
}

impl PageSink for Hashing {
    fn page(&mut self, number: PageNo, data: &[u8]) -> Result<ControlFlow<()>> {
        if !self.count.contains(number) || data.len() != self.page_size.bytes() {
            return Err(ClientError::unverified(format!(
                "the hub sent a page {number} that its image lacks"
            )));
        }
        let Some(left) = self.bytes_left.checked_sub(data.len() as u64) else {
            return Ok(ControlFlow::Break(()));
        };
        self.bytes_left = left;
        self.leaves[number.index()] = tree::leaf_of(number, self.count, data, &mut self.room);
        self.known.insert(number);
        Ok(ControlFlow::Continue(()))
    }
}
