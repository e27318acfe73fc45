//! The wire of record sync (records specification, section 2): pushes and pulls as JSON, server-sent events, and
//! the notification socket. Values stay the JSON text that their writer sent (REC-09).

mod canonical;
mod change;
mod decode;
mod encode;
pub mod ferry;
mod history;
pub mod json;
mod socket;
mod stream;
mod time;

pub use canonical::canonical;
pub use change::{Change, ChangeOrigin, FieldWrite, Op};
pub use decode::{ChangeLimits, Push, check_id, check_name, decode_push, decode_within};
pub use encode::{
    CONTENT_TYPE, ConflictOut, FieldOut, Head, pull_answer, push_answer, write_conflict, write_delete,
    write_insert, write_update,
};
pub use history::history_fields;
pub use socket::{ClientMessage, ServerMessage, SocketError};
pub use stream::{Bye, bye, changes_event, heartbeat};
pub use time::UnixNanos;

/// The version of a push's format that this hub reads.
pub const SCHEMA_VERSION: u64 = 1;

#[cfg(test)]
mod tests;
