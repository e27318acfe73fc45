//! Conflicts: writes that lost without their writers' or the winner's knowledge (OPS-25, OPS-26). A hub records each
//! once, as an op; whether it is open follows from the heads.

use std::ops::ControlFlow;

use ferry_protocol::ops::{FerryOp, MERGED_TEXT_ID_PREFIX, canonical_digest, conflict_id, conflict_op};

use super::{
    Fold, NewConflict,
    lost::{ToldLoss, lost_write},
    text,
};
use crate::{
    ops::{StoreRole, row},
    sql::{Sql, Value},
};

const OPEN: &str = "UPDATE _ferry_op_conflicts SET open = 1 WHERE id = ?1";
const CLOSE: &str = "UPDATE _ferry_op_conflicts SET open = 0 WHERE id = ?1 AND open = 1";
const PUT: &str =
    "INSERT OR REPLACE INTO _ferry_op_conflicts(id, entity, field, loser, open) VALUES (?1, ?2, ?3, ?4, ?5)";
const STANDS: &str = "SELECT e.dead, f.winner, f.is_head, f.text_id, f.text_is_head
    FROM _ferry_op_entities AS e LEFT JOIN _ferry_op_fields AS f ON f.entity = e.entity AND f.field = ?2
    WHERE e.entity = ?1";
const OTHER: &str = "SELECT digest FROM _ferry_op_heads WHERE id = ?3 AND entity = ?1 AND field = ?2";
const OTHER_VIA: &str = "SELECT digest FROM _ferry_op_heads
    WHERE entity = ?1 AND field = ?2 AND kind = 'text' AND via = ?3";
/// Conflicts about compacted texts of an entity.
const OF_MERGED_TEXTS: &str = "SELECT o.raw, c.open FROM _ferry_op_conflicts AS c
    JOIN _ferry_ops AS o ON o.id = c.id WHERE c.entity = ?1 AND c.loser >= 'tc-' AND c.loser < 'tc.'";
const IS_THERE: &str = "SELECT 1 FROM _ferry_ops WHERE id = ?1";
/// A head that is inside of a compacted text.
const IS_HELD: &str = "SELECT 1 FROM _ferry_op_heads WHERE id = ?1 AND entity = ?2 AND via <> '' LIMIT 1";
const VALUE: &str = "SELECT value FROM _ferry_op_fields WHERE entity = ?1 AND field = ?2";

/// Heads that may be in conflict: those that are not the newest of their field, and all of deleted entities.
const SUSPECTS: &str = "SELECT entity, field, id FROM _ferry_op_heads
    UNION SELECT f.entity, f.field, f.winner FROM _ferry_op_fields AS f
        JOIN _ferry_op_entities AS e ON e.entity = f.entity AND e.dead = 1 WHERE f.is_head = 1
    UNION SELECT f.entity, f.field, f.text_id FROM _ferry_op_fields AS f
        JOIN _ferry_op_entities AS e ON e.entity = f.entity AND e.dead = 1 WHERE f.text_is_head = 1";

/// Whether, and why, a write is in conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not, or not any more.
    Settled,
    /// Another value was written at the same time.
    LostToValue,
    /// The entity was deleted at the same time.
    LostToDeletion,
}

/// A head, as its entity holds it.
struct Head {
    is_dead: bool,
    /// Of a scalar that is not the winner.
    digest: Option<Vec<u8>>,
}

fn head<S: Sql>(sql: &S, entity: &str, field: &str, op: &str) -> Result<Option<Head>, S::Error> {
    let row = sql.first(STANDS, &[entity.into(), field.into()], |row| {
        let is_row_head = (row.optional_text(1)? == Some(op) && row.optional_integer(2)? == Some(1))
            || (row.optional_text(3)? == Some(op) && row.optional_integer(4)? == Some(1));
        Ok((row.integer(0)? == 1, is_row_head))
    })?;
    let Some((is_dead, is_row_head)) = row else { return Ok(None) };
    if is_row_head {
        return Ok(Some(Head { is_dead, digest: None }));
    }
    let query = if op.starts_with(MERGED_TEXT_ID_PREFIX) { OTHER_VIA } else { OTHER };
    sql.first(query, &[entity.into(), field.into(), op.into()], |row| match row.value(0) {
        Value::Blob(digest) => Ok(Head { is_dead, digest: Some(digest.to_vec()) }),
        _ => Ok(Head { is_dead, digest: None }),
    })
}

/// Whether no other op covers the `set` or `text` op of a field (OPS-20).
///
/// # Errors
/// What storage reports.
pub fn is_head<S: Sql>(sql: &S, entity: &str, field: &str, op: &str) -> Result<bool, S::Error> {
    Ok(head(sql, entity, field, op)?.is_some())
}

/// How the write `op` of a field stands.
///
/// # Errors
/// What storage reports.
pub fn standing<S: Sql>(sql: &S, entity: &str, field: &str, op: &str) -> Result<Standing, S::Error> {
    Ok(match head(sql, entity, field, op)? {
        Some(Head { is_dead: true, .. }) => Standing::LostToDeletion,
        Some(Head { digest: Some(digest), .. }) => {
            let winning = sql.first(VALUE, &[entity.into(), field.into()], |row| {
                Ok(row.optional_text(0)?.map(canonical_digest))
            })?;
            let is_same = winning.flatten().is_some_and(|winning| winning[..] == digest[..]);
            if is_same { Standing::Settled } else { Standing::LostToValue }
        }
        _ => Standing::Settled,
    })
}

/// Conflicts that no hub has recorded, such as a spoke's own between what it pulled and what it has not pushed. They are
/// noted as open; the caller stores the ops.
///
/// # Errors
/// What storage reports.
pub fn record_conflicts<S: Sql>(sql: &S) -> Result<Vec<NewConflict>, S::Error> {
    let mut heads = Vec::new();
    sql.query(SUSPECTS, &[], &mut |row| {
        heads.push((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.text(2)?.to_owned()));
        Ok(ControlFlow::Continue(()))
    })?;
    let mut found = Vec::new();
    for (entity, field, id) in heads {
        if standing(sql, &entity, &field, &id)? == Standing::Settled
            || row::known(sql, &conflict_id(&id))?.is_some()
        {
            continue;
        }
        // One inside a compacted text is told of by that one.
        let Some(loser) = row::ferry(sql, &id)? else { continue };
        let op = conflict_op(&loser);
        put(sql, &op, &entity, &field, &id, true)?;
        found.push(NewConflict { raw: op.encode(), op });
    }
    Ok(found)
}

/// Takes in a conflict op that a hub wrote.
pub(super) fn arrived<S: Sql>(sql: &S, op: &FerryOp, entity: &str) -> Result<(), S::Error> {
    let (Some(lost), Some(field)) = (lost_write(op), op.field.as_deref()) else { return Ok(()) };
    let is_open = is_open(sql, (entity, field), &lost, &op.hlc.to_string(), Some(op))?;
    put(sql, op, entity, field, &lost.op, is_open)?;
    // It tells what an edit says that is only known by its id.
    match sql.first(IS_HELD, &[(*lost.op).into(), entity.into()], |_| Ok(()))? {
        Some(()) => settle_merged_texts(sql, entity, op),
        None => Ok(()),
    }
}

/// Whether the write `lost` of this time is in conflict. The op `arriving` is merged, and stored after this.
fn is_open<S: Sql>(
    sql: &S,
    (entity, field): (&str, &str),
    lost: &ToldLoss<'_>,
    hlc: &str,
    arriving: Option<&FerryOp>,
) -> Result<bool, S::Error> {
    if arriving.is_some_and(|op| op.id == lost.op) || !is_text_of_others(sql, &lost.op)? {
        return Ok(standing(sql, entity, field, &lost.op)? != Standing::Settled);
    }
    let is_dead = sql.first(STANDS, &[entity.into(), field.into()], |row| Ok(row.integer(0)? == 1))?;
    Ok(is_dead == Some(true)
        && !text::heads_within(sql, (entity, field), (lost.value.get(), hlc), arriving)?.is_empty())
}

/// Whether what the op `conflict` tells of is still a head, so that the conflict may not be forgotten. What is no conflict
/// op of a hub's tells of something for ever.
///
/// # Errors
/// What storage reports.
pub fn is_losing_head<S: Sql>(
    sql: &S,
    (entity, field): (&str, &str),
    conflict: &FerryOp,
) -> Result<bool, S::Error> {
    let Some(lost) = lost_write(conflict) else { return Ok(true) };
    if is_text_of_others(sql, &lost.op)? {
        let hlc = conflict.hlc.to_string();
        return Ok(!text::heads_within(sql, (entity, field), (lost.value.get(), &hlc), None)?.is_empty());
    }
    is_head(sql, entity, field, &lost.op)
}

/// Whether an op is a text that another store merged.
fn is_text_of_others<S: Sql>(sql: &S, op: &str) -> Result<bool, S::Error> {
    Ok(op.starts_with(MERGED_TEXT_ID_PREFIX) && sql.first(IS_THERE, &[op.into()], |_| Ok(()))?.is_none())
}

/// Conflicts about compacted texts of an entity follow from the heads that are here. The op `arriving` is merged, and
/// stored after this.
pub(super) fn settle_merged_texts<S: Sql>(sql: &S, entity: &str, arriving: &FerryOp) -> Result<(), S::Error> {
    let mut found = Vec::new();
    sql.query(OF_MERGED_TEXTS, &[entity.into()], &mut |row| {
        found.push((row.text(0)?.to_owned(), row.integer(1)? == 1));
        Ok(ControlFlow::Continue(()))
    })?;
    for (raw, was_open) in found {
        let conflict = row::read_ferry(&raw)?;
        let (Some(lost), Some(field)) = (lost_write(&conflict), conflict.field.as_deref()) else {
            continue;
        };
        let is_open = is_open(sql, (entity, field), &lost, &conflict.hlc.to_string(), Some(arriving))?;
        if is_open != was_open {
            sql.execute(if is_open { OPEN } else { CLOSE }, &[(*conflict.id).into()])?;
        }
    }
    Ok(())
}

fn put<S: Sql>(
    sql: &S,
    conflict: &FerryOp,
    entity: &str,
    field: &str,
    loser: &str,
    is_open: bool,
) -> Result<(), S::Error> {
    let row =
        [(*conflict.id).into(), entity.into(), field.into(), loser.into(), Value::Integer(is_open.into())];
    sql.execute(PUT, &row).map(drop)
}

impl<S: Sql> Fold<'_, S> {
    /// The head `loser` is in conflict. A hub records it if it is the first to know.
    pub(super) fn open(&mut self, loser: &str) -> Result<(), S::Error> {
        let id = conflict_id(loser);
        if self.sql.execute(OPEN, &[(*id).into()])? > 0 || self.rules.role == StoreRole::Spoke {
            return Ok(());
        }
        let stored = if loser == self.op.id { None } else { row::ferry(self.sql, loser)? };
        let loser = stored.as_ref().unwrap_or(self.op);
        let (Some(entity), Some(field)) = (loser.entity.as_deref(), loser.field.as_deref()) else {
            return Ok(());
        };
        let op = conflict_op(loser);
        put(self.sql, &op, entity, field, &loser.id, true)?;
        self.conflicts.push(NewConflict { raw: op.encode(), op });
        Ok(())
    }

    /// What the op covers is in conflict no more.
    pub(super) fn close_covered(&mut self) -> Result<(), S::Error> {
        for head in std::mem::take(&mut self.covered) {
            self.sql.execute(CLOSE, &[(*conflict_id(&head)).into()])?;
        }
        Ok(())
    }
}
