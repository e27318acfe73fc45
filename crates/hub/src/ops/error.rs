//! Refusals of whole requests under `/v1` (ops specification, 2.2): a code for programs, a message for people, details.

use std::borrow::Cow;

use axum::response::{IntoResponse as _, Response};
use ferry_types::{Error, Reason};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::http::{HttpRequestId, advise, status_of};

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct OpsError {
    status: StatusCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    /// The table's word, of a refusal that any model may give.
    reason: Option<Reason>,
    details: Map<String, Value>,
    retry_after_ms: Option<u64>,
}

impl OpsError {
    /// A refusal with a word for programs and a message for people.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            reason: None,
            details: Map::new(),
            retry_after_ms: None,
        }
    }

    /// A parameter or a body that is wrong.
    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// A body, or a batch, of more than may be; the message says what to do.
    pub(super) fn body_too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    }

    pub(super) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// What a request does to a log or an entity is not possible in its state.
    pub(super) fn conflict(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(super) fn no_such_endpoint() -> Self {
        Self::not_found("no such endpoint under /v1")
    }

    /// The same with one more detail.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// What goes out.
    pub(super) fn respond(self, id: Option<&HttpRequestId>) -> Response {
        let Self { status, code, message, reason, details, retry_after_ms } = self;
        let request_id = id.map(|id| id.0.as_str()).unwrap_or_default();
        let mut error = json!({
            "code": code, "message": message, "details": details, "request_id": request_id,
        });
        if let Some(reason) = reason {
            error["reason"] = reason.as_str().into();
        }
        let mut response = (status, axum::Json(json!({ "error": error }))).into_response();
        advise(&mut response, retry_after_ms);
        response
    }
}

impl From<Error> for OpsError {
    fn from(error: Error) -> Self {
        let code = match error.reason {
            Reason::TooLarge => "body_too_large",
            Reason::QuarantineFull => "quarantine_full",
            Reason::InvalidArgument => "bad_request",
            _ => error.code().as_str(),
        };
        let mut refused = Self::new(status_of(error.reason), code, error.message);
        refused.retry_after_ms = error.retry_after_ms;
        refused.reason = Some(error.reason);
        refused
    }
}
