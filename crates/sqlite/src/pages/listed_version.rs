//! A version as lists show it.

use super::VersionInfo;

/// A version in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedVersion {
    /// Which.
    pub info: VersionInfo,
    /// Pages that differ from the version before.
    pub pages: u32,
    /// Bytes that keeping the version before took.
    pub bytes: u64,
}
