//! The open stores of one database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_core::events::schema;
use ferry_database::{ModelState, ModelStats};
use ferry_sqlite::NativeSql;
use ferry_types::{Model, Seq};

use super::{commit::Publication, stats, store::Store};

/// Event sync's state of one database.
#[derive(Default)]
pub struct EventsState {
    open: Mutex<Open>,
    /// Held while a store is opened, so that it is opened once.
    pub(super) opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Open {
    stores: HashMap<Box<str>, Arc<Store>>,
    /// A store whose row was read in a group that is not on disk yet. It gets what that group publishes, but nobody
    /// finds it before.
    arriving: Option<Arc<Store>>,
}

impl ModelState for EventsState {
    type Effect = Publication;

    const MODEL: Model = Model::Events;

    fn publish(&self, _: Seq, publication: Publication) {
        let store = {
            let open = self.lock();
            let arriving = open.arriving.as_ref().filter(|store| store.id() == &*publication.store_id);
            open.stores.get(&*publication.store_id).or(arriving).cloned()
        };
        if let Some(store) = store {
            publication.apply(&store);
        }
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

    /// Forgets a store, as if it had never been opened.
    pub fn forget(&self, store_id: &str) {
        self.lock().stores.remove(store_id);
    }

    pub(super) fn arrive(&self, store: &Arc<Store>) {
        self.lock().arriving = Some(Arc::clone(store));
    }

    /// The group that `arrive` ran in is on disk, or is not.
    pub(super) fn arrived(&self, is_on_disk: bool) -> Option<Arc<Store>> {
        let mut open = self.lock();
        let store = open.arriving.take().filter(|_| is_on_disk)?;
        open.stores.insert(store.id().into(), Arc::clone(&store));
        Some(store)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
