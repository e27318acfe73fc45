//! What SQL wrote to the views of collections: queued by their triggers, applied here in the same transaction
//! (REC-51).

use std::borrow::Cow;

use ferry_types::{Error, Reason};

use ferry_protocol::records::{Change, FieldWrite, Op, UnixNanos, decode_push, json};

pub use super::sqlite::view_columns::view_name;
use super::{
    Dialect, damaged,
    push::{PushCaller, PushReport, ReachedTables, push},
    record::{Field, Fields},
    store::{FullKey, Intent, RecordKey, RecordMaintenance, RecordRow, RecordStore},
};

/// The client id under which writes of SQL are merged.
pub const SQL_CLIENT: &str = "ferry-sql";

/// A collection that SQL changed, by owner, app and name.
pub type Touched = (String, String, String);

/// Applies what is queued, in its order; the queue is empty afterwards. Each write gets a time that wins over what
/// the record holds.
///
/// # Errors
/// What storage reports; a refusal when SQL wrote what a client may not.
pub fn drain<S: RecordMaintenance>(store: &S, now: UnixNanos) -> Result<Vec<Touched>, S::Error> {
    drain_as(store, now, &Author { client: SQL_CLIENT, owner: None, inserts_anew: false })
}

/// Who writes to the views.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The name under which it is merged.
    pub client: &'a str,
    /// Whose records are meant where SQL names no owner.
    pub owner: Option<&'a str>,
    /// Whether an insert of a record that is there is refused, as that of a row is (FUN-83); else it is merged into it.
    pub inserts_anew: bool,
}

/// As [`drain`], for writes of `author`.
///
/// # Errors
/// As [`drain`]; a refusal where nobody's records are meant.
pub fn drain_as<S: RecordMaintenance>(
    store: &S,
    now: UnixNanos,
    author: &Author<'_>,
) -> Result<Vec<Touched>, S::Error> {
    let mut touched: Vec<Touched> = Vec::new();
    for Intent { mut key, op, fields } in store.take_intents()? {
        if key.owner.is_empty() {
            let missing = || format!("{}._owner is required for anonymous callers.", key.coll);
            let owner = author.owner.ok_or_else(|| Error::new(Reason::InvalidArgument, missing()))?;
            key.owner = owner.to_owned();
        }
        if author.inserts_anew && op == "insert" && is_there(store, &key)? {
            let message = format!("{}.id {:?} is there already: update it", key.coll, key.id);
            return Err(Error::new(Reason::AlreadyExists, message).into());
        }
        let write = Stamped {
            owner: &key.owner,
            app: &key.app,
            client: author.client,
            coll: &key.coll,
            id: &key.id,
            op: &op,
            fields: fields.as_deref(),
        };
        for coll in stamped(store, &write, now)?.collections {
            let collection = (key.owner.clone(), key.app.clone(), coll);
            if !touched.contains(&collection) {
                touched.push(collection);
            }
        }
    }
    Ok(touched)
}

/// Whether the record is there, and not deleted.
fn is_there<S: RecordStore>(store: &S, key: &FullKey) -> Result<bool, S::Error> {
    let wanted = RecordKey { coll: &key.coll, id: &key.id };
    let Some(row) = store.read(&key.owner, &key.app, &[wanted])?.pop().flatten() else { return Ok(false) };
    for field in Fields::read(&row.data, &row.meta, row.cts).map_err(damaged)? {
        let field = field.map_err(damaged)?;
        if field.key == super::record::DELETED_AT && field.value != "null" {
            return Ok(false);
        }
    }
    Ok(!row.incomplete)
}

/// A write whose time the hub gives.
#[derive(Clone, Copy, Debug)]
pub struct Stamped<'a> {
    /// Owner of the record.
    pub owner: &'a str,
    /// The app.
    pub app: &'a str,
    /// Under which name it is merged.
    pub client: &'a str,
    /// Collection.
    pub coll: &'a str,
    /// Id of the record.
    pub id: &'a str,
    /// `insert`, `update` or `delete`.
    pub op: &'a str,
    /// JSON object of what is written.
    pub fields: Option<&'a str>,
}

/// Applies a write with a time that wins over what the record holds.
///
/// # Errors
/// What storage reports; a refusal of what a client may not write either.
pub fn stamped<S: RecordStore>(
    store: &S,
    write: &Stamped<'_>,
    now: UnixNanos,
) -> Result<PushReport, S::Error> {
    let body = body(write);
    let mut read = decode_push(body.as_bytes())?;
    let change = read.changes.first_mut().expect("BUG: the body holds one change");
    let key = RecordKey { coll: write.coll, id: write.id };
    let row = store.read(write.owner, write.app, &[key])?.pop().flatten();
    time(change, row.as_ref(), now).map_err(damaged)?;
    let caller = PushCaller {
        owner: write.owner,
        app: write.app,
        client: write.client,
        now,
        // It writes over what it sees.
        since: UnixNanos(i64::MAX),
        dialect: Dialect::Ferry,
        max_changes: 0,
        tables: ReachedTables::default(),
    };
    push(store, &caller, &read.changes)
}

/// The body of a push that does what is asked for.
fn body(write: &Stamped<'_>) -> String {
    let data = write.fields.map(|fields| format!(",\"data\":{fields}")).unwrap_or_default();
    format!(
        "{{\"changes\":[{{\"table\":{},\"id\":{},\"op\":\"{}\"{data}}}]}}",
        json::string(write.coll),
        json::string(write.id),
        write.op
    )
}

/// Gives the change times that win: the hub's, or one millisecond more than what is there.
fn time(
    change: &mut Change<'_>,
    row: Option<&RecordRow>,
    now: UnixNanos,
) -> Result<(), super::record::BadMeta> {
    let held: Vec<Field<'_>> = match row {
        Some(row) => Fields::read(&row.data, &row.meta, row.cts)?
            .map(|field| field.map(Field::from))
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let of = |key: &str| held.iter().find(|field| field.key == key);
    let after = |key: &str| of(key).map_or(now, |field| now.max(field.at.plus_ms(1)));
    let mut members = change.data.take().unwrap_or_default();
    for member in &mut members {
        if let Some(held) = of(&member.key) {
            restore_type(member, &held.value);
        }
    }
    match change.op {
        Op::Insert => {
            let at = members.iter().map(|member| after(&member.key)).max().unwrap_or(now);
            let at = at.max(after(super::record::DELETED_AT));
            members.iter_mut().for_each(|member| member.at = Some(at));
            change.data = Some(members);
            if change.data.as_ref().is_some_and(Vec::is_empty) {
                // A record of nothing but its id still needs its time.
                let value = Cow::Borrowed("null");
                let key = Cow::Borrowed(super::record::DELETED_AT);
                change.data = Some(vec![FieldWrite { key, value, at: Some(at) }]);
            }
        }
        Op::Update => {
            members.iter_mut().for_each(|member| member.at = Some(after(&member.key)));
            change.fields = Some(members);
        }
        Op::Delete => change.deleted_at = Some(after(super::record::DELETED_AT)),
    }
    Ok(())
}

/// SQL knows neither booleans nor nested JSON: what was one stays one.
fn restore_type(member: &mut FieldWrite<'_>, held: &str) {
    let restored = match (held.as_bytes().first(), &*member.value) {
        (Some(b't' | b'f'), "1") => Some("true".to_owned()),
        (Some(b't' | b'f'), "0") => Some("false".to_owned()),
        (Some(open @ (b'{' | b'[')), value) => json::text_of(value)
            .filter(|text| text.as_bytes().first() == Some(open))
            .and_then(|text| json::parsed_compact(&text)),
        _ => None,
    };
    if let Some(restored) = restored {
        member.value = Cow::Owned(restored);
    }
}
