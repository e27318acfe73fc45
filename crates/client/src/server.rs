//! Where a hub is.

use std::{fmt, net::IpAddr, str::FromStr};

use http::Uri;

/// A hub's URL: `http://host[:port][/path]` or the same with `https`, with the scheme's own port and a last slash left
/// out, so that one hub has one spelling. Credentials are kept under it (CLI-04).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUrl {
    secure: bool,
    host: String,
    port: u16,
    /// Empty, or begins with a slash and ends with none.
    path: String,
}

/// The text names no hub; the message says how one is named.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a server address: {what}; it looks like http://localhost:8787 or https://hub.example"
)]
pub struct BadServerUrl {
    text: String,
    what: &'static str,
}

impl ServerUrl {
    /// Whether connections are made through TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host name or address; an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether the name is this machine's own.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The base of RPC requests.
    #[must_use]
    pub fn uri(&self) -> Uri {
        self.to_string().parse().expect("BUG: a server address is built from the parts of a URI")
    }

    /// The WebSocket endpoint of EdgeReplica's wire.
    #[must_use]
    pub fn sync_uri(&self) -> Uri {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}/sync", self.authority(), self.path)
            .parse()
            .expect("BUG: a server address is built from the parts of a URI")
    }

    /// The same host with TLS instead of without, or the other way round.
    #[must_use]
    pub fn with_other_scheme(&self) -> Self {
        Self { secure: !self.secure, ..self.clone() }
    }

    /// Under which name what the hub gave us is kept: its URL, with one name for this machine, which `ferry serve`
    /// prints as an address and people write as a name.
    #[must_use]
    pub fn kept_under(&self) -> String {
        let is_this_machine = matches!(self.host.as_str(), "127.0.0.1" | "[::1]");
        let host = if is_this_machine { "localhost".to_owned() } else { self.host.clone() };
        Self { host, ..self.clone() }.to_string()
    }

    /// Whether `named`, a server as it was written down once, is this one.
    #[must_use]
    pub fn is(&self, named: &str) -> bool {
        named.parse::<Self>().is_ok_and(|named| named.kept_under() == self.kept_under())
    }

    fn authority(&self) -> String {
        if self.port == default_port(self.secure) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

impl FromStr for ServerUrl {
    type Err = BadServerUrl;

    fn from_str(text: &str) -> Result<Self, BadServerUrl> {
        let bad = |what| BadServerUrl { text: text.to_owned(), what };
        let Some((scheme, _)) = text.split_once("://") else {
            return Err(bad("it does not begin with http:// or https://"));
        };
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(bad("it does not begin with http:// or https://")),
        };
        let uri: Uri = text.parse().map_err(|_| bad("it is no URL"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(bad("it must not hold a user name or password"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(bad("it must end after host, port and path"));
        }
        let path = uri.path().trim_end_matches('/');
        if path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(bad("its path has an empty or dotted segment"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("the host is missing"))?;
        let has_port = uri.authority().is_some_and(|authority| authority.as_str().len() > host.len());
        let port = match uri.port_u16() {
            Some(port) => port,
            None if has_port => return Err(bad("its port is none")),
            None => default_port(secure),
        };
        Ok(Self { secure, host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.authority(), self.path)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_urls_are_normalised() {
        for (text, spelled, sync) in [
            ("http://LOCALHOST:8787/", "http://localhost:8787", "ws://localhost:8787/sync"),
            ("HTTPS://hub.example:443", "https://hub.example", "wss://hub.example/sync"),
            ("http://[::1]:80", "http://[::1]", "ws://[::1]/sync"),
            ("https://Example.com/Hub/", "https://example.com/Hub", "wss://example.com/Hub/sync"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), spelled);
            assert_eq!(url.sync_uri().to_string(), sync);
        }
    }

    #[test]
    fn only_urls_of_hubs_are_servers() {
        for bad in [
            "",
            "localhost:8787",
            "ftp://hub",
            "http://",
            "http://u:p@hub",
            "http://hub//path",
            "http://hub/../path",
            "http://hub/path?x=1",
            "http://hub/path#x",
            "http://hub?x=1",
            "http://hub:99999",
        ] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        for (text, loopback) in [
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("http://127.0.0.9", true),
            ("http://a.b", false),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
