//! Opening a store: it is found in the database's file, checked against what the hub remembers of it, or made.

use std::sync::Arc;

use base64::Engine as _;
use ferry_core::events::{
    OnRollback, StoreKey, StoreRow, StoreState, Watermark, ahead, first_layout,
    identity::{self, IdentityChange, Opened},
    maintenance, store,
};
use ferry_sqlite::NativeSql;
use ferry_types::{DatabaseKind, Error, Model, Reason, Result};

use super::{Publication, hooks, maintenance::maintain, store::Store};

use crate::{
    database::{Database, Effect},
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
    hub: &Arc<Hub>,
    database: &Arc<Database>,
    store_id: &str,
    maker: Option<&Requester>,
) -> Result<Arc<Store>> {
    let state = &database.models().events;
    if let Some(store) = state.get(store_id) {
        return served(store);
    }
    let opening = state.opening(store_id);
    let _alone = opening.lock().await;
    if let Some(store) = state.get(store_id) {
        return served(store);
    }
    // A file that has been pushed since the way in must not be opened by the hub's writer.
    check_kind(hub, database.id(), DatabaseKind::Hub)?;
    let watermark = hub.control.watermarks.get(database.id(), Model::Events, store_id).await?;
    let found = look(database, store_id, watermark.clone()).await?;
    if let Some(Found { row, is_suspect, is_sound: true }) = found {
        report(database, &row, if row.state == StoreState::Hold { Opened::Held } else { Opened::Sound });
        let store = state.insert(Store::new(&row, is_suspect, watermark));
        begin(hub, database, &store);
        return served(store);
    }
    // Looking must not make a file.
    if maker.is_none() && found.is_none() {
        return Err(not_found());
    }
    let first = match maker {
        Some(maker) => Some(FirstWrite::claim(hub, database.id(), DatabaseKind::Hub, maker).await?),
        None => None,
    };
    let opened = open(hub, database, (store_id, watermark), maker).await;
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

/// A store as a snapshot shows it.
struct Found {
    row: StoreRow,
    /// Whether clients may hold events that its log lost.
    is_suspect: bool,
    /// Whether opening it changes nothing.
    is_sound: bool,
}

/// Looks without the writer. What is found stays true until the store is put where others find it: whoever appends to a
/// store has found it there, and who changes it otherwise publishes that.
async fn look(
    database: &Arc<Database>,
    store_id: &str,
    watermark: Option<Watermark>,
) -> Result<Option<Found>> {
    let (state, id) = (Arc::clone(&database.models().events), Box::<str>::from(store_id));
    let look = move |sql: &NativeSql<'_>| {
        if state.asks_for_maintenance() {
            state.set_up_to_date(!maintenance::is_due(sql)?);
        }
        let Some(row) = store::find(sql, &id)? else { return Ok(None) };
        if first_layout::is_first(sql)? {
            return Ok(Some(Found { row, is_suspect: false, is_sound: false }));
        }
        let is_suspect = ahead::lowest(sql, &id)?.is_some();
        let is_sound = identity::is_sound(sql, &row, watermark.as_ref())?;
        Ok(Some(Found { row, is_suspect, is_sound }))
    };
    match database.read_inline(&look) {
        Some(found) => found.map_err(ferry_sqlite::Error::into_refusal),
        None if database.has_file().await => database.read(look).await,
        None => {
            database.models().events.set_up_to_date(true);
            Ok(None)
        }
    }
}

/// What begins with a store.
fn begin(hub: &Arc<Hub>, database: &Arc<Database>, store: &Arc<Store>) {
    hooks::deliver(hub, database, store);
    if database.models().events.asks_for_maintenance() {
        maintain(hub, database);
    }
}

async fn open(
    hub: &Arc<Hub>,
    database: &Arc<Database>,
    (store_id, watermark): (&str, Option<Watermark>),
    maker: Option<&Requester>,
) -> Result<Arc<Store>> {
    let find = Find {
        store_id: store_id.into(),
        new_id: new_backend_id()?,
        watermark,
        on_rollback: hub.config.events.on_rollback,
        may_create: maker.is_some(),
    };
    // Opening what is there gives nobody anything.
    let by = maker.map_or_else(Requester::hub, Requester::clone);
    let clock = Arc::clone(&hub.clock);
    database.begins_with(Model::Events);
    let submitted = database.submit(&by, move |transaction| {
        let now = clock.now().to_string();
        let sql = transaction.sql();
        let Some((row, opened)) = find.run(&sql, transaction.seq().0, &now)? else { return Ok(None) };
        let is_suspect = ahead::lowest(&sql, &row.key.id)?.is_some();
        transaction.effect(Effect::Events(Publication::opened(row.clone(), is_suspect)));
        Ok(Some((row, opened, is_suspect)))
    });
    let Some((row, opened, is_suspect)) = submitted.await?.value else { return Err(not_found()) };
    report(database, &row, opened);
    // The commit has put it there; one that nobody used since may be closed already.
    let store = database.models().events.insert(Store::new(&row, is_suspect, None));
    begin(hub, database, &store);
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
    fn run(
        &self,
        sql: &NativeSql<'_>,
        commit_seq: u64,
        now: &str,
    ) -> ferry_sqlite::Result<Option<(StoreRow, Opened)>> {
        let watermark = self.watermark.as_ref();
        first_layout::take_over(sql)?;
        if let Some(mut row) = store::find(sql, &self.store_id)? {
            let change = IdentityChange {
                commit_seq,
                new_id: &self.new_id,
                actor: "hub",
                reason: "the file is older than what was acknowledged",
                at: now,
            };
            let opened = identity::check(sql, &mut row, watermark, self.on_rollback, &change)?;
            return Ok(Some((row, opened)));
        }
        if !self.may_create {
            return Ok(None);
        }
        // The hub remembers a store that the file does not have: the file is older than the store.
        let lost = watermark.is_some() && self.on_rollback == OnRollback::Hold;
        let (state, opened) =
            if lost { (StoreState::Hold, Opened::Held) } else { (StoreState::Ok, Opened::Sound) };
        let number = i64::try_from(commit_seq).unwrap_or(i64::MAX);
        let key = StoreKey { id: self.store_id.clone(), number };
        let row = store::create(sql, key, &self.new_id, state, now)?;
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
                "an event store is on hold: its file is older than what was acknowledged; end that by `ferry events remint` or `resume`"
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
