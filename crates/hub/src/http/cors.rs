//! CORS for the configured origins (WEB-03).

use http::{HeaderName, HeaderValue, Method, Request, request::Parts};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::dev_guard::is_loopback_origin;

use ferry_control::origin_matches;

const ALLOWED_HEADERS: &[&str] = &[
    "authorization",
    "content-type",
    "last-event-id",
    "connect-protocol-version",
    "connect-timeout-ms",
    "grpc-timeout",
    "x-grpc-web",
    "x-user-agent",
    "x-request-id",
    "x-client-id",
    "ferry-key",
    "ferry-owner",
    "x-edgepod-key",
    "x-edgepod-session-id",
    "x-edgepod-reactive",
    "ferry-session-id",
    "ferry-reactive",
    "ferry-min-seq",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "range",
];
const EXPOSED_HEADERS: &[&str] = &[
    "x-request-id",
    "ferry-owner",
    "ferry-seq",
    "ferry-level",
    "ferry-page-count",
    "ferry-page-size",
    "etag",
    "retry-after",
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
];
const PREFLIGHT_MAX_AGE: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The CORS layer, if any origin is allowed; in `--dev` every loopback origin is.
pub(super) fn layer(origins: &[String], dev: bool) -> Option<CorsLayer> {
    if origins.is_empty() && !dev {
        return None;
    }
    let names =
        |list: &[&'static str]| list.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    let rules: Vec<String> = origins.to_vec();
    let any = rules.iter().any(|rule| rule == "*");
    let allowed = move |origin: &HeaderValue, _: &Parts| {
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        (dev && is_loopback_origin(&origin)) || rules.iter().any(|rule| origin_matches(rule, &origin))
    };
    let layer = CorsLayer::new()
        .allow_origin(if any { AllowOrigin::any() } else { AllowOrigin::predicate(allowed) })
        .allow_credentials(!any)
        // The path decides: see `methods`.
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers(names(ALLOWED_HEADERS))
        .expose_headers(names(EXPOSED_HEADERS))
        .max_age(PREFLIGHT_MAX_AGE);
    Some(layer)
}

/// The methods that a preflight for `path` is told.
pub(super) fn methods(path: &str) -> HeaderValue {
    HeaderValue::from_static(if path.starts_with("/v1/") {
        "GET, POST, OPTIONS, HEAD, PUT, PATCH, DELETE"
    } else {
        "GET, POST, OPTIONS"
    })
}

/// Whether a preflight asks; it is answered 204 without a body.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key("access-control-request-method")
}
