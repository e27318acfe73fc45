//! What page sync does for the hub.

use std::sync::Arc;

use axum::{extract::Request, response::Response};

use super::{route, service::PagesService};
use crate::{
    hub::Hub,
    metric_help::{Metric, MetricKind::Counter},
    shell::Shell,
};

impl Shell for PagesService {
    const METRICS: &'static [Metric] =
        &[(Counter, "ferry_pages_sessions_total", "Sessions of page sync, by direction.")];

    async fn serve(hub: Arc<Hub>, request: Request) -> Result<Response, Request> {
        match request.uri().path() {
            "/sync" => Ok(route::sync(hub, request).await),
            _ => Err(request),
        }
    }
}
