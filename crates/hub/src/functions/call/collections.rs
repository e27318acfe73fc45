//! Collections of records that a call writes: who is told, and under which names SQL knows them.

use ferry_core::records::intents;
use ferry_sqlite::Transaction;

use super::{PlannedCall, progress::CallProgress};
use crate::{
    database::Effect,
    records::{ChangedRecords, RecordsEffect},
};

/// A collection was written: under all names that SQL knows it by.
pub(super) fn note_collection(plan: &PlannedCall, progress: &mut CallProgress, app: &str, collection: &str) {
    progress.run.note_written(&intents::view_name(app, collection));
    if plan.deployed.collections.get(collection).is_some_and(|of| of == app) {
        progress.run.note_written(collection);
    }
}

/// Tells those who follow the records of `owner`.
pub(super) fn changed_records(
    transaction: &mut Transaction<'_, Effect>,
    owner: &str,
    app: &str,
    collection: String,
    client: &str,
) {
    let changed = ChangedRecords {
        owner: owner.into(),
        app: app.into(),
        collections: vec![collection],
        client: client.into(),
    };
    transaction.effect(Effect::Records(RecordsEffect::Changed(changed)));
}
