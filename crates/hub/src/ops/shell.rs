//! What op-log sync does for the hub.

use std::sync::Arc;

use axum::{extract::Request, response::Response};

use super::{counts, maintenance, release, route, service::OpsService, watermark};
use crate::{
    hub::Hub,
    metric_help::{
        Metric,
        MetricKind::{Counter, Gauge},
    },
    shell::Shell,
};

impl Shell for OpsService {
    const METRICS: &'static [Metric] = &[
        (Gauge, "ferry_ops_conflicts_open", "Open conflicts of ops, in databases used since the start."),
        (Counter, "ferry_ops_differs_total", "Pushed ops whose id is stored with another content."),
        (Gauge, "ferry_ops_quarantined", "Ops in quarantine, in databases used since the start, by code."),
        (Counter, "ferry_ops_results_total", "Pushed ops, by what became of them."),
    ];

    async fn serve(hub: Arc<Hub>, request: Request) -> Result<Response, Request> {
        Ok(route::serve(hub, request).await)
    }

    fn start(hub: &Arc<Hub>) {
        release::start(hub);
    }

    async fn sweep(hub: &Arc<Hub>) {
        maintenance::sweep(hub).await;
    }

    async fn save_watermarks(hub: &Hub) {
        watermark::save(hub).await;
        counts::count_changed(hub).await;
    }

    fn set_gauges(hub: &Hub) {
        hub.services.ops.counts.set_gauges();
    }
}
