//! The end of what lives long: of the hub, of the database, of the credential.

use std::sync::Arc;

use ferry_control::{RightsEnd, RightsWatch};
use ferry_protocol::records::Bye;
use tokio_util::sync::CancellationToken;

use super::super::entry::RecordsEntry;
use crate::{connections::OpenConnection, hub::Hub};

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The hub stops.
    Stopping,
    /// The database is deleted.
    Deleted,
    /// The database was closed and can be opened again: a backup was put back.
    Closed,
    /// An administrator closed this connection.
    Ended,
    /// The rights have ended.
    Rights(RightsEnd),
}

impl Over {
    /// What a stream says.
    pub(super) const fn bye(self) -> Bye {
        match self {
            Self::Stopping | Self::Closed | Self::Ended => Bye::Shutdown,
            Self::Rights(RightsEnd::Expired) => Bye::Expired,
            Self::Deleted | Self::Rights(RightsEnd::Revoked | RightsEnd::DatabaseDeleted) => Bye::Revoked,
        }
    }
}

/// Waits until the hub, the database or the credential ends it. The future holds what it needs.
pub(super) fn over(
    hub: &Hub,
    entry: &RecordsEntry,
    connection: &OpenConnection,
) -> impl Future<Output = Over> + Send + use<> {
    let database = &entry.context.database;
    let (control, id) = (Arc::clone(&hub.control), database.id());
    let database = database.closed().clone();
    let closed_by = move || match (database.is_cancelled(), control.database(id)) {
        (false, _) => Over::Ended,
        (true, Some(_)) => Over::Closed,
        (true, None) => Over::Deleted,
    };
    wait(hub.stopping.clone(), connection.closed().clone(), closed_by, entry.context.watch(hub))
}

async fn wait(
    stopping: CancellationToken,
    closed: CancellationToken,
    closed_by: impl Fn() -> Over,
    mut watch: RightsWatch,
) -> Over {
    tokio::select! {
        biased;
        () = stopping.cancelled() => Over::Stopping,
        () = closed.cancelled() => closed_by(),
        end = watch.ended() => Over::Rights(end),
    }
}
