//! What a failed RPC tells the caller.

use std::error::Error as _;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use buffa::Message as _;
use connectrpc::ConnectError;
use ferry_protocol::rpc::ferry::admin::v1::ErrorInfo;
use ferry_types::Code;

use crate::{ClientError, ClientErrorCode, ServerUrl, no_answer};

/// Name of the detail that carries reason, advice and request id.
const DETAIL: &str = "ferry.admin.v1.ErrorInfo";

/// The hub's refusal in the hub's words, or that no hub answered and how to get one.
pub(super) fn from_connect(server: &ServerUrl, error: &ConnectError) -> ClientError {
    // Only failures of the transport carry a cause; an answer of a server is just its code and message.
    if let Some(cause) = error.source() {
        return no_answer::explained(server, cause);
    }
    let info = info(error);
    let message = match error.message.as_deref() {
        Some(message) if !message.is_empty() => message.to_owned(),
        _ => format!("{server} answered {} without a message", error.code.as_str()),
    };
    ClientError {
        code: ClientErrorCode::Table(table_code(error.code)),
        reason: info.reason,
        message,
        request_id: Some(info.request_id)
            .filter(|id| !id.is_empty())
            .or_else(|| header(error, "x-request-id")),
        retry_after_ms: Some(info.retry_after_ms).filter(|ms| *ms > 0),
    }
}

fn header(error: &ConnectError, name: &str) -> Option<String> {
    error.response_headers().get(name)?.to_str().ok().map(str::to_owned)
}

fn info(error: &ConnectError) -> ErrorInfo {
    let detail = error.details.iter().find(|detail| detail.type_url.ends_with(DETAIL));
    detail
        .and_then(|detail| detail.value.as_deref())
        .and_then(|value| STANDARD_NO_PAD.decode(value.trim_end_matches('=')).ok())
        .and_then(|bytes| ErrorInfo::decode_from_slice(&bytes).ok())
        .unwrap_or_default()
}

const fn table_code(code: connectrpc::ErrorCode) -> Code {
    use connectrpc::ErrorCode as Connect;
    match code {
        Connect::InvalidArgument | Connect::OutOfRange => Code::InvalidArgument,
        Connect::FailedPrecondition => Code::FailedPrecondition,
        Connect::Unauthenticated => Code::Unauthenticated,
        Connect::PermissionDenied => Code::PermissionDenied,
        Connect::NotFound => Code::NotFound,
        Connect::AlreadyExists => Code::AlreadyExists,
        Connect::Aborted => Code::Aborted,
        Connect::ResourceExhausted => Code::ResourceExhausted,
        Connect::Unimplemented => Code::Unimplemented,
        Connect::Unavailable => Code::Unavailable,
        Connect::DeadlineExceeded | Connect::Canceled => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use connectrpc::{ErrorCode as Connect, ErrorDetail};

    use super::*;

    fn server() -> ServerUrl {
        "http://localhost:8787".parse().unwrap()
    }

    #[test]
    fn a_refusal_keeps_reason_advice_and_request_id() {
        let mut refusal = ConnectError::new(Connect::ResourceExhausted, "too many logins");
        let info = ErrorInfo {
            reason: "RATE_LIMITED".into(),
            retry_after_ms: 1500,
            request_id: "r-1".into(),
            ..Default::default()
        };
        refusal.details.push(ErrorDetail::from_message(DETAIL, &info));
        let error = from_connect(&server(), &refusal);
        assert_eq!(error.to_string(), "too many logins (resource_exhausted, request r-1)");
        assert_eq!((error.reason.as_str(), error.retry_after_ms), ("RATE_LIMITED", Some(1500)));
    }

    #[test]
    fn a_hub_that_is_busy_is_not_an_unreachable_one() {
        let error = from_connect(&server(), &ConnectError::new(Connect::Unavailable, "busy"));
        assert_eq!(error.code, ClientErrorCode::Table(Code::Unavailable));
    }

    #[tokio::test]
    async fn no_hub_says_how_to_start_one() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server: ServerUrl = format!("http://{free}").parse().unwrap();
        let error = crate::admin::AdminClient::new(&server, None, "").unwrap().whoami().await.unwrap_err();
        assert_eq!(error.code, ClientErrorCode::Unreachable);
        assert!(error.message.contains("start one with: ferry serve"), "{error}");
    }
}
