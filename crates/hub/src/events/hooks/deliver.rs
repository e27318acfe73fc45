//! Telling `onPushed` of every commit: at least once, in the order of the log, from a position that is kept beside
//! it (EVT-58). A task per store that has something to tell, which nobody waits for.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use ferry_core::events::{
    StoreState,
    hook_position::{self, HookPosition},
    log::each_event,
    store,
};
use ferry_protocol::events::{Hook, pushed_body, write_committed};
use ferry_sqlite::NativeSql;
use ferry_types::{Clock, DatabaseKind, Result, UnixMillis};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{HookDown, Hooks, Signed, seconds};

use crate::{
    database::Database,
    events::{open_store, store::Store},
    hub::Hub,
};
use ferry_control::Requester;

/// Events of one delivery.
const EVENTS_MAX: u32 = 100;
/// Bytes of one delivery; a larger event goes alone.
const BYTES_MAX: usize = 900_000;
const HOOK: &str = Hook::OnPushed.as_str();
/// Bytes of a delivery's digest that stand in its id.
const ID_DIGEST_BYTES: usize = 16;
/// Pause after a failure of storage.
const STORAGE_PAUSE: Duration = Duration::from_secs(5);

/// What is to be told next.
struct Batch {
    backend_id: Box<str>,
    events: String,
    first: i64,
    last: i64,
    at: HookPosition,
}

/// What a store's deliveries need.
struct Deliverer {
    hooks: Arc<Hooks>,
    clock: Arc<dyn Clock>,
    database: Arc<Database>,
    store: Arc<Store>,
}

/// Begins to deliver what `store` holds and the hook, if one is configured, was not told: at its opening, and behind each
/// append.
pub(in crate::events) fn deliver(hub: &Hub, database: &Arc<Database>, store: &Arc<Store>) {
    if !hub.services.events.hooks.has(Hook::OnPushed) || !store.take_delivery() {
        return;
    }
    let deliverer = Deliverer {
        hooks: Arc::clone(&hub.services.events.hooks),
        clock: Arc::clone(&hub.clock),
        database: Arc::clone(database),
        store: Arc::clone(store),
    };
    let (stopping, closed) = (hub.stopping.clone(), database.closed().clone());
    hub.tasks.spawn(async move {
        tokio::select! {
            () = deliverer.run() => {}
            () = stopping.cancelled() => {}
            () = closed.cancelled() => {}
        }
    });
}

/// Opens every store of the hub, one after another, so that what was not told before a restart is told now.
pub(crate) async fn deliver_all(hub: &Arc<Hub>) {
    if !hub.services.events.hooks.has(Hook::OnPushed) {
        return;
    }
    for id in hub.control.databases_of_kind(DatabaseKind::Hub) {
        if hub.stopping.is_cancelled() {
            return;
        }
        let Ok(database) = hub.databases.get(id) else { return };
        match database.read(|sql| store::list(sql)).await {
            Ok(rows) => {
                for row in rows.into_iter().filter(|row| row.state != StoreState::Deleted) {
                    if let Err(error) = open_store(hub, &database, &row.key.id, None).await {
                        tracing::warn!(database = %id, %error, "an event store cannot be opened");
                    }
                }
            }
            // A database that nobody ever wrote has no file.
            Err(error) => tracing::debug!(database = %id, %error, "no event stores to deliver from"),
        }
    }
}

impl Deliverer {
    /// Delivers until everything is told; whoever appends begins it again.
    async fn run(&self) {
        loop {
            match self.next().await {
                Ok(Some(batch)) => self.tell(batch).await,
                Ok(None) => {
                    self.store.leave_delivery();
                    // What was appended meanwhile began nothing, since this one was there.
                    let is_over = matches!(self.next().await, Ok(None)) || !self.store.take_delivery();
                    if is_over {
                        return;
                    }
                }
                Err(error) => {
                    let database = self.database.id();
                    tracing::warn!(%database, %error, "what onPushed is to be told cannot be read");
                    tokio::time::sleep(STORAGE_PAUSE).await;
                }
            }
        }
    }

    /// The events behind the position, as one snapshot shows them.
    async fn next(&self) -> Result<Option<Batch>> {
        if self.store.state() != StoreState::Ok {
            return Ok(None);
        }
        let store = Arc::clone(&self.store);
        self.database.read(move |sql| read(sql, &store)).await
    }

    /// Tells a batch once, and writes down what came of it.
    async fn tell(&self, batch: Batch) {
        let Some(url) = self.hooks.url(Hook::OnPushed) else { return };
        let began = Instant::now();
        let database = self.database.id().to_string();
        let body = pushed_body(&database, self.store.id(), &batch.backend_id, &batch.events);
        let id = delivery_id(&database, (batch.first, batch.last), &body);
        let unix = self.clock.now().as_secs();
        let told = self.hooks.post(Signed { hook: Hook::OnPushed, url, id: &id, body, unix }).await;
        let (at, word) = match told {
            Ok(_) => (HookPosition { position: batch.last, tries: 0 }, "accept"),
            Err(HookDown) => (HookPosition { tries: batch.at.tries + 1, ..batch.at }, "unavailable"),
        };
        seconds(Hook::OnPushed, word, began.elapsed());
        let pause_ms = if at.tries > 0 { at.backoff_ms() } else { 0 };
        self.save(batch.backend_id, at, pause_ms).await;
        tokio::time::sleep(Duration::from_millis(u64::try_from(pause_ms).unwrap_or(0))).await;
    }

    async fn save(&self, backend_id: Box<str>, at: HookPosition, pause_ms: i64) {
        let (store, now) = (Arc::clone(&self.store), self.clock.now());
        let saved = self
            .database
            .submit(&Requester::hub(), move |transaction| {
                let next_at = (pause_ms > 0).then(|| UnixMillis(now.0 + pause_ms).to_string());
                let sql = transaction.sql();
                hook_position::save(&sql, HOOK, (store.id(), &backend_id), &at, next_at.as_deref())
            })
            .await;
        if let Err(error) = saved {
            tracing::warn!(database = %self.database.id(), %error, "the position of onPushed cannot be saved");
            tokio::time::sleep(STORAGE_PAUSE).await;
        }
    }
}

/// The same events have the same id each time, by which a receiver knows them again; other events have another one,
/// though they stand at the same place of a log that was moved, or put back and gone on with.
fn delivery_id(database: &str, (first, last): (i64, i64), body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    format!("{database}-{first}-{last}-{}", hex::encode(&digest[..ID_DIGEST_BYTES]))
}

fn read(sql: &NativeSql<'_>, store: &Store) -> ferry_sqlite::Result<Option<Batch>> {
    let Some(row) = store::find(sql, store.id())? else { return Ok(None) };
    let at = hook_position::find(sql, HOOK, store.id())?;
    if row.state != StoreState::Ok || at.position >= row.head {
        return Ok(None);
    }
    let (mut events, mut first, mut last) = (String::new(), at.position, at.position);
    each_event(sql, &row.key, (at.position, row.head), EVENTS_MAX, &mut |event, seq| {
        let len = events.len();
        if len > 0 {
            events.push(',');
        } else {
            first = event.seq_num;
        }
        write_committed(&mut events, event, u64::try_from(seq).unwrap_or(0));
        if events.len() > BYTES_MAX && len > 0 {
            events.truncate(len);
            return Ok(ControlFlow::Break(()));
        }
        last = event.seq_num;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((!events.is_empty()).then_some(Batch { backend_id: row.backend_id, events, first, last, at }))
}
