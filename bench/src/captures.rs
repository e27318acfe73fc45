//! Versions of a database that the hub writes: what capturing them costs its writers, how long after its commit a version is
//! with a follower, and what an idle follower takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ferry_control::Requester;
use ferry_database::{CaptureSettings, FileLimits, OpenFiles};
use ferry_hub::database::{Database, Databases};
use ferry_testkit::{
    Direction, Hub, Session, http,
    hub::Options,
    process,
    rng::Rng,
    sse::{EventStream, Sent},
    wait,
};
use ferry_types::{DatabaseId, Seq};
use serde_json::json;
use uuid::Uuid;

use crate::{binary, clock, table};

/// Rounds of each contender, which take turns.
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(1);
/// Callers that each wait for their answer before they ask again.
const REQUESTERS: [usize; 3] = [1, 8, 64];
const PAYLOAD_BYTES: usize = 120;
/// Commits whose way to a follower is timed.
const TIMED: usize = 400;
/// Followers that wait.
const FOLLOWERS: usize = 900;

pub(crate) fn run() {
    cost();
    lag();
    memory();
}

fn cost() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let databases = Databases::new(
        dir.path(),
        OpenFiles::new(FileLimits::AMPLE),
        Arc::default(),
        Arc::new(ferry_hub::clock::SystemClock),
        CaptureSettings::default(),
    );
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let open = |number| {
        let id = DatabaseId::from_uuid(Uuid::from_u128(number));
        let database = databases.get(id).expect("the hub is not stopping");
        let hub = Requester::hub();
        let made = database.submit(&hub, |transaction| {
            let table = "CREATE TABLE row(id INTEGER PRIMARY KEY, payload BLOB)";
            Ok(transaction.connection().execute_batch(table)?)
        });
        runtime.block_on(made).expect("the table is made");
        database
    };
    let (plain, followed) = (open(1), open(2));
    let _follower = followed.capture().follow();
    runtime.block_on(followed.capture().replica(Seq(0))).expect("its pages can be read");
    let mut rows = Vec::new();
    for requesters in REQUESTERS {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (database, rates) in [&plain, &followed].into_iter().zip(&mut rates) {
                rates.push(runtime.block_on(commits_per_second(database, requesters)));
            }
        }
        let [plain, followed] = rates.map(|mut rates| table::median(&mut rates));
        let cost = (1.0 - followed / plain) * 100.0;
        rows.push(vec![
            requesters.to_string(),
            format!("{plain:.0}"),
            format!("{followed:.0}"),
            format!("{cost:.1} %"),
            "5 %".into(),
        ]);
    }
    table::print(
        "What capturing versions costs writers",
        &format!(
            "Commits per second of one INSERT of {PAYLOAD_BYTES} bytes each, in a database that nobody reads pages of and in \
             one that is followed (a capture each 50 ms). Medians of {ROUNDS} interleaved rounds of {ROUND:?}."
        ),
        &["requesters", "plain", "followed", "cost", "bar"],
        &rows,
    );
}

async fn commits_per_second(database: &Arc<Database>, requesters: usize) -> f64 {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let began = clock::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..requesters {
        let (database, stop, done) = (Arc::clone(database), Arc::clone(&stop), Arc::clone(&done));
        tasks.spawn(async move {
            let hub = Requester::hub();
            while !stop.load(Ordering::Relaxed) {
                let insert = database.submit(&hub, |transaction| {
                    let mut insert =
                        transaction.connection().prepare_cached("INSERT INTO row(payload) VALUES (?1)")?;
                    Ok(insert.execute([[7_u8; PAYLOAD_BYTES]])?)
                });
                insert.await.expect("the row is committed");
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::interval_at(tokio::time::Instant::now() + ROUND, ROUND).tick().await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("the requester ends well");
    }
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// A hub with a database of events.
struct Place {
    hub: Hub,
    database: String,
    pages: String,
    events: String,
}

impl Place {
    fn new() -> Self {
        let hub = Options::new(binary::ferry()).env("FERRY_LOG_LEVEL", "warn").start();
        let user = hub.signup("bench@example.com");
        let database = user.create_database("bench");
        let (pages, events) = (user.sync_token(&database, Direction::Pull), events_token(&user, &database));
        let place = Self { hub, database, pages, events };
        place.append();
        place
    }

    /// The commit that it is.
    fn append(&self) -> u64 {
        let body = json!({"store": "app", "parentSeqNum": null, "clientId": "c", "sessionId": "s",
                          "events": [{"name": "e", "args": {"text": "x".repeat(100)}}]});
        let authorization = format!("Bearer {}", self.events);
        let path = format!("/v1/databases/{}/events", self.database);
        let headers = [("Authorization", authorization.as_str())];
        let answer = http::send(self.hub.address(), "POST", &path, &headers, body.to_string().as_bytes());
        let answer = answer.expect("the hub answers");
        answer.header("ferry-seq").and_then(|seq| seq.parse().ok()).expect("the event is committed")
    }

    fn follow(&self) -> EventStream {
        let authorization = format!("Bearer {}", self.pages);
        let path = format!("/v1/databases/{}/pages/stream?inline=65536", self.database);
        EventStream::open(self.hub.address(), &path, &[("Authorization", &authorization)])
            .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
    }
}

fn events_token(user: &Session, database: &str) -> String {
    let request =
        json!({"databaseId": database, "models": ["events"], "ops": ["read", "write"], "ttlSeconds": 3600});
    let answer = user.ferry("IssueSyncToken", &request).expect("a token is issued");
    answer["token"].as_str().expect("a token").to_owned()
}

/// From the answer to a write until what leads to its version is with a follower.
fn lag() {
    let place = Place::new();
    let mut stream = place.follow();
    stream.expect("version");
    let mut rows = Vec::new();
    for (name, pause_ms) in [("one in 100–200 ms", 100), ("one in 5–10 ms", 5)] {
        let mut rng = Rng::new(3);
        let (sent, received) = std::sync::mpsc::channel();
        let mut lags: Vec<f64> = std::thread::scope(|scope| {
            let place = &place;
            scope.spawn(move || {
                for _ in 0..TIMED {
                    std::thread::park_timeout(Duration::from_millis(pause_ms + rng.below(pause_ms)));
                    let seq = place.append();
                    sent.send((seq, clock::now())).expect("somebody waits");
                }
            });
            let (mut version, mut at) = (0, clock::now());
            received
                .iter()
                .map(|(seq, answered)| {
                    while version < seq {
                        let Sent::Event { data, .. } = stream.next() else { continue };
                        at = clock::now();
                        let event: serde_json::Value = serde_json::from_str(&data).expect("JSON");
                        version = event["version"].as_u64().expect("a version");
                    }
                    at.saturating_duration_since(answered).as_secs_f64() * 1000.0
                })
                .collect()
        });
        lags.sort_by(f64::total_cmp);
        let at = |share: f64| format!("{:.1}", lags[(lags.len() as f64 * share) as usize]);
        rows.push(vec![name.into(), at(0.5), at(0.99), "60 (p50)".into()]);
    }
    table::print(
        "From a commit to a follower, milliseconds",
        &format!(
            "From the answer to an append until the event of the stream that has the body of its version, on loopback; {TIMED} \
             appends each. The capture interval is 50 ms: the first commit after a pause is captured at once."
        ),
        &["appends", "p50", "p99", "bar"],
        &rows,
    );
}

fn memory() {
    process::raise_descriptors();
    let place = Place::new();
    let resident = || process::usage(place.hub.pid()).expect("this system has /proc").resident_bytes;
    let mut streams: Vec<EventStream> = Vec::new();
    let mut follow = |count: usize| {
        for _ in 0..count {
            let mut stream = place.follow();
            stream.expect("version");
            streams.push(stream);
        }
    };
    follow(50);
    let before = resident();
    follow(FOLLOWERS);
    let each = resident().saturating_sub(before) / FOLLOWERS as u64;
    let (took, ()) = wait::timed(|| {
        let seq = place.append();
        for stream in &mut streams {
            while stream.expect("version").1["version"].as_u64() < Some(seq) {}
        }
    });
    table::print(
        "Followers that wait",
        "Growth of the hub's resident memory by a further stream of versions, and how long one commit takes to all of them.",
        &["followers", "bytes each", "bar", "one commit to all"],
        &[vec![
            FOLLOWERS.to_string(),
            table::bytes(each),
            "32 KiB".into(),
            format!("{:.0} ms", took.as_secs_f64() * 1e3),
        ]],
    );
}
