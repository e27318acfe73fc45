//! A body read from bytes as they come.

use ferry_types::{Leaf, Root};

use super::{
    BodyError, BodyHeader, BodyViolation, COPY_MAX_BYTES, FRAME_OVERHEAD_BYTES, GROUP_MAX_BYTES,
    STAGED_MAX_PAGES, op,
    runs::{self, Run, page_total},
    varint::{FieldReader, Stop},
};

/// What a body consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// First.
    Header(BodyHeader),
    /// Targets that equal pages of the base: the compressed content of [`super::decode_copy`].
    Copy {
        /// A zstd frame.
        frame: Vec<u8>,
    },
    /// Targets of zeros.
    Zero {
        /// Which.
        targets: Vec<Run>,
    },
    /// Targets in a frame of their own.
    Data {
        /// Which, in the order of the frame.
        targets: Vec<Run>,
        /// The pages of the base that the frame was compressed with.
        prefix: Vec<Run>,
        /// A zstd frame.
        frame: Vec<u8>,
    },
    /// Targets that the hub has staged.
    Staged {
        /// Which.
        targets: Vec<Run>,
        /// The leaf of each.
        leaves: Vec<Leaf>,
    },
    /// Last.
    End {
        /// How many targets there were.
        targets: u32,
        /// Root of the new image.
        root: Root,
    },
}

/// Takes the bytes of a body as they come, and gives its items as they are whole. It holds at most one entry and what was
/// pushed last.
#[derive(Debug, Default)]
pub struct BodyDecoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were given out.
    taken: usize,
    /// Where in the body the buffer begins.
    start: u64,
    /// The next item is not looked for in fewer bytes: a long list is not read anew for every few bytes of it.
    needed: usize,
    header: Option<BodyHeader>,
    has_ended: bool,
    is_closed: bool,
}

impl BodyDecoder {
    /// At the first byte of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes further bytes. Call [`Self::next_item`] until it gives nothing before more are pushed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.start += self.taken as u64;
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that came of an item that is not whole.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Says that no more bytes come: [`Self::next_item`] gives what is left, then `None` if END was the last.
    pub const fn close(&mut self) {
        self.is_closed = true;
    }

    /// The next whole item and where it begins; `None` if more bytes must come first, and after END.
    ///
    /// # Errors
    /// The rule that the body breaks. It breaks it for good.
    pub fn next_item(&mut self) -> Result<Option<(u64, Item)>, BodyError> {
        let offset = self.start + self.taken as u64;
        let bytes = &self.buffer[self.taken..];
        let wrong = |at: usize, fault| Err(BodyError { offset: offset + at as u64, fault });
        if self.has_ended {
            return if bytes.is_empty() { Ok(None) } else { wrong(0, BodyViolation::Trailing) };
        }
        if bytes.len() < self.needed && !self.is_closed {
            return Ok(None);
        }
        let mut reader = FieldReader::new(bytes);
        let item = match &self.header {
            None => BodyHeader::decode(&mut reader).map(Item::Header),
            Some(header) => entry(&mut reader, header),
        };
        match item {
            Ok(item) => {
                match &item {
                    Item::Header(header) => self.header = Some(*header),
                    Item::End { .. } => self.has_ended = true,
                    Item::Copy { .. } | Item::Zero { .. } | Item::Data { .. } | Item::Staged { .. } => {}
                }
                self.taken += reader.at();
                self.needed = 0;
                Ok(Some((offset, item)))
            }
            Err(Stop::Short(_)) if self.is_closed => wrong(bytes.len(), BodyViolation::Ended),
            Err(Stop::Short(needed)) => {
                self.needed = needed.max(bytes.len() + bytes.len() / 4);
                Ok(None)
            }
            Err(Stop::Fault(at, fault)) => wrong(at, fault),
        }
    }
}

fn entry(reader: &mut FieldReader<'_>, header: &BodyHeader) -> Result<Item, Stop> {
    let at = reader.at();
    let [opcode] = reader.array()?;
    let page_bytes = header.page_size.map_or(u64::MAX, |size| u64::from(size.get()));
    let group_pages = GROUP_MAX_BYTES / page_bytes;
    match opcode {
        op::END => {
            Ok(Item::End { targets: u32::from_le_bytes(reader.array()?), root: Root(reader.array()?) })
        }
        op::COPY if !header.flags.full => Ok(Item::Copy { frame: frame(reader, COPY_MAX_BYTES as u64)? }),
        op::ZERO => Ok(Item::Zero { targets: targets(reader, u64::MAX)? }),
        op::DATA => {
            let targets = targets(reader, group_pages)?;
            let at = reader.at();
            let prefix = runs::decode(reader, group_pages)?;
            if header.flags.full && !prefix.is_empty() {
                return Err(Stop::Fault(at, BodyViolation::Base(prefix[0].first.get())));
            }
            let frame = frame(reader, page_total(&targets) * page_bytes)?;
            Ok(Item::Data { targets, prefix, frame })
        }
        op::STAGED if header.flags.push => {
            let targets = targets(reader, STAGED_MAX_PAGES)?;
            let leaves =
                (0..page_total(&targets)).map(|_| Ok(Leaf(reader.array()?))).collect::<Result<_, _>>()?;
            Ok(Item::Staged { targets, leaves })
        }
        other => Err(Stop::Fault(at, BodyViolation::Opcode(other))),
    }
}

fn targets(reader: &mut FieldReader<'_>, pages_max: u64) -> Result<Vec<Run>, Stop> {
    let at = reader.at();
    let targets = runs::decode(reader, pages_max)?;
    if targets.is_empty() { Err(Stop::Fault(at, BodyViolation::NoPages)) } else { Ok(targets) }
}

/// A frame whose content has at most `content_max` bytes.
fn frame(reader: &mut FieldReader<'_>, content_max: u64) -> Result<Vec<u8>, Stop> {
    let at = reader.at();
    let length = reader.varint()?;
    let longest = content_max.saturating_add(content_max / 128).saturating_add(FRAME_OVERHEAD_BYTES);
    match usize::try_from(length) {
        Ok(bytes) if length <= longest => Ok(reader.take(bytes)?.to_vec()),
        _ => Err(Stop::Fault(at, BodyViolation::FrameLength(length))),
    }
}
