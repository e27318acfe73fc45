//! Ops of the spoke's own: each is in the outbox from the transaction on that writes it (OPS-62).

use ferry_protocol::ops::{OpDraft, ResolveParams, WrittenOp, WrittenOps};

use super::{
    SpokeStep,
    ids::{Random, new_op_id, new_origin},
    outbox, schema,
};
use crate::{
    ops::{
        self, OpsRefusal, Prefixes, StoreRole, Texts,
        append::{AppendedOps, OpWriter},
        meta,
    },
    sql::{Damaged, Sql},
};

/// Longest op that a hub takes, unless it was told otherwise.
const OP_MAX_BYTES: usize = 1 << 20;
/// Most bytes of a text's state that a hub takes, unless it was told otherwise.
const TEXT_MAX_BYTES: u64 = 16 << 20;

/// What a call that writes comes to: after a refusal the caller rolls its transaction back.
pub type WriteOutcome = Result<WrittenOps, OpsRefusal>;

/// Makes what a store lacks: tables, and an origin of its own.
///
/// # Errors
/// What storage reports.
pub fn prepare<S: Sql>(sql: &S, random: &mut Random<'_>) -> Result<(), S::Error> {
    ops::schema::create_for_spoke(sql)?;
    schema::create_tables(sql)?;
    if meta::origin(sql)?.is_none() {
        meta::set_origin(sql, new_origin(random))?;
    }
    Ok(())
}

/// Appends ops, all or none.
///
/// # Errors
/// What storage reports.
pub fn append<S: Sql>(
    sql: &S,
    drafts: &[OpDraft],
    texts: &mut Texts,
    step: &mut SpokeStep<'_>,
) -> Result<WriteOutcome, S::Error> {
    let writer = writer(sql, step)?;
    // A repeated id gives the first result, also of an op that the hub has refused since.
    let (mut left, mut fresh) = (Vec::new(), Vec::new());
    for (place, draft) in drafts.iter().enumerate() {
        let hlc = match &draft.id {
            Some(id) => outbox::left_hlc(sql, id)?.map(|hlc| WrittenOp { id: id.clone(), hlc }),
            None => None,
        };
        match hlc {
            Some(written) => left.push((place, written)),
            None => fresh.push(draft.clone()),
        }
    }
    let now = step.now;
    let appended = ops::append::append(sql, &fresh, &writer, texts, &mut || new_op_id(now, step.random))?;
    let mut written = match note(sql, appended)? {
        Ok(written) => written,
        Err(refusal) => return Ok(Err(refusal)),
    };
    for (place, op) in left {
        written.ops.insert(place.min(written.ops.len()), op);
    }
    Ok(Ok(written))
}

/// Resolves a conflict.
///
/// # Errors
/// What storage reports.
pub fn resolve<S: Sql>(
    sql: &S,
    params: &ResolveParams,
    texts: &mut Texts,
    step: &mut SpokeStep<'_>,
) -> Result<WriteOutcome, S::Error> {
    let (writer, now) = (writer(sql, step)?, step.now);
    let new_id = &mut || new_op_id(now, step.random);
    let appended = ops::resolve::resolve(sql, params, Prefixes(&[]), &writer, texts, new_id)?;
    note(sql, appended)
}

fn writer<S: Sql>(sql: &S, step: &SpokeStep<'_>) -> Result<OpWriter<'static>, S::Error> {
    let origin = meta::origin(sql)?.ok_or(Damaged { column: 0, expected: "an origin" })?;
    Ok(OpWriter {
        role: StoreRole::Spoke,
        origin,
        now: step.now,
        commit: step.commit,
        principal: None,
        op_max_bytes: OP_MAX_BYTES,
        text_max_bytes: TEXT_MAX_BYTES,
    })
}

/// Puts what was written into the outbox.
fn note<S: Sql>(sql: &S, appended: Result<AppendedOps, OpsRefusal>) -> Result<WriteOutcome, S::Error> {
    let appended = match appended {
        Ok(appended) => appended,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // A spoke numbers what it writes without a gap, and nothing else is written by a call.
    if let [first, .., last] | [first @ last] = &*appended.effect.ops {
        outbox::add_stored(sql, first.seq, last.seq)?;
    }
    Ok(Ok(WrittenOps { ops: appended.written }))
}
