//! A new client pulls a long log.

use super::{
    livestore::{Client, Frame},
    peer::Peer,
};
use crate::{beside::Server as _, clock};

/// Events per push while the log is filled.
const BATCH: u64 = 100;
const STORE: &str = "cold";

/// What one pull gave.
pub(crate) struct Pull {
    pub(crate) events_per_second: f64,
    pub(crate) cpu_us_per_event: f64,
}

/// Fills the log with at least `events`.
pub(crate) async fn fill(peer: &Peer, events: u64) {
    let mut writer = Client::connect(peer.address, STORE).await;
    for _ in 0..events.div_ceil(BATCH) {
        writer.push(BATCH).await;
    }
}

/// Pulls all of it.
pub(crate) async fn pull(peer: &Peer, events: u64) -> Pull {
    let mut client = Client::connect(peer.address, STORE).await;
    let cpu_before = peer.usage().cpu_ms;
    let begun = clock::now();
    client.pull(false).await;
    let mut got = 0;
    loop {
        match client.next().await {
            Frame::Page(count) => got += count,
            Frame::Exit(succeeded) => {
                assert!(succeeded, "the pull failed");
                break;
            }
            Frame::Other => {}
        }
    }
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(got, events.div_ceil(BATCH) * BATCH, "the pull brings the whole log");
    let cpu_us = (peer.usage().cpu_ms - cpu_before) as f64 * 1000.0;
    Pull { events_per_second: got as f64 / took, cpu_us_per_event: cpu_us / got as f64 }
}
