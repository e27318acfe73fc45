//! Answers that were given under a key (FUN-18): stored in the commit that they answer for.

use std::sync::Arc;

use ferry_core::{functions::deploy, sql::Sql as _};
use ferry_functions::FunctionOutcome;
use ferry_sqlite::{NativeSql, Transaction};
use ferry_types::{Seq, UnixMillis};

use super::{
    PlannedCall,
    end::CallEnd,
    outcome,
    progress::{CallProgress, StoredAnswer},
};
use crate::database::Effect;

/// How long an answer is kept.
const KEEP_MS: i64 = 24 * 3600 * 1000;
/// Answers that are over and are removed beside a new one.
const REMOVED_AT_ONCE: i64 = 10;

/// The key of a call.
#[derive(Clone, Debug)]
pub(in crate::functions) struct Idempotency {
    /// Whose: API key and user.
    pub(in crate::functions) owner: String,
    /// What the caller chose.
    pub(in crate::functions) key: String,
    /// Of the canonical arguments.
    pub(in crate::functions) args_hash: String,
}

/// What is known of a key.
enum Found {
    Nothing,
    Answer(StoredAnswer),
    /// It was used for another function, or other arguments.
    OtherCall,
}

/// Asks whether the call was made before. Then it is not run: its answer, or why it has none, is noted.
pub(super) fn ask(
    sql: &NativeSql<'_>,
    plan: &PlannedCall,
    progress: &mut CallProgress,
) -> ferry_sqlite::Result<bool> {
    let Some(key) = &plan.idempotency else { return Ok(false) };
    match find(sql, key, &plan.request.function, plan.hub.clock.now())? {
        Found::Nothing => return Ok(false),
        Found::Answer(answer) => progress.stored = Some(answer),
        Found::OtherCall => progress.end = Some(CallEnd::OtherCallOfKey),
    }
    Ok(true)
}

/// Keeps the answer to a call, if it has a key.
pub(super) fn keep(
    transaction: &Transaction<'_, Effect>,
    plan: &PlannedCall,
    progress: &CallProgress,
    outcome: &FunctionOutcome,
) -> ferry_sqlite::Result<()> {
    let Some(key) = &plan.idempotency else { return Ok(()) };
    let text = outcome::stored(outcome, &progress.selected(), &progress.shown_written(plan), plan.kind);
    let (function, now) = (&plan.request.function, plan.hub.clock.now());
    let (before, own) = (Seq(transaction.seq().0.saturating_sub(1)), transaction.seq());
    let (shown, _) = progress.made(before, Some(own));
    store(&transaction.sql(), key, function, &text, shown, now)
}

/// Keeps the answer to a call that wrote nothing, in a commit of its own; or finds that of an equal call that was first.
/// `shown`: the commit that the result shows, which is not the one that keeps it.
pub(super) async fn keep_alone(
    plan: &PlannedCall,
    progress: &mut CallProgress,
    outcome: FunctionOutcome,
    shown: Seq,
) -> ferry_types::Result<(FunctionOutcome, Seq, bool)> {
    let Some(key) = plan.idempotency.clone() else { return Ok((outcome, Seq(0), false)) };
    let text = outcome::stored(&outcome, &progress.selected(), &progress.shown_written(plan), plan.kind);
    let (function, now) = (Arc::clone(&plan.request.function), plan.hub.clock.now());
    let committed = plan.database.submit(&plan.by, move |transaction| {
        let found = find(&transaction.sql(), &key, &function, now)?;
        if matches!(found, Found::Nothing) {
            store(&transaction.sql(), &key, &function, &text, shown, now)?;
        }
        Ok(found)
    });
    let found = committed.await?.value;
    let gone = match found {
        Found::Nothing => return Ok((outcome, shown, false)),
        Found::Answer(answer) => {
            progress.stored = Some(answer);
            outcome::gone()
        }
        Found::OtherCall => {
            progress.end = Some(CallEnd::OtherCallOfKey);
            outcome::gone()
        }
    };
    Ok((gone, shown, false))
}

/// Looks the key up.
fn find(
    sql: &NativeSql<'_>,
    key: &Idempotency,
    function: &str,
    now: UnixMillis,
) -> ferry_sqlite::Result<Found> {
    let select = "SELECT fn, args_hash, response, seq FROM _ferry_fn_idem \
                  WHERE owner = ?1 AND idem_key = ?2 AND created_at > ?3";
    let values = [key.owner.as_str().into(), key.key.as_str().into(), (now.0 - KEEP_MS).into()];
    let found = sql.first(select, &values, |row| {
        if row.text(0)? != function || row.text(1)? != key.args_hash {
            return Ok(Found::OtherCall);
        }
        let seq = Seq(row.integer(3)?.unsigned_abs());
        Ok(Found::Answer(StoredAnswer { text: row.text(2)?.to_owned(), seq }))
    })?;
    Ok(found.unwrap_or(Found::Nothing))
}

/// Keeps an answer under the key.
fn store(
    sql: &NativeSql<'_>,
    key: &Idempotency,
    function: &str,
    text: &str,
    seq: Seq,
    now: UnixMillis,
) -> ferry_sqlite::Result<()> {
    deploy::create(sql)?;
    let over = "DELETE FROM _ferry_fn_idem WHERE (owner, idem_key) IN \
                (SELECT owner, idem_key FROM _ferry_fn_idem WHERE created_at <= ?1 LIMIT ?2)";
    sql.execute(over, &[(now.0 - KEEP_MS).into(), REMOVED_AT_ONCE.into()])?;
    let insert = "INSERT OR REPLACE INTO _ferry_fn_idem(owner, idem_key, fn, args_hash, status, response, seq, created_at) \
                  VALUES (?1, ?2, ?3, ?4, 200, ?5, ?6, ?7)";
    let seq = i64::try_from(seq.0).unwrap_or(i64::MAX);
    let values = [
        key.owner.as_str().into(),
        key.key.as_str().into(),
        function.into(),
        key.args_hash.as_str().into(),
        text.into(),
        seq.into(),
        now.0.into(),
    ];
    sql.execute(insert, &values).map(drop)
}
