//! What the hub sends: changes, answers of push and pull. Written straight into bytes; values are copied as the
//! text they are.

use super::{Op, UnixNanos, json};

/// Media type of every JSON answer.
pub const CONTENT_TYPE: &str = "application/json";

/// What all changes of a record carry. `space`, `actor` and `origin` are JSON text.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Commit time of the record's newest change.
    pub cts: UnixNanos,
    /// Collection.
    pub table: &'a str,
    /// Id of the record.
    pub id: &'a str,
    /// JSON of `spaceId`.
    pub space: Option<&'a str>,
    /// JSON of `actor`.
    pub actor: Option<&'a str>,
    /// JSON of `origin`.
    pub origin: Option<&'a str>,
}

/// A field of an update.
#[derive(Clone, Copy, Debug)]
pub struct FieldOut<'a> {
    /// Name, as it stands between the quotes.
    pub key: &'a str,
    /// JSON.
    pub value: &'a str,
    /// When it was written.
    pub at: UnixNanos,
}

/// Writes the change that makes a record known (REC-15): nothing in it can carry a wrong time.
pub fn write_insert(out: &mut Vec<u8>, head: &Head<'_>, created: UnixNanos) {
    begin(out, head, Op::Insert);
    out.extend_from_slice(b",\"data\":{\"id\":");
    json::write_string(out, head.id);
    out.extend_from_slice(b",\"createdAt\":");
    write_time(out, created);
    out.push(b'}');
    end(out, head);
}

/// Writes a change of `fields`, each with both spellings of its time.
pub fn write_update<'a>(out: &mut Vec<u8>, head: &Head<'_>, fields: impl Iterator<Item = FieldOut<'a>>) {
    begin(out, head, Op::Update);
    out.extend_from_slice(b",\"fields\":{");
    // Fields written together share their time: its text is made once.
    let mut time = (None, Vec::new());
    for (index, field) in fields.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if time.0 != Some(field.at) {
            time.0 = Some(field.at);
            time.1.clear();
            write_time(&mut time.1, field.at);
        }
        out.push(b'"');
        out.extend_from_slice(field.key.as_bytes());
        out.extend_from_slice(b"\":{\"value\":");
        out.extend_from_slice(field.value.as_bytes());
        out.extend_from_slice(b",\"at\":");
        out.extend_from_slice(&time.1);
        out.extend_from_slice(b",\"updatedAt\":");
        out.extend_from_slice(&time.1);
        out.push(b'}');
    }
    out.push(b'}');
    end(out, head);
}

/// Writes a delete.
pub fn write_delete(out: &mut Vec<u8>, head: &Head<'_>, at: UnixNanos) {
    begin(out, head, Op::Delete);
    out.extend_from_slice(b",\"deletedAt\":");
    write_time(out, at);
    end(out, head);
}

fn begin(out: &mut Vec<u8>, head: &Head<'_>, op: Op) {
    // The id of an event names the commit and the part of it.
    out.extend_from_slice(b"{\"eventId\":\"");
    out.extend_from_slice(head.cts.0.to_string().as_bytes());
    out.push(b'-');
    out.push(op.as_str().as_bytes()[0]);
    out.extend_from_slice(b"\",\"schemaVersion\":1,\"table\":");
    json::write_string(out, head.table);
    out.extend_from_slice(b",\"id\":");
    json::write_string(out, head.id);
    out.extend_from_slice(b",\"op\":\"");
    out.extend_from_slice(op.as_str().as_bytes());
    out.push(b'"');
}

fn end(out: &mut Vec<u8>, head: &Head<'_>) {
    for (name, value) in [("spaceId", head.space), ("actor", head.actor), ("origin", head.origin)] {
        if let Some(value) = value {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            out.extend_from_slice(value.as_bytes());
        }
    }
    out.push(b'}');
}

pub(super) fn write_time(out: &mut Vec<u8>, time: UnixNanos) {
    out.push(b'"');
    time.write(out);
    out.push(b'"');
}

/// A write of a push that lost, with JSON values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictOut {
    /// Collection.
    pub table: String,
    /// Id of the record.
    pub id: String,
    /// Name of the field, as it stands between the quotes.
    pub field: String,
    /// What holds: value, time, writer.
    pub winner: (String, UnixNanos, String),
    /// What was pushed.
    pub loser: (String, UnixNanos, String),
}

/// Writes one entry of `conflicts`.
pub fn write_conflict(out: &mut Vec<u8>, conflict: &ConflictOut) {
    out.extend_from_slice(b"{\"table\":");
    json::write_string(out, &conflict.table);
    out.extend_from_slice(b",\"id\":");
    json::write_string(out, &conflict.id);
    out.extend_from_slice(b",\"field\":\"");
    out.extend_from_slice(conflict.field.as_bytes());
    out.push(b'"');
    for (name, (value, at, _)) in [("winner", &conflict.winner), ("loser", &conflict.loser)] {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":{\"value\":");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b",\"at\":");
        write_time(out, *at);
        out.push(b'}');
    }
    out.push(b'}');
}

/// The answer to a push. `changes` holds changes joined by commas.
#[must_use]
pub fn push_answer(changes: &[u8], conflicts: &[ConflictOut], has_more: bool, until: UnixNanos) -> Vec<u8> {
    answer(changes, conflicts, has_more, until)
}

/// The answer to a pull. `changes` holds changes joined by commas.
#[must_use]
pub fn pull_answer(changes: &[u8], has_more: bool, until: UnixNanos) -> Vec<u8> {
    answer(changes, &[], has_more, until)
}

fn answer(changes: &[u8], conflicts: &[ConflictOut], has_more: bool, until: UnixNanos) -> Vec<u8> {
    let mut out = Vec::with_capacity(changes.len() + 128);
    out.extend_from_slice(b"{\"serverChanges\":[");
    out.extend_from_slice(changes);
    out.extend_from_slice(b"],\"conflicts\":[");
    for (index, conflict) in conflicts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_conflict(&mut out, conflict);
    }
    out.push(b']');
    if has_more {
        out.extend_from_slice(b",\"hasMore\":true");
    }
    out.extend_from_slice(b",\"syncedUntil\":");
    write_time(&mut out, until);
    out.extend_from_slice(b"}\n");
    out
}
