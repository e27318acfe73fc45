//! The files of page sync (pages specification, section 4), in `<database>/pages/`: the index of a replica's
//! pages, staged pages, before-images; and the ways an image is read, replaced and recovered.
//!
//! main.db of the hub is opened only through SQLite (PAG-50).

mod body_images;
mod capture;
mod check;
mod codec;
mod commit;
mod contents;
mod damage;
pub mod dbpage;
mod digests;
mod history;
mod identity;
mod index;
mod listed_version;
mod noted;
mod prepare;
mod read_consistency;
mod reader;
mod recover;
mod replica;
mod restore;
mod retain;
mod scratch;
mod segment;
mod stage;
mod thin;
mod upload;
mod version_image;

use ferry_core::pages::{Image, Volatile, tree};
use ferry_types::{PageCount, PageSize, Root, Tag, UnixMillis};

pub use body_images::BodyImages;
pub(crate) use capture::Urgency;
pub use capture::{CaptureSlot, Rescan, make_captured_fork};
pub use check::CheckOutcome;
pub use codec::Zstd;
pub use history::{At, BaseFound, BodyBase, Since};
pub use listed_version::ListedVersion;
pub use noted::NotedHashes;
pub use prepare::{Prepared, PushError, PushFiles};
pub use read_consistency::ReadConsistency;
pub use reader::{PageSource, PinnedVersion, ServedHashes, UncheckedVersion};
pub use replica::{Replica, ReplicaConfig, expire_closed_stage, peek_version};
pub use restore::make_fork;
pub use scratch::{ImageFile, unnamed_file};
pub use stage::Stage;
pub use upload::{Upload, Uploaded};
pub use version_image::image_of;

/// One version of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its number, which only grows; 0 is the empty database.
    pub version: u64,
    /// Digest of its content.
    pub root: Root,
    /// Bytes per page; `None` for the empty database.
    pub page_size: Option<PageSize>,
    /// Its pages.
    pub page_count: PageCount,
    /// The bytes of page 1 that SQLite rewrites, as pushed.
    pub volatile: Volatile,
    /// When it was committed; never decreases from version to version.
    pub time: UnixMillis,
}

impl VersionInfo {
    /// The empty database.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            version: 0,
            root: tree::empty_root(),
            page_size: None,
            page_count: PageCount(0),
            volatile: Volatile::NORMAL,
            time: UnixMillis(0),
        }
    }

    /// Its name.
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag::new(self.version, &self.root)
    }

    /// What a session needs to know of it.
    #[must_use]
    pub const fn image(&self) -> Image {
        Image { version: self.version, page_size: self.page_size, page_count: self.page_count }
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.page_count.0) * self.page_size.map_or(0, |size| u64::from(size.get()))
    }
}

#[cfg(test)]
mod tests;
