//! What calls of one database cost another one.

use std::{net::SocketAddr, time::Duration};

use ferry_testkit::{Hub, Session, functions::deployment, hub::Options as HubOptions, rng::Rng};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    client::{Caller, KEY},
    load_average,
    peer::{self, MANY},
    print,
};
use crate::{
    beside::{
        http::{self, Connection},
        options::Options,
    },
    binary, clock,
    load::percentile,
};

const HOSTILE: &str = "hostile";
/// Calls at once that never end.
const LOOPS: usize = 10;
/// Calls that wait.
const WAITING: usize = 10_000;
/// Connections that are opened at once.
const OPENING: usize = 64;
/// How long a state is measured.
const MEASURED: Duration = Duration::from_secs(10);

const SOURCE: &str = "
    export async function loops() { for (;;) {} }
    export async function waits() { await new Promise((done) => setTimeout(done, 25000)); }
";

pub(super) async fn run(options: &Options) {
    if !options.wants(HOSTILE) {
        return;
    }
    let hub = HubOptions::new(binary::ferry()).env("FERRY_LOG_LEVEL", "warn").start();
    let user = hub.signup("bench@example.com");
    peer::deploy(&hub, &user, &user.create_database("bench"));
    let keys: Vec<String> = (0..3).map(|number| hostile_database(&hub, &user, number)).collect();
    peer::fill(hub.address(), MANY).await;
    let address = hub.address();
    let mut rows = vec![row("nothing", measure(address).await, 0)];
    for count in [1, 3] {
        let mut loops = JoinSet::new();
        for key in &keys[..count] {
            for _ in 0..LOOPS {
                let key = key.clone();
                loops.spawn(async move {
                    loop {
                        ask(address, &key, "loops").await;
                    }
                });
            }
        }
        // The first ones have used their share.
        call_for(address, Duration::from_secs(1)).await;
        let what = format!("{LOOPS} endless loops at once in each of {count} databases");
        rows.push(row(&what, measure(address).await, 0));
        loops.shutdown().await;
        call_for(address, Duration::from_secs(2)).await;
    }
    let mut waits = JoinSet::new();
    let opening = std::sync::Arc::new(Semaphore::new(OPENING));
    for _ in 0..WAITING {
        let (key, opening) = (keys[0].clone(), std::sync::Arc::clone(&opening));
        waits.spawn(async move {
            let opened = opening.acquire_owned().await.expect("BUG: nobody closes it");
            let mut connection = Connection::open(address).await;
            drop(opened);
            let request =
                http::request(address, "POST", "/rpc/waits", &format!("X-Edgepod-Key: {key}\r\n"), "{}");
            connection.ask(&request).await.0
        });
    }
    let latencies = measure(address).await;
    let mut refused = 0;
    while let Some(Ok(status)) = waits.try_join_next() {
        refused += usize::from(status == 503);
    }
    waits.shutdown().await;
    rows.push(row(&format!("{WAITING} calls of one database that wait 25 s"), latencies, refused));
    print(
        "Functions: another database beside hostile functions",
        &format!(
            "One connection calls getUserById (uncached) in a database of its own for {MEASURED:?}, one call after another. \
             Refused: calls beside it that were answered 503. Bar: p99 at most twice that beside nothing."
        ),
        &["beside", "calls", "p50 ms", "p99 ms", "refused", "load"],
        &rows,
    );
}

fn row(beside: &str, mut latencies: Vec<f64>, refused: usize) -> Vec<String> {
    vec![
        beside.to_owned(),
        latencies.len().to_string(),
        format!("{:.2}", percentile(&mut latencies, 0.5)),
        format!("{:.2}", percentile(&mut latencies, 0.99)),
        refused.to_string(),
        load_average(),
    ]
}

/// A database with the hostile functions; its key.
fn hostile_database(hub: &Hub, user: &Session, number: usize) -> String {
    let database = user.create_database(&format!("hostile{number}"));
    let path = format!("/v1/databases/{database}/functions/deploy");
    let bearer = format!("Bearer {}", user.token);
    let body = deployment(&[("functions/index.ts", SOURCE)]).to_string();
    let headers = [("Authorization", bearer.as_str())];
    let made = ferry_testkit::http::send(hub.address(), "POST", &path, &headers, body.as_bytes());
    assert_eq!(made.expect("the hub is reachable").status, 200);
    let key = format!("{}{number}", &KEY[..KEY.len() - 1]);
    let spec = json!({ "value": key, "kind": "publishable", "label": "page", "models": ["functions"],
        "ops": ["read", "write"] });
    user.ferry("CreateApiKey", &json!({ "database": database, "spec": spec })).expect("the key is made");
    key
}

async fn ask(address: SocketAddr, key: &str, function: &str) -> u16 {
    let headers = format!("X-Edgepod-Key: {key}\r\n");
    let request = http::request(address, "POST", &format!("/rpc/{function}"), &headers, "{}");
    Connection::open(address).await.ask(&request).await.0
}

async fn measure(address: SocketAddr) -> Vec<f64> {
    call_for(address, MEASURED).await
}

/// Calls for so long; how long each call took, milliseconds.
async fn call_for(address: SocketAddr, time: Duration) -> Vec<f64> {
    let mut caller = Caller::connect(address, None).await;
    let (mut random, mut latencies) = (Rng::new(7), Vec::new());
    let over = clock::now() + time;
    while clock::now() < over {
        let args = json!({ "id": random.below(MANY as u64) + 1 });
        let begun = clock::now();
        caller.call("getUserByIdAnew", args).await;
        latencies.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    latencies
}
