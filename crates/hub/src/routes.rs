//! The root routes: which request belongs to whom. First match wins.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::{any, any_service, get},
};
use ferry_types::limits::RPC_MAX_MS;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use tower_http::{set_header::SetResponseHeaderLayer, timeout::TimeoutLayer};

use crate::{control, health, http as envelope, hub::Hub, pages, static_files};

/// All routes of the hub.
pub(crate) fn router(hub: &Arc<Hub>) -> Router {
    let routes = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/health", get(health::health))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/sync", any(pages::sync))
        .route("/v1/{*rest}", any(no_such_v1))
        .route("/", get(root))
        .fallback(not_found)
        .with_state(Arc::clone(hub))
        .merge(rpc(hub));
    envelope::wrap(routes, hub)
}

fn rpc(hub: &Arc<Hub>) -> Router {
    let service = control::rpc_service(&hub.control);
    Router::new()
        .route("/edgereplica.admin.v1.AdminService/{method}", any_service(service.clone()))
        .route("/ferry.admin.v1.AdminService/{method}", any_service(service))
        .layer(SetResponseHeaderLayer::overriding(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(RPC_MAX_MS)))
}

async fn root(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let name = concat!("ferry ", env!("CARGO_PKG_VERSION"), ": a sync hub for SQLite databases\n");
    static_files::find(&hub.config, request).await.unwrap_or_else(|| name.into_response())
}

async fn not_found(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    static_files::find(&hub.config, request)
        .await
        .unwrap_or_else(|| (StatusCode::NOT_FOUND, "Not Found").into_response())
}

async fn no_such_v1() -> Response {
    let body = json!({"error": {"code": "not_found", "message": "no such endpoint under /v1"}});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}
