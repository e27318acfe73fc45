//! The entries of a full body: pages as they are, ascending.

use ferry_protocol::pages::body::{GROUP_MAX_BYTES, data_entry, runs_of, zero_entry};
use ferry_types::{PageNo, PageSize};

use super::{
    codec::Codec,
    source::{BodySource, zero_leaf},
};

/// Fewer zero pages than this go with their neighbours, which costs them a few bytes, where a cut would cost more.
const ZERO_RUN_MIN: usize = 64;

/// The next entry for the front of `pages`, and how many of them it has.
pub(super) fn entry<S: BodySource>(
    pages: &[PageNo],
    size: PageSize,
    source: &mut S,
    codec: &mut impl Codec,
) -> Result<(Vec<u8>, usize), S::Error> {
    let most = usize::try_from(GROUP_MAX_BYTES).unwrap_or(usize::MAX) / size.bytes();
    let window = &pages[..pages.len().min(most)];
    let mut leaves = Vec::with_capacity(window.len());
    source.leaves(window, &mut leaves)?;
    let zeros = zero_leaf(size);
    let is_zero: Vec<bool> = leaves.iter().map(|leaf| *leaf == zeros).collect();
    let leading = is_zero.iter().take_while(|zero| **zero).count();
    if leading >= ZERO_RUN_MIN.min(window.len()) {
        return Ok((zero_entry(&runs_of(window[..leading].iter().copied())), leading));
    }
    let cut = is_zero.windows(ZERO_RUN_MIN).position(|run| run.iter().all(|zero| *zero));
    let targets = &window[..cut.unwrap_or(window.len())];
    let mut data = Vec::with_capacity(targets.len() * size.bytes());
    source.read(targets, &mut data)?;
    let frame = codec.compress(&data, &[])?;
    Ok((data_entry(&runs_of(targets.iter().copied()), &[], &frame), targets.len()))
}
