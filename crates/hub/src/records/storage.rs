//! The way from a database to its records.

use std::sync::{Arc, atomic::Ordering};

use ferry_core::records::{
    Bounds, Note, restore,
    sqlite::{SqliteRecords, views},
    upkeep,
};
use ferry_sqlite::{NativeSql, Transaction, fault};
use ferry_types::{DatabaseKind, Model, Result, Seq};

use super::access::Entry;

use crate::{
    database::{Committed, Database, Effect},
    entry::FirstWrite,
    hub::Hub,
};
use ferry_control::Requester;

/// Bytes of randomness in an epoch.
const EPOCH_BYTES: usize = 12;

/// Reads records beside the writer, on one snapshot; `None` where there are none yet.
///
/// # Errors
/// What `work` or storage reports.
pub(super) async fn read<T, F>(database: &Arc<Database>, work: F) -> Result<Option<T>>
where
    T: Send + 'static,
    F: FnOnce(&NativeSql<'_>) -> ferry_sqlite::Result<T> + Send + 'static,
{
    let state = Arc::clone(&database.models().records);
    let is_known = state.has_tables.load(Ordering::Acquire);
    // Looking must not make a file.
    if !is_known && !tokio::fs::try_exists(database.dir().join("main.db")).await.unwrap_or(false) {
        return Ok(None);
    }
    database
        .read(move |connection| {
            let sql = NativeSql(connection);
            let snapshot = connection.unchecked_transaction()?;
            if !is_known && !SqliteRecords::exist(&sql)? {
                return Ok(None);
            }
            state.has_tables.store(true, Ordering::Release);
            let answer = work(&sql)?;
            snapshot.commit()?;
            Ok(Some(answer))
        })
        .await
}

/// What is read in pages.
pub(super) trait Cut {
    /// Whether there is more behind it.
    fn is_cut(&self) -> bool;
}

/// Reads a page: at once where a glance is enough, else as [`read`] does.
///
/// # Errors
/// What `work` or storage reports.
pub(super) async fn page<T, F>(database: &Arc<Database>, work: F) -> Result<Option<T>>
where
    T: Cut + Send + 'static,
    F: Fn(&NativeSql<'_>, Bounds) -> ferry_sqlite::Result<T> + Send + 'static,
{
    if database.models().records.has_tables.load(Ordering::Acquire) {
        let glance = database.read_inline(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let page = work(&NativeSql(connection), Bounds::GLANCE)?;
            snapshot.commit()?;
            Ok(page)
        });
        match glance {
            Some(Ok(page)) if !page.is_cut() => return Ok(Some(page)),
            Some(Err(error)) => return Err(error.into_refusal()),
            Some(Ok(_)) | None => {}
        }
    }
    read(database, move |sql| work(sql, Bounds::PAGE)).await
}

/// Writes records in the next group; the first write makes the tables and fixes the kind of the database.
///
/// # Errors
/// What `work` refuses, the actor or storage reports; nothing of the request is stored then.
pub(super) async fn write<T, F>(hub: &Hub, entry: &Entry, work: F) -> Result<Committed<T>>
where
    T: Send + 'static,
    F: FnOnce(&mut Transaction<'_, Effect>) -> ferry_sqlite::Result<T> + Send + 'static,
{
    let state = &entry.database.models().records;
    let is_known = state.has_tables.load(Ordering::Acquire);
    if is_known {
        return commit(hub, &entry.database, &entry.requester, work).await;
    }
    let first = FirstWrite::claim(hub, entry.database.id(), DatabaseKind::Hub, &entry.requester).await?;
    let (epoch, clock) = (new_epoch()?, Arc::clone(&hub.clock));
    entry.database.begins_with(Model::Records);
    let committed = entry.database.submit(&entry.requester, move |transaction| {
        let sql = NativeSql(transaction.connection());
        SqliteRecords::create(&sql)?;
        if upkeep::epoch(&sql)?.is_none() {
            upkeep::begin_epoch(&sql, &epoch, clock.now().into())?;
        }
        fault::point("records.created")?;
        let done = work(transaction)?;
        Ok((done, views::are_due(&NativeSql(transaction.connection()))?))
    });
    let committed = committed.await;
    match &committed {
        Ok(_) => state.has_tables.store(true, Ordering::Release),
        Err(_) => first.release().await,
    }
    Ok(with_views(&entry.database, committed?).await)
}

/// Writes records of a database that has their tables. The first commit after a start of the hub remembers that none was
/// made before it: a cursor of that time is one of a hub that was put back (REC-22).
///
/// # Errors
/// See [`write`].
pub(super) async fn commit<T, F>(
    hub: &Hub,
    database: &Arc<Database>,
    by: &Requester,
    work: F,
) -> Result<Committed<T>>
where
    T: Send + 'static,
    F: FnOnce(&mut Transaction<'_, Effect>) -> ferry_sqlite::Result<T> + Send + 'static,
{
    let state = &database.models().records;
    if state.remembers_down.load(Ordering::Acquire) {
        let committed = database.submit(by, move |transaction| {
            let done = work(transaction)?;
            Ok((done, views::are_due(&NativeSql(transaction.connection()))?))
        });
        return Ok(with_views(database, committed.await?).await);
    }
    let started = hub.started.into();
    let committed = database.submit(by, move |transaction| {
        let newest = restore::down_since(&NativeSql(transaction.connection()), started)?;
        let done = work(transaction)?;
        if let Some(newest) = newest {
            restore::remember_down(&NativeSql(transaction.connection()), started, newest)?;
        }
        let sql = NativeSql(transaction.connection());
        Ok((done, views::are_due(&sql)?, restore::down_since(&sql, started)?.is_none()))
    });
    let Committed { value: (value, are_due, is_remembered), seq } = committed.await?;
    if is_remembered {
        state.remembers_down.store(true, Ordering::Release);
    }
    Ok(with_views(database, Committed { value: (value, are_due), seq }).await)
}

/// Makes the views that a commit left to be made, before it is answered; its number is then that of the last of them.
async fn with_views<T>(database: &Arc<Database>, committed: Committed<(T, bool)>) -> Committed<T> {
    let Committed { value: (value, are_due), seq } = committed;
    let made = if are_due { make_views(database).await } else { None };
    Committed { value, seq: made.or(seq) }
}

/// Makes or removes the views that are due, a few at a time, so that others have their turn in between (REC-35). Returns the
/// number of the last commit.
pub(super) async fn make_views(database: &Arc<Database>) -> Option<Seq> {
    let (by, mut last) = (Requester::hub(), None);
    loop {
        let made = database.submit(&by, |transaction| views::make_due(&NativeSql(transaction.connection())));
        match made.await {
            Ok(Committed { value: has_more, seq }) => {
                last = seq.or(last);
                if !has_more {
                    return last;
                }
            }
            Err(error) => {
                tracing::warn!(database = %database.id(), %error, "views of collections are made later");
                return last;
            }
        }
    }
}

/// Remembers in the next group what a read found out about a device.
pub(super) fn note(hub: &Arc<Hub>, entry: &Entry, note: Option<Note>) {
    let Some(note) = note else { return };
    let (entry, owner) = (entry.clone(), Arc::clone(&entry.owner));
    // Nobody waits for it; a lost note only means that something is delivered twice.
    hub.tasks.spawn(async move {
        let stored = entry.database.submit(&entry.requester, move |transaction| {
            let sql = NativeSql(transaction.connection());
            note.store(&SqliteRecords::new(&sql), &owner)
        });
        if let Err(error) = stored.await {
            tracing::debug!(%error, "the note of a device was not stored");
        }
    });
}

/// A name that no epoch had before.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn new_epoch() -> Result<String> {
    let mut bytes = [0; EPOCH_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gave no random bytes");
        ferry_types::Error::internal()
    })?;
    Ok(hex::encode(bytes))
}
