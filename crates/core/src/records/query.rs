//! Reading records beside delivery: one by one, listed, exported. What is shown is JSON text as it is stored.

use std::{fmt::Write as _, ops::ControlFlow};

use ferry_protocol::records::{UnixNanos, json};
use ferry_types::limits::RECORDS_PAGE_MAX_BYTES;

use super::{
    damaged,
    record::{ACTOR, BadMeta, DELETED_AT, Fields, ORIGIN, SPACE, is_hidden},
    store::{CollectionKey, Listed, RecordKey, RecordQueries, RecordStore, RowView},
};

/// A record with everything that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordShown {
    /// Its id.
    pub id: String,
    /// Commit of its newest change.
    pub cts: UnixNanos,
    /// When it was deleted, if it holds a tombstone.
    pub deleted: Option<UnixNanos>,
    /// Which device deleted it.
    pub deleted_by: Option<String>,
    /// JSON object of the values.
    pub data: String,
    /// JSON object: per field `value`, `at`, `writer`.
    pub fields: String,
    /// JSON of its space.
    pub space: Option<String>,
}

/// One record; `None` if it is unknown or incomplete. Deleted ones are shown as such.
///
/// # Errors
/// What storage reports.
pub fn get<S: RecordStore>(
    store: &S,
    of: CollectionKey<'_>,
    id: &str,
) -> Result<Option<RecordShown>, S::Error> {
    let row = store.read(of.owner, of.app, &[RecordKey { coll: of.coll, id }])?.pop().flatten();
    let row = row.filter(|row| !row.incomplete);
    let view = row.as_ref().map(|row| RowView {
        app: of.app,
        coll: of.coll,
        id,
        data: &row.data,
        meta: &row.meta,
        created: row.created,
        cts: row.cts,
        incomplete: row.incomplete,
    });
    Ok(view.map(|view| shown(&view)).transpose().map_err(damaged)?)
}

/// Records of a collection in the order that is asked for, at most `limit`. Returns whether there are more, which there are too where
/// the page would grow too large.
///
/// # Errors
/// What storage reports.
pub fn list<S: RecordQueries>(
    store: &S,
    of: CollectionKey<'_>,
    listed: &Listed<'_>,
    limit: usize,
) -> Result<(Vec<RecordShown>, bool), S::Error> {
    let (mut found, mut bytes, mut has_more) = (Vec::new(), 0, false);
    store.list(of, listed, &mut |row| {
        if found.len() == limit || bytes >= RECORDS_PAGE_MAX_BYTES {
            has_more = true;
            return Ok(ControlFlow::Break(()));
        }
        let record = shown(row).map_err(damaged)?;
        bytes += record.data.len() + record.fields.len();
        found.push(record);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((found, has_more))
}

fn shown(row: &RowView<'_>) -> Result<RecordShown, BadMeta> {
    let (mut data, mut fields, mut space) = (String::from("{"), Vec::from(*b"{"), None);
    let (mut deleted, mut deleted_by) = (None, None);
    for field in Fields::read(row.data, row.meta, row.cts)? {
        let field = field?;
        if field.key == SPACE {
            space = Some(field.value.to_owned());
        }
        if is_hidden(field.key) {
            continue;
        }
        if fields.len() > 1 {
            fields.push(b',');
        }
        fields
            .extend_from_slice(format!("\"{}\":{{\"value\":{},\"at\":\"", field.key, field.value).as_bytes());
        field.at.write(&mut fields);
        fields.extend_from_slice(b"\",\"writer\":");
        json::write_string(&mut fields, field.writer);
        fields.push(b'}');
        if field.key == DELETED_AT {
            deleted = Some(field.at).filter(|_| field.value != "null");
            deleted_by = deleted.map(|_| field.writer.to_owned());
            continue;
        }
        if data.len() > 1 {
            data.push(',');
        }
        let _ = write!(data, "\"{}\":{}", field.key, field.value);
    }
    data.push('}');
    fields.push(b'}');
    let fields = String::from_utf8(fields).expect("BUG: fields are made of texts");
    Ok(RecordShown { id: row.id.to_owned(), cts: row.cts, deleted, deleted_by, data, fields, space })
}

/// Lines of an export: one JSON object per record, tombstones too, incomplete records not.
///
/// # Errors
/// What storage or `each` reports.
pub fn export<S: RecordQueries>(
    store: &S,
    owner: &str,
    each: &mut dyn FnMut(&str) -> Result<(), S::Error>,
) -> Result<u64, S::Error> {
    let mut count = 0;
    store.all(owner, &mut |row| {
        count += 1;
        each(&line(row).map_err(damaged)?)?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// The line of a record.
fn line(row: &RowView<'_>) -> Result<String, BadMeta> {
    let mut line = Vec::from(*b"{\"app\":");
    json::write_string(&mut line, row.app);
    line.extend_from_slice(b",\"table\":");
    json::write_string(&mut line, row.coll);
    line.extend_from_slice(b",\"id\":");
    json::write_string(&mut line, row.id);
    line.extend_from_slice(b",\"fields\":{");
    let mut beside = Vec::new();
    let mut is_first = true;
    for field in Fields::read(row.data, row.meta, row.cts)? {
        let field = field?;
        if let Some(name) = member_of(field.key) {
            beside.extend_from_slice(format!(",\"{name}\":{}", field.value).as_bytes());
            continue;
        }
        if !std::mem::take(&mut is_first) {
            line.push(b',');
        }
        line.extend_from_slice(format!("\"{}\":{{\"value\":{},\"at\":\"", field.key, field.value).as_bytes());
        field.at.write(&mut line);
        line.extend_from_slice(b"\",\"writer\":");
        json::write_string(&mut line, field.writer);
        line.push(b'}');
    }
    line.push(b'}');
    line.extend_from_slice(&beside);
    line.push(b'}');
    Ok(String::from_utf8(line).expect("BUG: a line is made of texts"))
}

/// The member of a change that a hidden field keeps.
fn member_of(key: &str) -> Option<&'static str> {
    [(SPACE, "spaceId"), (ACTOR, "actor"), (ORIGIN, "origin")]
        .into_iter()
        .find(|(hidden, _)| *hidden == key)
        .map(|(_, name)| name)
}
