//! The SQLite header on page 1: its check (PAG-06), the normal form, and the volatile bytes.
//!
//! SQLite rewrites 14 bytes of page 1 and the page count whenever a copy commits. The *normal form* fixes
//! them, so that equal content compares equal; the 14 *volatile bytes* are kept per version, so that what was
//! pushed can be served byte for byte. Offsets are those of the SQLite file format, section 1.3.

use std::ops::Range;

use ferry_types::{PageCount, PageSize};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const PAGE_SIZE: Range<usize> = 16..18;
/// File format versions: 1 rollback journal, 2 WAL.
const FORMAT_VERSIONS: Range<usize> = 18..20;
const RESERVED_BYTES: usize = 20;
/// Payload fractions, fixed.
const FRACTIONS: Range<usize> = 21..24;
const CHANGE_COUNTER: Range<usize> = 24..28;
const PAGE_COUNT: Range<usize> = 28..32;
const SCHEMA_COOKIE: Range<usize> = 40..44;
const SCHEMA_FORMAT: Range<usize> = 44..48;
const TEXT_ENCODING: Range<usize> = 56..60;
/// Version-valid-for number and SQLite's version.
const VALID_FOR_AND_VERSION: Range<usize> = 92..100;
/// Type of the first b-tree page: an empty interior or a leaf table page.
const ROOT_PAGE_TYPE: usize = 100;
/// Smallest usable page: page size less the reserved bytes.
const USABLE_MIN_BYTES: u32 = 480;

/// Why bytes are no page 1 of a plain SQLite database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Another magic: not SQLite, or encrypted.
    #[error("not a plain SQLite database (encrypted?)")]
    NotSqlite,
    /// A field holds what no SQLite writes.
    #[error("not a plain SQLite database: its header has a wrong {0}")]
    Field(&'static str),
    /// The page's length is not the page size that its header states.
    #[error("the header states pages of {stated} bytes, page 1 has {actual}")]
    Length {
        /// From the header.
        stated: u32,
        /// Of the page.
        actual: usize,
    },
    /// The header's page count is valid and another than announced.
    #[error("the header states {stated} pages, {announced} were announced")]
    PageCount {
        /// From the header.
        stated: u32,
        /// What the client said.
        announced: u32,
    },
}

/// What Ferry reads from page 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes per page.
    pub page_size: PageSize,
    /// Page count as the header has it; `None` where it is stale (written by SQLite before 3.7).
    pub page_count: Option<PageCount>,
}

/// The 14 bytes that SQLite rewrites when a copy commits: file format versions, change counter,
/// version-valid-for and SQLite's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volatile(pub [u8; 14]);

impl Volatile {
    /// Those of the normal form, which databases of kind hub are served with.
    pub const NORMAL: Self = Self([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

    /// The volatile bytes of this page 1.
    #[must_use]
    pub fn of(page1: &[u8]) -> Self {
        let mut bytes = [0; 14];
        bytes[..2].copy_from_slice(&page1[FORMAT_VERSIONS]);
        bytes[2..6].copy_from_slice(&page1[CHANGE_COUNTER]);
        bytes[6..].copy_from_slice(&page1[VALID_FOR_AND_VERSION]);
        Self(bytes)
    }

    /// Puts them into a page 1 in normal form: the form in which it is served.
    pub fn apply(&self, page1: &mut [u8]) {
        page1[FORMAT_VERSIONS].copy_from_slice(&self.0[..2]);
        page1[CHANGE_COUNTER].copy_from_slice(&self.0[2..6]);
        page1[VALID_FOR_AND_VERSION].copy_from_slice(&self.0[6..]);
    }
}

/// Checks page 1 and reads what Ferry needs of it.
///
/// # Errors
/// The first rule of PAG-06 that the page breaks.
pub fn check(page1: &[u8]) -> Result<Header, HeaderError> {
    if page1.len() <= ROOT_PAGE_TYPE || !page1.starts_with(MAGIC) {
        return Err(HeaderError::NotSqlite);
    }
    let page_size = PageSize::from_header([page1[PAGE_SIZE.start], page1[PAGE_SIZE.start + 1]])
        .ok_or(HeaderError::Field("page size"))?;
    if page1.len() != page_size.bytes() {
        return Err(HeaderError::Length { stated: page_size.get(), actual: page1.len() });
    }
    if page1[FORMAT_VERSIONS].iter().any(|version| !(1..=2).contains(version)) {
        return Err(HeaderError::Field("file format version"));
    }
    if page1[FRACTIONS] != [64, 32, 32] {
        return Err(HeaderError::Field("payload fraction"));
    }
    if page_size.get() - u32::from(page1[RESERVED_BYTES]) < USABLE_MIN_BYTES {
        return Err(HeaderError::Field("number of reserved bytes"));
    }
    if be32(page1, SCHEMA_FORMAT) > 4 {
        return Err(HeaderError::Field("schema format"));
    }
    if be32(page1, TEXT_ENCODING) > 3 {
        return Err(HeaderError::Field("text encoding"));
    }
    if ![5, 13].contains(&page1[ROOT_PAGE_TYPE]) {
        return Err(HeaderError::Field("type of the first b-tree page"));
    }
    let count = be32(page1, PAGE_COUNT);
    let valid = page1[CHANGE_COUNTER] == page1[VALID_FOR_AND_VERSION.start..VALID_FOR_AND_VERSION.start + 4];
    Ok(Header { page_size, page_count: (valid && count != 0).then_some(PageCount(count)) })
}

/// [`check`] for an image of `announced` pages.
///
/// # Errors
/// As [`check`]; and when the header's page count is valid and differs.
pub fn check_image(page1: &[u8], announced: PageCount) -> Result<Header, HeaderError> {
    let header = check(page1)?;
    match header.page_count {
        Some(stated) if stated != announced => {
            Err(HeaderError::PageCount { stated: stated.0, announced: announced.0 })
        }
        _ => Ok(header),
    }
}

/// Brings page 1 of an image of `count` pages into normal form.
///
/// # Panics
/// If the page is shorter than the header, which no page size allows.
pub fn normalize(page1: &mut [u8], count: PageCount) {
    Volatile::NORMAL.apply(page1);
    page1[PAGE_COUNT].copy_from_slice(&count.0.to_be_bytes());
}

/// Whether page 1 of an image of `count` pages is in normal form.
#[must_use]
pub fn is_normal(page1: &[u8], count: PageCount) -> bool {
    Volatile::of(page1) == Volatile::NORMAL && page1[PAGE_COUNT] == count.0.to_be_bytes()
}

/// Marks page 1 as that of a file in WAL mode, as the hub keeps its own.
pub fn mark_wal(page1: &mut [u8]) {
    page1[FORMAT_VERSIONS].copy_from_slice(&[2, 2]);
}

/// The number by which readers notice that the schema is another.
#[must_use]
pub fn schema_cookie(page1: &[u8]) -> u32 {
    be32(page1, SCHEMA_COOKIE)
}

/// Sets [`schema_cookie`].
pub fn set_schema_cookie(page1: &mut [u8], cookie: u32) {
    page1[SCHEMA_COOKIE].copy_from_slice(&cookie.to_be_bytes());
}

fn be32(page1: &[u8], field: Range<usize>) -> u32 {
    page1[field].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page1() -> Vec<u8> {
        let mut page = vec![0; 512];
        page[..16].copy_from_slice(MAGIC);
        page[16] = 2;
        page[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
        page[24..28].copy_from_slice(&[0, 0, 0, 9]);
        page[28..32].copy_from_slice(&[0, 0, 0, 7]);
        page[47] = 4;
        page[59] = 1;
        page[92..100].copy_from_slice(&[0, 0, 0, 9, 0, 0x2e, 1, 2]);
        page[100] = 13;
        page
    }

    #[test]
    fn a_plain_header_passes() {
        let header = check_image(&page1(), PageCount(7)).unwrap();
        assert_eq!(header.page_size.get(), 512);
        assert_eq!(header.page_count, Some(PageCount(7)));
    }

    #[test]
    fn every_rule_of_the_check_is_kept() {
        let breaks: [(usize, u8, HeaderError); 10] = [
            (0, b's', HeaderError::NotSqlite),
            (16, 3, HeaderError::Field("page size")),
            (16, 4, HeaderError::Length { stated: 1024, actual: 512 }),
            (18, 0, HeaderError::Field("file format version")),
            (19, 3, HeaderError::Field("file format version")),
            (20, 33, HeaderError::Field("number of reserved bytes")),
            (22, 31, HeaderError::Field("payload fraction")),
            (47, 5, HeaderError::Field("schema format")),
            (59, 4, HeaderError::Field("text encoding")),
            (100, 2, HeaderError::Field("type of the first b-tree page")),
        ];
        for (at, value, error) in breaks {
            let mut page = page1();
            page[at] = value;
            assert_eq!(check(&page), Err(error), "byte {at} = {value}");
        }
        assert_eq!(check(&page1()[..90]), Err(HeaderError::NotSqlite));
        assert_eq!(check(&[]), Err(HeaderError::NotSqlite));
    }

    #[test]
    fn the_page_count_binds_only_while_it_is_valid() {
        let stated = HeaderError::PageCount { stated: 7, announced: 8 };
        assert_eq!(check_image(&page1(), PageCount(8)), Err(stated));
        let mut stale = page1();
        stale[27] = 10;
        assert_eq!(check_image(&stale, PageCount(8)).unwrap().page_count, None);
    }

    #[test]
    fn volatile_bytes_restore_page_1_from_its_normal_form() {
        let original = page1();
        let mut page = original.clone();
        normalize(&mut page, PageCount(7));
        assert_ne!(page, original);
        assert_eq!(Volatile::of(&page), Volatile::NORMAL);
        Volatile::of(&original).apply(&mut page);
        assert_eq!(page, original);
    }
}
