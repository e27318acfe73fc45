//! What an uncaught error of a function means to its caller (functions specification, 2.2).

/// Status and code of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RpcErrorCode {
    /// HTTP status.
    pub status: u16,
    /// Stable word.
    pub code: &'static str,
}

/// What begins a message, with the colon, and what it means.
const PREFIXES: &[(&str, u16)] = &[
    ("NOT_FOUND", 404),
    ("UNAUTHORIZED", 401),
    ("INVALID", 400),
    ("PAYMENT_REQUIRED", 402),
    ("FORBIDDEN", 403),
    ("CONFLICT", 409),
    ("TOO_LARGE", 413),
    ("RATE_LIMITED", 429),
    ("UNAVAILABLE", 503),
    ("TIMEOUT", 504),
];

/// Whole messages that mean something.
const WHOLE: &[(&str, u16, &str)] = &[
    ("Unauthorized", 401, "UNAUTHORIZED"),
    ("Forbidden", 403, "FORBIDDEN"),
    ("Not Found", 404, "NOT_FOUND"),
];

/// Status and code of an error with this message.
#[must_use]
pub fn status_of(message: &str) -> RpcErrorCode {
    if let Some((_, status, code)) = WHOLE.iter().find(|(whole, ..)| *whole == message) {
        return RpcErrorCode { status: *status, code };
    }
    let prefix = message.split_once(':').map_or("", |(prefix, _)| prefix);
    let known = PREFIXES.iter().find(|(known, _)| *known == prefix);
    known.map_or(RpcErrorCode { status: 500, code: "INTERNAL" }, |(code, status)| RpcErrorCode {
        status: *status,
        code,
    })
}
