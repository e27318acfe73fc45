//! The one thing that is read of a row of `sqlite_schema (type, name, tbl_name, rootpage, sql)`: its root page.

use std::ops::Range;

use super::node::varint;

/// Column number of `rootpage`.
const ROOTPAGE: usize = 3;

/// A table or an index.
#[derive(Debug)]
pub(super) struct TreeRoot {
    pub(super) page: u32,
    pub(super) is_index: bool,
}

/// A row whose payload comes in parts.
#[derive(Debug)]
pub(super) struct SchemaRow {
    is_index: bool,
    /// Where in the payload the root page stands, and what is here of it.
    range: Range<u64>,
    number: Vec<u8>,
    /// The root page is the number 1, which takes no room.
    is_one: bool,
}

impl SchemaRow {
    /// Reads the record's header, which must be whole in the first part, since its five lengths are shorter than any cell.
    /// `None` if it is none. A root page that is no number stays empty: such a row has none.
    pub(super) fn begin(first: &[u8]) -> Option<Self> {
        let mut at = 0;
        let header_bytes = varint(first, &mut at)?;
        let mut body = header_bytes;
        let mut type_bytes = 0;
        for column in 0..ROOTPAGE {
            let bytes = content_bytes(varint(first, &mut at)?);
            if column == 0 {
                type_bytes = bytes;
            }
            body = body.checked_add(bytes)?;
        }
        let rootpage = varint(first, &mut at)?;
        if at as u64 > header_bytes {
            return None;
        }
        let bytes = if matches!(rootpage, 1..=6) { content_bytes(rootpage) } else { 0 };
        let type_at = usize::try_from(header_bytes).ok()?;
        // In UTF-16 a zero stands before or behind each letter.
        let word = first.get(type_at..).unwrap_or_default().iter().take(usize::try_from(type_bytes).ok()?);
        let is_index = word.copied().find(|byte| *byte != 0) == Some(b'i');
        let range = body..body.checked_add(bytes)?;
        let mut row = Self { is_index, range, number: Vec::new(), is_one: rootpage == 9 };
        row.add(0, first);
        Some(row)
    }

    /// Takes the part of the payload that begins at `offset`; parts come in order.
    pub(super) fn add(&mut self, offset: u64, part: &[u8]) {
        let end = offset + part.len() as u64;
        let (from, to) = (self.range.start.max(offset), self.range.end.min(end));
        if from < to {
            let within = |at: u64| usize::try_from(at - offset).expect("BUG: within a page");
            self.number.extend_from_slice(&part[within(from)..within(to)]);
        }
    }

    /// Views, triggers and virtual tables have none.
    pub(super) fn root(self) -> Option<TreeRoot> {
        let number =
            self.number.iter().fold(u64::from(self.is_one), |number, byte| number << 8 | u64::from(*byte));
        // What is no page number is told as page 4,294,967,295, which no image has.
        let page = u32::try_from(number).unwrap_or(u32::MAX);
        (page != 0).then_some(TreeRoot { page, is_index: self.is_index })
    }
}

/// Bytes of a value of this serial type.
const fn content_bytes(serial_type: u64) -> u64 {
    match serial_type {
        1..=4 => serial_type,
        5 => 6,
        6 | 7 => 8,
        12.. => (serial_type - 12) / 2,
        _ => 0,
    }
}
