//! Bodies of Ferry's own page wire, media type `application/vnd.ferry.pages` (pages specification, section 2.4;
//! PROTOCOL.md): what leads from one version of an image to another.
//!
//! A header, then entries, each an opcode and its fields, and END. This module reads and writes their bytes and keeps the
//! rules that a single entry can break; rules between entries, and those of the images, are `ferry_core::pages::body`'s.

mod copy;
mod decode;
mod encode;
mod error;
mod header;
mod runs;
mod varint;

pub use copy::{CopyRun, decode_copy, encode_copy};
pub use decode::{BodyDecoder, Item};
pub use encode::{copy_entry, data_entry, end_entry, staged_entry, zero_entry};
pub use error::{BodyError, BodyViolation};
pub use header::{BodyHeader, Flags};
pub use runs::{Run, page_total, pages_of, runs_of};

/// Media type of a body.
pub const MEDIA_TYPE: &str = "application/vnd.ferry.pages";
/// What a body begins with.
pub const MAGIC: [u8; 4] = *b"FRYP";
/// The format that this module speaks.
pub const FORMAT: u8 = 1;
/// Length of the header, without the volatile bytes of a push.
pub const HEADER_BYTES: usize = 64;
/// Length of the bytes of page 1 that SQLite rewrites, which follow the header of a push.
pub const VOLATILE_BYTES: usize = 14;

/// Pages of one DATA entry, together; and those of its prefix.
pub const GROUP_MAX_BYTES: u64 = 4 << 20;
/// Content of one COPY entry, decompressed.
pub const COPY_MAX_BYTES: usize = 16 << 20;
/// Runs of one list. Longer lists are split into several entries.
pub const RUNS_MAX: u32 = 1 << 20;
/// Pages of one STAGED entry, whose leaves are 4 MiB then.
pub const STAGED_MAX_PAGES: u64 = 131_072;
/// A zstd frame is at most this much longer than what it holds (zstd's `compressBound`, with room).
const FRAME_OVERHEAD_BYTES: u64 = 64 << 10;

/// Opcodes.
mod op {
    pub(super) const END: u8 = 0;
    pub(super) const COPY: u8 = 1;
    pub(super) const ZERO: u8 = 2;
    pub(super) const DATA: u8 = 3;
    pub(super) const STAGED: u8 = 4;
}

#[cfg(test)]
mod tests;
