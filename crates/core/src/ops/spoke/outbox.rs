//! What became of the spoke's own ops on their way to the hub. An op that is not here is stored there.

use std::{collections::HashSet, ops::ControlFlow};

use ferry_protocol::ops::Skip;
use ferry_types::OpSeq;

use crate::sql::{Row, Sql};

/// Where an op stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutboxState {
    /// To be pushed.
    Pending,
    /// The hub has set it aside, and may deliver it later.
    Quarantined,
    /// The hub does not take it: it has left the merged state, and its text stands here (OPS-64).
    Refused,
    /// Another op has taken its place (OPS-12, OPS-14); the code is that one's id.
    Replaced,
    /// The hub has stored it behind the cursor, so that it need not be pulled (OPS-09); the code is its stamp there.
    Stored,
}

impl OutboxState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Quarantined => "quarantined",
            Self::Refused => "refused",
            Self::Replaced => "replaced",
            Self::Stored => "stored",
        }
    }
}

/// Number, id and stamp of an op that the hub has stored.
type StoredOp = (OpSeq, String, Option<String>);

/// An op that the hub has not stored, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxProblem {
    /// Its id.
    pub id: String,
    /// The hub's code.
    pub code: String,
    /// The hub's words.
    pub message: String,
}

/// What the outbox knows of an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutboxEntry {
    pub(super) state: OutboxState,
    pub(super) code: Option<String>,
    pub(super) hlc: String,
}

/// Notes the ops with these numbers of the store, to be pushed.
pub(super) fn add_stored<S: Sql>(sql: &S, first: OpSeq, last: OpSeq) -> Result<(), S::Error> {
    let insert = "INSERT INTO _ferry_op_outbox(id, state, hlc)
        SELECT id, 'pending', hlc FROM _ferry_ops WHERE op_seq BETWEEN ?1 AND ?2";
    sql.execute(insert, &[integer(first).into(), integer(last).into()]).map(drop)
}

/// Notes an op of this spoke's own, to be pushed.
pub(super) fn add<S: Sql>(sql: &S, id: &str, hlc: &str) -> Result<(), S::Error> {
    let insert = "INSERT INTO _ferry_op_outbox(id, state, hlc) VALUES (?1, 'pending', ?2)
        ON CONFLICT (id) DO NOTHING";
    sql.execute(insert, &[id.into(), hlc.into()]).map(drop)
}

pub(super) fn has_entries<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    Ok(sql.first("SELECT 1 FROM _ferry_op_outbox LIMIT 1", &[], |_| Ok(()))?.is_some())
}

pub(super) fn entry<S: Sql>(sql: &S, id: &str) -> Result<Option<OutboxEntry>, S::Error> {
    sql.first("SELECT state, code, hlc FROM _ferry_op_outbox WHERE id = ?1", &[id.into()], |row| {
        let state = match row.text(0)? {
            "pending" => OutboxState::Pending,
            "quarantined" => OutboxState::Quarantined,
            "refused" => OutboxState::Refused,
            "replaced" => OutboxState::Replaced,
            _ => OutboxState::Stored,
        };
        Ok(OutboxEntry {
            state,
            code: row.optional_text(1)?.map(str::to_owned),
            hlc: row.text(2)?.to_owned(),
        })
    })
}

/// The HLC of an op that was appended here and is not among the merged ones any more (OPS-62).
pub(super) fn left_hlc<S: Sql>(sql: &S, id: &str) -> Result<Option<String>, S::Error> {
    let found = entry(sql, id)?;
    let left = |entry: &OutboxEntry| matches!(entry.state, OutboxState::Refused | OutboxState::Replaced);
    Ok(found.filter(left).map(|entry| entry.hlc))
}

pub(super) fn set<S: Sql>(
    sql: &S,
    id: &str,
    state: OutboxState,
    (code, message): (Option<&str>, Option<&str>),
) -> Result<(), S::Error> {
    let update = "UPDATE _ferry_op_outbox SET state = ?2, code = ?3, message = ?4 WHERE id = ?1";
    sql.execute(update, &[id.into(), state.as_str().into(), code.into(), message.into()]).map(drop)
}

/// Ids and texts of ops that the hub did not take for want of rights, in HLC order.
pub(super) fn refused_for_rights<S: Sql>(sql: &S) -> Result<Vec<(String, String)>, S::Error> {
    let select = "SELECT id, raw FROM _ferry_op_outbox WHERE state = 'refused' AND raw IS NOT NULL
        AND code IN ('origin_forbidden', 'entity_forbidden') ORDER BY hlc";
    let mut found = Vec::new();
    sql.query(select, &[], &mut |row| {
        found.push((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// An op that was refused is to be pushed again.
pub(super) fn retry<S: Sql>(sql: &S, id: &str) -> Result<(), S::Error> {
    let update = "UPDATE _ferry_op_outbox SET state = 'pending', code = NULL, message = NULL, raw = NULL
        WHERE id = ?1";
    sql.execute(update, &[id.into()]).map(drop)
}

/// Keeps the text of an op that leaves the merged state.
pub(super) fn keep_text<S: Sql>(sql: &S, id: &str, raw: &str) -> Result<(), S::Error> {
    sql.execute("UPDATE _ferry_op_outbox SET raw = ?2 WHERE id = ?1", &[id.into(), raw.into()]).map(drop)
}

/// Another op has taken the place of `id`.
pub(super) fn replaced<S: Sql>(sql: &S, id: &str, by: &str) -> Result<(), S::Error> {
    set(sql, id, OutboxState::Replaced, (Some(by), None))
}

pub(super) fn remove<S: Sql>(sql: &S, id: &str) -> Result<(), S::Error> {
    sql.execute("DELETE FROM _ferry_op_outbox WHERE id = ?1", &[id.into()]).map(drop)
}

/// The hub has stored an op: it need not be pulled, if it lies behind the cursor.
pub(super) fn stored<S: Sql>(
    sql: &S,
    (id, hlc): (&str, &str),
    (seq, stamp): (OpSeq, Option<&str>),
    cursor: OpSeq,
) -> Result<(), S::Error> {
    if seq <= cursor {
        return remove(sql, id);
    }
    let upsert =
        "INSERT INTO _ferry_op_outbox(id, state, hlc, hub_seq, code) VALUES (?1, 'stored', ?2, ?3, ?4)
        ON CONFLICT (id) DO UPDATE SET state = 'stored', code = ?4, message = NULL, hub_seq = ?3";
    sql.execute(upsert, &[id.into(), hlc.into(), integer(seq).into(), stamp.into()]).map(drop)
}

/// The cursor has passed these.
pub(super) fn forget_stored<S: Sql>(sql: &S, until: OpSeq) -> Result<(), S::Error> {
    let delete = "DELETE FROM _ferry_op_outbox WHERE hub_seq <= ?1 AND state = 'stored'";
    sql.execute(delete, &[integer(until).into()]).map(drop)
}

/// They have left the store, or another log is at the other end.
pub(super) fn forget_all_stored<S: Sql>(sql: &S) -> Result<(), S::Error> {
    sql.execute("DELETE FROM _ferry_op_outbox WHERE state = 'stored'", &[]).map(drop)
}

/// Own ops set aside for their time, which the hub's clock has reached: it would have delivered them. A hub that was put
/// back has lost its quarantine, so that they are pushed again.
pub(super) fn push_due_again<S: Sql>(sql: &S, hub_time_ms: i64) -> Result<(), S::Error> {
    let update = "UPDATE _ferry_op_outbox SET state = 'pending', code = NULL, message = NULL
        WHERE state = 'quarantined' AND code = 'clock_ahead' AND hlc < ?1";
    sql.execute(update, &[(*format!("{:012x}", hub_time_ms.max(0))).into()]).map(drop)
}

/// Ids of what the hub has stored behind the cursor, the newest first.
pub(super) fn stored_ids<S: Sql>(sql: &S, most: usize) -> Result<Vec<String>, S::Error> {
    let select = "SELECT id FROM _ferry_op_outbox WHERE state = 'stored' ORDER BY hub_seq DESC LIMIT ?1";
    let mut found = Vec::new();
    sql.query(select, &[i64::try_from(most).unwrap_or(i64::MAX).into()], &mut |row| {
        found.push(row.text(0)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// What a pull behind `cursor` may leave out.
pub(super) fn skip<S: Sql>(sql: &S, cursor: OpSeq) -> Result<Skip, S::Error> {
    // One pull names few ranges; these are the nearest.
    let select = "SELECT hub_seq FROM _ferry_op_outbox WHERE hub_seq > ?1 AND state = 'stored'
        ORDER BY hub_seq LIMIT 10000";
    let mut seqs = Vec::new();
    sql.query(select, &[integer(cursor).into()], &mut |row| {
        seqs.push(op_seq::<S::Error>(row, 0)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Skip::of(seqs))
}

/// How far the ops behind `cursor` are stored ones without a gap: the last one's number, id and stamp.
pub(super) fn stored_run<S: Sql>(sql: &S, cursor: OpSeq) -> Result<Option<StoredOp>, S::Error> {
    let select = "SELECT hub_seq, id, code FROM _ferry_op_outbox WHERE hub_seq > ?1 AND state = 'stored'
        ORDER BY hub_seq";
    let mut last: Option<StoredOp> = None;
    sql.query(select, &[integer(cursor).into()], &mut |row| {
        let seq = op_seq::<S::Error>(row, 0)?;
        let before = last.as_ref().map_or(cursor, |(seq, ..)| *seq);
        if seq.0 != before.0 + 1 {
            return Ok(ControlFlow::Break(()));
        }
        last = Some((seq, row.text(1)?.to_owned(), row.optional_text(2)?.map(str::to_owned)));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(last)
}

/// Ids and texts of the oldest pending ops up to the HLC `until`, in its order: at most so many, and no more bytes than
/// given unless one alone has more.
pub(super) fn pending<S: Sql>(
    sql: &S,
    until: &str,
    (ops_max, bytes_max): (usize, usize),
) -> Result<Vec<(String, String)>, S::Error> {
    let select = "SELECT x.id, o.raw FROM _ferry_op_outbox x JOIN _ferry_ops o ON o.id = x.id
        WHERE x.state = 'pending' AND x.hlc <= ?1 ORDER BY x.hlc";
    let (mut batch, mut bytes) = (Vec::new(), 0);
    sql.query(select, &[until.into()], &mut |row| {
        let raw = row.text(1)?;
        bytes += raw.len();
        if batch.len() == ops_max || (bytes > bytes_max && !batch.is_empty()) {
            return Ok(ControlFlow::Break(()));
        }
        batch.push((row.text(0)?.to_owned(), raw.to_owned()));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(batch)
}

/// The greatest HLC of a pending op.
pub(super) fn newest_pending<S: Sql>(sql: &S) -> Result<Option<String>, S::Error> {
    let select = "SELECT hlc FROM _ferry_op_outbox WHERE state = 'pending' ORDER BY hlc DESC LIMIT 1";
    sql.first(select, &[], |row| Ok(row.text(0)?.to_owned()))
}

/// Own ops that the hub has not stored, from this HLC on, in HLC order: pending ones, and those set aside because of
/// their time.
pub(super) fn unstored_from<S: Sql>(sql: &S, hlc: &str) -> Result<Vec<String>, S::Error> {
    let select = "SELECT id FROM _ferry_op_outbox WHERE hlc >= ?1
        AND (state = 'pending' OR (state = 'quarantined' AND code = 'clock_ahead')) ORDER BY hlc";
    ids(sql, select, hlc)
}

/// Entities of the ops that wait to be pushed, or to be released by the hub.
pub(super) fn waiting_entities<S: Sql>(sql: &S) -> Result<HashSet<String>, S::Error> {
    let select = "SELECT o.entity FROM _ferry_op_outbox x JOIN _ferry_ops o ON o.id = x.id
        WHERE x.state IN ('pending', 'quarantined') AND o.entity IS NOT NULL";
    let mut found = HashSet::new();
    sql.query(select, &[], &mut |row| {
        found.insert(row.text(0)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn ids<S: Sql>(sql: &S, select: &str, parameter: &str) -> Result<Vec<String>, S::Error> {
    let mut found = Vec::new();
    sql.query(select, &[parameter.into()], &mut |row| {
        found.push(row.text(0)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// How many wait to be pushed, or to be released by the hub.
pub(super) fn waiting<S: Sql>(sql: &S) -> Result<u64, S::Error> {
    let count = "SELECT count(*) FROM _ferry_op_outbox WHERE state IN ('pending', 'quarantined')";
    let found = sql.first(count, &[], |row| Ok(row.integer(0)?))?;
    Ok(found.unwrap_or(0).unsigned_abs())
}

/// The oldest ops that the hub has set aside or does not take.
pub(super) fn problems<S: Sql>(sql: &S, most: u32) -> Result<Vec<OutboxProblem>, S::Error> {
    let select = "SELECT id, code, message FROM _ferry_op_outbox WHERE state IN ('quarantined', 'refused')
        ORDER BY hlc LIMIT ?1";
    let mut found = Vec::new();
    sql.query(select, &[i64::from(most).into()], &mut |row| {
        let text = |column| Ok::<_, S::Error>(row.optional_text(column)?.unwrap_or_default().to_owned());
        found.push(OutboxProblem { id: row.text(0)?.to_owned(), code: text(1)?, message: text(2)? });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Another log is at the other end: what it has stored, or set aside, is not known.
pub(super) fn begin_anew<S: Sql>(sql: &S) -> Result<(), S::Error> {
    forget_all_stored(sql)?;
    let update = "UPDATE _ferry_op_outbox SET state = 'pending', code = NULL, message = NULL
        WHERE state = 'quarantined'";
    sql.execute(update, &[]).map(drop)
}

pub(super) fn integer(seq: OpSeq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

pub(super) fn op_seq<E: From<crate::sql::Damaged>>(row: &dyn Row, column: usize) -> Result<OpSeq, E> {
    Ok(OpSeq(row.integer(column)?.unsigned_abs()))
}
