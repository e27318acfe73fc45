//! A URL that the hub may ask.

use std::{fmt, net::IpAddr};

use http::Uri;

/// Longest URL.
const URL_MAX_BYTES: usize = 2048;

/// An absolute `http` or `https` URL with a host and without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUrl(Uri);

impl RemoteUrl {
    /// An `https` URL, or an `http` one on loopback.
    ///
    /// # Errors
    /// What was expected.
    pub fn secure(text: &str) -> Result<Self, &'static str> {
        let url = Self::any(text)?;
        let is_safe = url.0.scheme_str() == Some("https") || url.is_loopback();
        is_safe.then_some(url).ok_or("expected an https:// URL (http:// only on localhost)")
    }

    /// An `https` or `http` URL, for what the operator runs in a network of his own.
    ///
    /// # Errors
    /// What was expected.
    pub fn any(text: &str) -> Result<Self, &'static str> {
        let expected = "expected a URL that begins with https:// or http://, without user and password";
        let uri: Uri = text.parse().map_err(|_| expected)?;
        let shaped = matches!(uri.scheme_str(), Some("https" | "http"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && text.len() <= URL_MAX_BYTES
            // `http::Uri` drops a fragment in silence.
            && !text.contains('#');
        shaped.then_some(Self(uri)).ok_or(expected)
    }

    /// As requests take it.
    #[must_use]
    pub fn uri(&self) -> Uri {
        self.0.clone()
    }

    /// Whether its host is this machine by name or address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host().unwrap_or_default();
        host.eq_ignore_ascii_case("localhost") || literal_address(host).is_some_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The address that a host is, if it is no name.
pub(super) fn literal_address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: JWT-07
    #[test]
    fn http_is_for_loopback_only() {
        for good in [
            "https://id.example/.well-known/jwks.json",
            "https://id.example:8443/keys?x=1",
            "http://localhost:1/keys",
            "http://127.0.0.1:9/keys",
            "http://[::1]:9/keys",
        ] {
            assert_eq!(RemoteUrl::secure(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "/keys",
            "id.example/keys",
            "ftp://id.example/keys",
            "file:///etc/passwd",
            "http://id.example/keys",
            "http://localhost.example/keys",
            "http://169.254.169.254/latest",
            "https://user:word@id.example/keys",
            "https://id.example@127.0.0.1/keys",
            "https:///keys",
            "https://id.example/keys#x",
        ] {
            assert!(RemoteUrl::secure(bad).is_err(), "{bad}");
        }
        assert!(RemoteUrl::secure(&format!("https://id.example/{}", "x".repeat(2048))).is_err());
        assert!(RemoteUrl::any("http://billing.internal:3000/").is_ok());
    }
}
