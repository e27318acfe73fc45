//! The local side of page sync: reading a file's image, remembering what it was last synced with, and putting
//! a received image in its place.

pub mod apply;
mod at;
pub mod backup;
pub mod base_copy;
pub mod compare;
pub mod image;
pub mod known;
pub mod mark;
pub mod part;
mod paths;
pub mod rows;
pub mod scan;
pub mod state;
pub mod tree;

pub use base_copy::BaseCopy;
pub use image::{Base, LocalImage, OpenedFile, Watcher};
pub use known::{FoundFile, KnownImage};
pub use mark::FileMark;
pub use part::Part;
pub use scan::ImageDigests;
pub use state::{SyncState, Synced};
pub use tree::ImageTree;

pub(crate) use paths::check_target;

/// A fault point (tests only) whose failure is reported as a local one.
pub(crate) fn point(name: &str) -> crate::Result<()> {
    ferry_sqlite::fault::point(name).map_err(|error| crate::ClientError::store(name, &error))
}

/// Bytes of what is kept beside a synced file: its state and its base copy.
pub(crate) fn bytes_beside(file: &std::path::Path) -> u64 {
    let names = ["-ferry", "-ferry-base"].map(|suffix| paths::beside(file, suffix));
    names.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum()
}
