//! Ops that are written within the transaction of another model's request.

use std::sync::{Arc, atomic::Ordering};

use ferry_core::{ops::append::append, sql::Sql as _};
use ferry_protocol::ops::{OpDraft, WrittenOps};
use ferry_sqlite::Transaction;

use super::{
    super::storage::{LogOutcome, next_identity, write_in},
    write::Drawn,
};
use crate::{
    database::{Database, Effect},
    hub::Hub,
};

/// Has the hub write ops, a JSON array of drafts, on behalf of `principal`. The answer is JSON, or what is wrong.
///
/// # Errors
/// What storage reports.
pub(crate) fn append_in(
    transaction: &mut Transaction<'_, Effect>,
    hub: &Arc<Hub>,
    database: &Database,
    principal: &str,
    drafts: &str,
) -> ferry_sqlite::Result<Result<String, String>> {
    let drafts: Vec<OpDraft> = match serde_json::from_str(drafts) {
        Ok(drafts) => drafts,
        Err(error) => return Ok(Err(format!("ops: {error}"))),
    };
    let most = hub.config.ops.batch_max_ops;
    if drafts.len() > most {
        return Ok(Err(format!("ops: a call may write at most {most} ops")));
    }
    let state = &database.models().ops;
    let identity = next_identity(state).map_err(ferry_sqlite::Error::from)?;
    let (sql, begin) = (transaction.sql(), (identity, hub.clock.now()));
    // What is refused makes no log, though the request goes on.
    sql.execute("SAVEPOINT ops_within", &[])?;
    let mut drawn = Drawn::new().map_err(ferry_sqlite::Error::from)?;
    let outcome = write_in(transaction, Some(begin), |writer| {
        drawn.write(writer, hub, principal, |sql, by, texts, new_id| append(sql, &drafts, by, texts, new_id))
    })?;
    let is_kept = matches!(outcome, LogOutcome::Keep(_));
    if !is_kept {
        sql.execute("ROLLBACK TO ops_within", &[])?;
    }
    sql.execute("RELEASE ops_within", &[])?;
    let (LogOutcome::Keep(done) | LogOutcome::Undo(done)) = outcome;
    let appended = match done.outcome {
        Ok(appended) => appended,
        Err(refusal) => return Ok(Err(refusal.message.into_owned())),
    };
    if appended.conflicts > 0 {
        state.is_uncounted.store(true, Ordering::Release);
    }
    let text = serde_json::to_string(&WrittenOps { ops: appended.written });
    Ok(text.map_err(|error| error.to_string()))
}
