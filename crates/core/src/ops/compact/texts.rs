//! The updates of a text become one (OPS-40).

use std::{collections::HashSet, ops::ControlFlow};

use ferry_protocol::ops::{FerryOp, MERGED_TEXT_ID_PREFIX, OpKind, json_text, merged_text_id};
use ferry_types::{Hlc, OpSeq, OriginId, Seq, UnixMillis};

use crate::{
    ops::{
        merge::text::{self, TextHead},
        row::{self, Arrival},
    },
    sql::Sql,
};

const WRITES: &str = "SELECT op_seq, commit_seq, received_ms, raw FROM _ferry_ops
    WHERE kind = 'text' AND entity = ?1 AND field = ?2 AND received_ms < ?3 ORDER BY op_seq";
const SCALAR: &str = "SELECT 1 FROM _ferry_op_fields WHERE entity = ?1 AND field = ?2 AND winner IS NOT NULL";
const LOOK_UP: &str = "SELECT op_seq IS NOT NULL, entity FROM _ferry_ops WHERE id = ?1
    UNION ALL SELECT NULL, entity FROM _ferry_op_seen WHERE id = ?1";

/// Whether there is or was an op of this id, which follows from the value alone: another text that came to the same, or this
/// one before an edit arrived that says once more what was merged, as a store does that was copied. Who has that op would not
/// learn of the edit's.
const IS_TAKEN: &str = "SELECT 1 FROM _ferry_ops WHERE id = ?1
    UNION ALL SELECT 1 FROM _ferry_op_seen WHERE id = ?1";

/// The op that takes the place of the updates of a text.
pub(in crate::ops) struct MergedText {
    pub(in crate::ops) op: FerryOp,
    /// Its number: that of the newest.
    pub(in crate::ops) seq: OpSeq,
    /// The numbers of what it merges, its own included.
    pub(in crate::ops) replaced: Vec<OpSeq>,
    commit: Seq,
    received: UnixMillis,
}

impl MergedText {
    pub(in crate::ops) const fn arrival(&self) -> Arrival<'static> {
        Arrival {
            via_shim: false,
            principal: None,
            commit: self.commit,
            received: self.received,
            hub_seq: None,
        }
    }
}

struct Update {
    seq: OpSeq,
    commit: i64,
    received: i64,
    op: FerryOp,
}

/// Merges the updates of a live text that were received before `cut`; `None`: there are fewer than two, one of them
/// covers something that stays or may still come, or the id of what they come to is taken.
pub(in crate::ops) fn merge_text<S: Sql>(
    sql: &S,
    entity: &str,
    field: &str,
    cut: Option<i64>,
) -> Result<Option<MergedText>, S::Error> {
    let mut updates = Vec::new();
    let key = [entity.into(), field.into(), cut.unwrap_or(i64::MAX).into()];
    sql.query(WRITES, &key, &mut |row| {
        let op = row::read_ferry(row.text(3)?)?;
        let seq = row::seq_of(row.integer(0)?)?;
        updates.push(Update { seq, commit: row.integer(1)?, received: row.integer(2)?, op });
        Ok(ControlFlow::Continue(()))
    })?;
    let is_mixed = || sql.first(SCALAR, &key[..2], |_| Ok(()));
    if updates.len() < 2 || is_mixed()?.is_some() || !are_bases_inside(sql, entity, &updates)? {
        return Ok(None);
    }
    let heads = text::heads(sql, entity, field)?;
    let Some(merged) = merged(entity, field, &updates, heads) else { return Ok(None) };
    let is_taken = sql.first(IS_TAKEN, &[(*merged.op.id).into()], |_| Ok(()))?;
    Ok(if is_taken.is_some() { None } else { Some(merged) })
}

/// What the updates have in their bases is merged with them, or gone.
fn are_bases_inside<S: Sql>(sql: &S, entity: &str, updates: &[Update]) -> Result<bool, S::Error> {
    let inside: HashSet<&str> = updates
        .iter()
        .flat_map(|update| update.op.merged.iter().chain([&update.op.id]))
        .map(String::as_str)
        .collect();
    for id in updates.iter().flat_map(|update| &update.op.base) {
        if inside.contains(id.as_str()) {
            continue;
        }
        let is_gone = sql.first(LOOK_UP, &[(**id).into()], |row| {
            Ok(row.optional_integer(0)?.is_none() || row.optional_text(1)? != Some(entity))
        })?;
        if is_gone != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn merged(entity: &str, field: &str, updates: &[Update], heads: Vec<TextHead>) -> Option<MergedText> {
    let values = updates.iter().filter_map(|update| update.op.value.as_deref());
    let value = text::merged_value(values)?;
    let update = json_text(&value)?;
    let replaced: HashSet<&str> = updates
        .iter()
        .flat_map(|update| update.op.merged.iter().chain([&update.op.id]))
        .map(String::as_str)
        .filter(|id| !id.starts_with(MERGED_TEXT_ID_PREFIX))
        .collect();
    let mut heads: Vec<TextHead> =
        heads.into_iter().filter(|head| replaced.contains(head.id.as_str())).collect();
    heads.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let merged_hlc: Option<Vec<Hlc>> = heads.iter().map(|head| head.hlc).collect();
    let newest = updates.last().expect("BUG: two at least");
    let hlc: Hlc = updates.iter().map(|update| update.op.hlc).max().expect("BUG: two at least");
    let op = FerryOp {
        id: merged_text_id(&update),
        hlc,
        origin: OriginId::ZERO,
        kind: OpKind::Text,
        entity: Some(entity.to_owned()),
        field: Some(field.to_owned()),
        value: Some(value.clone()),
        to: None,
        base: Vec::new(),
        removes: Vec::new(),
        replaces: None,
        merged: heads.into_iter().map(|head| head.id).collect(),
        merged_hlc: merged_hlc.unwrap_or_default(),
    };
    Some(MergedText {
        op,
        seq: newest.seq,
        replaced: updates.iter().map(|update| update.seq).collect(),
        commit: Seq(u64::try_from(newest.commit).unwrap_or(0)),
        received: UnixMillis(newest.received),
    })
}
