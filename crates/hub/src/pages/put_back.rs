//! A file from elsewhere becomes the newest version of a database that is pushed (OPR-22). What was there before stays in its
//! history, and whoever follows it gets this version as any other.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_control::Requester;
use ferry_sqlite::pages::{PushError, Replica, VersionInfo, make_fork};
use ferry_types::{Error, Reason, Result};

use super::{
    commit,
    state::{REPLICA_DESCRIPTORS, SESSION_DESCRIPTORS},
};
use crate::{database::Database, hub::Hub};

/// Commits `main.db` of the folder `dir`, which nobody else uses.
///
/// # Errors
/// When it is empty or cannot be read, or the database's own files cannot be opened or written.
pub(crate) async fn put_back(hub: &Arc<Hub>, database: &Arc<Database>, dir: PathBuf) -> Result<VersionInfo> {
    let _files = database.hold_files(REPLICA_DESCRIPTORS + SESSION_DESCRIPTORS).await?;
    let replica = database.models().pages.replica(hub, database).await?;
    let (config, clock) = (hub.config.pages.files(), Arc::clone(&hub.clock));
    let prepared = commit::blocking(move || {
        let source = Replica::open(&dir, config, clock, Box::new(())).map_err(PushError::Store)?;
        replica.prepare_image(source.pin())
    });
    let prepared = commit::seal(prepared.await.map_err(refused)?).await.map_err(refused)?;
    commit::make_version(hub, database, prepared, &Requester::hub()).await.map_err(refused)
}

/// Makes the database of the new folder `to`: its only version is `main.db` of the folder `from`, which nobody else uses.
///
/// # Errors
/// When a page cannot be read or written.
pub(crate) fn make_pushed(hub: &Hub, from: &Path, to: &Path) -> Result<VersionInfo> {
    let (config, clock) = (hub.config.pages.files(), Arc::clone(&hub.clock));
    let source = Replica::open(from, config, Arc::clone(&clock), Box::new(()));
    let source = source.map_err(ferry_sqlite::Error::into_refusal)?.pin();
    make_fork(to, Arc::new(source), config, clock).map_err(refused)
}

fn refused(error: PushError) -> Error {
    match error {
        PushError::Store(error) => error.into_refusal(),
        PushError::Conflict { .. } => {
            Error::new(Reason::Busy, "somebody pushed a newer version meanwhile: try again")
        }
        error => Error::new(Reason::FailedPrecondition, format!("the file cannot be put back: {error}")),
    }
}
