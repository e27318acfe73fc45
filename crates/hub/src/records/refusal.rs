//! Refusals at the root: one line of text (records specification, 2.7).

use axum::response::{IntoResponse as _, Response};
use ferry_types::{Code, Error, Reason};
use http::{HeaderValue, StatusCode, header};

use crate::http::{advise, status_of};

/// What compatible clients show to somebody who has not paid.
const INACTIVE: &str =
    r#"{"error":"sync_inactive","message":"Sync is not active for this account. Activate it to continue."}"#;

/// The answer for `error`.
pub(super) fn response(error: &Error) -> Response {
    let status = match error.reason {
        // Old clients retry 503 and give up at what they do not know.
        Reason::StorageFull => StatusCode::SERVICE_UNAVAILABLE,
        reason => status_of(reason),
    };
    let text = match error.code() {
        Code::Unauthenticated => format!("unauthorized: {}\n", error.message),
        _ if error.reason == Reason::TooManyCollections => {
            format!("{}: {}\n", error.reason.as_str(), error.message)
        }
        _ => format!("{}\n", error.message),
    };
    let mut response = text_response(status, text);
    advise(&mut response, error.retry_after_ms);
    response
}

/// The account may not sync.
pub(super) fn payment_required() -> Response {
    let kind = [(header::CONTENT_TYPE, ferry_protocol::records::CONTENT_TYPE)];
    (StatusCode::PAYMENT_REQUIRED, kind, INACTIVE).into_response()
}

/// A path that nobody answers.
pub(super) fn not_found() -> Response {
    text_response(StatusCode::NOT_FOUND, "Not Found\n".to_owned())
}

/// A known path with another method.
pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n".to_owned());
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A status with a line of text.
pub(super) fn text_response(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
