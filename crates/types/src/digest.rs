//! Digests that name pages and images (pages specification, section 2.1).

use std::{fmt, str::FromStr};

/// BLAKE3 of one page; page 1 in normal form, the lock page as 32 zero bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Leaf(pub [u8; 32]);

impl Leaf {
    /// The leaf of the lock page, which is never transferred.
    pub const LOCK_PAGE: Self = Self([0; 32]);
}

/// Digest of a whole image: page size, page count and the tree over all leaves.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Root(pub [u8; 32]);

/// Name of a version: its number and the first 8 bytes of its root. A hub restored from an old backup may
/// reissue a number, never a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Version number; 0 is the empty database.
    pub version: u64,
    /// First 8 bytes of the root.
    pub root_prefix: [u8; 8],
}

impl Tag {
    /// The tag of `version` whose image has `root`.
    #[must_use]
    pub fn new(version: u64, root: &Root) -> Self {
        let mut root_prefix = [0; 8];
        root_prefix.copy_from_slice(&root.0[..8]);
        Self { version, root_prefix }
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.version)?;
        write_hex(&self.root_prefix, f)
    }
}

/// The text is not `<version>-<16 lower-case hex digits>`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag looks like 42-47059a7efff88c8b")]
pub struct BadTag;

impl FromStr for Tag {
    type Err = BadTag;

    fn from_str(text: &str) -> Result<Self, BadTag> {
        let (number, hex) = text.split_once('-').ok_or(BadTag)?;
        let canonical =
            number.bytes().all(|b| b.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
        if !canonical
            || hex.len() != 16
            || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(BadTag);
        }
        let version = number.parse().map_err(|_| BadTag)?;
        let prefix = u64::from_str_radix(hex, 16).map_err(|_| BadTag)?;
        Ok(Self { version, root_prefix: prefix.to_be_bytes() })
    }
}

macro_rules! hex_display {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}
hex_display!(Leaf);
hex_display!(Root);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_survives_text() {
        let tag: Tag = "42-47059a7efff88c8b".parse().unwrap();
        assert_eq!(tag.version, 42);
        assert_eq!(tag.to_string(), "42-47059a7efff88c8b");
    }

    #[test]
    fn only_the_canonical_text_is_a_tag() {
        for bad in [
            "",
            "42",
            "042-47059a7efff88c8b",
            "42-47059A7EFFF88C8B",
            "42-47059a7efff88c8",
            "+2-47059a7efff88c8b",
            "-",
        ] {
            assert_eq!(bad.parse::<Tag>(), Err(BadTag), "{bad}");
        }
    }
}
