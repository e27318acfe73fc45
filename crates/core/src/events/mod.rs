//! Event sync: one totally ordered, append-only log per store (events specification, sections 3 and 4).
//!
//! [`append`](append()) and the functions of [`store`] and [`identity`] run inside a request of the database's writer;
//! [`log`] and [`page`] read on any snapshot. [`recent`] keeps the newest events in memory for all subscribers, and
//! [`Connection`] is the machine behind one client's socket or HTTP call.

pub mod admin;
pub mod ahead;
pub mod append;
mod arrivals;
pub mod connection;
mod event_row;
pub mod export;
pub mod first_layout;
pub mod hook_position;
pub mod idempotency;
pub mod identity;
pub mod import;
pub mod interface;
pub mod log;
pub mod maintenance;
pub mod page;
mod pull;
pub mod rate;
pub mod recent;
pub mod schema;
pub mod store;
mod store_key;

pub use ahead::OnCursorAhead;
pub use append::{Append, AppendOutcome, Appended, append, check_batch};
pub use connection::Connection;
pub use interface::{Ahead, FirstEvent, Limits, Log, Output, Position, ReadPage, Rights};
pub use page::{HistoryPage, read_page};
pub use rate::{Bucket, Rate};
pub use recent::{Following, Pages, RecentPage, RecentPages};
pub use store::{OnRollback, StoreRow, StoreState, Watermark};
pub use store_key::StoreKey;

/// Events of one outgoing page (section 2.5).
pub const PAGE_MAX_EVENTS: u32 = 100;
/// Bytes of one outgoing frame; a larger event is sent alone.
pub const PAGE_MAX_BYTES: usize = 900_000;
/// Name of an event.
pub const NAME_MAX_BYTES: usize = 512;
/// Who writes the events that a hook adds (EVT-57).
pub const HUB_CLIENT_ID: &str = "ferry-hub";
/// Id of a client or of a session.
pub const CLIENT_ID_MAX_BYTES: usize = 256;
/// Chunks of one Pull that the client has not acknowledged yet.
pub const UNACKED_CHUNKS_MAX: u8 = 8;
/// Open Pulls of one connection.
pub const PULLS_PER_CONNECTION: usize = 32;
