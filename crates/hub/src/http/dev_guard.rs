//! `--dev` serves anonymous access, so no page of the open web may reach it: neither by DNS rebinding (a foreign
//! Host) nor across origins (CFG-05).

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use crate::config::is_loopback_host;

/// Why a request is refused in `--dev`, or `None`.
pub(super) fn refusal(uri: &Uri, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    if !names_this_machine(uri, headers) {
        return Some((
            StatusCode::MISDIRECTED_REQUEST,
            "this hub asks nobody for a credential, and so answers only to localhost, 127.0.0.1 and [::1]\n",
        ));
    }
    if headers.contains_key(header::ORIGIN) {
        let origin = text(headers, &header::ORIGIN).unwrap_or_default();
        if !is_loopback_origin(&origin) {
            return Some((
                StatusCode::FORBIDDEN,
                "this hub asks nobody for a credential, and so answers only pages served from localhost\n",
            ));
        }
    }
    None
}

/// Whether the request was addressed to this machine: by its `Host`, or `:authority` over HTTP/2.
pub(crate) fn names_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_ours = |host: &HeaderValue| host.to_str().is_ok_and(is_loopback_host);
    let hosts = headers.get_all(header::HOST);
    match uri.authority() {
        Some(authority) => is_loopback_host(authority.as_str()) && hosts.iter().all(is_ours),
        None => hosts.iter().count() > 0 && hosts.iter().all(is_ours),
    }
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Whether an `Origin` header names a page served from this machine.
pub(super) fn is_loopback_origin(origin: &str) -> bool {
    origin
        .split_once("://")
        .is_some_and(|(scheme, host)| matches!(scheme, "http" | "https") && is_loopback_host(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_of_this_machine_pass() {
        assert!(is_loopback_origin("http://localhost:5173"));
        assert!(!is_loopback_origin("null") && !is_loopback_origin("https://evil.example"));
    }
}
