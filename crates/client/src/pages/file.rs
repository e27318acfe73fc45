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
pub mod scan;
pub mod state;
pub mod tree;

pub use image::{Base, LocalImage, OpenedFile};
pub use base_copy::BaseCopy;
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
