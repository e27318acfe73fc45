//! Ops set aside: what lies too far ahead in time, what may come from before a purge, and what the shim must not refuse
//! (OPS-07, OPS-10, OPS-43).

use std::ops::ControlFlow;

use ferry_protocol::ops::{OpCode, QuarantinePage, QuarantinedOp};
use ferry_types::{Error, OriginId, Reason, UnixMillis};
use sha2::{Digest as _, Sha256};

use super::pushing::{PushLimits, Pushing};
use crate::sql::{Row, Sql, Value};

const ANY: &str = "SELECT 1 FROM _ferry_op_quarantine LIMIT 1";
const COUNT: &str = "SELECT count(*), coalesce(sum(length(raw)), 0) FROM _ferry_op_quarantine";
const PUT: &str =
    "INSERT INTO _ferry_op_quarantine(id, code, release_ms, origin, principal, via_shim, received_ms, raw)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const FIND: &str = "SELECT code, release_ms FROM _ferry_op_quarantine WHERE id = ?1";
const DISCARD: &str = "DELETE FROM _ferry_op_quarantine WHERE id = ?1";
const RAW_OF: &str = "SELECT raw FROM _ferry_op_quarantine WHERE id = ?1 AND origin = ?2 AND principal = ?3";
const NEXT: &str = "SELECT min(release_ms) FROM _ferry_op_quarantine";
const COUNTS: &str = "SELECT code, count(*) FROM _ferry_op_quarantine GROUP BY code";
const LIST: &str = "SELECT id, code, release_ms, origin, received_ms, raw FROM _ferry_op_quarantine
    WHERE id > ?1 ORDER BY id";

/// Bytes of a page of the quarantine, behind which it is cut.
const PAGE_BYTES: usize = 4 << 20;

/// An op to be set aside.
pub(super) struct SetAside<'a> {
    pub(super) id: &'a str,
    pub(super) code: OpCode,
    pub(super) release_ms: Option<i64>,
    pub(super) origin: Option<OriginId>,
    pub(super) raw: &'a str,
}

/// The id of what has none that could be trusted.
pub(super) fn digest_id(raw: &str) -> String {
    Sha256::digest(raw).iter().fold("q:".to_owned(), |mut id, byte| {
        id.extend(
            [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).expect("BUG: below 16")),
        );
        id
    })
}

pub(super) fn is_any<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    Ok(sql.first(ANY, &[], |_| Ok(()))?.is_some())
}

/// Ops and bytes.
pub(super) fn count<S: Sql>(sql: &S) -> Result<(u64, u64), S::Error> {
    let read = |row: &dyn Row| Ok((unsigned(row.integer(0)?), unsigned(row.integer(1)?)));
    Ok(sql.first(COUNT, &[], read)?.unwrap_or_default())
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Code, and when it is due, of what is set aside under `id`.
pub(super) fn find<S: Sql>(sql: &S, id: &str) -> Result<Option<(OpCode, Option<i64>)>, S::Error> {
    sql.first(FIND, &[id.into()], |row| Ok((OpCode::of(row.text(0)?), row.optional_integer(1)?)))
}

/// Sets an op aside; tells whether it is new. `counted` is what there is.
pub(super) fn put<S: Sql>(
    sql: &S,
    held: &SetAside<'_>,
    by: &Pushing<'_>,
    now: UnixMillis,
    limits: &PushLimits,
    counted: (u64, u64),
) -> Result<bool, S::Error> {
    if find(sql, held.id)?.is_some() {
        return Ok(false);
    }
    let bytes = counted.1.saturating_add(held.raw.len() as u64);
    if counted.0 >= limits.quarantine_max_ops || bytes > limits.quarantine_max_bytes {
        let message = "the quarantine is full, nothing of this request is stored: an admin releases or discards what is \
                       in it (GET …/ops/quarantine), then push again";
        return Err(Error::new(Reason::QuarantineFull, message).retry_after_ms(30_000).into());
    }
    let origin = held.origin.map(|origin| origin.to_string());
    let row = [
        held.id.into(),
        held.code.as_str().into(),
        held.release_ms.into(),
        origin.as_deref().into(),
        by.principal.into(),
        Value::Integer(by.via_shim.into()),
        now.0.into(),
        held.raw.as_bytes().into(),
    ];
    sql.execute(PUT, &row).map(|_| true)
}

/// Discards an op of this origin and principal, if its text `may` go; tells whether there was one.
pub(super) fn discard_of<S: Sql>(
    sql: &S,
    id: &str,
    (origin, principal): (&str, &str),
    may: impl FnOnce(&str) -> bool,
) -> Result<bool, S::Error> {
    let parameters = [id.into(), origin.into(), principal.into()];
    let goes = sql.first(RAW_OF, &parameters, |row| Ok(may(&String::from_utf8_lossy(row.blob(0)?))))?;
    if goes == Some(true) { discard(sql, id) } else { Ok(false) }
}

/// Forgets an op; tells whether there was one.
///
/// # Errors
/// What storage reports.
pub fn discard<S: Sql>(sql: &S, id: &str) -> Result<bool, S::Error> {
    Ok(sql.execute(DISCARD, &[id.into()])? > 0)
}

/// When the next op is due.
///
/// # Errors
/// What storage reports.
pub fn next_release<S: Sql>(sql: &S) -> Result<Option<UnixMillis>, S::Error> {
    Ok(sql.first(NEXT, &[], |row| Ok(row.optional_integer(0)?.map(UnixMillis)))?.flatten())
}

/// How many ops are set aside, by their codes.
///
/// # Errors
/// What storage reports.
pub fn counts<S: Sql>(sql: &S) -> Result<Vec<(OpCode, u64)>, S::Error> {
    let mut counts = Vec::new();
    sql.query(COUNTS, &[], &mut |row| {
        counts.push((OpCode::of(row.text(0)?), unsigned(row.integer(1)?)));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(counts)
}

/// A page of the quarantine, in order of ids, of at most `limit` ops.
///
/// # Errors
/// What storage reports.
pub fn list<S: Sql>(sql: &S, after: Option<&str>, limit: usize) -> Result<QuarantinePage, S::Error> {
    let (mut page, mut bytes) = (QuarantinePage { quarantine: Vec::new(), next: None }, 0);
    sql.query(LIST, &[after.unwrap_or_default().into()], &mut |row| {
        if let Some(last) =
            page.quarantine.last().filter(|_| page.quarantine.len() >= limit || bytes > PAGE_BYTES)
        {
            page.next = Some(last.id.clone());
            return Ok(ControlFlow::Break(()));
        }
        let raw = row.blob(5)?;
        bytes += raw.len();
        page.quarantine.push(QuarantinedOp {
            id: row.text(0)?.to_owned(),
            code: OpCode::of(row.text(1)?),
            release_at_ms: row.optional_integer(2)?,
            origin: row.optional_text(3)?.map(str::to_owned),
            received_ms: row.integer(4)?,
            raw: String::from_utf8_lossy(raw).into_owned(),
        });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(page)
}
