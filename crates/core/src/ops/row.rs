//! One op of the log.

use ferry_protocol::ops::{FerryOp, OpBody, OpKind, ReceivedOp, parse_op};
use ferry_types::{OpSeq, Seq, UnixMillis};

use crate::sql::{Damaged, Sql, Value};

const INSERT: &str =
    "INSERT INTO _ferry_ops(op_seq, id, hlc, origin, kind, entity, field, via_shim, principal,
    commit_seq, received_ms, hub_seq, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const FIND: &str = "SELECT op_seq, raw FROM _ferry_ops WHERE id = ?1";
const RAW: &str = "SELECT raw FROM _ferry_ops WHERE id = ?1";
const DELETE: &str = "DELETE FROM _ferry_ops WHERE id = ?1";
const KNOWN: &str = "SELECT op_seq, hlc, 0 FROM _ferry_ops WHERE id = ?1
    UNION ALL SELECT op_seq, hlc, 1 FROM _ferry_op_seen WHERE id = ?1";

/// How an op came, beside what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Through hephd's wire.
    pub via_shim: bool,
    /// Who pushed it.
    pub principal: Option<&'a str>,
    /// The commit that stores it.
    pub commit: Seq,
    /// When it came.
    pub received: UnixMillis,
    /// On a spoke the hub's number, if it is known.
    pub hub_seq: Option<OpSeq>,
}

/// Appends an op to the log under number `seq`.
///
/// # Errors
/// What storage reports.
pub fn insert<S: Sql>(
    sql: &S,
    seq: OpSeq,
    op: &ReceivedOp<'_>,
    arrival: &Arrival<'_>,
) -> Result<(), S::Error> {
    match &op.body {
        OpBody::Ferry(ferry) => insert_ferry(sql, seq, ferry, op.raw, arrival),
        OpBody::Foreign { hlc } => write(sql, seq, &op.id, hlc, [Value::Null; 4], op.raw, arrival),
    }
}

/// The same of an op of Ferry's shape whose text is `raw`.
///
/// # Errors
/// What storage reports.
pub fn insert_ferry<S: Sql>(
    sql: &S,
    seq: OpSeq,
    op: &FerryOp,
    raw: &str,
    arrival: &Arrival<'_>,
) -> Result<(), S::Error> {
    let origin = op.origin.to_string();
    // What concerns an entity as a whole stands under no field, whatever else it carries.
    let field =
        if matches!(op.kind, OpKind::Create | OpKind::Tombstone) { None } else { op.field.as_deref() };
    let named = [(*origin).into(), op.kind.as_str().into(), op.entity.as_deref().into(), field.into()];
    write(sql, seq, &op.id, &op.hlc.to_string(), named, raw, arrival)
}

fn write<S: Sql>(
    sql: &S,
    seq: OpSeq,
    id: &str,
    hlc: &str,
    named: [Value<'_>; 4],
    raw: &str,
    arrival: &Arrival<'_>,
) -> Result<(), S::Error> {
    let [origin, kind, entity, field] = named;
    let row = [
        number(seq.0),
        id.into(),
        hlc.into(),
        origin,
        kind,
        entity,
        field,
        Value::Integer(arrival.via_shim.into()),
        arrival.principal.into(),
        number(arrival.commit.0),
        arrival.received.0.into(),
        arrival.hub_seq.map(|seq| i64::try_from(seq.0).unwrap_or(i64::MAX)).into(),
        raw.into(),
    ];
    sql.execute(INSERT, &row).map(drop)
}

/// A number of a sequence as storage holds it.
pub(super) fn number(seq: u64) -> Value<'static> {
    Value::Integer(i64::try_from(seq).unwrap_or(i64::MAX))
}

/// A number of the log as storage held it.
pub(super) fn seq_of(stored: i64) -> Result<OpSeq, Damaged> {
    u64::try_from(stored).map(OpSeq).map_err(|_| Damaged { column: 0, expected: "a number of an op" })
}

/// An op that is or was in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownOp {
    /// Its number.
    pub seq: OpSeq,
    /// Its time.
    pub hlc: String,
    /// It was dropped by compaction.
    pub is_dropped: bool,
}

/// Whether the log holds or held the op `id`.
///
/// # Errors
/// What storage reports.
pub fn known<S: Sql>(sql: &S, id: &str) -> Result<Option<KnownOp>, S::Error> {
    sql.first(KNOWN, &[id.into()], |row| {
        Ok(KnownOp {
            seq: seq_of(row.integer(0)?)?,
            hlc: row.text(1)?.to_owned(),
            is_dropped: row.integer(2)? == 1,
        })
    })
}

/// Number and text of the op `id`, if the log holds it.
///
/// # Errors
/// What storage reports.
pub fn find<S: Sql>(sql: &S, id: &str) -> Result<Option<(OpSeq, String)>, S::Error> {
    sql.first(FIND, &[id.into()], |row| Ok((seq_of(row.integer(0)?)?, row.text(1)?.to_owned())))
}

/// The op `id` of Ferry's shape, if the log holds it.
///
/// # Errors
/// What storage reports, or that what it holds is no such op.
pub fn ferry<S: Sql>(sql: &S, id: &str) -> Result<Option<FerryOp>, S::Error> {
    let raw = sql.first(RAW, &[id.into()], |row| Ok(row.text(0)?.to_owned()))?;
    let Some(raw) = raw else { return Ok(None) };
    Ok(Some(read_ferry(&raw)?))
}

/// The op of Ferry's shape that a row of the log holds.
pub(super) fn read_ferry(raw: &str) -> Result<FerryOp, Damaged> {
    match parse_op(raw) {
        Ok(ReceivedOp { body: OpBody::Ferry(op), .. }) => Ok(*op),
        _ => Err(Damaged { column: 0, expected: "an op of Ferry's shape" }),
    }
}

/// Takes the op `id` out of the log; its entity must be folded anew (see `merge::refold`).
///
/// # Errors
/// What storage reports.
pub fn delete<S: Sql>(sql: &S, id: &str) -> Result<(), S::Error> {
    sql.execute(DELETE, &[id.into()]).map(drop)
}
