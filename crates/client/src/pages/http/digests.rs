//! Digests of nodes of a hub's tree.

use ferry_types::{PageCount, Tag};

/// First bytes of digests, and of which image they are.
#[derive(Clone, Debug)]
pub(crate) struct Digests {
    /// Of this version.
    pub(crate) tag: Tag,
    /// Of this level; 0 are the leaves.
    pub(crate) level: u8,
    /// Bytes per page; 0 of the empty database.
    pub(crate) page_size: u32,
    /// Pages of the image.
    pub(crate) page_count: PageCount,
    /// The first 8 bytes of each, in order.
    pub(crate) digests: Vec<[u8; 8]>,
}
