//! Origins of web pages (RFC 6454), and patterns of them.

use ferry_types::Result;
use http::Uri;

/// Whether `text` is an origin as RFC 6454 writes it: scheme, host and perhaps a port, and nothing else.
fn is_origin(text: &str) -> bool {
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
#[must_use]
pub fn origin_matches(rule: &str, origin: &str) -> bool {
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

/// An origin, or a pattern of origins, in lower case.
///
/// # Errors
/// What is expected in its place.
pub fn parse_origin(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    // A star stands for the subdomains of what follows, and for nothing else.
    if text == "*" || is_origin(&lower.replacen("://*.", "://", 1)) {
        return Ok(lower);
    }
    Err("expected origins such as https://app.example.com, https://*.example.com or *".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_star_stands_for_subdomains_only() {
        assert!(origin_matches("https://app.example.com", "https://app.example.com"));
        assert!(origin_matches("https://*.example.com", "https://a.b.example.com"));
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
            assert!(!origin_matches("https://*.example.com", bad), "{bad}");
        }
        assert!(origin_matches("https://*.example.com:8443", "https://a.example.com:8443"));
    }
}
