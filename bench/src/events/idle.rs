//! Live Pulls on which nothing happens but the client's Pings.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{
    livestore::{Client, Frame},
    peer::Peer,
};
use crate::{beside::Server as _, clock};

/// How often LiveStore's client pings.
const PING: Duration = Duration::from_secs(10);
/// The connections are spread over so many stores.
const STORES: usize = 10;
/// Connections that are opened at once.
const OPENING: usize = 50;

/// What the idle connections cost.
pub(crate) struct Idle {
    /// Growth of the server's resident memory per connection.
    pub(crate) bytes_each: f64,
    /// Share of one core that answering the Pings takes, in percent.
    pub(crate) core_percent: f64,
}

/// Opens `count` live Pulls, and watches them for `length`.
pub(crate) async fn run(peer: &Peer, count: usize, length: Duration) -> Idle {
    // What all connections share is there before the first one counts.
    let mut shared = Vec::new();
    for number in 0..STORES {
        let store = store(number);
        Client::connect(peer.address, &store).await.push(1).await;
        shared.push(open(peer, store).await);
    }
    let before = peer.usage().resident_bytes;
    let mut clients = Vec::with_capacity(count);
    while clients.len() < count {
        let some = OPENING.min(count - clients.len());
        let opening = (0..some).map(|offset| open(peer, store(clients.len() + offset)));
        let opened = futures_util::future::join_all(opening).await;
        clients.extend(opened);
    }
    let bytes_each = peer.usage().resident_bytes.saturating_sub(before) as f64 / count as f64;

    let mut pinging = tokio::task::JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        // Spread evenly over the period, as clients are that started at different times.
        let first = Instant::now() + PING.mul_f64(number as f64 / count as f64);
        pinging.spawn(ping(client, first));
    }
    // One period for everybody's first Ping.
    pass(PING).await;
    let cpu_before = peer.usage().cpu_ms;
    let begun = clock::now();
    pass(length).await;
    let cpu_ms = (peer.usage().cpu_ms - cpu_before) as f64;
    Idle { bytes_each, core_percent: cpu_ms / begun.elapsed().as_secs_f64() / 10.0 }
}

fn store(number: usize) -> String {
    format!("idle-{}", number % STORES)
}

/// A connection with a live Pull that has got all there is.
async fn open(peer: &Peer, store: String) -> Client {
    let mut client = Client::connect(peer.address, &store).await;
    client.pull(true).await;
    while client.next().await != Frame::Page(1) {}
    client
}

async fn ping(mut client: Client, first: Instant) {
    let mut due = interval_at(first, PING);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        client.ping().await;
        assert_eq!(client.next().await, Frame::Other, "nothing happens here");
    }
}

async fn pass(time: Duration) {
    let mut clock = interval_at(Instant::now() + time, time);
    clock.tick().await;
}
