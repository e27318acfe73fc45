//! What page sync does for the hub.

use std::sync::Arc;

use axum::{extract::Request, response::Response};

use super::{api, maintenance, route, service::PagesService, unfinished};
use crate::{
    hub::Hub,
    metric_help::{
        Metric,
        MetricKind::{Counter, Histogram},
    },
    shell::Shell,
};

impl Shell for PagesService {
    const METRICS: &'static [Metric] = &[
        (
            Counter,
            "ferry_pages_bodies_total",
            "Bodies of pages that were asked for, by whether they were kept.",
        ),
        (Histogram, "ferry_pages_capture_seconds", "Time of a capture of what was committed to a database."),
        (Counter, "ferry_pages_captures_total", "Captures that made a version."),
        (Counter, "ferry_pages_sessions_total", "Sessions of page sync, by direction."),
    ];

    fn start(hub: &Arc<Hub>) {
        unfinished::settle(hub, &hub.config.process.data_dir.join("databases"));
    }

    async fn sweep(hub: &Arc<Hub>) {
        maintenance::sweep(hub).await;
    }

    async fn serve(hub: Arc<Hub>, request: Request) -> Result<Response, Request> {
        match request.uri().path() {
            path if api::is_endpoint(path) => Ok(api::serve(&hub, request).await),
            "/sync" => Ok(route::sync(hub, request).await),
            _ => Err(request),
        }
    }
}
