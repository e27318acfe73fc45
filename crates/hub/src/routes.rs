//! The root routes: which request belongs to whom. First match wins.

mod owner;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{any, any_service, get},
};
use ferry_types::{
    Model,
    limits::{ANONYMOUS_RPC_BODY_MAX_BYTES, RPC_BODY_MAX_BYTES, RPC_MAX_MS},
};
use http::{HeaderValue, StatusCode, Uri, header};
use serde_json::json;
use tower::ServiceExt as _;
use tower_http::{set_header::SetResponseHeaderLayer, timeout::TimeoutLayer};

use owner::PathOwner;

use crate::{
    backup::Backups,
    dashboard, health,
    http::{Envelope, RequestBody},
    hub::Hub,
    oauth, openapi,
    reach::{self, ReachTurns},
    rpc, shells, static_files,
};

/// Requests of a wire that has a CORS of its own, and any path: taken out before both.
async fn before_cors(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let owner = owner::owner(&parts);
    let request = Request::from_parts(parts, body);
    match owner {
        PathOwner::BeforeCors(model) => of_model(model, hub, request, next).await,
        PathOwner::Hub | PathOwner::Model(_) => next.run(request).await,
    }
}

/// Requests of the sync models.
async fn models(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let owner = owner::owner(&parts);
    let request = Request::from_parts(parts, body);
    match owner {
        PathOwner::Model(model) => of_model(model, hub, request, next).await,
        PathOwner::Hub | PathOwner::BeforeCors(_) => next.run(request).await,
    }
}

async fn of_model(model: Model, hub: Arc<Hub>, request: Request, next: Next) -> Response {
    ferry_trace::note("ferry.model", || model.as_str());
    match shells::serve(model, hub, request).await {
        Ok(response) => response,
        Err(request) => next.run(request).await,
    }
}

/// All routes of the hub.
pub(crate) fn router(hub: &Arc<Hub>, backups: &Arc<Backups>) -> Router {
    let routes = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/health", get(health::health))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .merge(oauth())
        .route("/v1/openapi.json", get(openapi::get))
        .route("/v1/reach", get(reach::get).layer(Extension(ReachTurns::default())))
        .route("/v1/{*rest}", any(no_such_v1))
        .route("/", get(root))
        .fallback(not_found)
        .with_state(Arc::clone(hub))
        .layer(Extension(Arc::clone(backups)))
        .merge(rpc(hub, backups))
        .layer(from_fn_with_state(Arc::clone(hub), models));
    let (config, clock) = (&hub.config, Arc::clone(&hub.clock));
    let memory = (Arc::clone(&hub.body_memory), Arc::clone(&hub.untaken));
    let traces = Arc::clone(&hub.traces);
    let envelope = Envelope::new(&config.listener, config.is_open(), clock, memory, traces);
    let routes = envelope.wrap(routes, |routes| {
        let routes = routes.layer(from_fn_with_state(Arc::clone(hub), before_cors));
        // It sends requests on under other paths, which are routed anew.
        let routes = Router::new().fallback_service(routes);
        routes.layer(from_fn_with_state(Arc::clone(hub), dashboard::serve))
    });
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

fn rpc(hub: &Arc<Hub>, backups: &Arc<Backups>) -> Router {
    let of_size = |body_max_bytes| {
        let service = rpc::rpc_service(&hub.control, Some(backups), Some(hub), body_max_bytes);
        (service, body_max_bytes)
    };
    let (known, anonymous) = (of_size(RPC_BODY_MAX_BYTES), of_size(ANONYMOUS_RPC_BODY_MAX_BYTES));
    let control = Arc::clone(&hub.control);
    let service = tower::service_fn(move |request: Request| {
        // Who is nobody yet has little to say, and is not listened to for longer.
        let sender = control.authenticator.sender(request.headers());
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
