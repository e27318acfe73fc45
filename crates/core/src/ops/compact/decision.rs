//! Whether an op may leave the log without a replica noticing (OPS-40).

use ferry_protocol::ops::FerryOp;
use ferry_types::OpSeq;

use super::owned;
use crate::{
    ops::{merge, row},
    sql::{Damaged, Row, Sql},
};

const LOOK_UP: &str = "SELECT op_seq, entity FROM _ferry_ops WHERE id = ?1
    UNION ALL SELECT NULL, entity FROM _ferry_op_seen WHERE id = ?1";
/// The last op of the same origin and field before this one.
const BEFORE: &str = "SELECT op_seq FROM _ferry_ops
    WHERE entity = ?1 AND field = ?2 AND origin = ?3 AND hlc < ?4 ORDER BY hlc DESC LIMIT 1";
/// Whether something that stays shows that the entity exists.
const IS_ANCHORED: &str =
    "SELECT 1 FROM _ferry_op_entities WHERE entity = ?1 AND (type_id IS NOT NULL OR dead = 1)
    UNION ALL SELECT 1 FROM _ferry_op_fields WHERE entity = ?1";
/// Whether something newer stays.
const HAS_NEWER: &str = "SELECT 1 FROM _ferry_op_entities WHERE entity = ?1 AND hlc > ?2";
const HAS_WRITES: &str = "SELECT 1 FROM _ferry_op_fields WHERE entity = ?1 AND field = ?2";

/// What counts as gone already.
pub(in crate::ops) enum Gone<'a> {
    /// What is not in the log.
    FromLog,
    /// What stands in this set of numbers, too: a snapshot drops it while the log keeps it.
    Numbers(&'a dyn Fn(OpSeq) -> bool),
}

impl Gone<'_> {
    fn has(&self, seq: OpSeq) -> bool {
        match self {
            Self::FromLog => false,
            Self::Numbers(numbers) => numbers(seq),
        }
    }
}

/// What becomes of an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ops) enum DropDecision {
    Stays,
    Goes,
    /// A remove, with the adds that it lists; those that are in the log have their numbers.
    GoesWith(Vec<(String, Option<OpSeq>)>),
}

/// An op that may go: a `set` that does not win, a `link.remove`, a `conflict`.
pub(in crate::ops) struct Candidate {
    pub(in crate::ops) seq: OpSeq,
    pub(in crate::ops) id: String,
    pub(in crate::ops) kind: String,
    pub(in crate::ops) entity: Option<String>,
    pub(in crate::ops) field: Option<String>,
    origin: String,
    hlc: String,
    raw: String,
}

impl Candidate {
    /// Of columns op_seq, id, kind, entity, field, origin, hlc, raw.
    pub(in crate::ops) fn read<E: From<Damaged>>(row: &dyn Row) -> Result<Self, E> {
        Ok(Self {
            seq: row::seq_of(row.integer(0)?)?,
            id: row.text(1)?.to_owned(),
            kind: row.text(2)?.to_owned(),
            entity: owned(row, 3)?,
            field: owned(row, 4)?,
            origin: row.text(5)?.to_owned(),
            hlc: row.text(6)?.to_owned(),
            raw: row.text(7)?.to_owned(),
        })
    }

    pub(in crate::ops) fn decide<S: Sql>(&self, sql: &S, gone: &Gone<'_>) -> Result<DropDecision, S::Error> {
        let (Some(entity), Some(field)) = (self.entity.as_deref(), self.field.as_deref()) else {
            return Ok(DropDecision::Stays);
        };
        let op = row::read_ferry(&self.raw)?;
        match &*self.kind {
            "set" => self.set(sql, &op, entity, field, gone),
            "link.remove" => self.link_remove(sql, &op, entity, field, gone),
            "conflict" => conflict(sql, &op, entity, field),
            _ => Ok(DropDecision::Stays),
        }
    }

    /// It does not win, is covered, and what it covers is gone.
    fn set<S: Sql>(
        &self,
        sql: &S,
        op: &FerryOp,
        entity: &str,
        field: &str,
        gone: &Gone<'_>,
    ) -> Result<DropDecision, S::Error> {
        if merge::is_head(sql, entity, field, &self.id)? || !is_base_gone(sql, op, entity, gone)? {
            return Ok(DropDecision::Stays);
        }
        // By induction one look is enough: what this one covers was gone before it went.
        let key = [entity.into(), field.into(), (*self.origin).into(), (*self.hlc).into()];
        let before = sql.first(BEFORE, &key, |row| Ok(row::seq_of(row.integer(0)?)?))?;
        Ok(if before.is_none_or(|seq| gone.has(seq)) { DropDecision::Goes } else { DropDecision::Stays })
    }

    /// All adds that it lists are known, it covers no scalar or text, and its entity exists and is as new without them.
    fn link_remove<S: Sql>(
        &self,
        sql: &S,
        op: &FerryOp,
        entity: &str,
        field: &str,
        gone: &Gone<'_>,
    ) -> Result<DropDecision, S::Error> {
        if sql.first(HAS_WRITES, &[entity.into(), field.into()], |_| Ok(()))?.is_some()
            || sql.first(IS_ANCHORED, &[entity.into()], |_| Ok(()))?.is_none()
            || !is_base_gone(sql, op, entity, gone)?
        {
            return Ok(DropDecision::Stays);
        }
        let mut adds = Vec::with_capacity(op.removes.len());
        let mut newest = op.hlc;
        for add in &op.removes {
            match look_up(sql, add, entity)? {
                LookedUp::Unknown => return Ok(DropDecision::Stays),
                LookedUp::Elsewhere => {}
                LookedUp::Dropped => adds.push((add.clone(), None)),
                // What came later than the remove may be young.
                LookedUp::There(seq) if seq > self.seq => return Ok(DropDecision::Stays),
                LookedUp::There(seq) => {
                    if let Some(add) = row::ferry(sql, add)? {
                        if !add.base.is_empty() || add.field.as_deref() != Some(field) {
                            return Ok(DropDecision::Stays);
                        }
                        newest = newest.max(add.hlc);
                    }
                    adds.push((add.clone(), (!gone.has(seq)).then_some(seq)));
                }
            }
        }
        // Else a spoke that begins with a snapshot would show an older time of the entity.
        let newest = newest.to_string();
        let is_outdone = sql.first(HAS_NEWER, &[entity.into(), (*newest).into()], |_| Ok(()))?.is_some();
        Ok(if is_outdone { DropDecision::GoesWith(adds) } else { DropDecision::Stays })
    }
}

/// Its loser is no head.
fn conflict<S: Sql>(sql: &S, op: &FerryOp, entity: &str, field: &str) -> Result<DropDecision, S::Error> {
    let is_needed = merge::is_losing_head(sql, (entity, field), op)?;
    Ok(if is_needed { DropDecision::Stays } else { DropDecision::Goes })
}

/// Every id in its base is known, and none is an op of its entity that stays.
pub(super) fn is_base_gone<S: Sql>(
    sql: &S,
    op: &FerryOp,
    entity: &str,
    gone: &Gone<'_>,
) -> Result<bool, S::Error> {
    for id in &op.base {
        match look_up(sql, id, entity)? {
            LookedUp::Dropped | LookedUp::Elsewhere => {}
            LookedUp::There(seq) if gone.has(seq) => {}
            LookedUp::There(_) | LookedUp::Unknown => return Ok(false),
        }
    }
    Ok(true)
}

/// What is known of an id.
enum LookedUp {
    Unknown,
    /// An op of another entity, which nothing here covers.
    Elsewhere,
    Dropped,
    There(OpSeq),
}

fn look_up<S: Sql>(sql: &S, id: &str, entity: &str) -> Result<LookedUp, S::Error> {
    let found = sql.first(LOOK_UP, &[id.into()], |row| {
        let seq = row.optional_integer(0)?.map(row::seq_of).transpose()?;
        Ok(match seq {
            None => LookedUp::Dropped,
            Some(_) if row.optional_text(1)? != Some(entity) => LookedUp::Elsewhere,
            Some(seq) => LookedUp::There(seq),
        })
    })?;
    Ok(found.unwrap_or(LookedUp::Unknown))
}
