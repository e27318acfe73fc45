//! What event sync does for the hub.

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use tower::{Layer as _, ServiceExt as _};
use tower_http::compression::CompressionLayer;

use super::{hooks, metric, route, service::EventsService, view, watermarks};
use crate::{hub::Hub, shell::Shell};

impl Shell for EventsService {
    async fn serve(hub: Arc<Hub>, request: Request) -> Result<Response, Request> {
        if view::is_endpoint(request.uri().path()) {
            return Ok(view::serve(&hub, request).await);
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
