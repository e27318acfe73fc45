//! Answers of this wire, and the dialect that they are in.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use ferry_protocol::functions::RpcFailure;
use http::{HeaderMap, HeaderValue, header, request::Parts};

use super::refusal::CallRefusal;
use crate::http::{HttpRequestId, retry_after, status};

/// Which clients are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RpcDialect {
    /// EdgePod's: answers have its members and no others.
    EdgePod,
    /// Ferry's own.
    Ferry,
}

const FERRY_HEADERS: [&str; 4] = ["ferry-key", "ferry-session-id", "ferry-reactive", "ferry-min-seq"];

impl RpcDialect {
    /// That of a request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let is_ferry = FERRY_HEADERS.iter().any(|name| headers.contains_key(*name));
        if is_ferry { Self::Ferry } else { Self::EdgePod }
    }
}

pub(super) fn request_id(parts: &Parts) -> Arc<str> {
    parts.extensions.get::<HttpRequestId>().map_or("", |id| id.0.as_str()).into()
}

/// The answer to a call that is refused.
pub(super) fn refused(refusal: &CallRefusal, dialect: RpcDialect, parts: &Parts) -> Response {
    let id = request_id(parts);
    let ferry = (dialect == RpcDialect::Ferry).then_some((refusal.code.code, &*id));
    let body = RpcFailure { error: &refusal.message, ferry }.encode();
    let mut response = json(&String::from_utf8_lossy(&body));
    *response.status_mut() = status(refusal.code.status);
    retry_after(&mut response, refusal.retry_after_ms);
    if let Some(allow) = refusal.allow {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// A body of JSON.
pub(super) fn json(text: &str) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], Body::from(text.to_owned())).into_response()
}
