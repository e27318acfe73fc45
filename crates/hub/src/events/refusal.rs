//! What a refusal of the hub is on this wire, and what a refused connection or call is answered (sections 2.6, 2.7).

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use ferry_protocol::events::{BadQuery, ErrorCode, RpcError};
use ferry_types::{Code, Error, Reason};
use http::StatusCode;
use serde_json::json;

use crate::http::{advise, status_of};

/// The error of a call that the hub refused for `error`.
pub(super) fn rpc_error(error: &Error) -> RpcError {
    let code = match error.reason {
        Reason::Busy | Reason::RateLimited | Reason::ShuttingDown => ErrorCode::RateLimited,
        Reason::Unavailable => ErrorCode::StoreHold,
        Reason::ByteBudget => ErrorCode::ByteBudget,
        Reason::StorageFull => ErrorCode::StorageFull,
        _ => match error.code() {
            Code::Unauthenticated => ErrorCode::Unauthorized,
            Code::PermissionDenied => ErrorCode::Forbidden,
            Code::NotFound => ErrorCode::StoreNotFound,
            Code::FailedPrecondition | Code::InvalidArgument => ErrorCode::Rejected,
            _ => ErrorCode::Internal,
        },
    };
    RpcError::Unknown { code, message: error.message.clone(), retry_after_ms: error.retry_after_ms }
}

/// A store that the operator must look at first.
pub(super) fn on_hold() -> Error {
    let message = "the store is on hold: its operator must decide whether acknowledged events were lost, and end it by \
                   `ferry events remint` if they may be, or `ferry events resume` if they are not";
    Error::new(Reason::Unavailable, message).retry_after_ms(30_000)
}

pub(super) fn bad_query(bad: &BadQuery) -> Error {
    Error::new(Reason::InvalidArgument, bad.0)
}

/// HTTP status of a call that ended so.
pub(super) const fn call_status(error: &RpcError) -> StatusCode {
    let RpcError::Unknown { code, .. } = error else { return StatusCode::OK };
    match code {
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::StoreNotFound => StatusCode::NOT_FOUND,
        ErrorCode::RateLimited | ErrorCode::ByteBudget => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::StoreHold => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::OK,
    }
}

/// The word for a connection that is not let in.
pub(super) fn word(error: &Error) -> &'static str {
    match rpc_error(error) {
        RpcError::Unknown { code: ErrorCode::Internal | ErrorCode::Rejected, .. } => error.reason.as_str(),
        other => other.word(),
    }
}

/// The answer in place of an upgrade.
pub(super) fn response(error: &Error) -> Response {
    response_with(status_of(error.reason), error)
}

pub(super) fn response_with(status: StatusCode, error: &Error) -> Response {
    let body = json!({"error": {"code": word(error), "message": error.message}});
    let mut response = (status, Json(body)).into_response();
    advise(&mut response, error.retry_after_ms);
    response
}
