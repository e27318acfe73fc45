//! The merge: per field the greatest of (time, writer, digest of the value) wins, so that any order, grouping and
//! repetition of the same writes gives the same record (REC-01, REC-02).

use std::{borrow::Cow, cmp::Ordering, collections::HashMap};

use ferry_protocol::records::{UnixNanos, canonical};

use super::{
    record::{BadMeta, DELETED_AT, Field, Fields, encode},
    store::{RecordKey, RecordRow, RowOut},
};

/// Commit time of a field that the running push writes; replaced by the true one when the record is stored.
const THIS_COMMIT: UnixNanos = UnixNanos(i64::MAX);

/// A write whose time is judged.
#[derive(Clone, Debug)]
pub(super) struct Write<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
    pub(super) at: UnixNanos,
    /// What the device sent, if the hub chose another time.
    pub(super) sent: Option<UnixNanos>,
    /// Not written by the client, but implied by what it did.
    pub(super) implied: bool,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Merged<'a> {
    /// It holds now, in place of this one.
    Won(Option<Field<'a>>),
    /// It held already.
    Same,
    /// This one holds.
    Lost(Field<'a>),
}

/// Fields of a record beyond which they are found by an index, and not one by one.
const INDEXED_FIELDS: usize = 32;

/// A record in the hands of a push.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) key: RecordKey<'a>,
    fields: Vec<Field<'a>>,
    /// Where each of them stands, if they are more than [`INDEXED_FIELDS`].
    index: HashMap<Cow<'a, str>, usize>,
    /// Length of `fields` before the push.
    known: usize,
    /// Commit times of the stored row.
    created: UnixNanos,
    cts: UnixNanos,
    pub(super) is_stored: bool,
    was_deleted: bool,
    incomplete: bool,
    /// Its insert arrived with this push.
    completed: bool,
    /// This push said that it lives.
    revived: bool,
    changed: bool,
}

impl<'a> Draft<'a> {
    /// The record as stored, or a new one that is incomplete until its insert comes.
    pub(super) fn new(key: RecordKey<'a>, row: Option<&'a RecordRow>) -> Result<Self, BadMeta> {
        let fields: Vec<Field<'a>> = match row {
            Some(row) => {
                let fields = Fields::read(&row.data, &row.meta, row.cts)?;
                fields.map(|field| field.map(Field::from)).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        let mut draft = Self {
            key,
            known: fields.len(),
            fields,
            index: HashMap::new(),
            created: row.map_or(UnixNanos::EPOCH, |row| row.created),
            cts: row.map_or(UnixNanos::EPOCH, |row| row.cts),
            is_stored: row.is_some(),
            was_deleted: false,
            incomplete: row.is_none_or(|row| row.incomplete),
            completed: false,
            revived: false,
            changed: false,
        };
        draft.add_to_index();
        draft.was_deleted = draft.is_dead();
        Ok(draft)
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &Field<'a>> {
        self.fields.iter()
    }

    pub(super) fn field(&self, key: &str) -> Option<&Field<'a>> {
        self.index_of(key).map(|index| &self.fields[index])
    }

    fn index_of(&self, key: &str) -> Option<usize> {
        if self.fields.len() > INDEXED_FIELDS {
            return self.index.get(key).copied();
        }
        self.fields.iter().position(|field| field.key == key)
    }

    /// Takes what the index lacks into it.
    fn add_to_index(&mut self) {
        if self.fields.len() > INDEXED_FIELDS {
            let known = self.index.len();
            let new = self.fields[known..].iter().zip(known..);
            self.index.extend(new.map(|(field, index)| (field.key.clone(), index)));
        }
    }

    /// Lets one write compete.
    pub(super) fn merge(&mut self, write: &Write<'a>, writer: &'a str) -> Merged<'a> {
        let new = Field {
            key: write.key.clone(),
            value: write.value.clone(),
            at: write.at,
            writer: Cow::Borrowed(writer),
            cts: THIS_COMMIT,
        };
        let Some(index) = self.index_of(&new.key) else {
            self.changed = true;
            self.revived |= new.key == DELETED_AT && new.value == "null";
            self.fields.push(new);
            self.add_to_index();
            return Merged::Won(None);
        };
        let held = &mut self.fields[index];
        match compare(&new, held) {
            Ordering::Equal => Merged::Same,
            Ordering::Less => Merged::Lost(held.clone()),
            Ordering::Greater => {
                self.changed = true;
                self.revived |= new.key == DELETED_AT && new.value == "null";
                Merged::Won(Some(std::mem::replace(held, new)))
            }
        }
    }

    /// Its insert is there.
    pub(super) const fn complete(&mut self) {
        if self.incomplete {
            self.incomplete = false;
            self.completed = true;
            self.changed = true;
        }
    }

    pub(super) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// Whether a device that had all of it before this push lacks nothing of it now but its own writes. An insert that
    /// was waited for makes the writes of others known, and a revival is told to the one who revived, too.
    pub(super) const fn is_all_own(&self) -> bool {
        !self.is_stored || !(self.completed || self.revived)
    }

    /// Whether it holds a tombstone.
    pub(super) fn is_dead(&self) -> bool {
        self.field(DELETED_AT).is_some_and(|field| field.value != "null")
    }

    /// The row to store, as of commit time `cts`, with what is added to its history.
    pub(super) fn finish(&mut self, cts: UnixNanos, entry: Option<String>) -> RowOut<'a> {
        for field in self.fields.iter_mut().filter(|field| field.cts == THIS_COMMIT) {
            field.cts = cts;
        }
        let created = if self.completed || !self.is_stored { cts } else { self.created };
        self.cts = cts;
        self.created = created;
        let visible = self.fields.iter().filter(|field| !super::record::is_hidden(&field.key));
        let updated = visible.map(|field| field.at).max().unwrap_or(cts);
        let dead = self.field(DELETED_AT).filter(|field| field.value != "null").map(|field| field.at);
        RowOut {
            key: self.key,
            row: self.row(),
            space: self.field(super::record::SPACE).map(|field| field.value.to_string()),
            updated,
            deleted_at: dead,
            is_stored: self.is_stored,
            was_deleted: self.is_stored && self.was_deleted,
            new_keys: self.fields[self.known..].iter().map(|field| field.key.clone()).collect(),
            entry,
        }
    }

    /// The record as a row.
    pub(super) fn row(&self) -> RecordRow {
        let (data, meta) = encode(&self.fields, self.cts);
        RecordRow { data, meta, created: self.created, cts: self.cts, incomplete: self.incomplete }
    }
}

/// The order in which writes of one field win. Only a tie of time and writer needs the digests.
pub(super) fn compare(a: &Field<'_>, b: &Field<'_>) -> Ordering {
    a.at.cmp(&b.at).then_with(|| a.writer.cmp(&b.writer)).then_with(|| {
        if a.value == b.value {
            return Ordering::Equal;
        }
        let digest = |value: &str| *blake3::hash(canonical(value).as_bytes()).as_bytes();
        // Two spellings of one value: the hub keeps texts, so it has to choose one.
        digest(&a.value).cmp(&digest(&b.value)).then_with(|| a.value.cmp(&b.value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(key: &'static str, value: String, at: i64) -> Write<'static> {
        Write { key: key.into(), value: value.into(), at: UnixNanos(at), sent: None, implied: false }
    }

    fn merged(writes: &[(usize, u8, i64, usize)]) -> Vec<Field<'static>> {
        let key = RecordKey { coll: "c", id: "i" };
        let mut draft = Draft::new(key, None).unwrap();
        for (key, value, at, writer) in writes {
            draft.merge(&write(["a", "b"][*key], value.to_string(), *at), ["x", "y", "z"][*writer]);
        }
        draft.fields.sort_by(|a, b| a.key.cmp(&b.key));
        draft.fields
    }

    // In a tie the devices A and B swapped their values, again and again.
    // Verifies: REC-01
    #[test]
    fn a_tie_is_decided_by_the_client_and_not_by_the_order() {
        let one = merged(&[(0, 1, 5, 0), (0, 2, 5, 1)]);
        assert_eq!(one, merged(&[(0, 2, 5, 1), (0, 1, 5, 0)]));
        assert_eq!(one[0].value, "2");
        let same_client = merged(&[(0, 1, 5, 0), (0, 2, 5, 0)]);
        assert_eq!(same_client, merged(&[(0, 2, 5, 0), (0, 1, 5, 0)]));
    }

    proptest! {
        // Verifies: REC-02
        #[test]
        fn any_order_grouping_and_repetition_gives_the_same_record(
            writes in proptest::collection::vec((0_usize..2, 0_u8..3, 0_i64..4, 0_usize..3), 1..12),
            again in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
            seed: u64,
        ) {
            let expected = merged(&writes);
            let mut shuffled = writes.clone();
            shuffled.extend(again.iter().map(|index| *index.get(&writes)));
            shuffled.sort_by_key(|write| blake3::hash(format!("{seed}{write:?}").as_bytes()).to_hex().to_string());
            prop_assert_eq!(merged(&shuffled), expected);
        }
    }
}
