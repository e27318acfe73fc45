//! An object of the log: pages that changed in one interval, of all databases that did. First the pages, each piece of them
//! compressed by itself; then a list of the pieces in JSON, and of the databases that the interval before had; its length in 4
//! bytes, the lowest first; and BLAKE3 of all before.

use std::collections::BTreeSet;

use ferry_types::{PageCount, PageSize, Root};
use serde::{Deserialize, Serialize};

use super::{
    MalformedBackup,
    manifest::{ImageShape, RootText, SnapshotDatabase, VolatileText},
};
use crate::pages::Volatile;

/// What an object of the log begins with: its format.
const MAGIC: &[u8; 8] = b"FERRYLG2";
/// And the one before that, whose list is of the pieces alone.
const FIRST_MAGIC: &[u8; 8] = b"FERRYLG1";
const DIGEST_BYTES: usize = 32;
/// What each page of a piece begins with: its number, the lowest byte first.
pub const PAGE_NUMBER_BYTES: usize = 4;
/// Most that a piece holds before it is compressed.
pub const PIECE_BYTES: usize = 4 << 20;
/// An object is ended once it has as many bytes.
pub const OBJECT_BYTES: usize = 16 << 20;
/// About what the list says of a piece, in bytes.
const DESCRIBED_BYTES: usize = 512;
/// What any object has at least: its format, a list, the length of that, and the digest.
pub const OBJECT_MIN_BYTES: u64 = (MAGIC.len() + 2 + 4 + DIGEST_BYTES) as u64;
/// The longest object.
pub const OBJECT_MAX_BYTES: usize = 64 << 20;

/// Pages of a database as they were at one commit of it. A database that changed a lot has several pieces, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentPiece {
    /// Which database.
    pub id: SnapshotDatabase,
    /// What people call it.
    pub name: String,
    /// Its organisation.
    pub org: String,
    /// `hub`, `replica` or `control`.
    pub kind: String,
    /// Upon which commit the pages are played, or upon a later one; `None`: upon nothing, they are all that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// The commit that they lead to; of control.db the number of the interval.
    pub seq: u64,
    /// Which piece it is, from 0.
    pub piece: u32,
    /// Whether another one follows.
    pub more: bool,
    /// Digest of the whole image at that commit.
    root: RootText,
    page_size: u32,
    pages: u32,
    volatile: VolatileText,
    /// Where it stands in the object.
    pub offset: u64,
    /// Its bytes there.
    pub stored: u32,
    /// And when they are not compressed.
    pub length: u32,
}

impl SegmentPiece {
    /// A piece that leads to this image, of which nothing else is told yet.
    #[must_use]
    pub fn new(id: SnapshotDatabase, image: &ImageShape) -> Self {
        Self {
            id,
            name: String::new(),
            org: String::new(),
            kind: String::new(),
            base: None,
            seq: 0,
            piece: 0,
            more: false,
            root: RootText(image.root.0),
            page_size: image.page_size.map_or(0, PageSize::get),
            pages: image.pages.0,
            volatile: VolatileText(image.volatile.0),
            offset: 0,
            stored: 0,
            length: 0,
        }
    }

    /// A piece of what this one describes; with `more` another one follows.
    #[must_use]
    pub fn part(&self, piece: u32, more: bool) -> Self {
        Self { piece, more, ..self.clone() }
    }

    /// The image that it leads to.
    #[must_use]
    pub fn image(&self) -> ImageShape {
        ImageShape {
            page_size: PageSize::new(self.page_size),
            pages: PageCount(self.pages),
            volatile: Volatile(self.volatile.0),
            root: Root(self.root.0),
        }
    }

    fn check(&self, end: usize) -> Result<(), MalformedBackup> {
        let bad = |what: &str| Err(MalformedBackup::new(format!("database {}: {what}", self.id)));
        let Some(size) = PageSize::new(self.page_size).filter(|_| self.pages > 0) else {
            return bad("no image has such a page size, or so few pages");
        };
        let entry = size.bytes() + PAGE_NUMBER_BYTES;
        if self.length as usize > PIECE_BYTES.max(entry) || !(self.length as usize).is_multiple_of(entry) {
            return bad("a piece holds no whole pages, or too many");
        }
        let is_inside = self.offset >= MAGIC.len() as u64
            && self.offset.checked_add(self.stored.into()).is_some_and(|behind| behind <= end as u64);
        if is_inside { Ok(()) } else { bad("a piece lies outside its object") }
    }
}

/// The databases of an interval: said by the one behind it, for when it is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalDatabases {
    /// Some of them, or all.
    pub named: Vec<SnapshotDatabase>,
    /// How many others.
    #[serde(default)]
    pub more: u64,
}

impl IntervalDatabases {
    /// Most that are named.
    const NAMED: usize = 64;

    /// Of all these.
    #[must_use]
    pub fn of(all: &BTreeSet<SnapshotDatabase>) -> Self {
        let named: Vec<_> = all.iter().take(Self::NAMED).copied().collect();
        let more = (all.len() - named.len()) as u64;
        Self { named, more }
    }
}

/// What an object lists.
#[derive(Debug, Serialize, Deserialize)]
struct ObjectList {
    /// Of the interval before; in its first object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<IntervalDatabases>,
    pieces: Vec<SegmentPiece>,
}

/// An object that is being made.
#[derive(Debug)]
pub struct LogObjectWriter {
    bytes: Vec<u8>,
    before: Option<IntervalDatabases>,
    pieces: Vec<SegmentPiece>,
}

impl Default for LogObjectWriter {
    fn default() -> Self {
        Self { bytes: MAGIC.to_vec(), before: None, pieces: Vec::new() }
    }
}

impl LogObjectWriter {
    /// The first object of an interval, which says what the one before had.
    #[must_use]
    pub fn behind(before: Option<IntervalDatabases>) -> Self {
        Self { before, ..Self::default() }
    }

    /// Adds a piece, whose pages are compressed already and were `length` bytes before.
    ///
    /// # Panics
    /// Never: pieces are short.
    pub fn add(&mut self, mut piece: SegmentPiece, compressed: &[u8], length: usize) {
        piece.offset = self.bytes.len() as u64;
        piece.stored = u32::try_from(compressed.len()).expect("BUG: a piece is short");
        piece.length = u32::try_from(length).expect("BUG: a piece is short");
        self.bytes.extend_from_slice(compressed);
        self.pieces.push(piece);
    }

    /// Whether nothing was added.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether it has enough.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.bytes.len() + self.pieces.len() * DESCRIBED_BYTES >= OBJECT_BYTES
    }

    /// The object.
    ///
    /// # Panics
    /// Never: text and numbers are JSON.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        let listed = ObjectList { before: self.before, pieces: self.pieces };
        let list = serde_json::to_vec(&listed).expect("BUG: text and numbers are JSON");
        bytes.extend_from_slice(&list);
        bytes.extend_from_slice(&u32::try_from(list.len()).expect("BUG: a list is short").to_le_bytes());
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }
}

/// An object that was read, and is as it was written.
#[derive(Debug)]
pub struct ReadLogObject<'a> {
    bytes: &'a [u8],
    /// What the interval before held, as far as this one says it.
    pub before: Option<IntervalDatabases>,
    /// What it holds, in this order.
    pub pieces: Vec<SegmentPiece>,
}

impl<'a> ReadLogObject<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// When it was damaged, or names what no log holds.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MalformedBackup> {
        let damaged = || MalformedBackup::new("it is damaged");
        let (body, digest) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or_else(damaged)?;
        if blake3::hash(body).as_bytes() != digest {
            return Err(damaged());
        }
        let (body, length) = body.split_last_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_le_bytes(*length) as usize;
        let end = body.len().checked_sub(length).ok_or_else(damaged)?;
        let (pages, list) = body.split_at(end);
        let listed = match pages.first_chunk() {
            Some(MAGIC) => serde_json::from_slice(list),
            Some(FIRST_MAGIC) => {
                serde_json::from_slice(list).map(|pieces| ObjectList { before: None, pieces })
            }
            _ => return Err(MalformedBackup::new("it was written by a newer ferry: use that one")),
        };
        let ObjectList { before, pieces } =
            listed.map_err(|error| MalformedBackup::new(format!("its list of pages: {error}")))?;
        pieces.iter().try_for_each(|piece| piece.check(end))?;
        Ok(Self { bytes: pages, before, pieces })
    }

    /// The pages of a piece, compressed.
    #[must_use]
    pub fn body(&self, piece: &SegmentPiece) -> &'a [u8] {
        let from = usize::try_from(piece.offset).unwrap_or(usize::MAX);
        self.bytes.get(from..from.saturating_add(piece.stored as usize)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use ferry_types::PageSize;
    use proptest::prelude::*;

    use super::*;

    fn piece() -> SegmentPiece {
        let image = ImageShape {
            page_size: PageSize::new(512),
            pages: PageCount(3),
            volatile: Volatile::NORMAL,
            root: Root([7; 32]),
        };
        SegmentPiece {
            base: Some(4),
            seq: 9,
            kind: "hub".to_owned(),
            ..SegmentPiece::new(SnapshotDatabase::Control, &image)
        }
    }

    fn object() -> Vec<u8> {
        let mut writer = LogObjectWriter::default();
        writer.add(piece(), b"first", 516);
        writer.add(SegmentPiece { base: None, ..piece() }, b"second", 2 * 516);
        writer.finish()
    }

    #[test]
    fn an_object_is_read_as_it_was_written() {
        let bytes = object();
        let read = ReadLogObject::decode(&bytes).unwrap();
        assert_eq!(
            read.pieces.iter().map(|piece| read.body(piece)).collect::<Vec<_>>(),
            [&b"first"[..], b"second"]
        );
        let SegmentPiece { base, seq, length, .. } = &read.pieces[0];
        assert_eq!((*base, *seq, *length, read.pieces[1].base), (Some(4), 9, 516, None));
        assert_eq!(read.pieces[0].image(), piece().image());
    }

    // Verifies: OPR-11
    #[test]
    fn the_first_format_is_read_and_the_second_says_what_came_before() {
        let list =
            serde_json::to_vec(&vec![SegmentPiece { offset: 8, stored: 5, length: 516, ..piece() }]).unwrap();
        let mut bytes = [&FIRST_MAGIC[..], b"first", &list].concat();
        bytes.extend_from_slice(&u32::try_from(list.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
        let read = ReadLogObject::decode(&bytes).unwrap();
        assert_eq!((read.before.clone(), read.body(&read.pieces[0])), (None, &b"first"[..]));
        let before = IntervalDatabases::of(&BTreeSet::from([SnapshotDatabase::Control]));
        let bytes = LogObjectWriter::behind(Some(before.clone())).finish();
        assert_eq!(ReadLogObject::decode(&bytes).unwrap().before, Some(before));
    }

    #[test]
    fn what_was_changed_or_cut_is_noticed() {
        let good = object();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(ReadLogObject::decode(&bad).is_err(), "byte {at}");
            assert!(ReadLogObject::decode(&good[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_list_that_names_what_no_log_holds_is_refused() {
        for change in
            [|piece: &mut SegmentPiece| piece.page_size = 513, |piece: &mut SegmentPiece| piece.pages = 0]
        {
            let mut bad = piece();
            change(&mut bad);
            let mut writer = LogObjectWriter::default();
            writer.add(bad, b"x", 516);
            assert!(ReadLogObject::decode(&writer.finish()).is_err());
        }
        for length in [515, 516 * 10_000, 1] {
            let mut writer = LogObjectWriter::default();
            writer.add(piece(), b"x", length);
            assert!(ReadLogObject::decode(&writer.finish()).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for magic in [MAGIC, FIRST_MAGIC] {
                let mut signed = [&magic[..], &bytes].concat();
                signed.extend_from_slice(blake3::hash(&signed).as_bytes());
                let _ = ReadLogObject::decode(&signed);
            }
            let _ = ReadLogObject::decode(&bytes);
        }
    }
}
