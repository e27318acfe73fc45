//! What an exchange asks, and how it may end.

use ferry_protocol::ops::{EpochPolicy, PullQuery};
use ferry_types::OriginId;

/// What is to be asked of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpokeRequest {
    /// A page of its log; the answer goes to `SpokeExchange::pulled`.
    Pull(PullQuery),
    /// Storing ops; the answer goes to `SpokeExchange::pushed`.
    Push(SpokePush),
    /// Which of these ids it does not know; the answer goes to `SpokeExchange::missing`.
    Missing(Vec<String>),
    /// Its snapshot; what it holds goes to `SpokeExchange::load_snapshot`.
    Snapshot,
}

/// Body of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpokePush {
    /// This spoke.
    pub origin: Option<OriginId>,
    /// The log that is meant; `None`: whichever there is.
    pub hub_id: Option<String>,
    /// Its epoch.
    pub epoch: Option<String>,
    /// Texts of the ops.
    pub ops: Vec<String>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpokeNext {
    /// Ask this, and hand the answer in.
    Ask(SpokeRequest),
    /// Call `SpokeExchange::next` again, in a transaction of its own: there is work that asks for nothing.
    Again,
    /// The exchange has succeeded.
    Done,
    /// It has not.
    Failed(SpokeFailure),
}

/// Why an exchange ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpokeFailure {
    /// The answer is not what the protocol says.
    #[error("the hub's answer makes no sense: {0}")]
    Garbled(&'static str),
    /// Another log than the one that the store belongs to (OPS-34).
    #[error(
        "hub_foreign: another log answers ({hub_id}) than the one that this store belongs to, and they share no op; if it \
         shall go on with that one, run: ferry ops sync --accept-hub {hub_id}"
    )]
    Foreign {
        /// The log that answers.
        hub_id: String,
    },
    /// The hub's log changes faster than it can be followed.
    #[error("the hub's log changed several times during one exchange")]
    Unstable,
}

/// Why the hub refused a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpokeRefusal {
    /// `epoch_changed`.
    EpochChanged {
        /// The log that answers.
        hub_id: String,
        /// Its epoch.
        epoch: String,
        /// What it means.
        policy: EpochPolicy,
    },
    /// `log_diverged`.
    LogDiverged,
    /// `snapshot_required`.
    SnapshotRequired,
    /// `body_too_large`.
    TooLarge,
}
