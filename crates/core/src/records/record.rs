//! A record as it is stored: the live values as one JSON object, and a compact `meta` that says for each member
//! where it lies in that text, when and by whom it was written, and with which commit.
//!
//! `meta`: the byte 1; the number of writers and each writer's length and name; the number of fields and for
//! each, in the order of the members: length of the key between its quotes, length of the value, `at` as
//! difference to the field before (zigzag), place of the writer, commit time as difference below the record's.
//! Numbers are LEB128.

use std::borrow::Cow;

use ferry_protocol::records::UnixNanos;

const VERSION: u8 = 1;

/// Field that tells whether and when a record was deleted; like any other, but that a record is dead while it is
/// not null.
pub const DELETED_AT: &str = "deletedAt";
/// Members of a change that are kept like fields and emitted beside them. An escaped solidus stands in no key of
/// [`ferry_protocol::records::json::escape`], so that no field of a client can have such a name.
pub const SPACE: &str = r"\u002fspace";
/// Who wrote last; see [`SPACE`].
pub const ACTOR: &str = r"\u002factor";
/// What caused the last write; see [`SPACE`].
pub const ORIGIN: &str = r"\u002forigin";

/// Whether the key belongs to [`SPACE`], [`ACTOR`] or [`ORIGIN`].
#[must_use]
pub fn is_hidden(key: &str) -> bool {
    key.starts_with(r"\u002f")
}

/// A stored row of a record is not what this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the meta of a record does not fit its data")]
pub struct BadMeta;

/// One field of a record, borrowed from its row or from the push that writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name, as it stands between the quotes.
    pub key: Cow<'a, str>,
    /// Compact JSON.
    pub value: Cow<'a, str>,
    /// When it was written, as the hub judged.
    pub at: UnixNanos,
    /// Client that wrote it.
    pub writer: Cow<'a, str>,
    /// Commit that brought it.
    pub cts: UnixNanos,
}

/// A field read from its row without copying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldView<'a> {
    /// Name, as it stands between the quotes.
    pub key: &'a str,
    /// Compact JSON.
    pub value: &'a str,
    /// When it was written.
    pub at: UnixNanos,
    /// Client that wrote it.
    pub writer: &'a str,
    /// Commit that brought it.
    pub cts: UnixNanos,
}

impl<'a> From<FieldView<'a>> for Field<'a> {
    fn from(view: FieldView<'a>) -> Self {
        let (key, value, writer) = (view.key.into(), view.value.into(), view.writer.into());
        Self { key, value, at: view.at, writer, cts: view.cts }
    }
}

/// Walks over the fields of a stored record.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    data: &'a str,
    /// Where the next member begins in `data`, behind its `{` or `,`.
    member: usize,
    meta: &'a [u8],
    /// The names of the writers, still encoded.
    writers: &'a [u8],
    left: u64,
    at: i64,
    record_cts: UnixNanos,
}

impl<'a> Fields<'a> {
    /// The fields of the record with this row.
    ///
    /// # Errors
    /// When `meta` is not of the known version.
    pub fn read(data: &'a str, meta: &'a [u8], cts: UnixNanos) -> Result<Self, BadMeta> {
        let Some((&VERSION, mut meta)) = meta.split_first() else { return Err(BadMeta) };
        let writer_count = number(&mut meta)?;
        let writers = meta;
        for _ in 0..writer_count {
            let length = length(&mut meta)?;
            meta = meta.get(length..).ok_or(BadMeta)?;
        }
        let left = number(&mut meta)?;
        Ok(Self { data, member: 1, meta, writers, left, at: 0, record_cts: cts })
    }

    fn take(&mut self) -> Result<FieldView<'a>, BadMeta> {
        let (key_bytes, value_bytes) = (length(&mut self.meta)?, length(&mut self.meta)?);
        self.at = self.at.wrapping_add(zigzag_back(number(&mut self.meta)?));
        let writer = number(&mut self.meta)?;
        let writer = self.writer(writer)?;
        let age = i64::try_from(number(&mut self.meta)?).map_err(|_| BadMeta)?;
        // A member is `"key":value`.
        let key_end = (self.member + 1).checked_add(key_bytes).ok_or(BadMeta)?;
        let value_end = (key_end + 2).checked_add(value_bytes).ok_or(BadMeta)?;
        let key = self.data.get(self.member + 1..key_end).ok_or(BadMeta)?;
        let value = self.data.get(key_end + 2..value_end).ok_or(BadMeta)?;
        self.member = value_end + 1;
        let cts = UnixNanos(self.record_cts.0.saturating_sub(age));
        Ok(FieldView { key, value, at: UnixNanos(self.at), writer, cts })
    }

    fn writer(&self, place: u64) -> Result<&'a str, BadMeta> {
        let mut writers = self.writers;
        for _ in 0..place {
            let length = length(&mut writers)?;
            writers = writers.get(length..).ok_or(BadMeta)?;
        }
        let length = length(&mut writers)?;
        std::str::from_utf8(writers.get(..length).ok_or(BadMeta)?).map_err(|_| BadMeta)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<FieldView<'a>, BadMeta>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.take())
    }
}

/// The row of a record with these fields and this commit time, which none of theirs is above: `data` and `meta`.
#[must_use]
pub fn encode(fields: &[Field<'_>], cts: UnixNanos) -> (String, Vec<u8>) {
    let bytes: usize = fields.iter().map(|field| field.key.len() + field.value.len() + 4).sum();
    let mut data = String::with_capacity(bytes + 2);
    let mut writers: Vec<&str> = Vec::new();
    let mut rest = Vec::with_capacity(fields.len() * 16);
    let mut at = 0_i64;
    data.push('{');
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            data.push(',');
        }
        data.push('"');
        data.push_str(&field.key);
        data.push_str("\":");
        data.push_str(&field.value);
        let writer = writers.iter().position(|writer| *writer == field.writer).unwrap_or_else(|| {
            writers.push(&field.writer);
            writers.len() - 1
        });
        put(&mut rest, field.key.len() as u64);
        put(&mut rest, field.value.len() as u64);
        put(&mut rest, zigzag(field.at.0.wrapping_sub(at)));
        put(&mut rest, writer as u64);
        put(&mut rest, cts.0.abs_diff(field.cts.0));
        at = field.at.0;
    }
    data.push('}');
    let mut meta = Vec::with_capacity(rest.len() + 40);
    meta.push(VERSION);
    put(&mut meta, writers.len() as u64);
    for writer in writers {
        put(&mut meta, writer.len() as u64);
        meta.extend_from_slice(writer.as_bytes());
    }
    put(&mut meta, fields.len() as u64);
    meta.extend_from_slice(&rest);
    (data, meta)
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn zigzag_back(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(bytes: &mut &[u8]) -> Result<u64, BadMeta> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(BadMeta)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(BadMeta)
}

fn length(bytes: &mut &[u8]) -> Result<usize, BadMeta> {
    usize::try_from(number(bytes)?).map_err(|_| BadMeta)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_come_back(raw in proptest::collection::vec(
            ("[a-zé]{0,9}", "\"[a-zé ]{0,9}\"|[0-9]{1,20}", any::<i64>(), "[ab]{1,3}", 0_i64..), 0..12)) {
            let fields: Vec<Field<'_>> = raw.iter().map(|(key, value, at, writer, age)| Field {
                key: key.into(), value: value.into(), at: UnixNanos(*at), writer: writer.into(),
                cts: UnixNanos(i64::MAX - age),
            }).collect();
            let (data, meta) = encode(&fields, UnixNanos(i64::MAX));
            let back: Result<Vec<_>, _> = Fields::read(&data, &meta, UnixNanos(i64::MAX)).unwrap()
                .map(|field| field.map(Field::from)).collect();
            prop_assert_eq!(back.unwrap(), fields);
        }

        #[test]
        fn any_meta_is_judged(data in "\\PC{0,30}", mut meta: Vec<u8>) {
            meta.insert(0, VERSION);
            if let Ok(fields) = Fields::read(&data, &meta, UnixNanos(0)) {
                let _ = fields.take_while(Result::is_ok).count();
            }
        }
    }
}
