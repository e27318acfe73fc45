//! Reading records beside delivery: one by one, listed, their history, conflicts and devices. SQLite only; what is
//! shown is JSON text as it is stored.

use std::{fmt::Write as _, ops::ControlFlow};

use ferry_protocol::records::{UnixNanos, json};
use ferry_types::limits::RECORDS_PAGE_MAX_BYTES;

use super::{
    damaged,
    record::{ACTOR, DELETED_AT, Fields, ORIGIN, SPACE, is_hidden},
    store::{Conflict, Mark, Side},
};
use crate::sql::{Row, Sql, Value};

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Owner of the records.
    pub owner: &'a str,
    /// The app.
    pub app: &'a str,
    /// Collection.
    pub coll: &'a str,
}

/// A record with everything that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// Commit of its newest change.
    pub cts: UnixNanos,
    /// When it was deleted, if it holds a tombstone.
    pub deleted: Option<UnixNanos>,
    /// JSON object of the values.
    pub data: String,
    /// JSON object: per field `value`, `at`, `writer`.
    pub fields: String,
    /// JSON of its space.
    pub space: Option<String>,
}

const COLUMNS: &str = "id, data, meta, cts, deleted_at";

/// One record; `None` if it is unknown or incomplete. Deleted ones are shown as such.
///
/// # Errors
/// What storage reports.
pub fn get<S: Sql>(sql: &S, place: Place<'_>, id: &str) -> Result<Option<Shown>, S::Error> {
    let text = format!(
        "SELECT {COLUMNS} FROM _ferry_records
         WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4 AND state = 0"
    );
    let key = [place.owner.into(), place.app.into(), place.coll.into(), id.into()];
    sql.first(&text, &key, |row| Ok(shown(row)?))
}

/// Live records of a collection behind the id `after`, in the order of ids, whose fields have these values: a text as it
/// is, everything else as its JSON. `incomplete`: instead those that wait for their insert (REC-07).
///
/// Returns whether there are more, which there are too where the page would grow too large.
///
/// # Errors
/// What storage reports.
pub fn list<S: Sql>(
    sql: &S,
    place: Place<'_>,
    after: &str,
    limit: usize,
    wanted: &[(String, String)],
    incomplete: bool,
) -> Result<(Vec<Shown>, bool), S::Error> {
    let state = if incomplete { "state = 1" } else { "state = 0 AND deleted_at IS NULL" };
    let mut text = format!(
        "SELECT {COLUMNS} FROM _ferry_records WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id > ?4
         AND {state}"
    );
    let paths: Vec<String> = wanted.iter().map(|(field, _)| format!("$.\"{field}\"")).collect();
    let mut values: Vec<Value<'_>> =
        vec![place.owner.into(), place.app.into(), place.coll.into(), after.into()];
    for (path, (_, value)) in paths.iter().zip(wanted) {
        let (field, is) = (values.len() + 1, values.len() + 2);
        // SQL has no booleans and other numbers than JSON: all but texts are compared as they are written.
        let _ = write!(
            text,
            " AND CASE json_type(data, ?{field}) WHEN 'text' THEN data ->> ?{field} = ?{is}
                ELSE data -> ?{field} = ?{is} END"
        );
        values.extend([Value::from(&**path), Value::from(&**value)]);
    }
    let _ = write!(text, " ORDER BY id");
    let (mut found, mut bytes, mut has_more) = (Vec::new(), 0, false);
    sql.query(&text, &values, &mut |row| {
        if found.len() == limit || bytes >= RECORDS_PAGE_MAX_BYTES {
            has_more = true;
            return Ok(ControlFlow::Break(()));
        }
        let record = shown(row)?;
        bytes += record.data.len() + record.fields.len();
        found.push(record);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((found, has_more))
}

fn shown(row: &dyn Row) -> Result<Shown, crate::sql::Damaged> {
    let cts = UnixNanos(row.integer(3)?);
    let (mut data, mut fields, mut space) = (String::from("{"), Vec::from(*b"{"), None);
    for field in Fields::read(row.text(1)?, row.blob(2)?, cts).map_err(damaged)? {
        let field = field.map_err(damaged)?;
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
        if field.key != DELETED_AT {
            if data.len() > 1 {
                data.push(',');
            }
            let _ = write!(data, "\"{}\":{}", field.key, field.value);
        }
    }
    data.push('}');
    fields.push(b'}');
    let fields = String::from_utf8(fields).expect("BUG: fields are made of texts");
    let deleted = row.optional_integer(4)?.map(UnixNanos);
    Ok(Shown { id: row.text(0)?.to_owned(), cts, deleted, data, fields, space })
}

/// Entries of a record's history, newest first: JSON arrays of what each commit accepted.
///
/// # Errors
/// What storage reports.
pub fn history<S: Sql>(
    sql: &S,
    place: Place<'_>,
    id: &str,
    limit: usize,
) -> Result<Vec<(UnixNanos, String)>, S::Error> {
    let mut found = Vec::new();
    sql.query(
        "SELECT cts, entry FROM _ferry_record_history
         WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4 ORDER BY cts DESC LIMIT ?5",
        &[
            place.owner.into(),
            place.app.into(),
            place.coll.into(),
            id.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ],
        &mut |row| {
            found.push((UnixNanos(row.integer(0)?), row.text(1)?.to_owned()));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(found)
}

/// A conflict with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its id.
    pub number: i64,
    /// When it was found.
    pub found: UnixNanos,
    /// `open` or `resolved`.
    pub state: String,
    /// What it is.
    pub conflict: Conflict,
}

const CONFLICT: &str = "SELECT number, found, state, app, coll, id, field, winner, winner_at, winner_client,
     loser, loser_at, loser_client FROM _ferry_record_conflicts WHERE owner = ?1";

/// Conflicts of an owner, oldest first, behind the number `after`.
///
/// # Errors
/// What storage reports.
pub fn conflicts<S: Sql>(
    sql: &S,
    owner: &str,
    state: &str,
    after: i64,
    limit: usize,
) -> Result<Vec<Numbered>, S::Error> {
    let mut found = Vec::new();
    let text = format!("{CONFLICT} AND state = ?2 AND number > ?3 ORDER BY number LIMIT {limit}");
    sql.query(&text, &[owner.into(), state.into(), after.into()], &mut |row| {
        found.push(numbered(row)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// One conflict of an owner.
///
/// # Errors
/// What storage reports.
pub fn conflict<S: Sql>(sql: &S, owner: &str, number: i64) -> Result<Option<Numbered>, S::Error> {
    let text = format!("{CONFLICT} AND number = ?2");
    sql.first(&text, &[owner.into(), number.into()], |row| Ok(numbered(row)?))
}

/// Marks a conflict as resolved.
///
/// # Errors
/// What storage reports.
pub fn close_conflict<S: Sql>(sql: &S, owner: &str, number: i64) -> Result<(), S::Error> {
    sql.execute(
        "UPDATE _ferry_record_conflicts SET state = 'resolved' WHERE owner = ?1 AND number = ?2",
        &[owner.into(), number.into()],
    )?;
    Ok(())
}

fn numbered(row: &dyn Row) -> Result<Numbered, crate::sql::Damaged> {
    let text = |column| row.text(column).map(str::to_owned);
    let side = |column| {
        Ok::<_, crate::sql::Damaged>(Side {
            value: row.text(column)?.to_owned(),
            at: UnixNanos(row.integer(column + 1)?),
            writer: row.text(column + 2)?.to_owned(),
        })
    };
    let conflict = Conflict {
        app: text(3)?,
        coll: text(4)?,
        id: text(5)?,
        field: text(6)?,
        winner: side(7)?,
        loser: side(10)?,
    };
    Ok(Numbered { number: row.integer(0)?, found: UnixNanos(row.integer(1)?), state: text(2)?, conflict })
}

/// A device in a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceShown {
    /// Its client id.
    pub client: String,
    /// The app; empty: all.
    pub app: String,
    /// Collection; empty: all.
    pub coll: String,
    /// How far it is.
    pub mark: Mark,
}

/// The devices of an owner.
///
/// # Errors
/// What storage reports.
pub fn devices<S: Sql>(sql: &S, owner: &str) -> Result<Vec<DeviceShown>, S::Error> {
    let mut found = Vec::new();
    sql.query(
        "SELECT client, app, coll, delivered, pass, seen FROM _ferry_record_devices WHERE owner = ?1
         ORDER BY client, app, coll",
        &[owner.into()],
        &mut |row| {
            let nanos = |column| row.integer(column).map(UnixNanos);
            let mark = Mark { delivered: nanos(3)?, pass: nanos(4)?, seen: nanos(5)? };
            let text = |column| row.text(column).map(str::to_owned);
            found.push(DeviceShown { client: text(0)?, app: text(1)?, coll: text(2)?, mark });
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(found)
}

/// Lines of an export: one JSON object per record, tombstones too, incomplete records not.
///
/// # Errors
/// What storage or `each` reports.
pub fn export<S: Sql>(
    sql: &S,
    owner: &str,
    each: &mut dyn FnMut(&str) -> Result<(), S::Error>,
) -> Result<u64, S::Error> {
    let mut count = 0;
    sql.query(
        "SELECT app, coll, id, data, meta, cts FROM _ferry_records WHERE owner = ?1 AND state = 0
         ORDER BY app, coll, id",
        &[owner.into()],
        &mut |row| {
            let mut line = Vec::from(*b"{\"app\":");
            json::write_string(&mut line, row.text(0)?);
            line.extend_from_slice(b",\"table\":");
            json::write_string(&mut line, row.text(1)?);
            line.extend_from_slice(b",\"id\":");
            json::write_string(&mut line, row.text(2)?);
            line.extend_from_slice(b",\"fields\":{");
            let mut beside = Vec::new();
            let cts = UnixNanos(row.integer(5)?);
            let mut is_first = true;
            for field in Fields::read(row.text(3)?, row.blob(4)?, cts).map_err(damaged)? {
                let field = field.map_err(damaged)?;
                if let Some(name) = member_of(field.key) {
                    beside.extend_from_slice(format!(",\"{name}\":{}", field.value).as_bytes());
                    continue;
                }
                if !std::mem::take(&mut is_first) {
                    line.push(b',');
                }
                line.extend_from_slice(
                    format!("\"{}\":{{\"value\":{},\"at\":\"", field.key, field.value).as_bytes(),
                );
                field.at.write(&mut line);
                line.extend_from_slice(b"\",\"writer\":");
                json::write_string(&mut line, field.writer);
                line.push(b'}');
            }
            line.push(b'}');
            line.extend_from_slice(&beside);
            line.push(b'}');
            count += 1;
            each(std::str::from_utf8(&line).expect("BUG: a line is made of texts"))?;
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(count)
}

/// The member of a change that a hidden field keeps.
fn member_of(key: &str) -> Option<&'static str> {
    [(SPACE, "spaceId"), (ACTOR, "actor"), (ORIGIN, "origin")]
        .into_iter()
        .find(|(hidden, _)| *hidden == key)
        .map(|(_, name)| name)
}
