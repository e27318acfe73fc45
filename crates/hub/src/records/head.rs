//! The head of a request: its method, the parameters of its query, its device.

use axum::response::{IntoResponse as _, Response};
use ferry_protocol::records::check_name;
use http::{Method, StatusCode, header, request::Parts};

/// Whether an endpoint whose methods are `allow` takes this one.
pub(super) fn takes(allow: &str, method: &Method) -> bool {
    allow.split(", ").any(|allowed| allowed == method.as_str())
}

/// The answer to `OPTIONS`; what browsers ask before a request is added around all routes.
pub(super) fn options(allow: &'static str) -> Response {
    ([(header::ALLOW, allow)], StatusCode::NO_CONTENT).into_response()
}

/// A query parameter, decoded; the first of that name.
pub(super) fn parameter(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query().unwrap_or("");
    form_urlencoded::parse(query.as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

/// The device of a request: header `X-Client-Id`.
pub(super) fn client_header(parts: &Parts) -> Option<String> {
    let value = parts.headers.get("x-client-id")?.to_str().ok()?;
    check_name(value, "client id").ok().map(|()| value.to_owned())
}
