//! The way from a database to its records.

use std::sync::{Arc, atomic::Ordering};

use ferry_core::records::{Note, PageBounds, RecordMaintenance as _, restore, sqlite::SqliteRecords};
use ferry_sqlite::{NativeSql, fault};
use ferry_types::{DatabaseKind, Model, Result, Seq};

use super::{
    entry::RecordsEntry,
    state::{ChangedRecords, RecordsEffect},
};

use crate::{
    database::{Committed, Database, Effect},
    entry::{FirstWrite, RequestContext},
    hub::Hub,
};
use ferry_control::Requester;

/// Bytes of randomness in an epoch.
const EPOCH_BYTES: usize = 12;

/// The records of a database, for as long as a transaction or a snapshot.
pub(super) type NativeRecords<'a> = SqliteRecords<'a, NativeSql<'a>>;

/// What a request changed, for its subscribers.
#[derive(Default)]
pub(super) struct Published(Vec<RecordsEffect>);

impl Published {
    /// Records changed.
    pub(super) fn push(&mut self, publication: ChangedRecords) {
        self.0.push(RecordsEffect::Changed(publication));
    }

    /// All records of this owner were removed.
    pub(super) fn owner_removed(&mut self, owner: Arc<str>) {
        self.0.push(RecordsEffect::OwnerRemoved(owner));
    }
}

impl Extend<ChangedRecords> for Published {
    fn extend<I: IntoIterator<Item = ChangedRecords>>(&mut self, publications: I) {
        self.0.extend(publications.into_iter().map(RecordsEffect::Changed));
    }
}

/// Reads records beside the writer, on one snapshot; `None` where there are none yet.
///
/// # Errors
/// What `work` or storage reports.
pub(super) async fn read<T, F>(database: &Arc<Database>, work: F) -> Result<Option<T>>
where
    T: Send + 'static,
    F: FnOnce(&NativeRecords<'_>) -> ferry_sqlite::Result<T> + Send + 'static,
{
    let state = Arc::clone(&database.models().records);
    let is_known = state.has_tables.load(Ordering::Acquire);
    if !is_known && !database.has_file().await {
        return Ok(None);
    }
    database
        .read(move |sql| {
            let store = SqliteRecords::new(sql);
            if !is_known && !store.exists()? {
                return Ok(None);
            }
            state.has_tables.store(true, Ordering::Release);
            work(&store).map(Some)
        })
        .await
}

/// The newest commit of a database with records.
///
/// # Errors
/// What storage reports.
pub(super) async fn seq(database: &Arc<Database>) -> Result<Option<Seq>> {
    read(database, |store| {
        let seq = store.seq()?;
        Ok(seq)
    })
    .await
}

/// What is read in pages.
pub(super) trait Cut {
    /// Whether there is more behind it.
    fn is_cut(&self) -> bool;
}

/// How much a page may have of `most`: little for somebody who takes nothing of what he asked for.
pub(super) fn page_bounds(hub: &Hub, context: &RequestContext, most: PageBounds) -> PageBounds {
    if context.page_max(hub, most.bytes) < most.bytes { PageBounds::INLINE } else { most }
}

/// Reads a page of at most so much: inline where a short one is enough, else as [`read`] does.
///
/// # Errors
/// What `work` or storage reports.
pub(super) async fn page<T, F>(database: &Arc<Database>, most: PageBounds, work: F) -> Result<Option<T>>
where
    T: Cut + Send + 'static,
    F: Fn(&NativeRecords<'_>, PageBounds) -> ferry_sqlite::Result<T> + Send + 'static,
{
    if database.models().records.has_tables.load(Ordering::Acquire) {
        let inline = database.read_inline(|sql| work(&SqliteRecords::new(sql), PageBounds::INLINE));
        match inline {
            Some(Ok(page)) if !page.is_cut() => return Ok(Some(page)),
            Some(Err(error)) => return Err(error.into_refusal()),
            Some(Ok(_)) | None => {}
        }
    }
    read(database, move |store| work(store, most)).await
}

/// Writes records in the next group; the first write makes the tables and fixes the kind of the database.
///
/// # Errors
/// What `work` refuses, the actor or storage reports; nothing of the request is stored then.
pub(super) async fn write<T, F>(hub: &Hub, entry: &RecordsEntry, work: F) -> Result<Committed<T>>
where
    T: Send + 'static,
    F: FnOnce(&NativeRecords<'_>, &mut Published) -> ferry_sqlite::Result<T> + Send + 'static,
{
    let state = &entry.context.database.models().records;
    let is_known = state.has_tables.load(Ordering::Acquire);
    if is_known {
        return commit(hub, &entry.context.database, &entry.context.requester, work).await;
    }
    let first =
        FirstWrite::claim(hub, entry.context.database.id(), DatabaseKind::Hub, &entry.context.requester)
            .await?;
    let epoch = new_epoch()?;
    entry.context.database.begins_with(Model::Records);
    let committed = submit(&entry.context.database, &entry.context.requester, move |store, published| {
        store.make_tables()?;
        if store.epoch()?.is_none() {
            store.set_epoch(&epoch)?;
        }
        fault::point("records.created")?;
        work(store, published)
    });
    let committed = committed.await;
    match &committed {
        Ok(_) => state.has_tables.store(true, Ordering::Release),
        Err(_) => first.release().await,
    }
    committed
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
    F: FnOnce(&NativeRecords<'_>, &mut Published) -> ferry_sqlite::Result<T> + Send + 'static,
{
    let state = &database.models().records;
    if state.remembers_down.load(Ordering::Acquire) {
        return submit(database, by, work).await;
    }
    let started = hub.started.into();
    let committed = submit(database, by, move |store, published| {
        restore::remembering_down(store, started, || work(store, published))
    });
    let Committed { value: (value, is_remembered), seq } = committed.await?;
    if is_remembered {
        state.remembers_down.store(true, Ordering::Release);
    }
    Ok(Committed { value, seq })
}

/// Runs `work` in the next group. Views that it leaves to be made are made before it is answered; its number is then that of
/// the last of them.
///
/// # Errors
/// See [`write`].
pub(super) async fn submit<T, F>(database: &Arc<Database>, by: &Requester, work: F) -> Result<Committed<T>>
where
    T: Send + 'static,
    F: FnOnce(&NativeRecords<'_>, &mut Published) -> ferry_sqlite::Result<T> + Send + 'static,
{
    let committed = database.submit(by, move |transaction| {
        let mut published = Published::default();
        let (done, left_views) = {
            let sql = transaction.sql();
            let store = SqliteRecords::new(&sql);
            (work(&store, &mut published)?, store.left_views())
        };
        published.0.into_iter().for_each(|effect| transaction.effect(Effect::Records(effect)));
        Ok((done, left_views))
    });
    let Committed { value: (value, left_views), seq } = committed.await?;
    let made = if left_views { make_views(database).await } else { None };
    Ok(Committed { value, seq: made.or(seq) })
}

/// Makes or removes the views that are due, a few at a time, so that others have their turn in between (REC-35). Returns the
/// number of the last commit.
pub(super) async fn make_views(database: &Arc<Database>) -> Option<Seq> {
    let (by, mut last) = (Requester::hub(), None);
    loop {
        let made = database.submit(&by, |transaction| SqliteRecords::new(&transaction.sql()).make_views());
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
pub(super) fn note(hub: &Arc<Hub>, entry: &RecordsEntry, note: Option<Note>) {
    let Some(note) = note else { return };
    let (entry, owner) = (entry.clone(), Arc::clone(&entry.owner));
    // Nobody waits for it; a lost note only means that something is delivered twice.
    hub.tasks.spawn(async move {
        let stored = submit(&entry.context.database, &entry.context.requester, move |store, _| {
            note.store(store, &owner)
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
