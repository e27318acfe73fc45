//! Pages of an SQLite file. A page *number* and a page *count* are different types.

use std::{fmt, num::NonZeroU32};

/// Number of a page, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNo(NonZeroU32);

impl PageNo {
    /// The page that holds the database header.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// `None` for 0, which no page has.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, from 1.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Place of the page in a list of all pages, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl fmt::Display for PageNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of pages of an image; 0: the empty database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageCount(pub u32);

impl PageCount {
    /// All page numbers of the image, ascending.
    pub fn pages(self) -> impl DoubleEndedIterator<Item = PageNo> + Clone {
        self.pages_beyond(Self(0))
    }

    /// The page numbers of the image that one of `shorter` pages lacks, ascending. What is skipped costs nothing, however
    /// many they are.
    pub fn pages_beyond(self, shorter: Self) -> impl DoubleEndedIterator<Item = PageNo> + Clone {
        (shorter.0.saturating_add(1)..=self.0).filter_map(PageNo::new)
    }

    /// Whether the image has this page.
    #[must_use]
    pub const fn contains(self, page: PageNo) -> bool {
        page.get() <= self.0
    }
}

impl fmt::Display for PageCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes of a page: a power of two, 512 to 65536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageSize(NonZeroU32);

impl PageSize {
    /// SQLite's default, and the only size EdgeReplica's client can create.
    pub const DEFAULT: Self = Self(NonZeroU32::new(4096).expect("BUG: 4096 is not zero"));

    /// `None` unless `bytes` is a power of two from 512 to 65536.
    #[must_use]
    pub const fn new(bytes: u32) -> Option<Self> {
        if bytes.is_power_of_two() && bytes >= 512 && bytes <= 65536 {
            match NonZeroU32::new(bytes) {
                Some(bytes) => Some(Self(bytes)),
                None => None,
            }
        } else {
            None
        }
    }

    /// The page size in bytes 16–17 of an SQLite header: big-endian, 1 stands for 65536.
    #[must_use]
    pub const fn from_header(field: [u8; 2]) -> Option<Self> {
        match u16::from_be_bytes(field) {
            1 => Self::new(65536),
            bytes => Self::new(bytes as u32),
        }
    }

    /// Bytes per page.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Bytes per page, for indexing.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0.get() as usize
    }

    /// The page that covers SQLite's lock bytes at 2³⁰: never transferred or written.
    #[must_use]
    pub const fn lock_page(self) -> PageNo {
        match PageNo::new((1 << 30) / self.0.get() + 1) {
            Some(page) => page,
            None => PageNo::FIRST,
        }
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_are_powers_of_two_from_512_to_65536() {
        assert_eq!(PageSize::new(512).map(PageSize::get), Some(512));
        assert_eq!(PageSize::new(65536).map(PageSize::get), Some(65536));
        for bad in [0, 1, 256, 1000, 131_072] {
            assert_eq!(PageSize::new(bad), None);
        }
        assert_eq!(PageSize::from_header([0, 1]).map(PageSize::get), Some(65536));
        assert_eq!(PageSize::from_header([0x10, 0]), Some(PageSize::DEFAULT));
    }

    #[test]
    fn lock_page_follows_the_page_size() {
        assert_eq!(PageSize::DEFAULT.lock_page().get(), 262_145);
        assert_eq!(PageSize::new(65536).unwrap().lock_page().get(), 16_385);
    }
}
