//! What the hub asks of a sync model.

use std::{future::Future, sync::Arc};

use axum::{extract::Request, response::Response};

use crate::{hub::Hub, metric_help::Metric};

/// A sync model's part of the hub: it serves requests, and does some things on its own. Implemented by what the model keeps
/// beside the hub.
pub(crate) trait Shell {
    /// Its metrics.
    const METRICS: &'static [Metric];

    /// Answers a request that the root routes give to the model. `Err`: it has no such endpoint.
    fn serve(hub: Arc<Hub>, request: Request) -> impl Future<Output = Result<Response, Request>> + Send;

    /// Begins what goes on as long as the hub runs.
    fn start(_hub: &Arc<Hub>) {}

    /// Does what is due in every open database, once an hour.
    fn sweep(_hub: &Arc<Hub>) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Tells the control plane how far each database is, so that a file which was put back is noticed; every few seconds,
    /// and when the hub stops.
    fn save_watermarks(_hub: &Hub) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Sets the gauges that are counted when somebody looks.
    fn set_gauges(_hub: &Hub) {}
}
