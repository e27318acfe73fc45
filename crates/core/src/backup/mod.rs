//! Backups: what a snapshot is made of (operate specification, sections 2.5 and 3.1). Names of objects, chunks of pages
//! and their maps, the manifest, the index of packs, and what is kept. Whoever reads and writes the objects is the caller.

pub mod chunk;
pub mod id;
pub mod index;
pub mod log;
pub mod manifest;
pub mod map;
pub mod retention;
pub mod segment;

pub use id::{ChunkId, PackId, SnapshotId};

/// The format that this program writes, and every later one reads (OPR-11).
pub const FORMAT: u32 = 1;

/// What stands in an object is not what this format has there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedBackup(pub String);

impl MalformedBackup {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}
