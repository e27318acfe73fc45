//! A snapshot of the log: the ops from which a fresh spoke folds the same entities, as if the log had just been compacted
//! up to its head (OPS-41). It is written from one read snapshot, in order of arrival.

use std::{collections::HashSet, ops::ControlFlow};

use ferry_protocol::ops::{SnapshotHeader, SnapshotLines};
use ferry_types::OpSeq;

use super::{
    Prefixes,
    compact::{Candidate, DropDecision, Gone, merge_text},
    meta::LogMeta,
    row, stamp,
};
use crate::sql::Sql;

const OPS: &str = "SELECT o.op_seq, o.id, o.kind, o.entity, o.field, o.origin, o.hlc, o.raw,
        o.kind = 'conflict' OR (o.kind = 'set' AND f.winner IS NOT o.id)
    FROM _ferry_ops AS o LEFT JOIN _ferry_op_fields AS f
        ON o.kind = 'set' AND f.entity = o.entity AND f.field = o.field
    ORDER BY o.op_seq";
const TEXTS: &str = "SELECT f.entity, f.field FROM _ferry_op_fields AS f
    JOIN _ferry_op_entities AS e ON e.entity = f.entity WHERE f.text_seq > 0 AND e.dead = 0";
const TEXT_AT: &str = "SELECT entity, field FROM _ferry_ops WHERE op_seq = ?1";
const HAS_REMOVED: &str = "SELECT 1 FROM _ferry_op_links WHERE removed = 1 LIMIT 1";
const REMOVES: &str = "SELECT op_seq, id, kind, entity, field, origin, hlc, raw FROM _ferry_ops
    WHERE kind = 'link.remove' ORDER BY op_seq";
const ID: &str = "SELECT id FROM _ferry_ops WHERE op_seq = ?1
    UNION ALL SELECT id FROM _ferry_op_seen WHERE op_seq = ?1";

/// Bytes that are handed out at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Takes pieces of a snapshot, in order.
pub type WriteSnapshot<'a, E> = dyn FnMut(&[u8]) -> Result<(), E> + 'a;

/// Writes a snapshot of the log `meta`: header, lines, trailer.
///
/// # Errors
/// What storage or `write` reports.
pub fn snapshot<S: Sql>(
    sql: &S,
    meta: &LogMeta,
    prefixes: Prefixes<'_>,
    write: &mut WriteSnapshot<'_, S::Error>,
) -> Result<(), S::Error> {
    let next_id = match meta.head {
        OpSeq(0) => None,
        head => sql.first(ID, &[head.into()], |row| Ok(row.text(0)?.to_owned()))?,
    };
    let next_stamp = stamp::at(sql, meta.head)?;
    let mut chunk = SnapshotHeader::new(&meta.hub_id, &meta.epoch, meta.head, (next_id, next_stamp)).line();
    chunk.reserve(CHUNK_BYTES * 2);
    let mut lines = SnapshotLines::default();
    let mut plan = Plan::make(sql, meta.head)?;
    sql.query(OPS, &[], &mut |row| {
        let seq = row::seq_of(row.integer(0)?)?;
        let is_readable = prefixes.are_all() || prefixes.contain(row.optional_text(3)?);
        if seq > meta.head || plan.gone.has(seq) || !is_readable {
            return Ok(ControlFlow::Continue(()));
        }
        if row.optional_integer(8)? == Some(1) {
            let gone = |seq| plan.gone.has(seq);
            if Candidate::read::<S::Error>(row)?.decide(sql, &Gone::Numbers(&gone))? == DropDecision::Goes {
                plan.gone.put(seq);
                return Ok(ControlFlow::Continue(()));
            }
        }
        match plan.merged.has(seq).then(|| merged_at(sql, seq)).transpose()?.flatten() {
            Some(raw) => lines.push(&mut chunk, seq, &raw),
            None => lines.push(&mut chunk, seq, row.text(7)?),
        }
        if chunk.len() >= CHUNK_BYTES {
            write(chunk.as_bytes())?;
            chunk.clear();
        }
        Ok(ControlFlow::Continue(()))
    })?;
    chunk.push_str(&lines.finish());
    write(chunk.as_bytes())
}

/// The merged op of the text whose newest update has this number.
fn merged_at<S: Sql>(sql: &S, seq: OpSeq) -> Result<Option<String>, S::Error> {
    let text =
        sql.first(TEXT_AT, &[seq.into()], |row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned())))?;
    let Some((entity, field)) = text else { return Ok(None) };
    Ok(merge_text(sql, &entity, &field, None)?.map(|merged| merged.op.encode()))
}

/// What is left out, as far as it must be known beforehand: two bits per op.
struct Plan {
    gone: Numbers,
    /// Newest updates, which stand for their whole texts.
    merged: Numbers,
}

impl Plan {
    fn make<S: Sql>(sql: &S, head: OpSeq) -> Result<Self, S::Error> {
        let mut plan = Self { gone: Numbers::upto(head), merged: Numbers::upto(head) };
        // Texts that come to the same op would have one id.
        let mut ids = HashSet::new();
        sql.query(TEXTS, &[], &mut |row| {
            let (entity, field) = (row.text(0)?, row.text(1)?);
            let merged = merge_text(sql, entity, field, None)?;
            if let Some(merged) = merged.filter(|merged| ids.insert(merged.op.id.clone())) {
                merged.replaced.iter().filter(|seq| **seq != merged.seq).for_each(|seq| plan.gone.put(*seq));
                plan.merged.put(merged.seq);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if sql.first(HAS_REMOVED, &[], |_| Ok(()))?.is_some() {
            plan.find_links(sql)?;
        }
        Ok(plan)
    }

    fn find_links<S: Sql>(&mut self, sql: &S) -> Result<(), S::Error> {
        sql.query(REMOVES, &[], &mut |row| {
            let remove = Candidate::read::<S::Error>(row)?;
            let gone = |seq| self.gone.has(seq);
            if let DropDecision::GoesWith(adds) = remove.decide(sql, &Gone::Numbers(&gone))? {
                adds.iter().filter_map(|(_, seq)| *seq).for_each(|seq| self.gone.put(seq));
                self.gone.put(remove.seq);
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}

/// A set of op numbers, a bit each.
struct Numbers(Vec<u64>);

impl Numbers {
    fn upto(head: OpSeq) -> Self {
        Self(vec![0; usize::try_from(head.0 / 64).unwrap_or(0) + 1])
    }

    fn has(&self, seq: OpSeq) -> bool {
        let word = usize::try_from(seq.0 / 64).ok().and_then(|at| self.0.get(at));
        word.is_some_and(|word| word >> (seq.0 % 64) & 1 == 1)
    }

    fn put(&mut self, seq: OpSeq) {
        if let Some(word) = usize::try_from(seq.0 / 64).ok().and_then(|at| self.0.get_mut(at)) {
            *word |= 1 << (seq.0 % 64);
        }
    }
}
