//! What live queries are given, and what comes of it.

use std::sync::Arc;

use ferry_types::Seq;

use super::{Gate, QueryKey, Reads, SocketId};

/// A result that a client got, and wants kept fresh.
pub struct Registration<P> {
    /// The client's session.
    pub session: Arc<str>,
    /// What it is the result of.
    pub key: QueryKey,
    /// What it depends on.
    pub reads: Reads,
    /// Its hash.
    pub hash: u64,
    /// The commit that it shows.
    pub seq: Seq,
    /// How it is found out whether it changed.
    pub gate: Gate,
    /// Told no earlier than this, milliseconds.
    pub not_before_ms: u64,
    /// What it takes to run it again.
    pub payload: P,
}

/// A query that was run again.
pub struct Evaluated {
    /// What it depends on now.
    pub reads: Reads,
    /// Hash of its result.
    pub hash: u64,
    /// The commit that it shows.
    pub seq: Seq,
    /// As of a [`Registration`].
    pub gate: Gate,
}

/// What is to be told to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveOutput {
    /// These tables changed (names).
    Invalidate {
        /// To whom.
        socket: SocketId,
        /// Which.
        tables: Vec<Arc<str>>,
        /// The newest commit among those that did it.
        seq: Seq,
    },
    /// The result of a query that a socket keeps is at hand: send it under this name of the client's.
    Result {
        /// To whom.
        socket: SocketId,
        /// The client's name for it.
        id: Arc<str>,
        /// The client holds it.
        same: bool,
    },
}

/// What running a query again came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// For sockets that keep the result themselves.
    pub outputs: Vec<LiveOutput>,
    /// Somebody held another result.
    pub differed: bool,
}

/// Why clients are told (`ferry_functions_pushes_total`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PushReason {
    /// The result differs.
    Changed,
    /// It was not run again.
    Unrun,
}
