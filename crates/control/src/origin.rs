//! Where calls come from.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ferry_types::{SessionId, UserId};

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
    /// How long a session may live that this call opens, seconds; `None`: as long as the settings say. The dashboard's live less.
    pub session_max_seconds: Option<i64>,
    /// The user who operates the hub by this call; `None`: whoever holds the operator token does.
    pub operator: Option<OperatingUser>,
}

/// A user who may operate the hub, and was let in by this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatingUser {
    /// The user.
    pub user_id: UserId,
    /// The session, which must stand to the end of what it is for.
    pub(crate) session_id: SessionId,
    /// The user's epoch, as in the session.
    pub(crate) user_epoch: u32,
}

impl Origin {
    /// A call of anybody.
    #[must_use]
    pub const fn new(request_id: String, ip: ClientIp) -> Self {
        Self { request_id, ip, session_max_seconds: None, operator: None }
    }

    /// The hub itself, where no call of a user is known.
    pub(crate) fn hub() -> Self {
        Self::new("hub".to_owned(), Ipv4Addr::LOCALHOST.into())
    }
}
