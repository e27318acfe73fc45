//! Names of snapshots, packs and chunks.

use std::{fmt, str::FromStr};

use ferry_types::{Leaf, UnixMillis};

use super::MalformedBackup;
use crate::pages::tree::Node;

/// What the input of the id of a chunk begins with that holds no pages.
const CONTENT_DOMAIN: &[u8] = b"ferry.backup.content.v1";

/// Name of a snapshot: `20261129T014200Z-7f3a9c21`, its time in UTC and 32 random bits. Later ones sort later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// Seconds since 1970 of the moment that it shows.
    seconds: i64,
    random: u32,
}

/// Times that four digits of a year can name.
const SECONDS: std::ops::Range<i64> = 0..253_402_300_800;

impl SnapshotId {
    /// Length of its text.
    const LENGTH: usize = 25;

    /// The name of a snapshot of this moment.
    #[must_use]
    pub fn new(now: UnixMillis, random: u32) -> Self {
        Self { seconds: now.as_secs().clamp(SECONDS.start, SECONDS.end - 1), random }
    }

    /// The same, or one that sorts behind `last`: of two in one second the later one would not, nor after a clock that was
    /// ahead was set right.
    #[must_use]
    pub fn after(self, last: Self) -> Self {
        Self { seconds: self.seconds.max((last.seconds + 1).min(SECONDS.end - 1)), ..self }
    }

    /// The moment, to the second.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UnixMillis(self.seconds * 1000).to_string();
        let digits = |range: std::ops::Range<usize>| time.get(range).unwrap_or_default();
        let (year, month, day) = (digits(0..4), digits(5..7), digits(8..10));
        let (hour, minute, second) = (digits(11..13), digits(14..16), digits(17..19));
        write!(f, "{year}{month}{day}T{hour}{minute}{second}Z-{:08x}", self.random)
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SnapshotId {
    type Err = MalformedBackup;

    fn from_str(text: &str) -> Result<Self, MalformedBackup> {
        let bad = || MalformedBackup::new("the id of a backup looks like 20261129T014200Z-7f3a9c21");
        let plain = text.len() == Self::LENGTH && text.is_ascii();
        let number = |range: std::ops::Range<usize>| {
            let digits = text.get(range).filter(|_| plain)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
        };
        let field = |range: std::ops::Range<usize>| number(range).ok_or_else(bad);
        let (year, month, day) = (field(0..4)?, field(4..6)?, field(6..8)?);
        let (hour, minute, second) = (field(9..11)?, field(11..13)?, field(13..15)?);
        let random = text.get(17..).and_then(|hex| u32::from_str_radix(hex, 16).ok()).ok_or_else(bad)?;
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        let id = Self { seconds, random };
        // Only the one spelling of a real moment.
        if SECONDS.contains(&seconds) && id.to_string() == text { Ok(id) } else { Err(bad()) }
    }
}

/// Days since 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil).
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A name or digest of so many bytes, which is text in hexadecimal.
macro_rules! hex_id {
    ($(#[$meta:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = MalformedBackup;

            fn from_str(text: &str) -> Result<Self, MalformedBackup> {
                let bad = || MalformedBackup::new(concat!($what, " is hexadecimal, in lower case"));
                let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                if text.len() != 2 * $bytes || !text.bytes().all(is_hex) {
                    return Err(bad());
                }
                let mut bytes = [0; $bytes];
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
                }
                Ok(Self(bytes))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(super) use hex_id;

hex_id!(
    /// Name of a chunk: a digest of what it holds, so that what is read is checked by the name that it was asked by.
    ChunkId, 32, "the id of a chunk"
);
hex_id!(
    /// Name of a pack: 16 random bytes.
    PackId, 16, "the id of a pack"
);

impl ChunkId {
    /// The chunk of up to 64 pages over whose leaves this is the node of level 1 (pages specification, section 2.1).
    #[must_use]
    pub const fn of_pages(node: Node) -> Self {
        Self(node)
    }

    /// The chunk of a single page.
    #[must_use]
    pub const fn of_page(leaf: Leaf) -> Self {
        Self(leaf.0)
    }

    /// The chunk of anything but pages.
    #[must_use]
    pub fn of_content(content: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(CONTENT_DOMAIN);
        hasher.update(content);
        Self(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshots_id_has_one_spelling_and_sorts_by_time() {
        let text = "20261129T014200Z-7f3a9c21";
        let id: SnapshotId = text.parse().unwrap();
        assert_eq!((id.to_string().as_str(), id.seconds()), (text, 1_795_916_520));
        for bad in [
            "",
            "20261129T014200Z",
            "20261129T014200Z-7f3a9c2",
            "20261129T014200Z-7F3A9C21",
            "20261129T014200Z-7f3a9c211",
            "20261329T014200Z-7f3a9c21",
            "20260230T014200Z-7f3a9c21",
            "20261129T246000Z-7f3a9c21",
            "20261129 014200Z-7f3a9c21",
            "../../../etc/passwd-000001",
            "2026112éT01420Z-7f3a9c21",
        ] {
            assert!(bad.parse::<SnapshotId>().is_err(), "{bad}");
        }
        let again = SnapshotId::new(UnixMillis(1_795_916_520_000), 0);
        assert!(again < id && again.after(id) > id, "of one second");
        let later = SnapshotId::new(UnixMillis(1_795_916_521_000), 0);
        assert_eq!(later.after(id), later);
        assert!(later > id && later.to_string() > id.to_string());
    }

    #[test]
    fn a_chunks_id_has_one_spelling() {
        let id = ChunkId::of_content(b"x");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "00", &id.to_string().to_uppercase(), &format!("{id}0")] {
            assert!(bad.parse::<ChunkId>().is_err(), "{bad}");
        }
        assert_ne!(ChunkId::of_content(b"x").0, *blake3::hash(b"x").as_bytes(), "content is no page");
    }
}
