//! The open stores of one database.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ferry_core::events::schema;
use ferry_database::{ModelState, ModelStats};
use ferry_sqlite::NativeSql;
use ferry_types::{Model, Seq};

use super::{commit::Publication, now_ms, stats, store::Store};

/// Stores that a database keeps open though nobody uses them.
const IDLE_STORES_MAX: usize = 256;

/// Event sync's state of one database.
#[derive(Default)]
pub struct EventsState {
    open: Mutex<Open>,
    /// Held while the store of an id is opened, so that it is opened once.
    opening: Mutex<HashMap<Box<str>, Arc<tokio::sync::Mutex<()>>>>,
    is_maintained: AtomicBool,
    /// Whether it is known that there is nothing to maintain.
    is_up_to_date: AtomicBool,
}

struct Open {
    stores: HashMap<Box<str>, Arc<Store>>,
    /// At how many stores the idle ones are closed next.
    close_at: usize,
}

impl Default for Open {
    fn default() -> Self {
        Self { stores: HashMap::new(), close_at: IDLE_STORES_MAX }
    }
}

/// The right to open the store of one id, once it is locked.
pub(super) struct Opening<'a> {
    state: &'a EventsState,
    store_id: &'a str,
    alone: Arc<tokio::sync::Mutex<()>>,
}

impl Opening<'_> {
    pub(super) async fn lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.alone.lock().await
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut opening = self.state.opening.lock().unwrap_or_else(PoisonError::into_inner);
        // This one, and that of the table.
        if Arc::strong_count(&self.alone) == 2 {
            opening.remove(self.store_id);
        }
    }
}

impl ModelState for EventsState {
    type Effect = Publication;

    const MODEL: Model = Model::Events;

    fn publish(&self, _: Seq, publication: Publication) {
        if let Some(store) = publication.opens() {
            self.insert(store);
        } else if let Some(store) = self.get(&publication.store_id) {
            publication.apply(&store);
        }
    }

    fn changed_views(_: &Publication, name: &mut dyn FnMut(&str)) {
        name(schema::VIEW_NAME);
    }

    /// Whether the control plane was told of everything that changed.
    fn is_saved(&self) -> bool {
        self.lock().stores.values().all(|store| store.unsaved().is_none())
    }

    fn create_tables(sql: &NativeSql<'_>) -> ferry_sqlite::Result<()> {
        schema::create_tables(sql)
    }

    fn stats(&self, sql: &NativeSql<'_>) -> ferry_sqlite::Result<Option<ModelStats>> {
        stats::of(sql)
    }
}

impl EventsState {
    /// The store of this id, if it is open.
    #[must_use]
    pub fn get(&self, store_id: &str) -> Option<Arc<Store>> {
        self.lock().stores.get(store_id).cloned()
    }

    /// All open stores.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Store>> {
        self.lock().stores.values().cloned().collect()
    }

    /// To open the store of an id: one at a time.
    pub(super) fn opening<'a>(&'a self, store_id: &'a str) -> Opening<'a> {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = match opening.get(store_id) {
            Some(alone) => Arc::clone(alone),
            None => Arc::clone(opening.entry(store_id.into()).or_default()),
        };
        Opening { state: self, store_id, alone }
    }

    /// Puts a store where others find it, unless it is there already; the one that is found from now on. Those that
    /// nobody uses are closed when they become many: whoever appends to a store, or may have to, holds it.
    pub(super) fn insert(&self, store: Store) -> Arc<Store> {
        let mut open = self.lock();
        if open.stores.len() >= open.close_at {
            let now_ms = now_ms();
            open.stores.retain(|_, store| Arc::strong_count(store) > 1 || !store.is_idle(now_ms));
            open.close_at = (2 * open.stores.len()).max(IDLE_STORES_MAX);
            open.stores.shrink_to(IDLE_STORES_MAX);
        }
        Arc::clone(open.stores.entry(store.id().into()).or_insert_with(|| Arc::new(store)))
    }

    /// Takes on to maintain the tables; false if another task does.
    pub(super) fn begin_maintenance(&self) -> bool {
        !self.is_maintained.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end_maintenance(&self) {
        self.is_maintained.store(false, Ordering::Release);
    }

    /// Whether it has to be looked whether the tables are up to date.
    pub(super) fn asks_for_maintenance(&self) -> bool {
        !self.is_up_to_date.load(Ordering::Relaxed)
    }

    /// What that look showed.
    pub(super) fn set_up_to_date(&self, is_up_to_date: bool) {
        self.is_up_to_date.store(is_up_to_date, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
