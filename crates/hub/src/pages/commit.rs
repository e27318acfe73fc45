//! From a push that is whole to a committed version: validate beside other writes, fix the kind, commit alone.

use std::sync::Arc;

use ferry_core::pages::{PushPlan, Refusal};
use ferry_protocol::pages::phase;
use ferry_sqlite::pages::{
    PageSource as _, Prepared, PushError, PushFiles, ReadConsistency, Replica, Stage, VersionInfo,
};
use ferry_types::{DatabaseKind, Error, Reason, Seq};
use tokio_util::sync::CancellationToken;

use super::session::Ending;
use crate::{database::Database, entry::FirstWrite, hub::Hub};
use ferry_control::Requester;

/// A push that has arrived.
pub(super) struct Arrived {
    pub(super) files: PushFiles,
    pub(super) plan: PushPlan,
    pub(super) origin: ReadConsistency,
}

/// Validates and commits the push that `by` made. Once nobody wants it, its check ends; a commit does not.
pub(super) async fn run(
    hub: &Arc<Hub>,
    database: &Arc<Database>,
    Arrived { files, plan, origin }: Arrived,
    by: &Requester,
    ending: &Ending,
) -> Result<VersionInfo, Refusal> {
    let base = files.pinned().info().clone();
    let replica = Arc::clone(files.pinned().replica());
    // A push that lost is told so, whatever else its pages suffered from that.
    let lost = || replica.has_moved_on(&base, origin).then(|| Refusal::conflict(replica.current().version));
    let refused = |error| lost().unwrap_or_else(|| refusal_of(error, &replica, database));
    let prepared = blocking(move || files.prepare(plan, origin)).await.map_err(refused)?;
    let prepared = validate(hub, database, prepared, &ending.unwanted).await.map_err(refused)?;
    if let Some(lost) = lost() {
        return Err(lost);
    }
    ending.phase.send_replace(phase::COMMITTING);
    make_version(hub, database, prepared, by).await.map_err(refused)
}

/// Commits a push that is valid. The first one fixes the kind of its database.
pub(super) async fn make_version(
    hub: &Arc<Hub>,
    database: &Arc<Database>,
    prepared: Prepared,
    by: &Requester,
) -> Result<VersionInfo, PushError> {
    let first = FirstWrite::claim(hub, database.id(), DatabaseKind::Replica, by).await;
    let first = first.map_err(|refused| PushError::Store(refused.into()))?;
    let committed = commit(database, prepared, by).await;
    if committed.is_err() && first.fixed_the_kind() && is_empty(hub, database).await {
        first.release().await;
    }
    committed
}

/// Checks the image, if there is need, when its turn has come, and makes it ready for the commit (PAG-19).
async fn validate(
    hub: &Hub,
    database: &Database,
    mut prepared: Prepared,
    unwanted: &CancellationToken,
) -> Result<Prepared, PushError> {
    if prepared.needs_check() {
        let state = &database.models().pages;
        let turn = async { (state.check.acquire().await, hub.services.pages.image_checks.acquire().await) };
        let _turn = unwanted.run_until_cancelled(turn).await.ok_or(PushError::Unwanted)?;
        let ends = unwanted.clone();
        prepared = blocking(move || {
            prepared.check(&|| !ends.is_cancelled())?;
            Ok(prepared)
        })
        .await?;
    }
    seal(prepared).await
}

/// Makes it ready for the commit.
pub(super) async fn seal(mut prepared: Prepared) -> Result<Prepared, PushError> {
    blocking(move || {
        prepared.seal()?;
        Ok(prepared)
    })
    .await
}

/// Runs file work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PushError> + Send + 'static,
) -> Result<T, PushError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(PushError::Store(Error::internal().into())))
}

async fn commit(
    database: &Arc<Database>,
    prepared: Prepared,
    by: &Requester,
) -> Result<VersionInfo, PushError> {
    let committed = database.exclusive(by, move |writer| {
        // The hub's own writer never has a replica's file open; if it had, it must not see it change.
        writer.close()?;
        let replica = Arc::clone(prepared.replica());
        let committed = replica.commit_push(prepared);
        if let Ok(info) = &committed {
            writer.committed(Seq(info.version), Vec::new());
        }
        Ok(committed)
    });
    committed.await.map_err(|refused| PushError::Store(refused.into()))?
}

/// Whether nothing was ever pushed: a commit that failed may have got through after all.
async fn is_empty(hub: &Hub, database: &Arc<Database>) -> bool {
    match database.models().pages.replica(hub, database).await {
        Ok(replica) => replica.current().version == 0,
        Err(error) => {
            tracing::warn!(database = %database.id(), %error, "the database stays of kind replica, though empty");
            false
        }
    }
}

/// On a full disk what is staged goes first: it saves a client's time, while the hub needs room to work at all.
pub(super) fn make_room(replica: &Replica) {
    if let Err(error) = replica.stage().and_then(Stage::clear) {
        tracing::error!(%error, "the disk is full, and staged pages cannot be removed");
    }
}

fn refusal_of(error: PushError, replica: &Replica, database: &Database) -> Refusal {
    match error {
        PushError::Conflict { current } => Refusal::conflict(current),
        PushError::Torn { root, finding } => {
            tracing::info!(database = %database.id(), finding, "a push was refused");
            if database.models().pages.is_refused_again(root) {
                Refusal::damaged(&finding)
            } else {
                Refusal::torn()
            }
        }
        // Whoever gave it up knows why.
        PushError::Unwanted => {
            super::refusal(Error::new(Reason::ShuttingDown, "the push was given up; run push again"))
        }
        // The last are of Ferry's own wire, which tells of them itself.
        PushError::Length { .. }
        | PushError::Body(_)
        | PushError::WrongDatabase
        | PushError::NotSqlite(_)
        | PushError::NothingPushed
        | PushError::TooLarge { .. }
        | PushError::RootMismatch => Refusal::wrong(error.to_string()),
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
