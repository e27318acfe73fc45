//! LiveStore's sync wire in its two dialects (events specification, section 2): decoded without building a tree,
//! encoded once per page of events.
//!
//! The dialect is chosen per request by the JSON type of its id; everything else is equal but the shape of an
//! outcome. An event's `args` are never parsed: they are kept as the JSON text that the client sent.

mod encode;
mod error;
mod event;
mod hook;
mod inbound;
mod mistake;
mod query;
mod request_id;
#[cfg(test)]
mod tests;
mod view;

pub use encode::{
    PageBody, PageInfo, chunk, defect, exit_die, exit_empty, exit_error, exit_pong, exit_void, pong,
};
pub use error::{ErrorCode, RpcError};
pub use event::{Event, EventRef, SEQ_NUM_MAX};
pub use hook::{Hook, HookContext, HookEvent, Verdict, pushed_body};
pub use inbound::{Call, Inbound, LogCursor, Malformed, PullCall, PushCall, Request, Transport};
pub use query::{BadQuery, ConnectQuery, check_store_id};
pub use request_id::{LiveStoreDialect, RequestId};
pub use view::{
    AppendCall, BadBody, CommittedEvent, EXPORT_FERRY, EXPORT_TABLE_PREFIX, EXPORT_VERSION, ExportHeader,
    ExportTrailer, export_table, write_committed, write_event, write_sse,
};

/// WebSocket close codes of this wire (section 2.7).
pub mod close {
    /// A code and the reason sent with it.
    pub type Close = (u16, &'static str);

    /// A frame above the limit.
    pub const TOO_LARGE: Close = (1009, "frame too large");
    /// The hub stops; connect again.
    pub const RESTARTING: Close = (1012, "hub restarting");
    /// An administrator closed this connection; connect again.
    pub const ENDED: Close = (1012, "closed by an administrator: connect again");
    /// The WebSocket protocol itself was broken.
    pub const PROTOCOL_ERROR: Close = (1002, "malformed WebSocket frame");
    /// Ten frames that were no JSON of this wire.
    pub const MALFORMED: Close = (4400, "too many malformed frames");
    /// The credential's time is over.
    pub const EXPIRED: Close = (4401, "credential expired");
    /// The right was taken away.
    pub const WITHDRAWN: Close = (4403, "right withdrawn");
    /// The credential may transfer no more bytes today (control specification, TOK-14).
    pub const BUDGET_SPENT: Close = (4403, "byte budget spent: it works again from midnight UTC");
    /// The store or its database is gone.
    pub const DELETED: Close = (4404, "store deleted");
    /// A connection that pings and subscribes to nothing.
    pub const ASLEEP: Close = (4408, "no subscription: connect again");
    /// The store's identity or position changed.
    pub const PULL_AGAIN: Close = (4409, "store changed: pull again");
    /// The consumer does not keep up.
    pub const TOO_SLOW: Close = (4420, "consumer too slow");
    /// The client speaks the protocol of before LiveStore 0.4.
    pub const UPGRADE_CLIENT: Close = (4426, "upgrade the client: this hub speaks LiveStore 0.4 and later");
    /// The store is on hold, or something it depends on is down.
    pub const ON_HOLD: Close = (4503, "store on hold or dependency down: try again later");
}
