//! Whose store it is.

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreRole {
    /// Judges clocks and bases, and records conflicts.
    Hub,
    /// Takes what the hub has judged.
    Spoke,
}
