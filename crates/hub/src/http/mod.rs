//! What every request passes, whatever its route: request id, client address, the guard of `--dev`, response
//! headers, CORS and the access log.

mod client_ip;
mod cors;
mod dev_guard;
mod envelope;
pub(crate) mod metered;
mod patience;
mod query;

pub use client_ip::ClientIp;
pub(crate) use cors::matches as origin_matches;
pub(crate) use envelope::request_origin;
pub use envelope::{RequestId, wrap};
pub(crate) use patience::Patience;
pub(crate) use query::Query;
