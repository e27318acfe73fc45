//! Large logs and many databases (acceptance scenario 13).

use std::thread;

use ferry_testkit::{Session, http, process, wait};
use serde_json::{Value, json};

use super::{A, Ops, hlc, options, set, text};

// Verifies: OPS-01, OPS-08
#[test]
fn a_hundred_thousand_ops_go_in_and_come_out() {
    const OPS: u64 = 100_000;
    let ops = Ops::new();
    for batch in 0..OPS / 1_000 {
        let push: Vec<Value> = (batch * 1_000..(batch + 1) * 1_000)
            .map(|n| {
                set(
                    &format!("op-{n:08}"),
                    &hlc(n, 0, A),
                    &format!("task/{}", n % 10_000),
                    &format!("f{}", n / 10_000),
                    &json!(n),
                    &[],
                )
            })
            .collect();
        assert_eq!(ops.push(A, &push)["head"], (batch + 1) * 1_000);
    }
    let mut last = 0;
    for (seq, op) in ops.log_from(0, "&limit=5000") {
        last += 1;
        assert_eq!((seq, &op["id"]), (last, &json!(format!("op-{:08}", last - 1))));
    }
    assert_eq!(last, OPS);
    // A page is compressed as its reader likes it best.
    let bearer = format!("Bearer {}", ops.token);
    for (accept, coding) in [("gzip", "gzip"), ("gzip, zstd", "zstd")] {
        let headers = [("Authorization", &*bearer), ("Accept-Encoding", accept)];
        let page = http::send(ops.address(), "GET", "/v1/databases/-/ops?limit=1000", &headers, b"").unwrap();
        assert_eq!((page.status, page.header("content-encoding")), (200, Some(coding)));
        assert!(page.body.len() < 1_000 * 60, "{} bytes for 1,000 small ops", page.body.len());
    }
    let (mut count, mut after) = (0, String::new());
    loop {
        let page = ops.v1("GET", &format!("/entities?limit=1000&after={after}"), "").json();
        count += page["entities"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(count, 10_000);
    let stats = ops.place.user.ferry("GetDatabase", &json!({"database": ops.place.database})).unwrap();
    assert!(stats.to_string().contains(&format!("\"items\":\"{OPS}\"")), "{stats}");
}

// Quarantines of many closed databases are watched by one task, within few descriptors.
// Verifies: OPS-10
#[test]
fn quarantines_of_many_databases_are_released_under_few_descriptors() {
    const DATABASES: usize = 60;
    let hub = options().descriptors(96).arg("--ops-max-skew-ms=2000").start();
    let user = hub.signup("ada@example.com");
    let tokens: Vec<String> = (0..DATABASES).map(|number| token_of(&user, number)).collect();
    let ahead = wait::unix_seconds() as u64 * 1000 - super::T_MS + 8_000;
    let call = |token: &str, method: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", &*bearer)];
        http::send(hub.address(), method, "/v1/databases/-/ops", &headers, body.as_bytes()).unwrap()
    };
    thread::scope(|scope| {
        for tokens in tokens.chunks(DATABASES / 4) {
            scope.spawn(move || {
                for token in tokens {
                    let op = set("op-a-0001", &hlc(ahead, 0, A), "n/1", "t", &json!(1), &[]);
                    let pushed = call(token, "POST", &super::batch(A, &[op])).json();
                    assert_eq!(pushed["results"][0]["status"], "quarantined", "{pushed}");
                }
            });
        }
    });
    for token in &tokens {
        wait::until("the release", || (call(token, "GET", "").json()["head"] == 1).then_some(()));
    }
    assert!(process::open_files(hub.pid()).len() < 96);
}

fn token_of(user: &Session, number: usize) -> String {
    let database = user.create_database(&format!("app{number}"));
    let request = json!({
        "databaseId": database, "models": ["ops"], "ops": ["read", "write"], "ttlSeconds": 3600,
    });
    text(&user.ferry("IssueSyncToken", &request).unwrap()["token"])
}

// Verifies: OPS-53
#[test]
fn a_thousand_streams_of_both_kinds_are_told_of_a_commit() {
    const STREAMS: usize = 500;
    process::raise_descriptors();
    let ops = Ops::new();
    let write = |n: u64| set(&format!("op-a-{n:05}"), &hlc(n, 0, A), "n/1", "t", &json!(n), &[]);
    ops.accepted(A, &[write(1)]);
    let open = |query: &str| {
        let mut stream = ops.stream(query);
        stream.expect("ready");
        stream
    };
    let mut nudges: Vec<_> = (0..STREAMS).map(|_| open("?after_seq=1")).collect();
    let mut sent: Vec<_> = (0..STREAMS).map(|_| open("?after_seq=1&mode=ops")).collect();
    ops.accepted(A, &[write(2)]);
    for stream in &mut nudges {
        assert_eq!(stream.expect("nudge").1["head"], 2);
    }
    for stream in &mut sent {
        assert_eq!(stream.expect("op").1["seq"], 2);
    }
    assert_eq!(nudges.len() + sent.len(), 2 * STREAMS);
}
