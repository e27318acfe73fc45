//! What a new store costs in a database that has many: each is made by its first push, over HTTP.

use std::cell::Cell;

use futures_util::future::join_all;

use super::{livestore::push_frame, peer::Peer};
use crate::beside::{
    Server as _,
    http::{Connection, request},
};

/// Connections that make stores at the same time.
const CONNECTIONS: usize = 32;
/// Stores of which the cost is told.
pub(crate) const MEASURED: u64 = 2_000;

/// CPU of the server per new store, in microseconds.
pub(crate) struct NewStores {
    /// Of the first.
    pub(crate) first: f64,
    /// Of those behind the many.
    pub(crate) last: f64,
    /// Of those, made one after another.
    pub(crate) alone: f64,
}

/// Makes `many` stores, and then some more.
pub(crate) async fn run(peer: &Peer, many: u64) -> NewStores {
    let next = Cell::new(0);
    let first = make(peer, &next, MEASURED, CONNECTIONS).await;
    make(peer, &next, many.saturating_sub(MEASURED), CONNECTIONS).await;
    let last = make(peer, &next, MEASURED, CONNECTIONS).await;
    let alone = make(peer, &next, MEASURED, 1).await;
    NewStores { first, last, alone }
}

/// Makes `count` stores and tells what one cost.
async fn make(peer: &Peer, next: &Cell<u64>, count: u64, connections: usize) -> f64 {
    let (before, end) = (peer.usage().cpu_ms, next.get() + count);
    join_all((0..connections).map(|_| make_some(peer, next, end))).await;
    (peer.usage().cpu_ms - before) as f64 * 1000.0 / count as f64
}

async fn make_some(peer: &Peer, next: &Cell<u64>, end: u64) {
    let mut connection = Connection::open(peer.address).await;
    while next.get() < end {
        let store = format!("new-{}", next.get());
        next.set(next.get() + 1);
        let path = format!("/livestore?storeId={store}&transport=http");
        let body = push_frame("SyncHttpRpc.Push", 0, &store, 0, 1);
        let (status, _) = connection.ask(&request(peer.address, "POST", &path, "", &body)).await;
        assert_eq!(status, 200, "a store is made");
    }
}
