//! What every route holds: configuration, clock, control plane, databases, and the word to stop.

use std::sync::Arc;

use ferry_http_client::HttpClient;
use ferry_types::{Clock, UnixMillis};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config,
    connections::{LiveConnections, StuckClients},
    console::Console,
    database::Databases,
    descriptors::Descriptors,
    doctor::Doctor,
    http::{MemoryPool, UntakenAnswers},
    lineage::Lineage,
    models::for_each_model,
    series::SeriesStore,
    traces::Traces,
};
use ferry_control::Control;

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
    /// The run of the hub; `None`: it serves a store that is its spoke's, and knows where that has been.
    pub lineage: Option<Arc<Lineage>>,
    /// The databases in use.
    pub databases: Arc<Databases>,
    /// What members see of databases.
    pub(crate) console: Console,
    /// Who is connected.
    pub connections: Arc<LiveConnections>,
    /// Whose pushes are refused.
    pub stuck: StuckClients,
    /// What finds out what is wrong with it.
    pub doctor: Doctor,
    /// What the hub's numbers were.
    pub series: SeriesStore,
    /// The traced requests.
    pub traces: Arc<Traces>,
    /// What the sync models keep beside the hub.
    pub services: Services,
    /// Memory of request bodies that have not arrived whole.
    pub body_memory: Arc<MemoryPool>,
    /// Memory of answers that were made and not taken.
    pub untaken: Arc<UntakenAnswers>,
    /// Cancelled when the hub begins to stop: sockets close with 1001, `/readyz` answers 503.
    pub stopping: CancellationToken,
    /// Tasks that outlive their request, sockets above all; the hub waits for them before it closes files.
    pub tasks: TaskTracker,
}

macro_rules! services {
    ($($name:ident: $model:ident, $config:ident, $state:ident, $service:ident;)+) => {
        /// What each sync model keeps beside the hub, built from its settings.
        pub struct Services {
            $(
                #[doc = concat!("Of the model `", stringify!($name), "`.")]
                pub $name: crate::$name::$service,
            )+
        }

        impl Services {
            /// Those of a hub with these settings, which asks others by `http_client`.
            pub(crate) fn new(config: &Config, http_client: &Arc<HttpClient>) -> Self {
                Self { $($name: crate::$name::$service::new(&config.$name, http_client),)+ }
            }
        }
    };
}
for_each_model!(services);
