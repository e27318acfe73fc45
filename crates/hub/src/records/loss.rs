//! What is done when a device shows that the hub was put back to an older state (REC-22).

use std::sync::Arc;

use ferry_core::records::{
    RecordStore as _, UnixNanos,
    restore::{self, Loss},
};
use ferry_types::{Model, Result};

use super::{
    entry::RecordsEntry,
    state::ChangedRecords,
    storage::{self, NativeRecords, Published},
};
use crate::{database::Database, hub::Hub, lineage::count_evidence};

/// Begins a new epoch for the owner's devices, unless that has been done since `loss` was found.
///
/// # Errors
/// What storage reports.
pub(super) async fn begin_anew(
    hub: &Hub,
    entry: &RecordsEntry,
    client: Option<&str>,
    loss: Loss,
) -> Result<()> {
    let (owner, now) = (Arc::clone(&entry.owner), hub.clock.now().into());
    let begun =
        storage::commit(hub, &entry.context.database, &entry.context.requester, move |store, published| {
            // Another device may have been quicker.
            let is_begun = store.owner(&owner)?.generation != loss.generation;
            let loss = Some(loss).filter(|_| !is_begun);
            if loss.is_some() {
                begin(store, published, &owner, now)?;
            }
            Ok(loss)
        });
    if let Some(loss) = begun.await?.value {
        tell(&entry.context.database, &entry.owner, client, loss);
    }
    Ok(())
}

/// Begins it in a transaction that goes on.
///
/// # Errors
/// What storage reports.
pub(super) fn begin(
    store: &NativeRecords<'_>,
    published: &mut Published,
    owner: &Arc<str>,
    now: UnixNanos,
) -> ferry_sqlite::Result<()> {
    restore::begin_owners_epoch(store, owner, now)?;
    // Streams that are open look again, and find another epoch.
    published.push(ChangedRecords {
        owner: Arc::clone(owner),
        app: "".into(),
        collections: Vec::new(),
        client: "ferry-hub".into(),
    });
    Ok(())
}

/// Tells the operator.
pub(super) fn tell(database: &Database, owner: &str, client: Option<&str>, loss: Loss) {
    metrics::counter!("ferry_records_cursors_ahead_total").increment(1);
    count_evidence(Model::Records);
    tracing::warn!(
        database = %database.id(), owner, device = client.unwrap_or("(unnamed)"),
        ahead_ms = loss.distance_ms(), given = %loss.given.text(), newest = %loss.newest.text(),
        "a device has a cursor of a commit that this hub does not have: the hub was put back to an older state; the \
         devices of this owner begin a new epoch and send again what they wrote"
    );
}
