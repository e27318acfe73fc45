//! Where the pages of a new version come from.

use std::{collections::VecDeque, sync::Arc};

use ferry_core::pages::{PageSet, header};
use ferry_types::PageNo;

use super::PageSource;
use crate::{Error, Result};

/// Pages that are read ahead of the one that is asked for.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// Where the content of the pages other than page 1 is.
pub(super) enum Contents {
    /// Staged, by leaf.
    Staged,
    /// In a version that is kept.
    Version(VersionPages),
}

/// Pages of a version, read ascending.
pub(super) struct VersionPages {
    source: Arc<dyn PageSource>,
    /// Those that will be asked for.
    wanted: PageSet,
    ahead: VecDeque<(PageNo, Vec<u8>)>,
}

impl VersionPages {
    pub(super) fn new(source: Arc<dyn PageSource>, wanted: PageSet) -> Self {
        Self { source, wanted, ahead: VecDeque::new() }
    }

    /// Puts the page into `into`.
    pub(super) fn read(&mut self, page: PageNo, into: &mut Vec<u8>) -> Result<()> {
        while let Some((found, data)) = self.ahead.pop_front() {
            if found == page {
                *into = data;
                return Ok(());
            }
        }
        let size = self.source.info().page_size.map_or(1, ferry_types::PageSize::bytes);
        let mut pages = vec![page];
        let mut next = page.get().checked_add(1).and_then(PageNo::new);
        while let Some(found) = next.and_then(|from| self.wanted.next_from(from)) {
            if pages.len() * size >= READ_AHEAD_BYTES {
                break;
            }
            pages.push(found);
            next = found.get().checked_add(1).and_then(PageNo::new);
        }
        let ahead = &mut self.ahead;
        self.source.read(&pages, &mut |page, data| {
            ahead.push_back((page, data.to_vec()));
            Ok(())
        })?;
        let (_, data) =
            ahead.pop_front().ok_or_else(|| Error::Damaged(format!("page {page} was not read")))?;
        *into = data;
        Ok(())
    }
}

/// Appends pages of a version in normal form.
pub(super) fn read_normal(
    source: &(impl PageSource + ?Sized),
    pages: &[PageNo],
    into: &mut Vec<u8>,
) -> Result<()> {
    let count = source.info().page_count;
    source.read(pages, &mut |page, data| {
        let from = into.len();
        into.extend_from_slice(data);
        if page == PageNo::FIRST {
            header::normalize(&mut into[from..], count);
        }
        Ok(())
    })
}
