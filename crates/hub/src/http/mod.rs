//! What every request passes, whatever its route: request id, client address, the guard of `--dev`, response
//! headers, CORS and the access log.

mod admission;
mod allow;
mod client_ip;
mod compression;
mod cors;
mod decoding;
mod dev_guard;
mod envelope;
mod file_body;
mod handover;
mod header_read_timeout;
mod in_flight;
mod memory_pool;
pub(crate) mod metering;
mod outlet;
mod query;
mod refused;
mod request_body;
mod request_headers;
pub(crate) mod served_stream;
mod shown_headers;
mod timed_stream;
mod untaken;
mod websocket;

pub(crate) use admission::{Admitted, ConnectionAdmission, TooMany};
pub(crate) use allow::{options, takes};
pub(crate) use client_ip::is_forwarded;
pub(crate) use compression::{compressed, refuse_compressed};
pub(crate) use decoding::{Decoding, Turn};
pub(crate) use dev_guard::names_this_machine;
pub(crate) use envelope::Envelope;
pub use envelope::HttpRequestId;
pub(crate) use envelope::request_origin;
pub(crate) use file_body::file_body;
pub(crate) use handover::{Handover, Lent, SharedStream, Takeover};
pub(crate) use header_read_timeout::HeaderReadTimeout;
pub(crate) use in_flight::InFlight;
pub use memory_pool::MemoryPool;
pub(crate) use outlet::Outlet;
pub(crate) use query::Query;
pub(crate) use refused::{advise, retry_after, status, status_of, whole_seconds};
pub(crate) use request_body::RequestBody;
pub(crate) use request_headers::{KnownTags, accepts};
pub(crate) use shown_headers::shown_headers;
pub(crate) use timed_stream::{ConnectionProgress, TimedStream, note_stalled};
pub use untaken::UntakenAnswers;
pub(crate) use untaken::{HeldAhead, HeldPage, PageRoom, SharedAnswer};
pub(crate) use websocket::{
    BoundedSocket, CONTROL_FLOOD, Handshake, NO_UPGRADE, STALLED, SocketFault, SocketLimits,
};
