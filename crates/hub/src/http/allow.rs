//! The methods that an endpoint takes, as the header `Allow` lists them.

use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode, header};

/// Whether an endpoint whose methods are `allow` takes this one.
pub(crate) fn takes(allow: &str, method: &Method) -> bool {
    allow.split(", ").any(|allowed| allowed == method.as_str())
}

/// The answer to `OPTIONS`; what browsers ask before a request is added around all routes.
pub(crate) fn options(allow: &'static str) -> Response {
    ([(header::ALLOW, allow)], StatusCode::NO_CONTENT).into_response()
}
