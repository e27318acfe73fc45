//! Telling `onPushed` of every commit: at least once, in the order of the log, from a position that is kept beside
//! it (EVT-58). A task per store that has something to tell, which nobody waits for.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use ferry_core::events::{
    StoreState,
    hook_position::{self, HookPosition},
    log::each_event,
    store,
};
use ferry_protocol::events::{Hook, Verdict, pushed_body, write_committed};
use ferry_sqlite::NativeSql;
use ferry_types::{DatabaseKind, Result, UnixMillis};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{Asking, FunctionHook, HookDown, Signed, Told, may_have, seconds};

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
    hub: Arc<Hub>,
    database: Arc<Database>,
    store: Arc<Store>,
    told: Told,
}

/// Begins to deliver what `store` holds and a hook, if there is one, was not told: at its opening, and behind each append.
pub(crate) fn deliver(hub: &Arc<Hub>, database: &Arc<Database>, store: &Arc<Store>) {
    if hub.services.events.hooks.is_configured(Hook::OnPushed) {
        begin(hub, database, store, Told::Program);
    }
    if may_have(database, FunctionHook::OnPushed) {
        begin(hub, database, store, Told::Function);
    }
}

fn begin(hub: &Arc<Hub>, database: &Arc<Database>, store: &Arc<Store>, told: Told) {
    if !store.take_delivery(told) {
        return;
    }
    let (database, store) = (Arc::clone(database), Arc::clone(store));
    let (stopping, closed) = (hub.stopping.clone(), database.closed().clone());
    let deliverer = Deliverer { hub: Arc::clone(hub), database, store, told };
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
    if !hub.services.events.hooks.is_configured(Hook::OnPushed) {
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
        let (told, by) = (self.told, Requester::hub());
        let is_there = match told {
            Told::Program => true,
            Told::Function => self.asking(&by).has(FunctionHook::OnPushed).await,
        };
        if !is_there {
            self.store.leave_delivery(told);
            return;
        }
        loop {
            match self.next().await {
                Ok(Some(batch)) => self.tell(batch).await,
                Ok(None) => {
                    self.store.leave_delivery(told);
                    // What was appended meanwhile began nothing, since this one was there.
                    let is_over = matches!(self.next().await, Ok(None)) || !self.store.take_delivery(told);
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

    const fn asking<'a>(&'a self, by: &'a Requester) -> Asking<'a> {
        Asking { hub: &self.hub, database: &self.database, by }
    }

    /// The events behind the position, as one snapshot shows them.
    async fn next(&self) -> Result<Option<Batch>> {
        if self.store.state() != StoreState::Ok {
            return Ok(None);
        }
        let (store, told) = (Arc::clone(&self.store), self.told);
        self.database.read(move |sql| read(sql, &store, told)).await
    }

    /// Tells a batch once, and writes down what came of it.
    async fn tell(&self, batch: Batch) {
        let redeployed = self.database.models().functions.deployed_anew();
        let database = self.database.id().to_string();
        let body = pushed_body(&database, self.store.id(), &batch.backend_id, &batch.events);
        let (at, pause_ms) = match self.call(&database, &batch, body).await {
            true => (HookPosition { position: batch.last, tries: 0 }, 0),
            false => {
                let at = HookPosition { tries: batch.at.tries + 1, ..batch.at };
                let pause_ms = at.backoff_ms();
                (at, pause_ms)
            }
        };
        self.save(batch.backend_id, at, pause_ms).await;
        if pause_ms > 0 {
            let pause = Duration::from_millis(u64::try_from(pause_ms).unwrap_or(0));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Other functions may take what those did not.
                () = redeployed => {}
            }
        }
    }

    /// Whether it was taken.
    async fn call(&self, database: &str, batch: &Batch, body: String) -> bool {
        match self.told {
            Told::Function => {
                match self.asking(&Requester::hub()).function(Hook::OnPushed, &body).await {
                    // Without the function there is nobody to tell.
                    None | Some(Ok(Verdict::Accept(_))) => true,
                    Some(Ok(Verdict::Reject(message))) => {
                        tracing::warn!(%database, message, "onPushed threw: it is called again later");
                        false
                    }
                    Some(Err(HookDown)) => false,
                }
            }
            Told::Program => {
                let hooks = &self.hub.services.events.hooks;
                let Some(url) = hooks.url(Hook::OnPushed) else { return true };
                let began = Instant::now();
                let id = delivery_id(database, (batch.first, batch.last), &body);
                let unix = self.hub.clock.now().as_secs();
                let told = hooks.post(Signed { hook: Hook::OnPushed, url, id: &id, body, unix }).await;
                let word = if told.is_ok() { "accept" } else { "unavailable" };
                seconds(Hook::OnPushed, word, began.elapsed());
                told.is_ok()
            }
        }
    }

    async fn save(&self, backend_id: Box<str>, at: HookPosition, pause_ms: i64) {
        let (store, told, now) = (Arc::clone(&self.store), self.told, self.hub.clock.now());
        let saved = self
            .database
            .submit(&Requester::hub(), move |transaction| {
                let next_at = (pause_ms > 0).then(|| UnixMillis(now.0 + pause_ms).to_string());
                let sql = transaction.sql();
                hook_position::save(&sql, told.as_str(), (store.id(), &backend_id), &at, next_at.as_deref())
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

fn read(sql: &NativeSql<'_>, store: &Store, told: Told) -> ferry_sqlite::Result<Option<Batch>> {
    let Some(row) = store::find(sql, store.id())? else { return Ok(None) };
    let at = hook_position::find(sql, told.as_str(), store.id())?;
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
