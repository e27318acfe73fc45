//! What the hub does to records on its own.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ferry_core::records::{
    RecordMaintenance as _, UnixNanos,
    intents::{self, Touched},
    maintenance,
};
use ferry_types::Code;

use super::{state::ChangedRecords, storage, watermark};

use crate::{database::Database, hub::Hub};
use ferry_control::Requester;

/// Under which name the hub itself writes.
const HUB_CLIENT: &str = "ferry-hub";

/// When records are looked at again whose time had come while the database was busy.
const COMPLETE_AGAIN_MS: i64 = 10_000;

/// Does what is due in every open database.
pub(super) async fn sweep(hub: &Arc<Hub>) {
    for database in hub.databases.all() {
        // Tables of an earlier program are brought up to date first.
        if let Err(error) = watermark::compare(hub, &database).await {
            tracing::warn!(database = %database.id(), %error, "records could not be looked at");
            continue;
        }
        maintain(hub, &database).await;
    }
}

/// Applies what SQL wrote to the views while nobody was there to apply it, purges and
/// forgets what is due, and gives up waiting for inserts, if the database holds records.
pub(super) async fn maintain(hub: &Arc<Hub>, database: &Arc<Database>) {
    if let Err(error) = run(hub, database).await {
        tracing::warn!(database = %database.id(), %error, "the maintenance of records failed; it is tried again");
    }
}

/// Sees to it that records whose insert does not come are delivered when it is time (REC-07). To be called when there are
/// such records: one task waits for all of a database.
pub(super) fn complete_in_time(hub: &Arc<Hub>, database: &Arc<Database>) {
    if database.models().records.awaits_ripening.swap(true, Ordering::AcqRel) {
        return;
    }
    let (waiting, database) = (Arc::clone(hub), Arc::clone(database));
    hub.tasks.spawn(async move {
        let mut wait_ms = waiting.config.records.incomplete_ms;
        loop {
            let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // What waits then is looked at when the database is next used.
                () = waiting.stopping.cancelled() => return,
            }
            // What is pushed from now on may be too young for this time, and begins a wait of its own.
            database.models().records.awaits_ripening.store(false, Ordering::Release);
            wait_ms = match complete_waiting(&waiting, &database).await {
                Ok(Some(left_ms)) => left_ms,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(database = %database.id(), %error, "records that wait for their insert wait longer");
                    if error.code() != Code::Unavailable {
                        return;
                    }
                    COMPLETE_AGAIN_MS
                }
            };
            if database.models().records.awaits_ripening.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    });
}

/// Delivers what has waited long enough. Returns after how many milliseconds there is more to do.
async fn complete_waiting(hub: &Hub, database: &Arc<Database>) -> ferry_types::Result<Option<i64>> {
    let (clock, incomplete_ms) = (Arc::clone(&hub.clock), hub.config.records.incomplete_ms);
    let by = Requester::hub();
    let committed = storage::commit(hub, database, &by, move |store, published| {
        let now: UnixNanos = clock.now().into();
        let due = now.plus_ms(-incomplete_ms);
        published.extend(publications(maintenance::complete_waiting(store, due, now)?));
        let oldest = store.oldest_incomplete()?;
        // Rounded up: a millisecond early would find nothing due.
        Ok(oldest.map(|since| (since.plus_ms(incomplete_ms).0 - now.0).max(0) / 1_000_000 + 1))
    });
    Ok(committed.await?.value)
}

async fn run(hub: &Arc<Hub>, database: &Arc<Database>) -> ferry_types::Result<()> {
    let has_tables = &database.models().records.has_tables;
    if !has_tables.load(Ordering::Acquire) {
        if storage::read(database, |_| Ok(())).await?.is_none() {
            return Ok(());
        }
        has_tables.store(true, Ordering::Release);
    }
    let (now, keep) = (hub.clock.now().into(), hub.config.records.keep);
    // Two requests: what SQL wrote may be refused.
    let by = Requester::hub();
    let drained = storage::commit(hub, database, &by, move |store, published| {
        published.extend(publications(intents::drain(store, now)?));
        Ok(())
    });
    let drained = drained.await;
    storage::commit(hub, database, &by, move |store, _| maintenance::run(store, now, keep)).await?;
    storage::make_views(database).await;
    if complete_waiting(hub, database).await?.is_some() {
        complete_in_time(hub, database);
    }
    drained.map(drop)
}

/// What subscribers must learn of collections that the hub itself changed.
fn publications(touched: Vec<Touched>) -> impl Iterator<Item = ChangedRecords> {
    touched.into_iter().map(|(owner, app, coll)| ChangedRecords {
        owner: owner.into(),
        app: app.into(),
        collections: vec![coll],
        client: HUB_CLIENT.into(),
    })
}
