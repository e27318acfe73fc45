//! What record sync does for the hub.

use std::sync::Arc;

use axum::{extract::Request, response::Response};

use super::{maintenance, route, service::RecordsService, watermark};
use crate::{
    hub::Hub,
    metric_help::{Metric, MetricKind::Counter},
    shell::Shell,
};

impl Shell for RecordsService {
    const METRICS: &'static [Metric] = &[
        (Counter, "ferry_records_bad_cursors_total", "Pulls of records whose cursor was none."),
        (Counter, "ferry_records_billing_total", "Questions to the billing service, by answer."),
        (Counter, "ferry_records_changes_total", "Changes of records that were taken."),
        (Counter, "ferry_records_conflicts_total", "Changes of records that lost to others."),
        (Counter, "ferry_records_cursors_ahead_total", "Pulls of records from beyond what the hub has."),
    ];

    async fn serve(hub: Arc<Hub>, request: Request) -> Result<Response, Request> {
        Ok(route::serve(hub, request).await)
    }

    async fn sweep(hub: &Arc<Hub>) {
        maintenance::sweep(hub).await;
    }

    async fn save_watermarks(hub: &Hub) {
        watermark::save(hub).await;
    }
}
