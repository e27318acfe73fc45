//! One record as changes toward a device.

use std::collections::HashMap;

use ferry_protocol::records::{
    FieldOut, Head, UnixNanos,
    ferry::{FieldEntry, RecordEntry, write_entry},
    write_delete, write_insert, write_update,
};

use super::{
    record::{ACTOR, BadMeta, DELETED_AT, FieldView, Fields, ORIGIN, SPACE, is_hidden},
    store::RowView,
};

const CREATED_AT: &str = "createdAt";
/// Most changes that one record becomes: insert, update, delete.
pub(super) const MOST_CHANGES: usize = 3;

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As inserts, updates and deletes.
    Old,
    /// As one entry with the writers of its fields.
    Ferry {
        /// Whether the entry names its app.
        shows_app: bool,
    },
}

/// Times that the device must be shown at least, per field.
pub(super) type Shown = HashMap<String, UnixNanos>;

/// Appends the wanted fields of a record, a comma before if something stands there. A record that is new to the
/// device is made known first (REC-15). Returns the number of changes.
pub(super) fn emit(
    out: &mut Vec<u8>,
    style: Style,
    row: &RowView<'_>,
    wanted: impl Fn(&FieldView<'_>) -> bool,
    is_new: bool,
    shown: &Shown,
) -> Result<usize, BadMeta> {
    let mut fields = Vec::with_capacity(16);
    let mut hidden = [None; 3];
    let (mut least, mut newest) = (UnixNanos(i64::MAX), UnixNanos(i64::MIN));
    for field in Fields::read(row.data, row.meta, row.cts)? {
        let field = field?;
        if is_hidden(field.key) {
            let place = [SPACE, ACTOR, ORIGIN].iter().position(|key| *key == field.key);
            hidden[place.ok_or(BadMeta)?] = Some(field.value);
            continue;
        }
        (least, newest) = (least.min(field.at), newest.max(field.at));
        if wanted(&field) {
            fields.push(field);
        }
    }
    if fields.is_empty() && !is_new {
        return Ok(0);
    }
    if let Style::Ferry { shows_app } = style {
        separate(out);
        let app = shows_app.then_some(row.app);
        let entry = RecordEntry { app, collection: row.coll, id: row.id, cts: row.cts, space: hidden[0] };
        let fields = fields.into_iter().map(|field| FieldEntry {
            key: field.key,
            value: field.value,
            at: field.at,
            writer: field.writer,
        });
        write_entry(out, &entry, fields);
        return Ok(1);
    }
    for field in &mut fields {
        if field.key == CREATED_AT && field.cts > row.created {
            // It came after the record was made known: devices hold the one of the insert, which may be later.
            field.at = newest;
        }
        if let Some(at) = shown.get(field.key) {
            field.at = field.at.max(*at);
        }
    }
    let [space, actor, origin] = hidden;
    let head = Head { cts: row.cts, table: row.coll, id: row.id, space, actor, origin };
    Ok(write_old(out, &head, &fields, is_new.then_some(least)))
}

fn write_old(
    out: &mut Vec<u8>,
    head: &Head<'_>,
    fields: &[FieldView<'_>],
    created: Option<UnixNanos>,
) -> usize {
    let mut count = 0;
    if let Some(least) = created {
        separate(out);
        write_insert(out, head, least);
        count += 1;
    }
    // A tombstone that says no more than its own time travels as a delete, everything else as a field.
    let is_plain = |field: &&FieldView<'_>| field.key == DELETED_AT && says_time(field.value, field.at);
    let tombstone = fields.iter().find(is_plain);
    if fields.len() > usize::from(tombstone.is_some()) {
        separate(out);
        let others = fields.iter().filter(|field| !is_plain(field));
        let others = others.map(|field| FieldOut { key: field.key, value: field.value, at: field.at });
        write_update(out, head, others);
        count += 1;
    }
    if let Some(tombstone) = tombstone {
        separate(out);
        write_delete(out, head, tombstone.at);
        count += 1;
    }
    count
}

fn says_time(value: &str, at: UnixNanos) -> bool {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).is_some_and(|text| text == at.text())
}

fn separate(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
}
