//! The end of what lives long: of the hub, of the database, of the credential.

use ferry_control::{RightsEnd, RightsWatch};
use tokio_util::sync::CancellationToken;

use crate::{entry::RequestContext, hub::Hub};

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
pub(super) fn over(hub: &Hub, context: &RequestContext) -> impl Future<Output = Farewell> + Send + use<> {
    let (stopping, closed) = (hub.stopping.clone(), context.database.closed().clone());
    wait(stopping, closed, context.watch(hub))
}

async fn wait(stopping: CancellationToken, closed: CancellationToken, mut watch: RightsWatch) -> Farewell {
    tokio::select! {
        biased;
        () = stopping.cancelled() => Farewell::Shutdown,
        // The hub closes databases when it stops; else this one is deleted.
        () = closed.cancelled() => Farewell::Revoked,
        end = watch.ended() => match end {
            RightsEnd::Expired => Farewell::Expired,
            RightsEnd::Revoked | RightsEnd::DatabaseDeleted => Farewell::Revoked,
        },
    }
}
