//! What every request passes, whatever its route: request id, client address, the guard of `--dev`, response
//! headers, CORS and the access log.

mod client_ip;
mod cors;
mod dev_guard;
mod envelope;
pub(crate) mod metered;

use http::request::Parts;

use crate::control::Origin;

pub use client_ip::ClientIp;
pub(crate) use cors::matches as origin_matches;
pub use envelope::{RequestId, wrap};

/// Where a request comes from, as the envelope has noted on it.
pub(crate) fn request_origin(parts: &Parts) -> Origin {
    let id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
    let ip = parts.extensions.get::<ClientIp>().map(|client| client.0);
    let nowhere = || std::net::Ipv4Addr::UNSPECIFIED.into();
    Origin { request_id: id.unwrap_or_default(), ip: ip.unwrap_or_else(nowhere) }
}
