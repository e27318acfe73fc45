//! What a push says of its pages.

/// How the pages of a push were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadConsistency {
    /// All at one moment: that each has its announced hash says all there is to say (PAG-19).
    Snapshot,
    /// One after the other, so that they may be of several moments.
    Unknown,
}
