//! How the digests of an image lie in the state: in rows, each the children of one node.

use ferry_core::pages::tree::{FAN_OUT, Node};

/// Levels that the tree over as many pages as SQLite can have has, the leaves included.
pub const LEVELS: u8 = 7;

/// A row of digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// Level of the digests; 0 are leaves.
    pub level: u8,
    /// Number of the row: digests 64 × row up to 64 × row + 63.
    pub row: u32,
}

impl RowKey {
    /// The row's key in the state.
    #[must_use]
    pub const fn id(self) -> i64 {
        (self.level as i64) << 32 | self.row as i64
    }

    /// The row of a digest.
    #[must_use]
    pub const fn of(level: u8, n: u32) -> Self {
        Self { level, row: n / FAN_OUT }
    }
}

/// The rows of an image, as far as the state has others.
#[derive(Debug, Default)]
pub struct TreeRows<'t> {
    /// Those to be written.
    pub changed: Vec<(RowKey, &'t [Node])>,
    /// How many each level has.
    pub counts: [u32; LEVELS as usize],
}
