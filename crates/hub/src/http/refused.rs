//! What the answer to a refused request has beside its body.

use axum::response::Response;
use ferry_types::Reason;
use http::{HeaderValue, StatusCode, header};

/// Advice for causes on the hub's side that carry none.
const ADVISED_MS: u64 = 5_000;

/// The status of a number from a table.
pub(crate) fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The status of a refusal.
pub(crate) fn status_of(reason: Reason) -> StatusCode {
    status(reason.http_status())
}

/// Says when to try again, if that is known: in whole seconds, of which there is at least one (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(response: &mut Response, wait_ms: Option<u64>) {
    if let Some(ms) = wait_ms {
        response.headers_mut().insert(header::RETRY_AFTER, whole_seconds(ms));
    }
}

/// The same, and after a few seconds where that is not known and the cause is on the hub's side.
pub(crate) fn advise(response: &mut Response, wait_ms: Option<u64>) {
    let is_temporary = matches!(
        response.status(),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::INSUFFICIENT_STORAGE
    );
    retry_after(response, wait_ms.or(is_temporary.then_some(ADVISED_MS)));
}

/// Milliseconds as the seconds of `Retry-After`.
pub(crate) fn whole_seconds(ms: u64) -> HeaderValue {
    HeaderValue::from(ms.div_ceil(1000).max(1))
}
