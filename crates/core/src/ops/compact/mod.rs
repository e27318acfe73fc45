//! Compaction: what no replica needs any more leaves the log (OPS-40), and after a longer time its ids and what was deleted
//! are forgotten (OPS-43). Each call does a bounded part, in a transaction of its own, and the next goes on behind it.

mod decision;
mod purge;
mod texts;

use std::{collections::HashSet, ops::ControlFlow};

use ferry_types::{OpSeq, UnixMillis};

pub(super) use decision::{Candidate, DropDecision, Gone};
pub use purge::purge_step;
pub(super) use texts::{MergedText, merge_text};

use super::{
    meta::{self, MetaKey},
    row, stamp,
};
use crate::sql::{Row, Sql, Value};

/// The part of a log that may be compacted.
const RANGE: &str = "SELECT o.op_seq, o.id, o.kind, o.entity, o.field, o.origin, o.hlc, o.raw
    FROM _ferry_ops AS o LEFT JOIN _ferry_op_fields AS f ON f.entity = o.entity AND f.field = o.field
    WHERE o.op_seq > ?1 AND o.op_seq <= ?2 AND o.received_ms < ?3
        AND (o.kind IN ('link.remove', 'conflict') OR (o.kind = 'set' AND f.winner IS NOT o.id)) ORDER BY o.op_seq";
const RANGE_OF_HUB: &str = "SELECT o.op_seq, o.id, o.kind, o.entity, o.field, o.origin, o.hlc, o.raw
    FROM _ferry_ops AS o LEFT JOIN _ferry_op_fields AS f ON f.entity = o.entity AND f.field = o.field
    WHERE o.op_seq > ?1 AND o.op_seq <= ?2 AND o.hub_seq <= ?3
        AND (o.kind IN ('link.remove', 'conflict') OR (o.kind = 'set' AND f.winner IS NOT o.id)) ORDER BY o.op_seq";
const NEXT: &str = "SELECT op_seq, received_ms FROM _ferry_ops WHERE op_seq > ?1 ORDER BY op_seq LIMIT 1";
const TEXTS: &str = "SELECT f.entity, f.field FROM _ferry_op_fields AS f
    JOIN _ferry_op_entities AS e ON e.entity = f.entity
    WHERE (f.entity, f.field) > (?1, ?2) AND f.text_seq > 0 AND e.dead = 0 ORDER BY f.entity, f.field LIMIT ?3";
const REMEMBER: &str = "INSERT OR IGNORE INTO _ferry_op_seen(id, op_seq, hlc, origin, entity, field)
    SELECT id, op_seq, hlc, origin, entity, field FROM _ferry_ops WHERE op_seq = ?1";
const REMOVE: &str = "DELETE FROM _ferry_ops WHERE op_seq = ?1";
const REMOVE_LINK: &str = "DELETE FROM _ferry_op_links WHERE add_id = ?1";
const REMOVE_REMOVAL: &str =
    "DELETE FROM _ferry_op_edges WHERE entity = ?1 AND parent = ?2 AND removes = 1 AND child = ?3";
const REMOVE_CONFLICT: &str = "DELETE FROM _ferry_op_conflicts WHERE id = ?1";

/// Texts that one step looks at, each of which may have many updates.
const TEXTS_MAX: i64 = 100;

/// How much is compacted.
#[derive(Clone, Copy, Debug)]
pub struct Compaction {
    /// The present time.
    pub now: UnixMillis,
    /// Days that everything is retained.
    pub days: u32,
    /// Ops that one step looks at.
    pub most: usize,
}

impl Compaction {
    /// What was received before is old.
    const fn cut(&self) -> i64 {
        self.now.0.saturating_sub(self.days as i64 * 86_400_000)
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionStep {
    /// Ops that left the log.
    pub dropped: u64,
    /// The highest number of what was ever dropped.
    pub floor: OpSeq,
    /// Whether another step has something to look at.
    pub has_more: bool,
}

/// Compacts a part of a hub's log.
///
/// # Errors
/// What storage reports.
pub fn compact_step<S: Sql>(sql: &S, wanted: &Compaction) -> Result<CompactionStep, S::Error> {
    let mut work = Work { sql, dropped: 0, floor: floor(sql)?, floor_stamp: None };
    let next = match Progress::read(sql)? {
        Progress::Log(after) => work.log(after, wanted)?,
        Progress::Texts(entity, field) => work.texts(&entity, &field, wanted.cut())?,
    };
    Progress::write(sql, next.as_ref())?;
    work.end(next.is_some())
}

/// Compacts a part of a spoke's log: what its hub has numbered up to the hub's floor. Texts stay as they are: the hub would
/// not know the ops that a spoke made of them. The numbers of the spoke's own log are compared with none, so that it has
/// no floor. `waiting`: entities of ops that the hub may still refuse; what only these cover would be missed then.
///
/// # Errors
/// What storage reports.
pub fn compact_acknowledged<S: Sql>(
    sql: &S,
    hub_floor: OpSeq,
    (after, most): (OpSeq, usize),
    waiting: &HashSet<String>,
) -> Result<(u64, Option<OpSeq>), S::Error> {
    let mut work = Work { sql, dropped: 0, floor: OpSeq(0), floor_stamp: None };
    let next = work.range(RANGE_OF_HUB, (after, most), hub_floor.into(), waiting)?;
    Ok((work.dropped, next))
}

fn floor<S: Sql>(sql: &S) -> Result<OpSeq, S::Error> {
    Ok(meta::read(sql)?.map_or(OpSeq(0), |meta| meta.floor))
}

/// Where the next step goes on; kept in the log's own database, so that it survives a restart.
enum Progress {
    /// Ops behind this number.
    Log(OpSeq),
    /// Texts behind this entity and field.
    Texts(String, String),
}

impl Progress {
    fn read<S: Sql>(sql: &S) -> Result<Self, S::Error> {
        let text = meta::get(sql, MetaKey::Compacting)?.unwrap_or_default();
        Ok(match text.split_once('\n') {
            // Names have no line breaks.
            Some((entity, field)) => Self::Texts(entity.to_owned(), field.to_owned()),
            None => Self::Log(OpSeq(text.parse().unwrap_or(0))),
        })
    }

    fn write<S: Sql>(sql: &S, next: Option<&Self>) -> Result<(), S::Error> {
        match next {
            None => meta::remove(sql, MetaKey::Compacting),
            Some(Self::Log(after)) => meta::set(sql, MetaKey::Compacting, &after.to_string()),
            Some(Self::Texts(entity, field)) => {
                meta::set(sql, MetaKey::Compacting, &format!("{entity}\n{field}"))
            }
        }
    }
}

struct Work<'a, S> {
    sql: &'a S,
    dropped: u64,
    floor: OpSeq,
    /// Of the op that had this number, if it was dropped by this step.
    floor_stamp: Option<String>,
}

impl<S: Sql> Work<'_, S> {
    fn log(&mut self, after: OpSeq, wanted: &Compaction) -> Result<Option<Progress>, S::Error> {
        let texts = || Some(Progress::Texts(String::new(), String::new()));
        // Numbers follow the times of arrival: behind the first op that is young there are no old ones.
        let first = self.sql.first(NEXT, &[after.into()], |row| {
            Ok((row::seq_of(row.integer(0)?)?, row.integer(1)? < wanted.cut()))
        })?;
        let Some((first, true)) = first else { return Ok(texts()) };
        let next =
            self.range(RANGE, (OpSeq(first.0 - 1), wanted.most), wanted.cut().into(), &HashSet::new())?;
        Ok(next.map(Progress::Log).or_else(texts))
    }

    /// Drops what it can among `most` numbers behind `after`; tells where to go on.
    fn range(
        &mut self,
        query: &str,
        (after, most): (OpSeq, usize),
        bound: Value<'_>,
        spared: &HashSet<String>,
    ) -> Result<Option<OpSeq>, S::Error> {
        let end = OpSeq(after.0.saturating_add(most as u64));
        let mut candidates = Vec::new();
        self.sql.query(query, &[after.into(), end.into(), bound], &mut |row| {
            let candidate = Candidate::read::<S::Error>(row)?;
            if candidate.entity.as_ref().is_none_or(|entity| !spared.contains(entity)) {
                candidates.push(candidate);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for candidate in candidates {
            match candidate.decide(self.sql, &Gone::FromLog)? {
                DropDecision::Stays => {}
                DropDecision::Goes => self.forget(&candidate)?,
                DropDecision::GoesWith(adds) => self.forget_links(&candidate, &adds)?,
            }
        }
        Ok(self.sql.first(NEXT, &[end.into()], |_| Ok(()))?.map(|()| end))
    }

    fn forget(&mut self, op: &Candidate) -> Result<(), S::Error> {
        if op.kind == "conflict" {
            self.sql.execute(REMOVE_CONFLICT, &[(*op.id).into()])?;
        }
        self.forget_op(op.seq)
    }

    fn forget_op(&mut self, seq: OpSeq) -> Result<(), S::Error> {
        if seq > self.floor {
            // The stamp at the floor proves the cursors that stand there (OPS-32).
            self.floor = seq;
            self.floor_stamp = stamp::at(self.sql, seq)?;
        }
        self.sql.execute(REMEMBER, &[seq.into()])?;
        self.sql.execute(REMOVE, &[seq.into()])?;
        self.dropped += 1;
        Ok(())
    }

    /// Adds go with the remove that lists them.
    fn forget_links(&mut self, remove: &Candidate, adds: &[(String, Option<OpSeq>)]) -> Result<(), S::Error> {
        for (add, seq) in adds {
            let entity = remove.entity.as_deref();
            self.sql.execute(REMOVE_REMOVAL, &[entity.into(), (**add).into(), (*remove.id).into()])?;
            if let Some(seq) = seq {
                self.sql.execute(REMOVE_LINK, &[(**add).into()])?;
                self.forget_op(*seq)?;
            }
        }
        self.forget_op(remove.seq)
    }

    fn texts(&mut self, entity: &str, field: &str, cut: i64) -> Result<Option<Progress>, S::Error> {
        let mut texts = Vec::new();
        self.sql.query(TEXTS, &[entity.into(), field.into(), TEXTS_MAX.into()], &mut |row| {
            texts.push((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
            Ok(ControlFlow::Continue(()))
        })?;
        let is_last = i64::try_from(texts.len()).is_ok_and(|count| count < TEXTS_MAX);
        for (entity, field) in &texts {
            if let Some(merged) = merge_text(self.sql, entity, field, Some(cut))? {
                self.replace_text(entity, &merged)?;
            }
        }
        Ok(if is_last { None } else { texts.pop().map(|(entity, field)| Progress::Texts(entity, field)) })
    }

    /// One op takes the place of the updates that it merges.
    fn replace_text(&mut self, entity: &str, merged: &MergedText) -> Result<(), S::Error> {
        for seq in &merged.replaced {
            self.forget_op(*seq)?;
        }
        // The slot of the newest is taken again; what was there is remembered under its number.
        row::insert_ferry(self.sql, merged.seq, &merged.op, &merged.op.encode(), &merged.arrival())?;
        self.dropped -= 1;
        super::merge::refold(self.sql, entity)
    }

    fn end(self, has_more: bool) -> Result<CompactionStep, S::Error> {
        if self.floor > floor(self.sql)? {
            meta::set(self.sql, MetaKey::Floor, &self.floor.to_string())?;
            stamp::keep(self.sql, MetaKey::FloorStamp, self.floor, self.floor_stamp.as_deref())?;
        }
        Ok(CompactionStep { dropped: self.dropped, floor: self.floor, has_more })
    }
}

/// A text column that may be NULL, owned.
fn owned<E: From<crate::sql::Damaged>>(row: &dyn Row, column: usize) -> Result<Option<String>, E> {
    Ok(row.optional_text(column)?.map(str::to_owned))
}
