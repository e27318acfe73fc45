//! What the machine behind one client sees of the world, and what it asks the shell to do.

use std::sync::Arc;

use bytes::Bytes;
use ferry_protocol::events::{Event, LogCursor, PushCall, RequestId, RpcError, close::Close};

use super::{page::Range, recent::Following};

/// Where a store stands.
#[derive(Clone, Debug)]
pub struct Position {
    /// Number of the newest event.
    pub head: i64,
    /// The store's identity.
    pub backend_id: Arc<str>,
}

/// The store of a connection, as its machine sees it.
pub trait Log {
    /// Its id.
    fn store_id(&self) -> &str;

    /// Where it stands.
    fn position(&self) -> Position;

    /// What follows `cursor`, up to `upto` (the head, if `None`), as far as it is in memory.
    fn following(&self, cursor: i64, upto: Option<i64>) -> Following;
}

/// What the caller may do; looked at for every call (EVT-53).
#[derive(Clone, Debug)]
pub struct Rights {
    /// Pull.
    pub read: Result<(), RpcError>,
    /// Push.
    pub write: Result<(), RpcError>,
}

/// A page that the shell must read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPage {
    /// Names the Pull in [`super::Connection::page_read`].
    pub pull: u32,
    /// What to read.
    pub range: Range,
}

/// What a hub's settings say of its connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events of one push.
    pub push_events: usize,
    /// How long events may wait for an Ack, in milliseconds (EVT-32).
    pub ack_ms: u64,
}

/// An event that a client holds and the hub does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Its number.
    pub at: i64,
    /// The store's identity, as the client named it.
    pub backend_id: Box<str>,
    /// The client's id, once it has pushed on this connection.
    pub client_id: Option<Box<str>>,
    /// `push` or `pull`.
    pub call: &'static str,
    /// Whether it proves that acknowledged events are missing: not from who may only read, nor where the event is of a
    /// push that was refused a moment ago.
    pub is_evidence: bool,
}

/// Who pushes a batch, and what comes first in it: by this people know it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstEvent {
    /// The client's id.
    pub client_id: Box<str>,
    /// Number of the event.
    pub seq_num: i64,
    /// Name of its type.
    pub name: Box<str>,
}

impl FirstEvent {
    /// Of a batch; an empty one has none.
    #[must_use]
    pub fn of(batch: &[Event]) -> Option<Self> {
        let first = batch.first()?;
        Some(Self { client_id: first.client_id.clone(), seq_num: first.seq_num, name: first.name.clone() })
    }
}

/// What the shell must do next.
#[derive(Debug)]
pub enum Output {
    /// Send this frame.
    Send(Bytes),
    /// Send this frame, a page of events.
    Chunk(Bytes),
    /// Append these events, and report with [`super::Connection::appended`]. One at a time.
    Append(PushCall),
    /// Read a page, and report with [`super::Connection::page_read`]. One at a time.
    Read(ReadPage),
    /// Ask whether a Pull may begin, and report with [`super::Connection::may_pull`].
    MayPull {
        /// Names the Pull.
        pull: u32,
        /// Where the client stands.
        cursor: Option<LogCursor>,
        /// Whether it is live.
        live: bool,
    },
    /// A push was answered; for metrics.
    Pushed(RequestId, &'static str),
    /// A Pull was opened or refused; for metrics.
    Pulled {
        /// Whether it is live.
        live: bool,
        /// `ok`, or why it was refused.
        result: &'static str,
    },
    /// A call failed so; its frame follows. HTTP has a status for some of these.
    Failed(RpcError),
    /// The client names an event that the hub does not have. What comes next waits until that is noted (EVT-47).
    Ahead(Ahead),
    /// A push is refused before it came to the writer; for people who look for stuck clients.
    Refused(FirstEvent, RpcError),
    /// Close the connection.
    Close(Close),
}
