//! Who is calling: the peer, or what a trusted proxy says of it (WEB-05).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::config::IpNetwork;
use ferry_control::ClientIp;

/// The peer, or behind trusted proxies the right-most `X-Forwarded-For` entry that is not one of them.
pub(super) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNetwork]) -> ClientIp {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|network| network.contains(ip));
    let mut values = headers.get_all("x-forwarded-for").iter().peekable();
    if !is_trusted(peer) || values.peek().is_none() {
        return peer.into();
    }
    let mut client = ClientIp::UNKNOWN;
    // What is no text is one entry that cannot be read.
    let values: Vec<&str> = values.map(|value| value.to_str().unwrap_or("?")).collect();
    let entries = values.iter().rev().flat_map(|list| list.rsplit(',')).map(str::trim);
    for entry in entries.filter(|entry| !entry.is_empty()) {
        // What is no address was written by a proxy that hides it: the one before it is not the client's.
        let Some(ip) = address(entry) else { return ClientIp::UNKNOWN };
        client = ip.into();
        if !is_trusted(ip) {
            break;
        }
    }
    client
}

/// Whether a proxy has handled the request, as far as its headers tell.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    const NAMES: [&str; 7] = [
        "forwarded",
        "x-real-ip",
        "via",
        "true-client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "fly-client-ip",
    ];
    const PREFIXES: [&str; 2] = ["x-forwarded-", "cf-"];
    headers
        .keys()
        .map(HeaderName::as_str)
        .any(|name| NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// `203.0.113.7`, `203.0.113.7:51234`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`.
fn address(entry: &str) -> Option<IpAddr> {
    let bracketed = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']'));
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    match bracketed {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => entry.parse().ok().or_else(with_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        client_ip(peer.parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()]).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("203.0.113.9", &["1.2.3.4"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, 10.0.0.7"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["1.2.3.4", "5.6.7.8"]), "5.6.7.8");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.7"]), "10.0.0.7");
    }

    // Azure's gateways write the port, others brackets or an empty entry: the proxy became the client, and with it
    // everybody was one client of the rate limits.
    // Verifies: WEB-14
    #[test]
    fn entries_are_read_as_proxies_write_them_and_nothing_makes_the_proxy_the_client() {
        for (entry, expected) in [
            ("203.0.113.7:51234", "203.0.113.7"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("203.0.113.7,", "203.0.113.7"),
            (" 203.0.113.7 ,, ", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:1, 10.0.0.7:80", "203.0.113.7"),
            ("1.2.3.4, junk", "unknown"),
            ("1.2.3.4, unknown, 10.0.0.7", "unknown"),
            ("203.0.113.7:port", "unknown"),
            ("[203.0.113.7]", "unknown"),
            ("_hidden", "unknown"),
            ("", "unknown"),
            (",", "unknown"),
        ] {
            assert_eq!(client("10.0.0.1", &[entry]), expected, "{entry:?}");
        }
    }
}
