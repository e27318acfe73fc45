//! Idle streams: what each holds in memory, and what it takes to nudge all of them.

use super::{engine::Took, load, wire::Served};
use crate::beside::http::{Connection, Tail};

/// Connections that are opened at once.
const OPENING: usize = 50;
/// Commits of which every stream is told.
const NUDGES: u64 = 20;

/// What idle streams cost.
pub(super) struct Idle {
    /// Growth of the hub's resident memory per stream.
    pub(super) bytes_each: f64,
    /// What the nudges took, all streams together, with the pushes that they tell of.
    pub(super) nudges: Took,
    /// How many nudges arrived.
    pub(super) arrived: u64,
}

/// Opens `count` streams of one database, and nudges them.
pub(super) async fn run(hub: &Served, count: usize) -> Idle {
    hub.push(load::ferry, 0..1, 1).await;
    // What all streams share is there before the first one counts.
    let first = open(hub).await;
    let before = hub.usage().resident_bytes;
    let mut streams = vec![first];
    while streams.len() <= count {
        let some = OPENING.min(count + 1 - streams.len());
        streams.extend(futures_util::future::join_all((0..some).map(|_| open(hub))).await);
    }
    let bytes_each = hub.usage().resident_bytes.saturating_sub(before) as f64 / count as f64;
    let (used, ()) = hub
        .measured(async {
            for number in 1..=NUDGES {
                hub.push(load::ferry, number..number + 1, 1).await;
                futures_util::future::join_all(streams.iter_mut().map(Tail::next)).await;
            }
        })
        .await;
    Idle { bytes_each, nudges: used.took, arrived: NUDGES * streams.len() as u64 }
}

/// A stream that stands at the log's head.
async fn open(hub: &Served) -> Tail {
    let request = hub.request("GET", "/v1/databases/-/ops/live?after_seq=1", "", "");
    let mut stream = Tail::open(Connection::open(hub.address()).await, &request, "event: nudge").await;
    while !stream.line().await.contains("event: ready") {}
    stream
}
