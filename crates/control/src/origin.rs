//! Where calls come from.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

/// Address of the client, as a request extension; `None` where a trusted proxy says something that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientIp(pub Option<IpAddr>);

impl ClientIp {
    /// The address of a client of whom nothing is known: it shares the rate limits of all such, and no caveat `ip`
    /// lets it in (WEB-14).
    pub const UNKNOWN: Self = Self(None);
}

impl From<IpAddr> for ClientIp {
    fn from(ip: IpAddr) -> Self {
        Self(Some(ip.to_canonical()))
    }
}

impl From<Ipv4Addr> for ClientIp {
    fn from(ip: Ipv4Addr) -> Self {
        IpAddr::V4(ip).into()
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ip) => ip.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

/// Where a call came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Id of the request, as on its response and log line.
    pub request_id: String,
    /// Address of the client.
    pub ip: ClientIp,
}

impl Origin {
    /// The hub itself, where no call of a user is known.
    pub(crate) fn hub() -> Self {
        Self { request_id: "hub".to_owned(), ip: Ipv4Addr::LOCALHOST.into() }
    }
}
