//! The end of what lives long: of the hub, of the database, of the credential.

use std::sync::Arc;

use ferry_control::{RightsEnd, RightsWatch};
use ferry_protocol::records::Bye;
use tokio_util::sync::CancellationToken;

use super::super::entry::RecordsEntry;
use crate::hub::Hub;

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The hub stops.
    Stopping,
    /// The database is deleted.
    Deleted,
    /// The database was closed and can be opened again: a backup was put back.
    Closed,
    /// The rights have ended.
    Rights(RightsEnd),
}

impl Over {
    /// What a stream says.
    pub(super) const fn bye(self) -> Bye {
        match self {
            Self::Stopping | Self::Closed => Bye::Shutdown,
            Self::Rights(RightsEnd::Expired) => Bye::Expired,
            Self::Deleted | Self::Rights(RightsEnd::Revoked | RightsEnd::DatabaseDeleted) => Bye::Revoked,
        }
    }
}

/// Waits until the hub, the database or the credential ends it. The future holds what it needs.
pub(super) fn over(hub: &Hub, entry: &RecordsEntry) -> impl Future<Output = Over> + Send + use<> {
    let database = &entry.context.database;
    let (control, id) = (Arc::clone(&hub.control), database.id());
    let is_there = move || control.database(id).is_some();
    wait(hub.stopping.clone(), database.closed().clone(), is_there, entry.context.watch(hub))
}

async fn wait(
    stopping: CancellationToken,
    closed: CancellationToken,
    is_there: impl Fn() -> bool,
    mut watch: RightsWatch,
) -> Over {
    tokio::select! {
        biased;
        () = stopping.cancelled() => Over::Stopping,
        () = closed.cancelled() => if is_there() { Over::Closed } else { Over::Deleted },
        end = watch.ended() => Over::Rights(end),
    }
}
