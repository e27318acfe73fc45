//! Ops come out of the quarantine: what is due by itself, the rest by an admin (OPS-10, OPS-43).

use std::ops::ControlFlow;

use ferry_protocol::ops::{OpCode, OpResult, OpStatus};
use ferry_types::Seq;

use super::{
    Prefixes, hub_clock,
    intake::Intake,
    meta,
    pushing::{Clocks, PushLimits, PushedOps, Pushing},
    quarantine::{self, next_release},
};
use crate::sql::Sql;

const GET: &str = "SELECT principal, via_shim, raw FROM _ferry_op_quarantine WHERE id = ?1";
const RESTAMP: &str = "UPDATE _ferry_op_quarantine SET code = ?2, release_ms = NULL WHERE id = ?1";
const DUE: &str =
    "SELECT id FROM _ferry_op_quarantine WHERE release_ms <= ?1 ORDER BY release_ms, id LIMIT ?2";

/// Stores an op whatever its time; `None`: there is none of this id. One that breaks another rule is rejected and stays.
///
/// # Errors
/// What storage reports.
pub fn release<S: Sql>(
    sql: &S,
    id: &str,
    clocks: &Clocks,
    limits: &PushLimits,
    commit: Seq,
) -> Result<Option<PushedOps>, S::Error> {
    release_one(sql, id, clocks, limits, commit, true)
}

/// Stores what is due, at most `most` ops. [`PushedOps::next_release`] tells when more is due, in the past if there is more
/// at once.
///
/// # Errors
/// What storage reports.
pub fn release_due<S: Sql>(
    sql: &S,
    clocks: &Clocks,
    limits: &PushLimits,
    commit: Seq,
    most: usize,
) -> Result<PushedOps, S::Error> {
    let now = hub_clock::read(sql, clocks)?.now;
    let mut due = Vec::new();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    sql.query(DUE, &[now.0.into(), most.into()], &mut |row| {
        due.push(row.text(0)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    let mut all = PushedOps { head: meta::head(sql)?, ..PushedOps::default() };
    for id in due {
        let Some(pushed) = release_one(sql, &id, clocks, limits, commit, false)? else { continue };
        all.results.extend(pushed.results);
        all.head = pushed.head;
        all.differs += pushed.differs;
        all.conflicts += pushed.conflicts;
        match (&mut all.effect, pushed.effect) {
            (Some(effect), Some(more)) => {
                effect.head = more.head;
                effect.ops.extend(more.ops);
            }
            (effect @ None, more) => *effect = more,
            (Some(_), None) => {}
        }
        all.has_notes = true;
    }
    all.next_release = next_release(sql)?;
    Ok(all)
}

fn release_one<S: Sql>(
    sql: &S,
    id: &str,
    clocks: &Clocks,
    limits: &PushLimits,
    commit: Seq,
    ignores_times: bool,
) -> Result<Option<PushedOps>, S::Error> {
    let held = sql.first(GET, &[id.into()], |row| {
        let principal = row.optional_text(0)?.unwrap_or_default().to_owned();
        Ok((principal, row.integer(1)? == 1, String::from_utf8_lossy(row.blob(2)?).into_owned()))
    })?;
    let Some((principal, via_shim, raw)) = held else { return Ok(None) };
    // Through the shim it would be set aside again: here a broken rule is told.
    let by = Pushing {
        origin: None,
        principal: &principal,
        // Whose its origin is was judged when it came.
        is_admin: true,
        prefixes: Prefixes::default(),
        via_shim: false,
        atomic: true,
    };
    let mut batch = Intake::begin(sql, &by, clocks, limits, commit)?;
    batch.release(via_shim, ignores_times);
    let result = batch.take(&raw)?;
    let mut pushed = batch.end(Vec::new())?;
    match result.status {
        OpStatus::Accepted | OpStatus::Duplicate => {
            quarantine::discard(sql, id)?;
        }
        // What is due and breaks a rule would be due for ever.
        OpStatus::Rejected if !ignores_times => {
            let code = result.code.unwrap_or(OpCode::Invalid);
            sql.execute(RESTAMP, &[id.into(), code.as_str().into()])?;
        }
        OpStatus::Rejected | OpStatus::Quarantined => {}
    }
    pushed.has_notes = true;
    pushed.results = vec![OpResult { id: Some(id.to_owned()), ..result }];
    Ok(Some(pushed))
}
