//! What a session that does not end well tells the caller.

use std::time::Duration;

use ferry_protocol::pages::Frame;
use ferry_types::Code;
use futures_util::StreamExt as _;
use http::StatusCode;
use tokio_tungstenite::tungstenite::{
    Error as SocketError, Message,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{ClientError, ClientErrorCode, Result, ServerUrl, admin::Direction, no_answer};

/// How long the close code may come after an `error` frame.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Reads a frame; what cannot be read is the hub's fault.
pub(super) fn decode(bytes: &[u8]) -> Result<Frame<'_>> {
    Frame::decode(bytes)
        .map_err(|error| ClientError::unverified(format!("the hub sent a bad frame: {error}")))
}

/// A frame that does not belong where it came.
pub(super) fn unexpected(frame: &Frame<'_>) -> ClientError {
    ClientError::unverified(format!("the hub sent {} where it does not belong", frame.kind()))
}

/// The token is for the other direction than `meant`.
pub(super) fn wrong_direction(meant: Direction) -> ClientError {
    let may = match meant {
        Direction::Push => Direction::Pull,
        Direction::Pull => Direction::Push,
    };
    ClientError::new(
        ClientErrorCode::Table(Code::PermissionDenied),
        "WRONG_DIRECTION",
        format!(
            "this token may only {may}: mint one to {meant} with ferry db token DB --direction {meant}",
            may = may.as_str(),
            meant = meant.as_str()
        ),
    )
}

/// The refusal of the upgrade: plain text, with the status of its family.
pub(super) fn upgrade(server: &ServerUrl, error: SocketError) -> ClientError {
    let SocketError::Http(response) = error else { return socket(server, &error) };
    let status = response.status();
    let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let (code, reason) = match status {
        StatusCode::UNAUTHORIZED => (Code::Unauthenticated, "UNAUTHENTICATED"),
        StatusCode::FORBIDDEN => (Code::PermissionDenied, "PERMISSION_DENIED"),
        StatusCode::NOT_FOUND => (Code::NotFound, "NOT_FOUND"),
        StatusCode::CONFLICT => (Code::FailedPrecondition, "WRONG_KIND"),
        StatusCode::TOO_MANY_REQUESTS => (Code::ResourceExhausted, "RATE_LIMITED"),
        StatusCode::SERVICE_UNAVAILABLE => (Code::Unavailable, "UNAVAILABLE"),
        status if status.is_client_error() => (Code::InvalidArgument, "INVALID_ARGUMENT"),
        _ => (Code::Internal, "INTERNAL"),
    };
    let body = response.body().as_deref().map(|body| String::from_utf8_lossy(body).trim().to_owned());
    let message = match body.filter(|body| !body.is_empty() && body.len() <= 1024) {
        Some(body) => body,
        None if status == StatusCode::NOT_FOUND => {
            format!("{server} has no /sync endpoint, or not this database")
        }
        None => format!("{server} answered {status}"),
    };
    let mut refusal = ClientError::new(ClientErrorCode::Table(code), reason, message);
    refusal.request_id = header("x-request-id");
    refusal.retry_after_ms =
        header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok()).map(|seconds| seconds * 1000);
    refusal
}

/// The socket failed under the session.
pub(super) fn socket(server: &ServerUrl, error: &SocketError) -> ClientError {
    match error {
        SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            no_answer::unreachable(server, "the connection was cut")
        }
        // What the upgrade is answered with is no HTTP: so it is where TLS is spoken.
        SocketError::Protocol(ProtocolError::HttparseError(_)) => no_answer::no_http(server),
        SocketError::Capacity(_) | SocketError::Protocol(_) | SocketError::Utf8(_) => {
            ClientError::unverified(format!("the hub does not keep to the protocol: {error}"))
        }
        _ => no_answer::explained(server, error),
    }
}

/// The hub's `error` frame; the close code that follows it tells the family.
pub(super) async fn of_frame<S>(socket: &mut S, message: String) -> ClientError
where
    S: futures_util::Stream<Item = Result<Message, SocketError>> + Unpin,
{
    let code = tokio::time::timeout(CLOSE_WAIT, async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return Some(frame.code),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    });
    let code = code.await.ok().flatten();
    refusal(code, message)
}

/// A close without an `error` frame before it.
pub(super) fn closed(frame: Option<&CloseFrame>) -> ClientError {
    let Some(frame) = frame else {
        return refusal(None, "the hub closed the connection before the transfer was over".into());
    };
    let what = if frame.code == CloseCode::Away { "the hub is stopping" } else { frame.reason.as_str() };
    refusal(Some(frame.code), format!("the hub closed the connection: {what} ({})", u16::from(frame.code)))
}

/// Message and close code as one refusal. EdgeReplica's servers say all with 1011 and text.
fn refusal(code: Option<CloseCode>, message: String) -> ClientError {
    if let Some(message) = message.strip_prefix("DAMAGED: ") {
        return ClientError::file("DAMAGED", message);
    }
    let (family, reason) = match code.map(u16::from) {
        // EdgeReplica's servers say this with 1011.
        _ if message.contains("this token allows") => (Code::PermissionDenied, "WRONG_DIRECTION"),
        Some(1008) if message.contains("token") => (Code::PermissionDenied, "PERMISSION_DENIED"),
        Some(1008) => (Code::FailedPrecondition, "WRONG_KIND"),
        Some(1009) => (Code::ResourceExhausted, "TOO_LARGE"),
        Some(1013) if message.contains("committed first") => (Code::Aborted, "VERSION_CONFLICT"),
        Some(1001 | 1013) => (Code::Unavailable, "UNAVAILABLE"),
        Some(1000) | None if message.contains("closed the connection") => (Code::Unavailable, "UNAVAILABLE"),
        _ => (Code::Internal, "INTERNAL"),
    };
    ClientError::new(ClientErrorCode::Table(family), reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_map_to_error_families() {
        let family = |code, message: &str| refusal(Some(CloseCode::from(code)), message.into()).code;
        assert_eq!(
            family(1008, "this token allows pull only"),
            ClientErrorCode::Table(Code::PermissionDenied)
        );
        assert_eq!(
            family(1008, "a hub database is not pushed"),
            ClientErrorCode::Table(Code::FailedPrecondition)
        );
        let lost = "another push was committed first (now version 43); pull before you push again, or you replace it";
        assert_eq!(family(1013, lost), ClientErrorCode::Table(Code::Aborted));
        assert_eq!(family(1013, "busy"), ClientErrorCode::Table(Code::Unavailable));
        assert_eq!(family(1011, "DAMAGED: the file itself is damaged"), ClientErrorCode::FileUnusable);
        assert_eq!(family(1011, "page 3 was announced twice"), ClientErrorCode::Table(Code::Internal));
    }

    #[test]
    fn a_refused_upgrade_says_why() {
        let server = "http://localhost:1".parse().unwrap();
        let response = http::Response::builder()
            .status(503)
            .header("retry-after", "3")
            .body(Some(b"too many sockets\n".to_vec()))
            .unwrap();
        let error = upgrade(&server, SocketError::Http(Box::new(response)));
        assert_eq!((error.message.as_str(), error.retry_after_ms), ("too many sockets", Some(3000)));
        assert_eq!(error.code, ClientErrorCode::Table(Code::Unavailable));
    }
}
