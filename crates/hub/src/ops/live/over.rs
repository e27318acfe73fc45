//! The end of what lives long: of the hub, of the database, of the credential.

use std::sync::Arc;

use ferry_control::{RightsEnd, RightsWatch};
use tokio_util::sync::CancellationToken;

use crate::{connections::OpenConnection, entry::RequestContext, hub::Hub};

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    Shutdown,
    Expired,
    Revoked,
    BudgetSpent,
    Failed,
}

impl Farewell {
    /// What the last event says.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::BudgetSpent => "byte_budget",
            Self::Failed => "internal",
        }
    }
}

/// Waits until the hub, the database or the credential ends it. The future holds what it needs.
pub(super) fn over(
    hub: &Hub,
    context: &RequestContext,
    connection: &OpenConnection,
) -> impl Future<Output = Farewell> + Send + use<> {
    let (control, id) = (Arc::clone(&hub.control), context.database.id());
    let is_there = move || control.database(id).is_some();
    wait(hub.stopping.clone(), connection.closed().clone(), is_there, context.watch(hub))
}

async fn wait(
    stopping: CancellationToken,
    closed: CancellationToken,
    is_there: impl Fn() -> bool,
    mut watch: RightsWatch,
) -> Farewell {
    tokio::select! {
        biased;
        () = stopping.cancelled() => Farewell::Shutdown,
        // It was deleted; or an administrator closed the stream, or a backup was put back: the reader comes again.
        () = closed.cancelled() => if is_there() { Farewell::Shutdown } else { Farewell::Revoked },
        end = watch.ended() => match end {
            RightsEnd::Expired => Farewell::Expired,
            RightsEnd::Revoked | RightsEnd::DatabaseDeleted => Farewell::Revoked,
        },
    }
}
