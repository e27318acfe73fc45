//! Versions made of old ones: the restore of a replica (PAG-30), also from a backup (OPR-22), and the fork of an image
//! into a database of its own (PAG-31).

use std::{path::Path, sync::Arc};

use ferry_core::pages::{PageSet, PushPlan, header};
use ferry_protocol::pages::body::runs_of;
use ferry_types::{Clock, PageCount, PageNo};

use super::{
    BodyBase, NotedHashes, PageSource, PinnedVersion, Prepared, PushError, ReadConsistency, Replica,
    ReplicaConfig, VersionInfo,
    contents::{Contents, VersionPages, read_normal},
};
use crate::{Error, Result};

impl Replica {
    /// A version with the pages of `old`, on top of the newest. Its schema cookie is above that of both, so that no reader
    /// keeps a schema that it read before.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn prepare_restore(self: &Arc<Self>, old: PinnedVersion) -> Result<Prepared, PushError> {
        let pinned = self.pin();
        let (current, info) = (pinned.info().clone(), old.info().clone());
        let changed = if current.page_size == info.page_size {
            let base = BodyBase {
                version: current.version,
                root_prefix: current.tag().root_prefix,
                page_count: current.page_count,
                pinned: Some(self.pin()),
            };
            self.differing(&base, &info)?.into_iter().filter(|page| *page != PageNo::FIRST).collect()
        } else {
            all_but_the_first(&info)
        };
        let page1 = first_page_above(&old, &pinned)?;
        prepared(pinned, Arc::new(old), page1, changed)
    }

    /// A version with the image of another database, on top of the newest; its schema cookie is above that of both.
    ///
    /// # Errors
    /// When a page cannot be read, or the image is empty.
    pub fn prepare_image(self: &Arc<Self>, source: PinnedVersion) -> Result<Prepared, PushError> {
        let pinned = self.pin();
        if source.info().page_count == PageCount(0) {
            return Err(PushError::NothingPushed);
        }
        let page1 = first_page_above(&source, &pinned)?;
        let changed = all_but_the_first(source.info());
        prepared(pinned, Arc::new(source), page1, changed)
    }
}

/// Page 1 of `source`, with a schema cookie that neither has had.
fn first_page_above(source: &PinnedVersion, newest: &PinnedVersion) -> Result<Vec<u8>> {
    let mut page1 = Vec::new();
    read_normal(source, &[PageNo::FIRST], &mut page1)?;
    let mut cookie = header::schema_cookie(&page1);
    if newest.info().page_count != PageCount(0) {
        let mut other = Vec::new();
        read_normal(newest, &[PageNo::FIRST], &mut other)?;
        cookie = cookie.max(header::schema_cookie(&other));
    }
    header::set_schema_cookie(&mut page1, cookie.wrapping_add(1));
    Ok(page1)
}

/// Makes a database in `dir`, which is missing or empty: its only version has the image of `source`.
///
/// # Errors
/// When a page cannot be read or written. The folder is then the caller's to remove.
pub fn make_fork(
    dir: &Path,
    source: Arc<dyn PageSource>,
    config: ReplicaConfig,
    clock: Arc<dyn Clock>,
) -> Result<VersionInfo, PushError> {
    let replica = Replica::open(dir, config, clock, Box::new(()))?;
    let info = source.info().clone();
    if info.page_count == PageCount(0) {
        return Ok(replica.current());
    }
    let mut page1 = Vec::new();
    read_normal(&*source, &[PageNo::FIRST], &mut page1)?;
    let mut prepared =
        prepared(replica.pin(), source, page1, all_but_the_first(&info))?.leading_to(info.root)?;
    prepared.seal()?;
    replica.commit_push(prepared)
}

fn all_but_the_first(info: &VersionInfo) -> PageSet {
    info.page_count.pages().skip(1).collect()
}

/// The image of `source`, but for page 1, on top of what is pinned.
fn prepared(
    pinned: PinnedVersion,
    source: Arc<dyn PageSource>,
    mut page1: Vec<u8>,
    changed: PageSet,
) -> Result<Prepared, PushError> {
    let info = source.info().clone();
    let page_size = info.page_size.ok_or(PushError::NothingPushed)?;
    let mut noted = pinned.replica().noted_hashes()?;
    note_leaves(&*source, &changed, &mut noted)?;
    info.volatile.apply(&mut page1);
    let plan = PushPlan {
        base: pinned.info().image(),
        page_size,
        page_count: info.page_count,
        page1,
        volatile: info.volatile,
        changed: changed.clone(),
    };
    let contents = Contents::Version(VersionPages::new(source, changed));
    Prepared::of(plan, pinned, noted, ReadConsistency::Snapshot, contents)
}

fn note_leaves(source: &dyn PageSource, pages: &PageSet, noted: &mut NotedHashes) -> Result<()> {
    /// Leaves read at once.
    const AT_ONCE: u32 = 16_384;
    let mut leaves = std::collections::VecDeque::new();
    for run in runs_of(pages.iter()) {
        let end = u32::try_from(run.end()).unwrap_or(u32::MAX);
        let mut first = run.first;
        while first.get() < end {
            let upto = end.min(first.get().saturating_add(AT_ONCE));
            source.leaves(first, upto, &mut leaves)?;
            for page in (first.get()..upto).filter_map(PageNo::new) {
                let leaf =
                    leaves.pop_front().ok_or_else(|| Error::Damaged(format!("no leaf of page {page}")))?;
                noted.set(page, &leaf)?;
            }
            let Some(next) = PageNo::new(upto) else { break };
            first = next;
        }
    }
    Ok(())
}
