//! From when to when moments can be restored.

/// Moments that can be restored, in Unix milliseconds, the first and the last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RestorableRange {
    /// The first.
    pub from_ms: i64,
    /// The last.
    pub to_ms: i64,
}

impl RestorableRange {
    /// The same moments, ascending; ranges that touch are one.
    #[must_use]
    pub fn joined(mut ranges: Vec<Self>) -> Vec<Self> {
        ranges.sort_unstable();
        let mut joined: Vec<Self> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.from_ms <= last.to_ms => last.to_ms = last.to_ms.max(range.to_ms),
                _ => joined.push(range),
            }
        }
        joined
    }
}
