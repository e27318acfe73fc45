//! The dashboard: the page under `/_/`, which is embedded in the binary, and its door to the hub under `/_/api/`, where
//! a session in a cookie counts (OPR-50 to OPR-54).

mod api;
mod assets;
mod cookie;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, StatusCode, header};

use crate::{hub::Hub, static_files::ApplicationPage};

/// The policy of all that stands under `/_/`: nothing from elsewhere, nothing inline, no frame around it.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Answers what is the dashboard's; everything else goes on. It stands outside the hub's CORS: no other origin has
/// business here.
pub(crate) async fn serve(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    if !hub.config.listener.dashboard {
        return next.run(request).await;
    }
    let prefix = hub.config.listener.public_path().to_owned();
    let path = request.uri().path();
    if is_asked_by_a_person(&hub, &request) {
        let to = format!("{prefix}/_/");
        return (StatusCode::SEE_OTHER, [(header::LOCATION, to), (header::VARY, "accept".to_owned())])
            .into_response();
    }
    if path == "/_" {
        return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, format!("{prefix}/_/"))])
            .into_response();
    }
    let Some(name) = path.strip_prefix("/_/").map(str::to_owned) else { return next.run(request).await };
    let mut response = match name.strip_prefix("api/") {
        Some(inner) => api::serve(&hub, &format!("/{inner}"), request, next).await,
        None => assets::serve((&name, request.uri().query()), &prefix, request.method(), request.headers()),
    };
    guard(response.headers_mut());
    response.extensions_mut().insert(ApplicationPage);
    response
}

/// A browser that opens the root: programs get the line that names the service, and in `--dev` an application may stand
/// there.
fn is_asked_by_a_person(hub: &Hub, request: &Request) -> bool {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    request.uri().path() == "/"
        && request.uri().query().is_none()
        && request.method() == Method::GET
        && !request.headers().contains_key(header::UPGRADE)
        && hub.config.listener.static_dir.is_none()
        && accepts.is_some_and(|kinds| kinds.contains("text/html"))
}

fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
}
