//! What record sync keeps of an open database.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use ferry_core::{
    records::{intents::view_name, sqlite::SqliteRecords},
    topic::Topics,
};
use ferry_database::{ModelState, ModelStats};
use ferry_sqlite::NativeSql;
use ferry_types::{Model, Seq};
use tokio::sync::OnceCell;

use super::{live::OwnerTopics, stats};

/// What a commit changed, for those who may read the owner's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedRecords {
    /// Whose records.
    pub owner: Arc<str>,
    /// The app.
    pub app: Arc<str>,
    /// Its changed collections.
    pub collections: Vec<String>,
    /// The device that wrote.
    pub client: Arc<str>,
}

/// What a commit did to the records of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordsEffect {
    /// Some changed.
    Changed(ChangedRecords),
    /// All of this owner's were removed.
    OwnerRemoved(Arc<str>),
}

/// What record sync keeps of an open database.
#[derive(Default)]
pub struct RecordsState {
    /// The tables are there: looked for no more.
    pub(super) has_tables: AtomicBool,
    /// The file was compared with what the control plane remembers of it.
    pub(super) compared: OnceCell<()>,
    /// The file says that the hub was not running before it was started.
    pub(super) remembers_down: AtomicBool,
    /// Somebody is waiting for the time at which incomplete records are delivered.
    pub(super) awaits_ripening: AtomicBool,
    /// There may be owners of JWTs whose issuer is not known.
    pub(super) has_unclaimed: AtomicBool,
    /// The newest commit of records since the database is known here; 0: none.
    head: AtomicU64,
    /// The one that the control plane remembers.
    saved: AtomicU64,
    owners: Topics<Arc<str>, OwnerTopics>,
}

impl ModelState for RecordsState {
    type Effect = RecordsEffect;

    const MODEL: Model = Model::Records;

    fn publish(&self, seq: Seq, effect: RecordsEffect) {
        self.reached(seq);
        match effect {
            RecordsEffect::Changed(ChangedRecords { owner, app, collections, client }) => {
                if let Some(owner) = self.owners.get(&owner) {
                    owner.publish(&app, &collections, &client);
                }
            }
            // Who comes now follows another owner.
            RecordsEffect::OwnerRemoved(owner) => {
                if let Some(owner) = self.owners.forget(&owner) {
                    owner.remove();
                }
            }
        }
    }

    fn changed_views(effect: &RecordsEffect, name: &mut dyn FnMut(&str)) {
        match effect {
            RecordsEffect::Changed(ChangedRecords { app, collections, .. }) => {
                collections.iter().for_each(|collection| name(&view_name(app, collection)));
            }
            RecordsEffect::OwnerRemoved(_) => name("*"),
        }
    }

    /// Whether the control plane was told of everything that changed.
    fn is_saved(&self) -> bool {
        self.unsaved().is_none()
    }

    fn create_tables(sql: &NativeSql<'_>) -> ferry_sqlite::Result<()> {
        SqliteRecords::create(sql).map(drop)
    }

    fn stats(&self, sql: &NativeSql<'_>) -> ferry_sqlite::Result<Option<ModelStats>> {
        let head = self.head.load(Ordering::Acquire);
        stats::of(sql, (head > 0).then_some(Seq(head)))
    }
}

impl RecordsState {
    /// What those share who follow the records of `owner`.
    pub(super) fn owner(&self, owner: &Arc<str>) -> Arc<OwnerTopics> {
        self.owners.get_or_make(Arc::clone(owner), OwnerTopics::default)
    }

    /// Records changed in this commit.
    pub(crate) fn reached(&self, seq: Seq) {
        self.head.fetch_max(seq.0, Ordering::AcqRel);
    }

    /// The newest commit, if the control plane does not know it yet.
    pub(super) fn unsaved(&self) -> Option<Seq> {
        let head = self.head.load(Ordering::Acquire);
        (head > self.saved.load(Ordering::Acquire)).then_some(Seq(head))
    }

    /// The control plane knows this commit.
    pub(super) fn saved(&self, seq: Seq) {
        self.saved.fetch_max(seq.0, Ordering::AcqRel);
    }
}
