//! What the spoke does to its log of ops: rows, and what is derived of them.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    ops::ControlFlow,
};

use ferry_protocol::ops::{FerryOp, OpBody, ReceivedOp, parse_op};
use ferry_types::{Error, HlcState, OpSeq, Reason, UnixMillis};

use super::{SpokeStep, outbox::integer};
use crate::{
    ops::{
        StoreRole,
        merge::{self, Rules},
        meta,
        row::{self, Arrival},
    },
    sql::{Sql, Value},
};

/// A spoke takes what the hub has judged, whatever its size.
const RULES: &Rules = &Rules { role: StoreRole::Spoke, is_own: false, text_max_bytes: u64::MAX };

/// Takes the place of the clock of a store that has no op of Ferry's shape yet.
const NO_CLOCK: HlcState = HlcState { ms: 0, counter: 0 };

fn next_seq<S: Sql>(sql: &S) -> Result<OpSeq, S::Error> {
    let seq = meta::head(sql)?.next();
    meta::set_head(sql, seq)?;
    Ok(seq)
}

/// Stores an op and merges it.
pub(super) fn insert<S: Sql>(
    sql: &S,
    op: &ReceivedOp<'_>,
    hub_seq: Option<OpSeq>,
    step: &SpokeStep<'_>,
) -> Result<(), S::Error> {
    let seq = next_seq(sql)?;
    if let OpBody::Ferry(ferry) = &op.body {
        merge::integrate(sql, ferry, seq, RULES)?;
    }
    row::insert(sql, seq, op, &arrival(hub_seq, step))
}

/// Stores an op; what is derived of the log is made anew by the caller, with [`rebuild`].
pub(super) fn insert_row<S: Sql>(
    sql: &S,
    op: &ReceivedOp<'_>,
    hub_seq: Option<OpSeq>,
    step: &SpokeStep<'_>,
) -> Result<(), S::Error> {
    let seq = next_seq(sql)?;
    row::insert(sql, seq, op, &arrival(hub_seq, step))
}

/// Makes anew what is derived of the log.
pub(super) fn rebuild<S: Sql>(sql: &S) -> Result<(), S::Error> {
    merge::rebuild(sql)
}

/// Stores an op of the spoke's own; its entity is folded anew by the caller.
pub(super) fn insert_unmerged<S: Sql>(
    sql: &S,
    op: &FerryOp,
    raw: &str,
    step: &SpokeStep<'_>,
) -> Result<(), S::Error> {
    let seq = next_seq(sql)?;
    row::insert_ferry(sql, seq, op, raw, &arrival(None, step))
}

const fn arrival(hub_seq: Option<OpSeq>, step: &SpokeStep<'_>) -> Arrival<'static> {
    Arrival { via_shim: false, principal: None, commit: step.commit, received: step.now, hub_seq }
}

/// Notes the hub's number of an op.
pub(super) fn acknowledge<S: Sql>(sql: &S, id: &str, seq: OpSeq) -> Result<(), S::Error> {
    let update = "UPDATE _ferry_ops SET hub_seq = ?2 WHERE id = ?1";
    sql.execute(update, &[id.into(), integer(seq).into()]).map(drop)
}

/// Whether the hub's number of an op is known.
pub(super) fn is_acknowledged<S: Sql>(sql: &S, id: &str) -> Result<bool, S::Error> {
    let select = "SELECT 1 FROM _ferry_ops WHERE id = ?1 AND hub_seq IS NOT NULL";
    Ok(sql.first(select, &[id.into()], |_| Ok(()))?.is_some())
}

/// Whether the hub is known to hold any op of this store.
pub(super) fn has_acknowledged<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    let select = "SELECT 1 FROM _ferry_ops WHERE hub_seq IS NOT NULL LIMIT 1";
    Ok(sql.first(select, &[], |_| Ok(()))?.is_some())
}

pub(super) fn raw<S: Sql>(sql: &S, id: &str) -> Result<Option<String>, S::Error> {
    Ok(row::find(sql, id)?.map(|(_, raw)| raw))
}

/// Takes ops out of the log; gives the entities that must be folded anew.
pub(super) fn remove<S: Sql>(sql: &S, ids: &[String]) -> Result<BTreeSet<String>, S::Error> {
    let mut entities = BTreeSet::new();
    for id in ids {
        let entity = "SELECT entity FROM _ferry_ops WHERE id = ?1";
        let entity =
            sql.first(entity, &[id.as_str().into()], |row| Ok(row.optional_text(0)?.map(str::to_owned)))?;
        entities.extend(entity.flatten());
        row::delete(sql, id)?;
    }
    Ok(entities)
}

pub(super) fn refold<S: Sql>(sql: &S, entities: &BTreeSet<String>) -> Result<(), S::Error> {
    entities.iter().try_for_each(|entity| merge::refold(sql, entity))
}

pub(super) fn remove_and_refold<S: Sql>(sql: &S, ids: &[String]) -> Result<(), S::Error> {
    let entities = remove(sql, ids)?;
    refold(sql, &entities)
}

/// Drops an op as the hub has: its id stays known.
pub(super) fn forget<S: Sql>(sql: &S, id: &str) -> Result<(), S::Error> {
    let remember = "INSERT OR IGNORE INTO _ferry_op_seen(id, op_seq, hlc, origin, entity, field)
        SELECT id, op_seq, hlc, origin, entity, field FROM _ferry_ops WHERE id = ?1";
    sql.execute(remember, &[id.into()])?;
    remove_and_refold(sql, &[id.to_owned()])
}

/// Takes in a clock that was seen.
pub(super) fn absorb<S: Sql>(sql: &S, seen: HlcState, now: UnixMillis) -> Result<(), S::Error> {
    let clock = meta::clock(sql)?.absorb(seen, now).map_err(exhausted)?;
    meta::set_clock(sql, clock)
}

/// The clock after one more op.
pub(super) fn issue<E: From<Error>>(clock: HlcState, now: UnixMillis) -> Result<HlcState, E> {
    Ok(clock.issue(now).map_err(exhausted)?)
}

fn exhausted(error: impl std::fmt::Display) -> Error {
    Error::new(Reason::InvalidArgument, error.to_string())
}

/// The greatest clock of all ops but these.
pub(super) fn clock_without<S: Sql>(sql: &S, without: &[String]) -> Result<HlcState, S::Error> {
    let without: BTreeSet<&str> = without.iter().map(String::as_str).collect();
    let select = "SELECT id, hlc FROM _ferry_ops WHERE kind IS NOT NULL ORDER BY hlc DESC";
    let mut newest = None;
    sql.query(select, &[], &mut |row| {
        if without.contains(row.text(0)?) {
            return Ok(ControlFlow::Continue(()));
        }
        newest = row.text(1)?.parse::<ferry_types::Hlc>().ok();
        Ok(ControlFlow::Break(()))
    })?;
    Ok(newest.map_or(NO_CLOCK, ferry_types::Hlc::state))
}

/// No number of the hub's counts any more.
pub(super) fn forget_hub_seqs<S: Sql>(sql: &S) -> Result<(), S::Error> {
    sql.execute("UPDATE _ferry_ops SET hub_seq = NULL WHERE hub_seq IS NOT NULL", &[]).map(drop)
}

/// Remembers no more what was dropped: that was another log. This one may be given ops that others have kept, and covers of
/// them what it holds itself; to know more than it is to show something else.
pub(super) fn forget_dropped<S: Sql>(sql: &S) -> Result<(), S::Error> {
    if sql.execute("DELETE FROM _ferry_op_seen", &[])? > 0 { rebuild(sql) } else { Ok(()) }
}

/// Drops the conflict ops that no hub has told of since its numbers were forgotten: it lost the log in which they were
/// recorded, and records anew what is still in conflict.
pub(super) fn drop_untold_conflicts<S: Sql>(sql: &S) -> Result<(), S::Error> {
    for delete in [
        "DELETE FROM _ferry_op_conflicts WHERE id IN
            (SELECT id FROM _ferry_ops WHERE kind = 'conflict' AND hub_seq IS NULL)",
        "DELETE FROM _ferry_ops WHERE kind = 'conflict' AND hub_seq IS NULL",
    ] {
        sql.execute(delete, &[])?;
    }
    Ok(())
}

/// Empties the log; gives the texts of these ops. What is derived of it is made anew by the caller, with [`rebuild`].
pub(super) fn clear_but<S: Sql>(sql: &S, kept: &[String]) -> Result<Vec<String>, S::Error> {
    let mut texts = Vec::new();
    for id in kept {
        texts.extend(raw(sql, id)?);
    }
    for table in ["_ferry_ops", "_ferry_op_seen"] {
        sql.execute(&format!("DELETE FROM {table}"), &[])?;
    }
    Ok(texts)
}

/// Stores own ops again after [`clear_but`], without merging them. One that is there meanwhile came from the hub.
pub(super) fn insert_again<S: Sql>(sql: &S, texts: &[String], step: &SpokeStep<'_>) -> Result<(), S::Error> {
    for text in texts {
        let Ok(op) = parse_op(text) else { continue };
        if row::known(sql, &op.id)?.is_none() {
            insert_row(sql, &op, None, step)?;
        }
    }
    Ok(())
}

/// Ids of ops behind a place of the store, and the place of the last one. Without those that hubs derive themselves.
pub(super) fn ids_after<S: Sql>(sql: &S, after: i64, most: usize) -> Result<(Vec<String>, i64), S::Error> {
    let select = "SELECT op_seq, id FROM _ferry_ops WHERE op_seq > ?1 AND kind IS NOT 'conflict'
        ORDER BY op_seq LIMIT ?2";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let (mut ids, mut last) = (Vec::new(), after);
    sql.query(select, &[after.into(), most.into()], &mut |row| {
        last = row.integer(0)?;
        ids.push(row.text(1)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((ids, last))
}

/// Ids and texts of the first of these ops, as many as one push takes. Those that are gone leave the queue.
pub(super) fn texts<S: Sql>(
    sql: &S,
    waiting: &mut VecDeque<String>,
    (ops_max, bytes_max): (usize, usize),
) -> Result<Vec<(String, String)>, S::Error> {
    let (mut texts, mut bytes, mut gone) = (Vec::new(), 0, Vec::new());
    for id in waiting.iter() {
        let Some(raw) = raw(sql, id)? else {
            gone.push(id.clone());
            continue;
        };
        bytes += raw.len();
        if texts.len() == ops_max || (bytes > bytes_max && !texts.is_empty()) {
            break;
        }
        texts.push((id.clone(), raw));
    }
    waiting.retain(|id| !gone.contains(id));
    Ok(texts)
}

/// Whether another store writes as this spoke, which is still to be parted from it.
pub(super) fn is_cloned<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    Ok(sql.first(CLONED, &[], |_| Ok(()))?.is_some())
}

pub(super) fn set_cloned<S: Sql>(sql: &S, is_cloned: bool) -> Result<(), S::Error> {
    let change: (&str, &[Value<'_>]) = if is_cloned {
        ("INSERT INTO _ferry_op_meta(key, value) VALUES ('cloned', '1') ON CONFLICT (key) DO NOTHING", &[])
    } else {
        ("DELETE FROM _ferry_op_meta WHERE key = 'cloned'", &[])
    };
    sql.execute(change.0, change.1).map(drop)
}

const CLONED: &str = "SELECT 1 FROM _ferry_op_meta WHERE key = 'cloned'";

/// Ids of the ops of this spoke's origin.
pub(super) fn own_ids<S: Sql>(sql: &S) -> Result<HashSet<Box<str>>, S::Error> {
    let mut ids = HashSet::new();
    let Some(origin) = meta::origin(sql)? else { return Ok(ids) };
    let select = "SELECT id FROM _ferry_ops WHERE origin = ?1";
    sql.query(select, &[(*origin.to_string()).into()], &mut |row| {
        ids.insert(row.text(0)?.into());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(ids)
}
