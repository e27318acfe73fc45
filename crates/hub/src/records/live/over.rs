//! The end of what lives long: of the hub, of the database, of the credential.

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
    /// The database is closed.
    Closed,
    /// The rights have ended.
    Rights(RightsEnd),
}

impl Over {
    /// What a stream says.
    pub(super) const fn bye(self) -> Bye {
        match self {
            Self::Stopping => Bye::Shutdown,
            Self::Rights(RightsEnd::Expired) => Bye::Expired,
            Self::Closed | Self::Rights(RightsEnd::Revoked | RightsEnd::DatabaseDeleted) => Bye::Revoked,
        }
    }
}

/// Waits until the hub, the database or the credential ends it. The future holds what it needs.
pub(super) fn over(hub: &Hub, entry: &RecordsEntry) -> impl Future<Output = Over> + Send + use<> {
    let (stopping, closed) = (hub.stopping.clone(), entry.context.database.closed().clone());
    wait(stopping, closed, entry.context.watch(hub))
}

async fn wait(stopping: CancellationToken, closed: CancellationToken, mut watch: RightsWatch) -> Over {
    tokio::select! {
        biased;
        () = stopping.cancelled() => Over::Stopping,
        () = closed.cancelled() => Over::Closed,
        end = watch.ended() => Over::Rights(end),
    }
}
