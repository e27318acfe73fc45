//! What these endpoints answer: JSON, with the commit that it shows; refusals in the form of all of `/v1`.

use std::borrow::Cow;

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use ferry_core::events::append::BadBatch;
use ferry_protocol::events::{ErrorCode, RpcError};
use ferry_types::{Error, Reason, Seq};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::http::{HeldPage, HttpRequestId, advise, status_of};

const FERRY_SEQ: HeaderName = HeaderName::from_static("ferry-seq");

/// An answer, and the newest commit that it knows of.
pub(super) struct Answer {
    response: Response,
    seq: Option<Seq>,
}

impl Answer {
    /// A response as it is.
    pub(super) const fn new(response: Response, seq: Option<Seq>) -> Self {
        Self { response, seq }
    }

    /// A JSON text.
    pub(super) fn json(status: StatusCode, text: impl Into<Body>, seq: Option<Seq>) -> Self {
        let mut response = Response::new(text.into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Self { response, seq }
    }

    /// The same with one more header.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.response.headers_mut().insert(name, value);
        }
        self
    }

    /// The same, for which this room was taken.
    pub(super) fn holding(mut self, held: HeldPage) -> Self {
        self.response.extensions_mut().insert(held);
        self
    }

    /// What goes out.
    pub(super) fn respond(self) -> Response {
        let Self { mut response, seq } = self;
        add_seq(&mut response, seq);
        response
    }
}

fn add_seq(response: &mut Response, seq: Option<Seq>) {
    if let Some(seq) = seq {
        response.headers_mut().insert(FERRY_SEQ, HeaderValue::from(seq.0));
    }
}

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct ViewError {
    status: StatusCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    more: Map<String, Value>,
    retry_after_ms: Option<u64>,
}

impl ViewError {
    /// A refusal with a word for programs and a message for people.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: code.into(), message: message.into(), more: Map::new(), retry_after_ms: None }
    }

    /// A parameter or body that is wrong.
    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_argument", message)
    }

    /// The state of the store forbids it.
    pub(super) fn conflict(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(super) fn no_such_endpoint() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "no such endpoint under /v1")
    }

    /// A body above `most` bytes.
    pub(super) fn too_large(most: u64) -> Self {
        let message = format!("a body may have at most {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// The same with one more member.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    /// Whether what was asked for is not there.
    pub(super) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// What people read.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The same with advice when to retry.
    pub(super) const fn retry_after(mut self, ms: Option<u64>) -> Self {
        self.retry_after_ms = ms;
        self
    }

    /// What goes out.
    pub(super) fn respond(self, id: &HttpRequestId, seq: Option<Seq>) -> Response {
        let Self { status, code, message, mut more, retry_after_ms } = self;
        more.insert("code".into(), code.into());
        more.insert("message".into(), message.into());
        more.insert("request_id".into(), id.0.clone().into());
        let mut response = (status, axum::Json(json!({ "error": more }))).into_response();
        advise(&mut response, retry_after_ms);
        add_seq(&mut response, seq);
        response
    }
}

/// The table's word is the code where it says more than its family.
impl From<Error> for ViewError {
    fn from(error: Error) -> Self {
        let mut refused = Self::new(status_of(error.reason), error.code().as_str(), error.message);
        refused.more.insert("reason".into(), error.reason.as_str().into());
        refused.retry_after_ms = error.retry_after_ms;
        refused
    }
}

impl From<BadBatch> for ViewError {
    fn from(bad: BadBatch) -> Self {
        let message = bad.index.map_or_else(|| bad.why.to_string(), |at| format!("events[{at}].{}", bad.why));
        let refused = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_batch", message);
        match bad.index {
            Some(index) => refused.with("index", index),
            None => refused,
        }
    }
}

impl From<RpcError> for ViewError {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::ServerAhead { head, provided } => {
                Self::conflict("server_ahead", format!("the newest event is {head}, not {provided}"))
                    .with("head", head)
                    .with("providedParent", provided)
            }
            RpcError::BackendIdMismatch { expected, .. } => {
                Self::conflict("backend_mismatch", "the store has another identity")
                    .with("expected", &*expected)
            }
            RpcError::Unknown { code, message, retry_after_ms } => {
                let status = match code {
                    ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
                    ErrorCode::Forbidden => StatusCode::FORBIDDEN,
                    ErrorCode::StoreNotFound => StatusCode::NOT_FOUND,
                    ErrorCode::StoreMismatch => StatusCode::BAD_REQUEST,
                    ErrorCode::InvalidBatch | ErrorCode::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
                    ErrorCode::ClientAhead | ErrorCode::CursorAhead => StatusCode::CONFLICT,
                    ErrorCode::RateLimited | ErrorCode::ByteBudget => StatusCode::TOO_MANY_REQUESTS,
                    ErrorCode::HookUnavailable | ErrorCode::StoreHold => StatusCode::SERVICE_UNAVAILABLE,
                    // The same as if no frame of the other wire had told of it.
                    ErrorCode::StorageFull => return Error::new(Reason::StorageFull, message).into(),
                    ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
                };
                let mut refused = Self::new(status, "", message);
                refused.code = code.as_str().to_ascii_lowercase().into();
                refused.retry_after_ms = retry_after_ms;
                refused
            }
        }
    }
}
