//! What the encoder reads.

use ferry_types::{Leaf, PageNo, PageSize};

use super::codec::CodecError;
use crate::pages::tree;

/// Leaves that are asked for at once.
pub(super) const LEAVES_AT_ONCE: usize = 16_384;

/// The two images that a body leads between. Page 1 is read in normal form.
pub trait BodySource {
    /// What reading can fail with.
    type Error: From<CodecError>;

    /// Appends the leaves of pages of the new image.
    ///
    /// # Errors
    /// When they cannot be read.
    fn leaves(&mut self, pages: &[PageNo], into: &mut Vec<Leaf>) -> Result<(), Self::Error>;

    /// Appends pages of the new image.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// Appends the leaves of pages of the base; `None` for a page that is no longer kept.
    ///
    /// # Errors
    /// When they cannot be read.
    fn base_leaves(&mut self, pages: &[PageNo], into: &mut Vec<Option<Leaf>>) -> Result<(), Self::Error>;

    /// Appends pages of the base, all of which are kept.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Self::Error>;
}

/// The leaf of a page of zeros.
pub(super) fn zero_leaf(size: PageSize) -> Leaf {
    tree::leaf(&vec![0; size.bytes()])
}
