//! What is done when a device shows that the hub was put back to an older state (REC-22, OPR-36).

use std::sync::Arc;

use ferry_core::records::{
    RecordStore as _, UnixNanos,
    restore::{self, Given, GivenBy, Loss},
};
use ferry_protocol::records::ferry::{RecordsCursor, Resync};
use ferry_types::{Model, Result, RunId};

use super::{
    entry::RecordsEntry,
    state::ChangedRecords,
    storage::{self, NativeRecords, Published},
};
use crate::{database::Database, hub::Hub, lineage::count_evidence};

/// The run that positions are given out by.
pub(super) fn run(hub: &Hub) -> Option<RunId> {
    hub.lineage.as_ref().map(|lineage| lineage.run())
}

/// What a cursor says that the hub has given out.
pub(super) fn given(hub: &Hub, cursor: RecordsCursor) -> [Given; 2] {
    let lineage = hub.lineage.as_ref();
    let by = cursor.run.and_then(|run| Some(lineage?.given_by(run)));
    [cursor.since, cursor.floor].map(|at| Given { at, by })
}

/// What a device is told that showed `loss`.
pub(super) const fn reason(loss: &Loss) -> Resync {
    match loss.given.by {
        Some(_) => Resync::Diverged,
        None => Resync::Epoch,
    }
}

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
        ahead_ms = loss.distance_ms(), given = %loss.given.at.text(), given_by = loss.given.by.map_or("(unnamed)", GivenBy::as_str),
        newest = %loss.newest.text(),
        "a device has a cursor of a commit that this hub does not have: the hub was put back to an older state, or is a \
         copy of the one that the device knows; the devices of this owner begin a new epoch and send again what they wrote"
    );
}
