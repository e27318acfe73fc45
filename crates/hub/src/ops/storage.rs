//! The way from a database to its log.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use ferry_core::ops::{
    OpsEffect,
    meta::{self, LogMeta},
    schema,
};
use ferry_protocol::ops::EpochPolicy;
use ferry_sqlite::{NativeSql, Transaction, fault};
use ferry_types::{DatabaseKind, Error, Model, OpSeq, Reason, Result, Seq, UnixMillis};

use super::{
    log::LogIdentity,
    state::{OpsPublication, OpsState},
};
use crate::{
    database::{Committed, Database, Effect},
    entry::FirstWrite,
    hub::Hub,
};
use ferry_control::Requester;

/// Bytes of randomness in a log's `hub_id`.
const HUB_ID_BYTES: usize = 16;
/// Bytes of randomness in an epoch.
const EPOCH_BYTES: usize = 8;

/// Reads the log beside the writer, on one snapshot; `None` where there is none yet.
///
/// # Errors
/// What `work` or storage reports.
pub(super) async fn read<T, F>(database: &Arc<Database>, work: F) -> Result<Option<T>>
where
    T: Send + 'static,
    F: FnOnce(&NativeSql<'_>) -> ferry_sqlite::Result<T> + Send + 'static,
{
    let state = Arc::clone(&database.models().ops);
    let is_known = state.has_log.load(Ordering::Acquire);
    if !is_known && !database.has_file().await {
        return Ok(None);
    }
    database
        .read(move |sql| {
            if !is_known && (!schema::exists(sql)? || meta::read(sql)?.is_none()) {
                return Ok(None);
            }
            state.has_log.store(true, Ordering::Release);
            work(sql).map(Some)
        })
        .await
}

/// Reads a little of the log on the caller's own thread, if that is possible.
pub(super) fn read_inline<T>(
    database: &Database,
    work: impl FnOnce(&NativeSql<'_>) -> ferry_sqlite::Result<T>,
) -> Option<ferry_sqlite::Result<T>> {
    if !database.models().ops.has_log.load(Ordering::Acquire) {
        return None;
    }
    database.read_inline(work)
}

/// What a request makes of its part of a commit.
pub(super) enum LogOutcome<T> {
    /// It stays.
    Keep(T),
    /// Nothing of it is stored; this is what it would have come to.
    Undo(T),
}

/// What a request writes with.
pub(super) struct LogWriter<'a> {
    pub(super) sql: NativeSql<'a>,
    /// The log as it stood before.
    pub(super) log: LogMeta,
    /// Whether this request makes it.
    pub(super) is_new: bool,
    /// The number that the request takes if it changes anything.
    pub(super) commit: Seq,
    published: Vec<OpsPublication>,
}

impl LogWriter<'_> {
    /// Tells followers what was stored.
    pub(super) fn stored(&mut self, effect: Option<OpsEffect>) {
        self.published.extend(effect.map(OpsPublication::Stored));
    }

    /// Tells them that the log goes on under another epoch.
    pub(super) fn begun(&mut self, log: &LogMeta) {
        self.published.push(begun(log));
    }
}

fn begun(log: &LogMeta) -> OpsPublication {
    let (hub_id, epoch) = (log.hub_id.as_str().into(), log.epoch.as_str().into());
    OpsPublication::Begun { hub_id, epoch, head: log.head }
}

/// Writes into the log in the next group; the first write makes it and fixes the kind of the database.
///
/// # Errors
/// What `work` refuses, the actor or storage reports; nothing of the request is stored then.
pub(super) async fn write<T, F>(
    hub: &Hub,
    database: &Arc<Database>,
    by: &Requester,
    work: F,
) -> Result<Committed<T>>
where
    T: Send + 'static,
    F: FnOnce(&mut LogWriter<'_>) -> ferry_sqlite::Result<LogOutcome<T>> + Send + 'static,
{
    let state = &database.models().ops;
    if state.has_log.load(Ordering::Acquire) {
        return submit(database, by, None, work).await;
    }
    let first = FirstWrite::claim(hub, database.id(), DatabaseKind::Hub, by).await?;
    let begin = (next_identity(state)?, hub.clock.now());
    database.begins_with(Model::Ops);
    let is_kept = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&is_kept);
    let committed = submit(database, by, Some(begin), move |writer| {
        let outcome = work(writer)?;
        noted.store(matches!(outcome, LogOutcome::Keep(_)), Ordering::Release);
        Ok(outcome)
    });
    let committed = committed.await;
    match &committed {
        Ok(_) if is_kept.load(Ordering::Acquire) => state.has_log.store(true, Ordering::Release),
        _ => first.release().await,
    }
    committed
}

/// Writes into a log that is there; `None` where there is none.
///
/// # Errors
/// See [`write`].
pub(super) async fn write_existing<T, F>(
    database: &Arc<Database>,
    by: &Requester,
    work: F,
) -> Result<Option<Committed<T>>>
where
    T: Send + 'static,
    F: FnOnce(&mut LogWriter<'_>) -> ferry_sqlite::Result<LogOutcome<T>> + Send + 'static,
{
    if !database.models().ops.has_log.load(Ordering::Acquire) && read(database, |_| Ok(())).await?.is_none() {
        return Ok(None);
    }
    submit(database, by, None, work).await.map(Some)
}

/// What the log will be called that the first write of this database makes: what is answered before is true afterwards,
/// unless the hub starts anew in between, when nothing was acknowledged under that name.
pub(super) fn next_identity(state: &OpsState) -> Result<LogIdentity> {
    let mut next = state.next_identity.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(identity) = &*next {
        return Ok(identity.clone());
    }
    let drawn = LogIdentity { hub_id: random_hex(HUB_ID_BYTES)?, epoch: random_hex(EPOCH_BYTES)? };
    Ok(next.insert(drawn).clone())
}

/// The log of a database that has none yet.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn log_to_come(database: &Database) -> Result<LogMeta> {
    let LogIdentity { hub_id, epoch } = next_identity(&database.models().ops)?;
    Ok(LogMeta {
        hub_id,
        epoch,
        policy: EpochPolicy::Repush.as_str().to_owned(),
        head: OpSeq(0),
        floor: OpSeq(0),
        purge_hlc: None,
    })
}

/// The log that is known to be there.
///
/// # Errors
/// When its identity is gone, or cannot be read.
pub(super) fn log_of(sql: &NativeSql<'_>) -> ferry_sqlite::Result<LogMeta> {
    let gone = || ferry_sqlite::Error::Damaged("the log of ops has lost its identity".to_owned());
    meta::read(sql)?.ok_or_else(gone)
}

async fn submit<T, F>(
    database: &Arc<Database>,
    by: &Requester,
    begin: Option<(LogIdentity, UnixMillis)>,
    work: F,
) -> Result<Committed<T>>
where
    T: Send + 'static,
    F: FnOnce(&mut LogWriter<'_>) -> ferry_sqlite::Result<LogOutcome<T>> + Send + 'static,
{
    // What is not stored must still be told: an error rolls back, and carries no answer.
    let undone: Arc<Mutex<Option<T>>> = Arc::default();
    let told = Arc::clone(&undone);
    let committed = database.submit(by, move |transaction| match write_in(transaction, begin, work)? {
        LogOutcome::Keep(value) => Ok(value),
        LogOutcome::Undo(value) => {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Err(Error::new(Reason::FailedPrecondition, "nothing of it is stored").into())
        }
    });
    let committed = committed.await;
    match undone.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(value) => Ok(Committed { value, seq: None }),
        None => committed,
    }
}

/// Writes into the log in the request that `transaction` is of. What is not to be kept is the caller's to roll back.
///
/// # Errors
/// What `work` refuses or storage reports.
pub(super) fn write_in<T>(
    transaction: &mut Transaction<'_, Effect>,
    begin: Option<(LogIdentity, UnixMillis)>,
    work: impl FnOnce(&mut LogWriter<'_>) -> ferry_sqlite::Result<LogOutcome<T>>,
) -> ferry_sqlite::Result<LogOutcome<T>> {
    let (sql, commit) = (transaction.sql(), transaction.seq());
    let (log, is_new) = log(&sql, begin)?;
    let mut writer = LogWriter { sql, log, is_new, commit, published: Vec::new() };
    if is_new {
        writer.published.push(begun(&writer.log));
        fault::point("ops.created")?;
    }
    let outcome = work(&mut writer)?;
    if matches!(outcome, LogOutcome::Keep(_)) {
        writer.published.into_iter().for_each(|effect| transaction.effect(Effect::Ops(effect)));
    }
    Ok(outcome)
}

/// The log, made with the identity `begin` if there is none; and whether it was.
fn log(
    sql: &NativeSql<'_>,
    begin: Option<(LogIdentity, UnixMillis)>,
) -> ferry_sqlite::Result<(LogMeta, bool)> {
    let Some((LogIdentity { hub_id, epoch }, now)) = begin else { return Ok((log_of(sql)?, false)) };
    schema::create(sql)?;
    // Another request may have been first.
    if let Some(log) = meta::read(sql)? {
        return Ok((log, false));
    }
    meta::begin(sql, &hub_id, &epoch)?;
    // There is nothing to compact.
    meta::set_compacted(sql, now)?;
    let made = meta::read(sql)?.ok_or_else(|| ferry_sqlite::Error::Damaged("a new log of ops".to_owned()))?;
    Ok((made, true))
}

/// A name that no epoch had before.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn new_epoch() -> Result<String> {
    random_hex(EPOCH_BYTES)
}

fn random_hex(bytes: usize) -> Result<String> {
    let mut random = [0; HUB_ID_BYTES];
    let random = &mut random[..bytes];
    getrandom::fill(random).map_err(|error| {
        tracing::error!(%error, "the operating system gave no random bytes");
        Error::internal()
    })?;
    Ok(hex::encode(random))
}
