//! What every route holds: configuration, clock, control plane, databases, and the word to stop.

use std::sync::Arc;

use ferry_types::{Clock, UnixMillis};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config,
    control::Control,
    database::Databases,
    descriptors::Descriptors,
    events::{Clients, Hooks},
    http::BodyMemory,
    records::{Billing, Decoding},
};

/// One running hub.
pub struct Hub {
    /// The validated settings.
    pub config: Config,
    /// File descriptors, shared out between sockets and databases.
    pub descriptors: Descriptors,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// When the hub was started.
    pub started: UnixMillis,
    /// Accounts, databases, credentials.
    pub control: Arc<Control>,
    /// Checks of pushed images that run at once (PAG-19).
    pub image_checks: Semaphore,
    /// The databases in use.
    pub databases: Arc<Databases>,
    /// Who may sync records, as the billing service says.
    pub billing: Billing,
    /// Large pushes of records take turns.
    pub records_decoding: Decoding,
    /// The operator's programs that event sync asks and tells.
    pub event_hooks: Arc<Hooks>,
    /// What event sync knows of clients that do not get on.
    pub event_clients: Clients,
    /// Memory of request bodies that have not arrived whole.
    pub body_memory: Arc<BodyMemory>,
    /// Cancelled when the hub begins to stop: sockets close with 1001, `/readyz` answers 503.
    pub stopping: CancellationToken,
    /// Tasks that outlive their request, sockets above all; the hub waits for them before it closes files.
    pub tasks: TaskTracker,
}
