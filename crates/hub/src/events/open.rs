//! Opening a store: it is found in the database's file, checked against what the hub remembers of it, or made.

use std::{path::Path, sync::Arc};

use base64::Engine as _;
use ferry_core::events::{
    LogTable, OnRollback, StoreRow, StoreState, Watermark, ahead,
    identity::{self, Change, Opened},
    store,
};
use ferry_sqlite::NativeSql;
use ferry_types::{DatabaseKind, Error, Model, Reason, Result};

use super::{hooks, store::Store};

use crate::{
    database::Database,
    entry::{FirstWrite, check_kind},
    hub::Hub,
};
use ferry_control::Requester;

/// Bytes of randomness in an identity; 22 characters (EVT-40).
const BACKEND_ID_BYTES: usize = 16;

/// The store `store_id` of `database`, opened if need be; one that does not exist is made for `maker`, if there is one.
///
/// # Errors
/// `NOT_FOUND`; `WRONG_KIND` for a pushed file; a failure of storage.
pub async fn open_store(
    hub: &Hub,
    database: &Arc<Database>,
    store_id: &str,
    maker: Option<&Requester>,
) -> Result<Arc<Store>> {
    let state = &database.models().events;
    if let Some(store) = state.get(store_id) {
        return served(store);
    }
    let _alone = state.opening.lock().await;
    if let Some(store) = state.get(store_id) {
        return served(store);
    }
    // A file that has been pushed since the way in must not be opened by the hub's writer.
    check_kind(hub, database.id(), DatabaseKind::Hub)?;
    // Looking must not make a file.
    if maker.is_none() && !exists(database.dir()).await {
        return Err(not_found());
    }
    let first = match maker {
        Some(maker) => Some(FirstWrite::claim(hub, database.id(), DatabaseKind::Hub, maker).await?),
        None => None,
    };
    let opened = open(hub, database, store_id, maker).await;
    if opened.is_err()
        && let Some(first) = first
    {
        first.release().await;
    }
    opened.and_then(served)
}

fn served(store: Arc<Store>) -> Result<Arc<Store>> {
    if store.state() == StoreState::Deleted { Err(not_found()) } else { Ok(store) }
}

fn not_found() -> Error {
    Error::new(Reason::NotFound, "store not found")
}

async fn exists(dir: &Path) -> bool {
    tokio::fs::try_exists(dir.join("main.db")).await.unwrap_or(false)
}

async fn open(
    hub: &Hub,
    database: &Arc<Database>,
    store_id: &str,
    maker: Option<&Requester>,
) -> Result<Arc<Store>> {
    let watermark = hub.control.watermarks.get(database.id(), Model::Events, store_id).await?;
    let find = Find {
        store_id: store_id.into(),
        new_id: new_backend_id()?,
        watermark,
        on_rollback: hub.config.events.on_rollback,
        may_create: maker.is_some(),
    };
    // Opening what is there gives nobody anything.
    let by = maker.map_or_else(Requester::hub, Requester::clone);
    let (state, clock) = (Arc::clone(&database.models().events), Arc::clone(&hub.clock));
    database.begins_with(Model::Events);
    let submitted = database.submit(&by, move |transaction| {
        let now = clock.now().to_string();
        let found = find.run(&NativeSql(transaction.connection()), &now)?;
        let Some((row, opened)) = found else { return Ok(None) };
        let store = Store::new(&row);
        if ahead::lowest(&NativeSql(transaction.connection()), &row.store_id)?.is_some() {
            store.set_suspect();
        }
        state.arrive(&Arc::new(store));
        Ok(Some((row, opened)))
    });
    let submitted = submitted.await;
    let arrived = database.models().events.arrived(submitted.is_ok());
    let Some((row, opened)) = submitted?.value else { return Err(not_found()) };
    report(database, &row, opened);
    let store = arrived.ok_or_else(Error::internal)?;
    hooks::deliver(hub, database, &store);
    Ok(store)
}

/// What to look for, inside the writer.
struct Find {
    store_id: Box<str>,
    new_id: String,
    watermark: Option<Watermark>,
    on_rollback: OnRollback,
    may_create: bool,
}

impl Find {
    fn run(&self, sql: &NativeSql<'_>, now: &str) -> ferry_sqlite::Result<Option<(StoreRow, Opened)>> {
        let watermark = self.watermark.as_ref();
        if let Some(mut row) = store::find(sql, &self.store_id)? {
            let change = Change {
                new_id: &self.new_id,
                actor: "hub",
                reason: "the file is older than what was acknowledged",
                at: now,
            };
            let table = LogTable::of(&self.store_id);
            let opened = identity::check(sql, &mut row, &table, watermark, self.on_rollback, &change)?;
            return Ok(Some((row, opened)));
        }
        if !self.may_create {
            return Ok(None);
        }
        // The hub remembers a store that the file does not have: the file is older than the store.
        let lost = watermark.is_some() && self.on_rollback == OnRollback::Hold;
        let (state, opened) =
            if lost { (StoreState::Hold, Opened::Held) } else { (StoreState::Ok, Opened::Sound) };
        let row = store::create(sql, &self.store_id, &self.new_id, state, now)?;
        Ok(Some((row, opened)))
    }
}

fn report(database: &Database, row: &StoreRow, opened: Opened) {
    let database = database.id();
    match opened {
        Opened::Sound => {}
        Opened::Held => {
            metrics::counter!("ferry_events_holds_total").increment(1);
            tracing::error!(
                %database,
                head = row.head,
                "an event store is on hold: its file is older than what was acknowledged; remint or resume it"
            );
        }
        Opened::Reminted => {
            tracing::warn!(%database, head = row.head, "an event store of an older file has a new identity");
        }
    }
}

/// A new identity: 22 URL-safe random characters.
///
/// # Errors
/// When the operating system has no randomness.
pub fn new_backend_id() -> Result<String> {
    let mut bytes = [0; BACKEND_ID_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gave no random bytes");
        Error::internal()
    })?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}
