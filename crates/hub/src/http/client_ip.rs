//! Who is calling: the peer, or what a trusted proxy says of it (WEB-05).

use std::net::IpAddr;

use http::HeaderMap;

use crate::config::Network;

/// Address of the client, as a request extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

impl ClientIp {
    /// The peer, or behind trusted proxies the right-most `X-Forwarded-For` entry that is not one of them.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let is_trusted = |ip: IpAddr| trusted.iter().any(|network| network.contains(ip));
        let mut client = peer;
        if !is_trusted(peer) {
            return Self(client.to_canonical());
        }
        let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        let entries =
            values.iter().rev().filter_map(|value| value.to_str().ok()).flat_map(|list| list.rsplit(','));
        for entry in entries {
            // An entry that is no address was written by nobody we trust.
            let Ok(ip) = entry.trim().parse::<IpAddr>() else { break };
            client = ip;
            if !is_trusted(ip) {
                break;
            }
        }
        Self(client.to_canonical())
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
        ClientIp::of(peer.parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()]).0.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("203.0.113.9", &["1.2.3.4"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, 10.0.0.7"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["1.2.3.4", "5.6.7.8"]), "5.6.7.8");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, junk"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }
}
