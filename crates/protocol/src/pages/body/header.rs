//! The 64 bytes that a body begins with.

use ferry_types::{DatabaseId, PageCount, PageSize, UnixMillis};
use uuid::Uuid;

use super::{
    FORMAT, HEADER_BYTES, MAGIC, VOLATILE_BYTES,
    error::BodyViolation,
    varint::{FieldReader, Stop},
};

/// What a body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// It needs no base.
    pub full: bool,
    /// It holds only the pages that were asked for.
    pub partial: bool,
    /// The image is in WAL mode where it comes from.
    pub wal: bool,
    /// A client sends it.
    pub push: bool,
}

impl Flags {
    const FULL: u8 = 1;
    const PARTIAL: u8 = 2;
    const WAL: u8 = 4;
    const PUSH: u8 = 8;

    fn byte(self) -> u8 {
        [
            (self.full, Self::FULL),
            (self.partial, Self::PARTIAL),
            (self.wal, Self::WAL),
            (self.push, Self::PUSH),
        ]
        .iter()
        .filter(|(set, _)| *set)
        .fold(0, |byte, (_, flag)| byte | flag)
    }

    const fn of(byte: u8) -> Option<Self> {
        if byte > (Self::FULL | Self::PARTIAL | Self::WAL | Self::PUSH) {
            return None;
        }
        Some(Self {
            full: byte & Self::FULL != 0,
            partial: byte & Self::PARTIAL != 0,
            wal: byte & Self::WAL != 0,
            push: byte & Self::PUSH != 0,
        })
    }
}

/// The header of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyHeader {
    /// What it is.
    pub flags: Flags,
    /// Bytes per page of the new image; `None` if that is empty.
    pub page_size: Option<PageSize>,
    /// Whose pages.
    pub database: DatabaseId,
    /// The version that it is applied to; 0: none.
    pub base_version: u64,
    /// The version that it leads to; 0 in a push.
    pub version: u64,
    /// Pages of the base.
    pub base_count: PageCount,
    /// Pages of the new image.
    pub page_count: PageCount,
    /// First 8 bytes of the base's root; zeros: none.
    pub base_root: [u8; 8],
    /// When the new version was made; 0 in a push.
    pub time: UnixMillis,
    /// The bytes of page 1 that SQLite rewrites, as a push has them.
    pub volatile: Option<[u8; VOLATILE_BYTES]>,
}

impl BodyHeader {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + VOLATILE_BYTES);
        bytes.extend_from_slice(&MAGIC);
        let log2 = self.page_size.map_or(0, |size| size.get().trailing_zeros());
        let log2 = u8::try_from(log2).expect("BUG: a page size has at most 17 bits");
        bytes.extend_from_slice(&[FORMAT, self.flags.byte(), log2, 0]);
        bytes.extend_from_slice(self.database.uuid().as_bytes());
        bytes.extend_from_slice(&self.base_version.to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.base_count.0.to_le_bytes());
        bytes.extend_from_slice(&self.page_count.0.to_le_bytes());
        bytes.extend_from_slice(&self.base_root);
        bytes.extend_from_slice(&self.time.0.to_le_bytes());
        if let Some(volatile) = &self.volatile {
            bytes.extend_from_slice(volatile);
        }
        bytes
    }

    pub(super) fn decode(reader: &mut FieldReader<'_>) -> Result<Self, Stop> {
        let wrong = |at, fault| Err(Stop::Fault(at, fault));
        if reader.array()? != MAGIC {
            return wrong(0, BodyViolation::Magic);
        }
        let [format, flags, log2, zero] = reader.array()?;
        if format != FORMAT {
            return wrong(4, BodyViolation::Format(format));
        }
        let Some(flags) = Flags::of(flags) else { return wrong(5, BodyViolation::Header("set of flags")) };
        let page_size = match log2 {
            0 => None,
            9..=16 => PageSize::new(1 << log2),
            _ => return wrong(6, BodyViolation::Header("page size")),
        };
        if zero != 0 {
            return wrong(7, BodyViolation::Header("byte that is zero"));
        }
        let header = Self {
            flags,
            page_size,
            database: DatabaseId::from_uuid(Uuid::from_bytes(reader.array()?)),
            base_version: u64::from_le_bytes(reader.array()?),
            version: u64::from_le_bytes(reader.array()?),
            base_count: PageCount(u32::from_le_bytes(reader.array()?)),
            page_count: PageCount(u32::from_le_bytes(reader.array()?)),
            base_root: reader.array()?,
            time: UnixMillis(i64::from_le_bytes(reader.array()?)),
            volatile: if flags.push { Some(reader.array()?) } else { None },
        };
        header.check().map_err(|(at, fault)| Stop::Fault(at, fault))?;
        Ok(header)
    }

    fn check(&self) -> Result<(), (usize, BodyViolation)> {
        let wrong = |at, what| Err((at, BodyViolation::Header(what)));
        if self.page_size.is_none() != (self.page_count.0 == 0) {
            return wrong(6, "page size");
        }
        let has_base = self.base_version != 0 || self.base_count.0 != 0 || self.base_root != [0; 8];
        if self.flags.full && has_base {
            return wrong(24, "base: a full body has none");
        }
        if self.flags.push && (self.version != 0 || self.time.0 != 0) {
            return wrong(32, "version: the hub numbers what is pushed");
        }
        if self.flags.push && self.flags.partial {
            return wrong(5, "set of flags");
        }
        Ok(())
    }
}
