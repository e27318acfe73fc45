//! From a push that is whole to a committed version: validate beside other writes, fix the kind, commit alone.

use std::sync::Arc;

use ferry_core::pages::{PushPlan, Refusal};
use ferry_store::pages::{Prepared, PushError, PushFiles, Replica, VersionInfo};
use ferry_types::{DatabaseKind, Error, Reason, Seq};

use super::push::make_room;
use crate::{
    control::Requester,
    database::{Commit, Database, Effect},
    hub::Hub,
};

/// Validates and commits `plan`, the push that `by` made.
pub(super) async fn run(
    hub: &Arc<Hub>,
    database: &Arc<Database>,
    files: PushFiles,
    plan: PushPlan,
    by: &Requester,
) -> Result<VersionInfo, Refusal> {
    let base = plan.base.version;
    let replica = Arc::clone(files.pinned().replica());
    let current = || replica.current().version;
    let prepared = tokio::task::spawn_blocking(move || files.prepare(plan)).await;
    let prepared = prepared.map_err(|_| super::refusal(Error::internal()))?;
    // A push that lost is told so, whatever else its pages suffered from that.
    let prepared = prepared.map_err(|error| told(error, base, &replica))?;
    if current() != base {
        return Err(Refusal::conflict(current()));
    }
    let claim = hub.control.claim_kind(database.id(), DatabaseKind::Replica, by).await;
    let claim = claim.map_err(super::refusal)?;
    let committed = commit(database, prepared, by).await;
    if committed.is_err() && claim.set_by_this_call {
        release(hub, database, by).await;
    }
    committed.map_err(|error| told(error, base, &replica))
}

async fn commit(
    database: &Arc<Database>,
    prepared: Prepared,
    by: &Requester,
) -> Result<VersionInfo, PushError> {
    let publish = Arc::clone(database.feed());
    let committed = database.exclusive(by, move |hand| {
        // The hub's own writer never has a replica's file open; if it had, it must not see it change.
        hand.close()?;
        let replica = Arc::clone(prepared.replica());
        let committed = replica.commit_push(prepared);
        if let Ok(info) = &committed {
            publish.publish(Commit { seq: Seq(info.version), effects: vec![Effect::Pages(info.tag())] });
        }
        Ok(committed)
    });
    committed.await.map_err(|refused| PushError::Store(refused.into()))?
}

/// Takes the kind back, unless the failed commit got through after all.
async fn release(hub: &Arc<Hub>, database: &Arc<Database>, by: &Requester) {
    let released = match database.pages().replica(hub, database).await {
        Ok(replica) if replica.current().version == 0 => hub.control.release_kind(database.id(), by).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = released {
        tracing::warn!(database = %database.id(), %error, "the database stays of kind replica, though empty");
    }
}

fn told(error: PushError, base: u64, replica: &Replica) -> Refusal {
    let current = replica.current().version;
    match error {
        PushError::Conflict { current } => Refusal::conflict(current),
        _ if current != base => Refusal::conflict(current),
        PushError::Torn => Refusal::torn(),
        PushError::Length { .. } => Refusal::wrong(error.to_string()),
        PushError::StagedGone { page } => super::refusal(Error::new(
            Reason::Busy,
            format!("page {page}: it was staged too long ago and is gone; run push again"),
        )),
        PushError::Store(error) => {
            if error.is_storage_full() {
                make_room(replica);
            }
            super::refusal(error.into_refusal())
        }
    }
}
