//! What functions do for the hub.

use std::{sync::Arc, time::Duration};

use axum::{extract::Request, response::Response};

use ferry_functions::Processes;

use super::{hooks::FunctionHooks, live, route, service::FunctionsService};
use crate::{
    hub::Hub,
    metric_help::{
        Metric,
        MetricKind::{Counter, Gauge, Histogram},
    },
    shell::Shell,
};

/// Processes that no call has used for so long, and at most twice that, are ended.
const IDLE_PROCESSES: Duration = Duration::from_secs(30);

impl Shell for FunctionsService {
    const METRICS: &'static [Metric] = &[
        (Counter, "ferry_functions_cached_total", "Calls that were answered by a kept result."),
        (Counter, "ferry_functions_calls_total", "Calls of functions, by status class."),
        (Histogram, "ferry_functions_cpu_seconds", "CPU of a call, SQL included."),
        (
            Counter,
            "ferry_functions_gate_runs_total",
            "Live results that were made again to see whether they changed, by whether they did.",
        ),
        (Gauge, "ferry_functions_processes", "Processes in which functions run."),
        (
            Counter,
            "ferry_functions_pushes_total",
            "Sessions that were told that a result may differ, by reason.",
        ),
        (
            Counter,
            "ferry_functions_spared_total",
            "Live results that a commit to their table left alone, since it changed no row that they depend on.",
        ),
    ];

    async fn serve(hub: Arc<Hub>, request: Request) -> Result<Response, Request> {
        Ok(route::serve(hub, request).await)
    }

    fn start(hub: &Arc<Hub>) {
        hub.services.events.call_function_hooks_by(Box::new(FunctionHooks));
        live::start(hub);
        if let Some(processes) = hub.services.functions.processes.clone() {
            let stopping = hub.stopping.clone();
            hub.tasks.spawn(async move {
                let next = || tokio::time::timeout(IDLE_PROCESSES, stopping.cancelled());
                while next().await.is_err() {
                    processes.end_idle();
                }
            });
        }
    }

    fn set_gauges(hub: &Hub) {
        let processes = hub.services.functions.processes.as_ref();
        metrics::gauge!("ferry_functions_processes").set(processes.map_or(0, Processes::live) as f64);
    }
}
