//! The root routes: which request belongs to whom. First match wins.

mod owner;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{any, any_service, get},
};
use ferry_types::limits::{ANONYMOUS_RPC_BODY_MAX_BYTES, RPC_BODY_MAX_BYTES, RPC_MAX_MS};
use http::{HeaderValue, StatusCode, Uri, header};
use serde_json::json;
use tower::{Layer as _, ServiceExt as _};
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer, timeout::TimeoutLayer};

use owner::Owner;

use crate::{
    events, health,
    http::{Envelope, RequestBody},
    hub::Hub,
    oauth, pages, records, rpc, static_files,
};

/// Requests of LiveStore's wire have a CORS of their own and any path, so they are taken out before both.
async fn livestore(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let is_livestore = owner::owner(&parts) == Owner::LiveStore;
    let request = Request::from_parts(parts, body);
    if !is_livestore {
        return next.run(request).await;
    }
    let serve = tower::service_fn(|request| {
        let hub = Arc::clone(&hub);
        async move { Ok::<_, Infallible>(events::serve(hub, request).await) }
    });
    match CompressionLayer::new().layer(serve).oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// Requests of record clients, whose app may be any name.
async fn record_clients(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let is_records = owner::owner(&parts) == Owner::Records;
    let request = Request::from_parts(parts, body);
    if is_records { records::serve(hub, request).await } else { next.run(request).await }
}

/// All routes of the hub.
pub(crate) fn router(hub: &Arc<Hub>) -> Router {
    let routes = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/health", get(health::health))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/sync", any(pages::sync))
        .route("/v1/databases/{db}/events", any(events::serve_view))
        .route("/v1/databases/{db}/events/{*rest}", any(events::serve_view))
        .merge(oauth())
        .route("/v1/{*rest}", any(no_such_v1))
        .route("/", get(root))
        .fallback(not_found)
        .with_state(Arc::clone(hub))
        .merge(rpc(hub))
        .layer(from_fn_with_state(Arc::clone(hub), record_clients));
    let (config, clock) = (&hub.config, Arc::clone(&hub.clock));
    let envelope = Envelope::new(&config.listener, config.dev, clock, Arc::clone(&hub.body_memory));
    let routes = envelope.wrap(routes, |routes| routes.layer(from_fn_with_state(Arc::clone(hub), livestore)));
    match hub.config.listener.public_path() {
        "" => routes,
        path => below(path, routes),
    }
}

/// The same routes also below `path`: a proxy may take the path of `public_url` off, or pass it on.
fn below(path: &str, routes: Router) -> Router {
    let prefix: Arc<str> = path.into();
    let routes = routes.map_request(move |mut request: Request| {
        if let Some(uri) = without(&prefix, request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    });
    Router::new().fallback_service(routes)
}

/// `uri` without `prefix`, if its path begins with that.
fn without(prefix: &str, uri: &Uri) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(prefix)?;
    let rest = match rest.chars().next() {
        Some('/') => rest.to_owned(),
        None | Some('?') => format!("/{rest}"),
        Some(_) => return None,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest.parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn oauth() -> Router<Arc<Hub>> {
    Router::new().route("/oauth/{provider}/callback", get(oauth::come_back)).layer(no_store())
}

/// What must not be kept by anybody on the way.
fn no_store() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

fn rpc(hub: &Arc<Hub>) -> Router {
    let of_size = |body_max_bytes| (rpc::rpc_service(&hub.control, body_max_bytes), body_max_bytes);
    let (known, anonymous) = (of_size(RPC_BODY_MAX_BYTES), of_size(ANONYMOUS_RPC_BODY_MAX_BYTES));
    let control = Arc::clone(&hub.control);
    let service = tower::service_fn(move |request: Request| {
        // Who is nobody yet has little to say, and is not listened to for longer.
        let sender = control.sender(request.headers());
        if let (Some(sender), Some(body)) = (&sender, request.extensions().get::<RequestBody>()) {
            body.belongs_to(sender);
        }
        let (service, body_max_bytes) = if sender.is_some() { known.clone() } else { anonymous.clone() };
        async move { Ok::<_, Infallible>(rpc::serve(service, body_max_bytes, request).await) }
    });
    Router::new()
        .route("/edgereplica.admin.v1.AdminService/{method}", any_service(service.clone()))
        .route("/ferry.admin.v1.AdminService/{method}", any_service(service))
        .layer(no_store())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_off_as_a_whole() {
        let rest = |uri: &str| without("/hub", &uri.parse().unwrap()).map(|uri| uri.to_string());
        for (uri, left) in [
            ("/hub/sync?a=/hub/", "/sync?a=/hub/"),
            ("/hub", "/"),
            ("/hub?x=1", "/?x=1"),
            ("https://example.com/hub/hub/x", "https://example.com/hub/x"),
        ] {
            assert_eq!(rest(uri).as_deref(), Some(left), "{uri}");
        }
        for uri in ["/hubs/x", "/sync", "/x/hub/", "*"] {
            assert_eq!(rest(uri), None, "{uri}");
        }
    }
}
