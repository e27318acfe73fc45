//! What event sync does for the hub.

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use tower::{Layer as _, ServiceExt as _};
use tower_http::compression::CompressionLayer;

use super::{api, hooks, metric, route, service::EventsService, watermarks};
use crate::{
    hub::Hub,
    metric_help::{
        Metric,
        MetricKind::{Counter, Gauge, Histogram},
    },
    shell::Shell,
};

impl Shell for EventsService {
    const METRICS: &'static [Metric] = &[
        (Counter, "ferry_events_appended_total", "Events that were appended."),
        (Counter, "ferry_events_chunks_sent_total", "Pages of events that were sent to subscribers."),
        (Counter, "ferry_events_closes_total", "Event sockets that were closed, by close code."),
        (Counter, "ferry_events_cursor_ahead_total", "Pulls from beyond the end of their log."),
        (Histogram, "ferry_events_fanout_seconds", "Time from a commit until its subscribers were told."),
        (Counter, "ferry_events_holds_total", "Event stores that were put on hold."),
        (Histogram, "ferry_events_hook_seconds", "Time of a call to a hook, by hook and verdict."),
        (Gauge, "ferry_events_lagging_subscribers", "Subscribers that do not keep up."),
        (Counter, "ferry_events_pulls_total", "Pulls of events, by result."),
        (Histogram, "ferry_events_push_seconds", "Time of a push of events."),
        (Counter, "ferry_events_pushes_total", "Pushes of events, by result."),
        (Gauge, "ferry_events_stores", "Open event stores, by state."),
        (Gauge, "ferry_events_subscribers", "Live subscribers of event stores, by transport."),
        (
            Gauge,
            "ferry_events_suspect_stores",
            "Event stores whose clients say that they hold more than the hub.",
        ),
    ];

    async fn serve(hub: Arc<Hub>, request: Request) -> Result<Response, Request> {
        if api::is_endpoint(request.uri().path()) {
            return Ok(api::serve(&hub, request).await);
        }
        let serve = tower::service_fn(|request| {
            let hub = Arc::clone(&hub);
            async move { Ok::<_, Infallible>(route::serve(hub, request).await) }
        });
        match CompressionLayer::new().layer(serve).oneshot(request).await {
            Ok(response) => Ok(response.map(Body::new)),
            Err(never) => match never {},
        }
    }

    fn start(hub: &Arc<Hub>) {
        let delivering = Arc::clone(hub);
        hub.tasks.spawn(async move { hooks::deliver_all(&delivering).await });
    }

    async fn save_watermarks(hub: &Hub) {
        watermarks::save(hub).await;
    }

    fn set_gauges(hub: &Hub) {
        metric::count_stores(hub);
    }
}
