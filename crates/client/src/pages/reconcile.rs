//! A pull into a file of which the hub knows nothing: digests are compared from the top down, and only pages that are
//! nowhere in the file are fetched (PAG-27).

use std::collections::HashMap;

use ferry_core::pages::tree::{self, FAN_OUT};
use ferry_types::{PageCount, PageNo, PageSize, Tag};

use super::{
    fetch::{BodyRequest, JSON_RANGES_MAX, Receiving, coarse, prefix},
    http::{ChangesAnswer, HubPages, KnownVersion},
    local_file::blocking,
};
use crate::{ClientError, Result, pages::file::ImageTree};

/// Digests that one answer may have.
const DIGESTS_MAX: usize = 524_288;

/// What the comparison came to.
pub(super) enum DigestComparison {
    /// So much differs that the whole is fetched.
    Whole(Tag),
    /// These pages differ.
    Differ {
        tag: Tag,
        page_size: PageSize,
        page_count: PageCount,
        /// The pages, and the first bytes of their leaves.
        pages: Vec<(PageNo, [u8; 8])>,
    },
}

/// Compares the image of `tree` with the hub's newest.
pub(super) async fn compare(pages: &HubPages, local: (PageSize, &mut ImageTree)) -> Result<DigestComparison> {
    let (size, tree) = local;
    let mut hub = pages.digests(None, None, &[]).await?;
    let (tag, count) = (hub.tag, hub.page_count);
    if hub.page_size != size.get() {
        return Ok(DigestComparison::Whole(tag));
    }
    let mut asked: Vec<u32> = (0..tree::nodes(count, hub.level)).collect();
    loop {
        let level = hub.level;
        if hub.digests.len() != asked.len() || hub.page_count != count || hub.tag != tag {
            return Err(ClientError::unverified("the hub's digests are not those that were asked for"));
        }
        let mine = tree.level(level)?;
        let differs = |(n, digest): &(u32, [u8; 8])| mine.get(*n as usize).map(prefix) != Some(*digest);
        let differing: Vec<(u32, [u8; 8])> = asked.into_iter().zip(hub.digests).filter(differs).collect();
        if differing.len() * 2 > tree::nodes(count, level) as usize {
            return Ok(DigestComparison::Whole(tag));
        }
        if level == 0 {
            let found = differing.into_iter().filter_map(|(n, digest)| Some((PageNo::new(n + 1)?, digest)));
            let lock_page = size.lock_page();
            let pages = found.filter(|(page, _)| *page != lock_page).collect();
            return Ok(DigestComparison::Differ { tag, page_size: size, page_count: count, pages });
        }
        let below = tree::nodes(count, level - 1);
        let children =
            |n: u32| (n * FAN_OUT, (n.saturating_mul(FAN_OUT)).saturating_add(FAN_OUT - 1).min(below - 1));
        asked = Vec::new();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (n, _) in differing {
            let (first, last) = children(n);
            asked.extend(first..=last);
            match ranges.last_mut() {
                Some(range) if range.1 + 1 == first => range.1 = last,
                _ => ranges.push((first, last)),
            }
        }
        if asked.is_empty() {
            return Ok(DigestComparison::Differ {
                tag,
                page_size: size,
                page_count: count,
                pages: Vec::new(),
            });
        }
        if asked.len() > DIGESTS_MAX || ranges.len() > JSON_RANGES_MAX {
            return Ok(DigestComparison::Whole(tag));
        }
        hub = pages.digests(Some(tag), Some(level - 1), &ranges).await?;
        if hub.level != level - 1 {
            return Err(ClientError::unverified("the hub's digests are of another level"));
        }
    }
}

/// Brings `receiving`, which is over the local image, to the hub's newest image. The version.
pub(super) async fn reconcile(
    pages: &HubPages,
    mut receiving: Receiving,
    page_size: PageSize,
) -> (Receiving, Result<(Tag, ferry_types::Root)>) {
    let compared = compare(pages, (page_size, &mut receiving.tree)).await;
    match compared {
        Err(error) => (receiving, Err(error)),
        Ok(DigestComparison::Whole(tag)) => whole(pages, receiving, tag).await,
        Ok(DigestComparison::Differ { tag, page_size, page_count, pages: differing }) => {
            let begun;
            let missing;
            (receiving, begun, missing) = blocking(move || {
                let mut receiving = receiving;
                let begun = copy_own(&mut receiving, page_size, page_count, differing);
                match begun {
                    Ok(missing) => (receiving, Ok(()), missing),
                    Err(error) => (receiving, Err(error), Vec::new()),
                }
            })
            .await;
            if let Err(error) = begun {
                return (receiving, Err(error));
            }
            // With nothing missing page 1 is asked for, since its answer names the root.
            let ranges = if missing.is_empty() { vec![(1, 1)] } else { coarse(missing, JSON_RANGES_MAX) };
            let root;
            (receiving, root) = match pages.pages_at(tag, &ranges).await {
                Ok(body) => receiving.receive(pages, BodyRequest::Pages(tag, &ranges), body).await,
                Err(error) => (receiving, Err(error)),
            };
            (receiving, root.map(|root| (tag, root)))
        }
    }
}

/// Fetches an image whole.
pub(super) async fn whole(
    pages: &HubPages,
    receiving: Receiving,
    tag: Tag,
) -> (Receiving, Result<(Tag, ferry_types::Root)>) {
    match pages.changes(KnownVersion::Nothing, Some(&tag.to_string()), None).await {
        Ok(ChangesAnswer::Body(tag, body)) => {
            let (receiving, root) =
                receiving.receive(pages, BodyRequest::ChangesAnswer(KnownVersion::Nothing, tag), body).await;
            (receiving, root.map(|root| (tag, root)))
        }
        Ok(ChangesAnswer::None(_)) => {
            let message = "the database is empty: push a file to it first";
            (receiving, Err(ClientError::conflict("DATABASE_EMPTY", message)))
        }
        Ok(ChangesAnswer::Unknown(_, error)) | Err(error) => (receiving, Err(error)),
    }
}

/// Takes those of the pages that the local image has elsewhere; ranges of the others.
fn copy_own(
    receiving: &mut Receiving,
    size: PageSize,
    count: PageCount,
    differing: Vec<(PageNo, [u8; 8])>,
) -> Result<Vec<(u32, u32)>> {
    let own: HashMap<[u8; 8], PageNo> = receiving
        .tree
        .level(0)?
        .iter()
        .zip(receiving.tree.page_count().pages())
        .filter(|(_, page)| *page != size.lock_page())
        .map(|(leaf, page)| (prefix(leaf), page))
        .collect();
    receiving.begin_image(size, count)?;
    let (mut copies, mut missing) = (Vec::new(), Vec::<(u32, u32)>::new());
    for (page, digest) in differing {
        match own.get(&digest) {
            Some(source) => copies.push((page, *source)),
            None => match missing.last_mut() {
                Some(range) if range.1 + 1 == page.get() => range.1 = page.get(),
                _ => missing.push((page.get(), page.get())),
            },
        }
    }
    receiving.copy(&copies)?;
    Ok(missing)
}
