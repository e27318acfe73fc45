//! Pages of the log in order of arrival, and which ids it lacks (OPS-01, OPS-08, OPS-09, OPS-33).

use std::ops::ControlFlow;

use ferry_protocol::ops::{PageBuffer, PageEnd, Skip};
use ferry_types::OpSeq;

use super::{Prefixes, row, stamp};
use crate::sql::Sql;

const PAGE: &str = "SELECT op_seq, raw, entity FROM _ferry_ops WHERE op_seq > ?1 ORDER BY op_seq";
const ID: &str = "SELECT id FROM _ferry_ops WHERE op_seq = ?1";
const KNOWN: &str =
    "SELECT 1 FROM _ferry_ops WHERE id = ?1 UNION ALL SELECT 1 FROM _ferry_op_seen WHERE id = ?1";

/// Ops that one page looks at, most of which may lie outside what the credential may read.
pub const PAGE_MAX_LOOKED_AT: usize = 20_000;
/// Skipped ops that are stepped over one by one; a longer range is jumped.
const STEP_MAX: u64 = 64;

/// What a page shall hold.
#[derive(Clone, Copy, Debug)]
pub struct OpsPull<'a> {
    /// Ops behind this number.
    pub after: OpSeq,
    /// The id of the op with that number, as far as the puller knows.
    pub after_id: Option<&'a str>,
    /// Its stamp, as far as the puller knows; `Some`, if empty: the page shall tell the next one.
    pub after_stamp: Option<&'a str>,
    /// Most ops.
    pub limit: u32,
    /// Most bytes; an op that is longer comes alone.
    pub bytes: usize,
    /// Numbers that the puller holds.
    pub skip: &'a Skip,
    /// What its credential is narrowed to.
    pub prefixes: Prefixes<'a>,
}

/// A page as it is read; [`PageBuffer::finish`] makes the answer.
#[derive(Debug)]
pub struct OpsPage {
    /// The ops.
    pub ops: PageBuffer,
    /// What it tells beside them.
    pub end: PageEnd,
}

/// Reads a page in one snapshot; the cursor was proven (see [`super::epoch::prove_cursor`]).
///
/// # Errors
/// What storage reports.
pub fn pull<S: Sql>(sql: &S, wanted: &OpsPull<'_>, floor: OpSeq) -> Result<OpsPage, S::Error> {
    // A page of many small ops fills its bytes; one that stays nearly empty shall not take them.
    let mut ops = PageBuffer::with_capacity(wanted.bytes.min(64 << 10));
    let (mut next, mut has_more, mut looked_at) = (wanted.after, false, 0);
    loop {
        let mut jump = None;
        sql.query(PAGE, &[next.into()], &mut |row| {
            let seq = row::seq_of(row.integer(0)?)?;
            if looked_at == PAGE_MAX_LOOKED_AT {
                has_more = true;
                return Ok(ControlFlow::Break(()));
            }
            if let Some(end) = wanted.skip.end_of(seq) {
                next = seq;
                if end.0 - seq.0 > STEP_MAX {
                    jump = Some(end);
                    return Ok(ControlFlow::Break(()));
                }
                return Ok(ControlFlow::Continue(()));
            }
            looked_at += 1;
            if wanted.prefixes.are_all() || wanted.prefixes.contain(row.optional_text(2)?) {
                let raw = row.text(1)?;
                let is_full =
                    ops.count() >= wanted.limit as usize || ops.ops_bytes() + raw.len() > wanted.bytes;
                if is_full && ops.count() > 0 {
                    has_more = true;
                    return Ok(ControlFlow::Break(()));
                }
                ops.push(seq, raw);
            }
            next = seq;
            Ok(ControlFlow::Continue(()))
        })?;
        let Some(end) = jump else { break };
        next = last_upto(sql, end)?.max(next);
    }
    let next_id = match sql.first(ID, &[next.into()], |row| Ok(row.text(0)?.to_owned()))? {
        // The op at the cursor itself may have been dropped.
        None if next == wanted.after => wanted.after_id.map(str::to_owned),
        found => found,
    };
    let next_stamp = match wanted.after_stamp {
        Some(_) => stamp::at(sql, next)?,
        None => None,
    };
    Ok(OpsPage { ops, end: PageEnd { floor, next, next_id, next_stamp, has_more } })
}

/// The last number up to `seq` that the log holds.
fn last_upto<S: Sql>(sql: &S, seq: OpSeq) -> Result<OpSeq, S::Error> {
    let text = "SELECT op_seq FROM _ferry_ops WHERE op_seq <= ?1 ORDER BY op_seq DESC LIMIT 1";
    Ok(sql.first(text, &[seq.into()], |row| Ok(row::seq_of(row.integer(0)?)?))?.unwrap_or(OpSeq(0)))
}

/// Those of `ids` that the log neither holds nor held, in their order.
///
/// # Errors
/// What storage reports.
pub fn missing<S: Sql>(sql: &S, ids: &[&str]) -> Result<Vec<String>, S::Error> {
    let mut missing = Vec::new();
    for id in ids {
        if sql.first(KNOWN, &[(*id).into()], |_| Ok(()))?.is_none() {
            missing.push((*id).to_owned());
        }
    }
    Ok(missing)
}

/// Hands `each` the ops behind `after` that lie within `prefixes`, until it answers no. Returns the last number that was
/// looked at; `None`: there are no more.
///
/// # Errors
/// What storage reports.
pub fn tail<S: Sql>(
    sql: &S,
    after: OpSeq,
    prefixes: Prefixes<'_>,
    each: &mut dyn FnMut(OpSeq, &str) -> bool,
) -> Result<Option<OpSeq>, S::Error> {
    let (mut upto, mut looked_at, mut is_cut) = (after, 0, false);
    sql.query(PAGE, &[after.into()], &mut |row| {
        if is_cut || looked_at == PAGE_MAX_LOOKED_AT {
            is_cut = true;
            return Ok(ControlFlow::Break(()));
        }
        upto = row::seq_of(row.integer(0)?)?;
        looked_at += 1;
        if prefixes.contain(row.optional_text(2)?) {
            is_cut = !each(upto, row.text(1)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(is_cut.then_some(upto))
}
