//! Answers under `/v1`: JSON, and refusals in its form.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use ferry_types::{Error, Reason, Seq};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::http::{HttpRequestId, retry_after, status_of};

/// A JSON text, and the newest commit that it shows.
pub(super) fn json(text: impl Into<Body>, seq: Option<Seq>) -> Response {
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(seq) = seq {
        headers.insert("ferry-seq", HeaderValue::from(seq.0));
    }
    response
}

/// The refusal for `error`.
pub(super) fn refused(error: &Error, id: Option<&HttpRequestId>) -> Response {
    let code = match error.reason {
        Reason::TooLarge => "too_large",
        Reason::MethodNotAllowed => "method_not_allowed",
        _ => error.code().as_str(),
    };
    let body = json!({"error": {
        "code": code, "message": error.message, "reason": error.reason.as_str(),
        "request_id": id.map(|id| id.0.as_str()).unwrap_or_default(),
    }});
    let mut response = (status_of(error.reason), axum::Json(body)).into_response();
    retry_after(&mut response, error.retry_after_ms);
    response
}

/// A known endpoint with a method that it does not take.
pub(super) fn method_not_allowed(allow: &'static str, id: Option<&HttpRequestId>) -> Response {
    let error = Error::new(Reason::MethodNotAllowed, format!("this endpoint takes only {allow}"));
    let mut response = refused(&error, id);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// The account may not sync.
pub(super) fn payment_required(id: Option<&HttpRequestId>) -> Response {
    let body = json!({"error": {
        "code": "payment_required", "message": "sync is not active for this account: activate it to continue",
        "request_id": id.map(|id| id.0.as_str()).unwrap_or_default(),
    }});
    (StatusCode::PAYMENT_REQUIRED, axum::Json(body)).into_response()
}
