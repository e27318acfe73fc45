//! Which chunks stand in which packs, and where: the object `index/<id>` that each snapshot writes of its own packs.

use super::{ChunkId, FORMAT, MalformedBackup, PackId};

const MAGIC: &[u8; 4] = b"FRYI";
/// Bytes of a digest, at the end.
const DIGEST: usize = 32;
/// Of an entry: chunk, offset, stored length, length.
const ENTRY: usize = 32 + 4 + 4 + 4;
/// Longest content of a chunk: 64 pages of 64 KiB, and more than any part of a map or of a list.
pub const CHUNK_MAX_BYTES: u32 = 8 << 20;
/// A pack is closed once it has so many bytes; one more chunk fits beyond.
pub const PACK_BYTES: u32 = 16 << 20;
/// No pack is longer.
pub const PACK_MAX_BYTES: u32 = 32 << 20;

/// Where a chunk stands in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which chunk.
    pub chunk: ChunkId,
    /// Its first byte in the pack.
    pub offset: u32,
    /// Its bytes there, compressed.
    pub stored: u32,
    /// Its bytes.
    pub length: u32,
}

/// A pack and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackIndex {
    /// Which pack.
    pub pack: PackId,
    /// Its chunks, in their order.
    pub chunks: Vec<Stored>,
}

impl PackIndex {
    /// Bytes of the whole pack.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.stored)).sum()
    }
}

/// The index of these packs.
#[must_use]
pub fn encode(packs: &[PackIndex]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    for pack in packs {
        bytes.extend_from_slice(&pack.pack.0);
        let count = u32::try_from(pack.chunks.len()).expect("BUG: a pack has less than 2^32 chunks");
        bytes.extend_from_slice(&count.to_le_bytes());
        for Stored { chunk, offset, stored, length } in &pack.chunks {
            bytes.extend_from_slice(&chunk.0);
            for number in [offset, stored, length] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

/// Reads an index.
///
/// # Errors
/// When it was damaged, or holds what no pack can.
pub fn decode(bytes: &[u8]) -> Result<Vec<PackIndex>, MalformedBackup> {
    let damaged = || MalformedBackup::new("an index of packs is damaged");
    let (body, digest) = bytes.split_last_chunk::<DIGEST>().ok_or_else(damaged)?;
    if blake3::hash(body) != *digest {
        return Err(damaged());
    }
    let body = body.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (format, mut rest) = body.split_first_chunk::<4>().ok_or_else(damaged)?;
    if u32::from_le_bytes(*format) != FORMAT {
        return Err(MalformedBackup::new("a newer ferry wrote this backup: use that one"));
    }
    let mut packs = Vec::new();
    while !rest.is_empty() {
        let (pack, after) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
        let (count, after) = after.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = (u32::from_le_bytes(*count) as usize).checked_mul(ENTRY).ok_or_else(damaged)?;
        let (entries, after) = after.split_at_checked(length).ok_or_else(damaged)?;
        let chunks =
            entries.chunks_exact(ENTRY).map(entry).collect::<Option<Vec<_>>>().ok_or_else(damaged)?;
        packs.push(PackIndex { pack: PackId(*pack), chunks });
        rest = after;
    }
    Ok(packs)
}

fn entry(bytes: &[u8]) -> Option<Stored> {
    let (chunk, numbers) = bytes.split_first_chunk::<32>()?;
    let number = |at: usize| Some(u32::from_le_bytes(*numbers.get(at..at + 4)?.first_chunk()?));
    let stored =
        Stored { chunk: ChunkId(*chunk), offset: number(0)?, stored: number(4)?, length: number(8)? };
    let end = stored.offset.checked_add(stored.stored)?;
    (end <= PACK_MAX_BYTES && stored.length <= CHUNK_MAX_BYTES).then_some(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs() -> Vec<PackIndex> {
        let stored =
            |n: u8| Stored { chunk: ChunkId([n; 32]), offset: u32::from(n) * 10, stored: 10, length: 77 };
        vec![
            PackIndex { pack: PackId([1; 16]), chunks: vec![stored(0), stored(1)] },
            PackIndex { pack: PackId([2; 16]), chunks: vec![stored(2)] },
        ]
    }

    #[test]
    fn an_index_survives_its_bytes_and_no_damage() {
        for packs in [packs(), Vec::new()] {
            let bytes = encode(&packs);
            assert_eq!(decode(&bytes), Ok(packs));
            for at in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1;
                assert!(decode(&flipped).is_err(), "byte {at}");
                assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
            }
        }
    }

    #[test]
    fn what_no_pack_can_hold_is_refused() {
        for (offset, stored, length) in
            [(u32::MAX, 2, 1), (0, PACK_MAX_BYTES + 1, 1), (0, 1, CHUNK_MAX_BYTES + 1)]
        {
            let chunks = vec![Stored { chunk: ChunkId([0; 32]), offset, stored, length }];
            let bytes = encode(&[PackIndex { pack: PackId([0; 16]), chunks }]);
            assert!(decode(&bytes).is_err(), "{offset} {stored} {length}");
        }
    }
}
