//! Which store a row belongs to.

/// Which store: its id, and the number that its events are filed under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreKey {
    /// The id, by which clients name it.
    pub id: Box<str>,
    /// The number, which changes when its log is emptied.
    pub number: i64,
}
