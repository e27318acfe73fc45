//! Memory of what is idle: sockets, subscriptions, warm contexts.

use ferry_testkit::process;
use futures_util::future::join_all;
use serde_json::json;

use super::{
    client::{Caller, Said, Socket},
    load_average,
    peer::{self, FERRY, Kind, Peer, Which},
    print,
};
use crate::{
    beside::{Kind as _, Server as _, options::Options},
    table,
};

const MEMORY: &str = "memory";
/// Subscriptions of each socket.
const EACH: usize = 10;
/// Results that they share.
const RESULTS: usize = 100;
/// Sockets that are opened before the others count: what all share is there then.
const FIRST: usize = 50;
/// Contexts of the database.
const CONTEXTS: usize = 64;

pub(super) async fn run(kinds: &[Kind], sockets: usize, options: &Options) {
    if !options.wants(MEMORY) {
        return;
    }
    let mut rows = Vec::new();
    for kind in kinds {
        let (first, context) = (kind.started(), contexts(kind).await);
        first.fill(RESULTS).await;
        let resident = first.usage().resident_bytes;
        let (idle, subscription) = idle(&first, sockets).await;
        rows.push(vec![
            kind.name().to_owned(),
            table::bytes(resident),
            table::bytes(idle as u64),
            subscription.map_or_else(|| "–".to_owned(), |each| table::bytes(each as u64)),
            context.map_or_else(|| "–".to_owned(), |each| table::bytes(each as u64)),
            load_average(),
        ]);
    }
    print(
        "Functions: memory",
        &format!(
            "Growth of the server's resident memory. {sockets} idle sockets, each of a session of its own that shows nothing; \
             then {EACH} subscriptions to getUserById of each, to {RESULTS} different results, over Ferry's dialect; {CONTEXTS} \
             calls at once that wait, beside one. Bars: ≤ 16 KiB per socket, ≤ 600 B per subscription, ≤ 2 MiB per context.",
        ),
        &["server", "resident at first", "per idle socket", "per subscription", "per warm context", "load"],
        &rows,
    );
}

/// Per idle socket, and per subscription of the hub.
async fn idle(peer: &Peer, count: usize) -> (f64, Option<f64>) {
    let is_ours = peer.kind.which == Which::Ferry;
    let protocol = is_ours.then_some(FERRY);
    let mut caller = Caller::connect(peer.address, None).await;
    for id in 1..=RESULTS {
        caller.call("getUserById", json!({"id": id})).await;
    }
    let mut first = Vec::new();
    for number in 0..FIRST {
        first.push(Socket::open(peer.address, &format!("first-{number}"), protocol).await);
    }
    let before = peer.usage().resident_bytes;
    let mut sockets = Vec::new();
    for number in 0..count {
        sockets.push(Socket::open(peer.address, &format!("idle-{number}"), protocol).await);
    }
    let with_sockets = peer.usage().resident_bytes;
    let each = with_sockets.saturating_sub(before) as f64 / count as f64;
    if !is_ours {
        return (each, None);
    }
    for socket in &mut sockets {
        for id in 0..EACH {
            socket.subscribe(id, "getUserById", json!({"id": id % RESULTS + 1})).await;
        }
        for _ in 0..EACH {
            while !matches!(socket.next().await, Said::Result(_)) {}
        }
    }
    let grown = peer.usage().resident_bytes.saturating_sub(with_sockets);
    (each, Some(grown as f64 / (count * EACH) as f64))
}

/// Per warm context of the hub; the reference has one.
async fn contexts(kind: &Kind) -> Option<f64> {
    if kind.which != Which::Ferry {
        return None;
    }
    let hub =
        peer::hub().restart_with(|options| options.env("FERRY_FUNCTIONS_CONTEXTS", CONTEXTS.to_string()));
    let resident = || process::usage(hub.pid()).expect("the hub runs, on a system with /proc").resident_bytes;
    let mut callers = Vec::new();
    for _ in 0..CONTEXTS {
        callers.push(Caller::connect(hub.address(), None).await);
    }
    callers[0].call("nap", "{}").await;
    let before = resident();
    join_all(callers.iter_mut().map(|caller| caller.call("nap", "{}"))).await;
    let grown = resident().saturating_sub(before);
    Some(grown as f64 / (CONTEXTS - 1) as f64)
}
