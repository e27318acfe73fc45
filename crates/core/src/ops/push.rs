//! A batch of ops on its way into a hub's log: each is judged alone, and what is accepted is stored in one transaction
//! (OPS-02 to OPS-12, OPS-51, OPS-52).

use ferry_types::{OriginId, Seq};

pub use super::pushing::{Clocks, PushLimits, PushedOps, Pushing};
use super::{intake::Intake, origins};
use crate::sql::Sql;

/// Takes a batch into the log, which must have been begun, inside the transaction of one request.
///
/// # Errors
/// What storage reports; [`ferry_types::Reason::QuarantineFull`].
pub fn push<S: Sql>(
    sql: &S,
    ops: &[&str],
    by: &Pushing<'_>,
    clocks: &Clocks,
    limits: &PushLimits,
    commit: Seq,
) -> Result<PushedOps, S::Error> {
    let mut batch = Intake::begin(sql, by, clocks, limits, commit)?;
    let is_bound = match by.origin.filter(|origin| *origin != OriginId::ZERO && !ops.is_empty()) {
        Some(origin) => origins::bind(sql, origin, by.principal)?,
        None => false,
    };
    let mut results = Vec::with_capacity(ops.len());
    for raw in ops {
        results.push(batch.take(raw)?);
    }
    let mut pushed = batch.end(results)?;
    pushed.has_notes |= is_bound;
    Ok(pushed)
}
