//! CORS for the configured origins (WEB-03).

use http::{HeaderName, HeaderValue, Method, Request, Uri, request::Parts};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::dev_guard::is_loopback_origin;

const ALLOWED_HEADERS: &[&str] = &[
    "authorization",
    "content-type",
    "last-event-id",
    "connect-protocol-version",
    "connect-timeout-ms",
    "grpc-timeout",
    "x-grpc-web",
    "x-user-agent",
    "x-request-id",
    "x-client-id",
    "ferry-key",
    "ferry-owner",
    "x-edgepod-key",
    "x-edgepod-session-id",
    "x-edgepod-reactive",
    "ferry-session-id",
    "ferry-reactive",
    "ferry-min-seq",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "range",
];
const EXPOSED_HEADERS: &[&str] = &[
    "x-request-id",
    "ferry-owner",
    "ferry-seq",
    "etag",
    "retry-after",
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
];
const PREFLIGHT_MAX_AGE: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The CORS layer, if any origin is allowed; in `--dev` every loopback origin is.
pub(super) fn layer(origins: &[String], dev: bool) -> Option<CorsLayer> {
    if origins.is_empty() && !dev {
        return None;
    }
    let names =
        |list: &[&'static str]| list.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    let rules: Vec<String> = origins.to_vec();
    let any = rules.iter().any(|rule| rule == "*");
    let allowed = move |origin: &HeaderValue, _: &Parts| {
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        (dev && is_loopback_origin(&origin)) || rules.iter().any(|rule| matches(rule, &origin))
    };
    let layer = CorsLayer::new()
        .allow_origin(if any { AllowOrigin::any() } else { AllowOrigin::predicate(allowed) })
        .allow_credentials(!any)
        // The path decides: see `methods`.
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers(names(ALLOWED_HEADERS))
        .expose_headers(names(EXPOSED_HEADERS))
        .max_age(PREFLIGHT_MAX_AGE);
    Some(layer)
}

/// The methods that a preflight for `path` is told.
pub(super) fn methods(path: &str) -> HeaderValue {
    HeaderValue::from_static(if path.starts_with("/v1/") {
        "GET, POST, OPTIONS, HEAD, PUT, PATCH, DELETE"
    } else {
        "GET, POST, OPTIONS"
    })
}

/// Whether a preflight asks; it is answered 204 without a body.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key("access-control-request-method")
}

/// Whether `text` is an origin as RFC 6454 writes it: scheme, host and perhaps a port, and nothing else.
pub(crate) fn is_origin(text: &str) -> bool {
    let Some((scheme @ ("http" | "https"), _)) = text.split_once("://") else { return false };
    let parsed = text.parse::<Uri>().ok().and_then(|uri| {
        let authority = uri.authority()?;
        let host = authority.host();
        let is_name =
            |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        // What the parser leaves out is no part of an origin.
        let rest = authority.as_str().strip_prefix(host)?;
        let is_port = rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        let is_whole = text == format!("{scheme}://{authority}") && (rest.is_empty() || is_port);
        Some(is_whole && (host.starts_with('[') || is_name(host)) && !host.starts_with('.'))
    });
    parsed == Some(true)
}

/// Whether `origin`, in lower case, is what `rule` names: exactly, or a subdomain of `https://*.example.com`.
pub(crate) fn matches(rule: &str, origin: &str) -> bool {
    match rule.split_once("://*.") {
        None => rule == origin,
        Some((scheme, domain)) => {
            let subdomain = origin
                .strip_prefix(scheme)
                .and_then(|rest| rest.strip_prefix("://")?.strip_suffix(domain)?.strip_suffix('.'));
            is_origin(origin)
                && subdomain.is_some_and(|subdomain| !subdomain.is_empty() && !subdomain.contains(':'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_star_stands_for_subdomains_only() {
        assert!(matches("https://app.example.com", "https://app.example.com"));
        assert!(matches("https://*.example.com", "https://a.b.example.com"));
        for bad in [
            "https://example.com",
            "http://a.example.com",
            "https://aexample.com",
            "https://.example.com",
            "https://evil.com:1.example.com",
            "https://evil.com#.example.com",
            "https://evil.com?.example.com",
            "https://evil.com/.example.com",
            "https://evil.com\\.example.com",
            "https://evil.com@a.example.com",
            "https://evil.com%23.example.com",
            "https://evil.com .example.com",
            "https://[::1].example.com",
            "https://a.example.com#",
            "https://a.example.com/",
            "https://a.example.com:1",
            "null",
        ] {
            assert!(!matches("https://*.example.com", bad), "{bad}");
        }
        assert!(matches("https://*.example.com:8443", "https://a.example.com:8443"));
    }
}
