//! Calls that wait, or run for ever, beside those that do not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use ferry_testkit::{
    functions::{FunctionsSaid, deployment},
    http,
};
use serde_json::{Value, json};

use super::{FUNCTIONS, Functions, SCHEMA};

const SOURCE: &str = r#"
export async function waits() { await new Promise((done) => setTimeout(done, 25000)); }
export const watchesLong = query(async (ctx) => { await ctx.db.select().from(users); await new Promise((done) => setTimeout(done, 110000)); });
export const ping = query(async () => Math.random());
export const loops = query(async () => { for (;;) {} });
export const loopsWriting = mutation(async (ctx) => { await ctx.db.insert(users).values({ name: "x" }); for (;;) {} });
export const long = mutation(async (ctx, { name }) => {
  await ctx.db.insert(users).values({ name });
  for (let i = 0, sum = 0; i < 3000000; i++) sum += i;
  return (await ctx.db.select().from(users)).length;
});
"#;

const WAITING: &str = r#"
import { users } from "../schema";
export async function waitAndWrite(ctx) {
  await new Promise((done) => setTimeout(done, 1));
  await ctx.db.insert(users).values({ name: "x" });
  await new Promise((done) => setTimeout(done, 2));
}
"#;

fn functions(settings: &[&str]) -> Functions {
    Functions::with(settings, &format!("{FUNCTIONS}\n{SOURCE}"))
}

/// A call that may end with the hub.
fn call(functions: &Functions, name: &'static str) -> impl FnOnce() -> Option<(u16, Value)> + Send + 'static {
    let (address, key) = (functions.address(), functions.key.clone());
    move || {
        let headers = [("X-Edgepod-Key", key.as_str())];
        let answer = http::send(address, "POST", &format!("/rpc/{name}"), &headers, b"{}").ok()?;
        Some((answer.status, answer.json()["error"].clone()))
    }
}

// Three such calls held all contexts of their database for as long as they waited.
// Verifies: FUN-14, FUN-19
#[test]
fn calls_that_wait_hold_no_place_of_those_that_run() {
    let functions = functions(&["--functions-contexts=3", "--functions-waiting-calls=40"]);
    let (refused, refusals) = mpsc::channel();
    for _ in 0..24 {
        let (call, refused) = (call(&functions, "waits"), refused.clone());
        thread::spawn(move || {
            if let Some(ended) = call() {
                let _ = refused.send(ended);
            }
        });
    }
    // Half of the calls may wait; what is refused then says that all these places are taken.
    for _ in 0..4 {
        let refusal = refusals.recv_timeout(std::time::Duration::from_secs(20)).expect("four are refused");
        assert_eq!(refusal, (503, json!("UNAVAILABLE: too many waiting calls.")));
    }
    let page = functions.page("s1");
    for number in 0..10 {
        page.data("createUser", &json!({"name": number.to_string()}));
        assert_eq!(page.data("countUsers", &json!({})), json!(number + 1));
    }
    assert!(refusals.try_recv().is_err(), "they wait still");
}

// Verifies: FUN-19
#[test]
fn calls_that_never_end_come_after_those_that_do() {
    let settings = ["--functions-cpu-ms=200", "--functions-wall-ms=120000", "--functions-contexts=3"];
    let functions = functions(&settings);
    let ended = Arc::new(AtomicUsize::new(0));
    let loops: Vec<_> = (0..8)
        .map(|number| {
            let call = call(&functions, if number % 4 == 0 { "loopsWriting" } else { "loops" });
            let ended = Arc::clone(&ended);
            thread::spawn(move || {
                let answer = call();
                ended.fetch_add(1, Ordering::Relaxed);
                answer
            })
        })
        .collect();
    let page = functions.page("s1");
    let mut calls = 0;
    while ended.load(Ordering::Relaxed) < 8 {
        page.data("ping", &json!({}));
        calls += 1;
    }
    assert!(calls > 8, "{calls} calls went on beside eight loops");
    for answer in loops {
        let (status, error) = answer.join().unwrap().unwrap();
        assert_eq!((status, error), (504, json!("TIMEOUT: function used more than 200 ms of CPU.")));
    }
}

// Verifies: FUN-12, FUN-14
#[test]
fn a_call_that_takes_long_in_a_group_is_made_once_by_itself() {
    let functions = functions(&[]);
    thread::scope(|scope| {
        for number in 0..4 {
            let page = functions.page(&format!("w{number}"));
            scope.spawn(move || {
                for round in 0..3 {
                    page.data("long", &json!({"name": format!("{number} {round}")}));
                }
            });
        }
    });
    assert_eq!(functions.page("r").data("countUsers", &json!({})), json!(12));
}

// A socket that kept results of a function that waits had all other live results of its database wait for minutes.
// Verifies: FUN-14, FUN-30, FUN-36
#[test]
fn live_results_that_take_long_keep_no_others_waiting() {
    let functions = functions(&["--functions-wall-ms=120000", "--functions-cpu-ms=200"]);
    let mut greedy = functions.page("greedy").ferry_socket();
    for number in 0..40 {
        greedy.send(
            &json!({"type": "sub", "id": number.to_string(), "fn": "watchesLong", "args": {"n": number}})
                .to_string(),
        );
    }
    let mut loops = functions.page("loops").ferry_socket();
    for number in 0..10 {
        loops.send(
            &json!({"type": "sub", "id": number.to_string(), "fn": "loops", "args": {"n": number}})
                .to_string(),
        );
    }
    // Their runs have begun.
    assert_eq!(loops.frame()["status"], 504);
    let mut socket = functions.page("s1").ferry_socket();
    socket.send(&json!({"type": "sub", "id": "1", "fn": "countUsers", "args": {}}).to_string());
    assert_eq!(socket.frame()["data"], 0);
    for number in 1..=5 {
        functions.page("w").data("createUser", &json!({"name": number.to_string()}));
        assert_eq!(socket.frame()["data"], number);
    }
    assert_eq!(
        greedy.next_within(std::time::Duration::from_millis(1)),
        FunctionsSaid::Nothing,
        "it still waits"
    );
}

// Calls that waited for the writers of 17 databases took all threads, and those that held the writers had none to go on: for ever.
// Verifies: FUN-14, FUN-19
#[test]
fn calls_that_wait_for_many_writers_leave_threads_to_those_that_hold_them() {
    const DATABASES: usize = 20;
    const CALLERS: usize = 32;
    const CALLS: usize = 4;
    let functions = functions(&[]);
    let deployment = deployment(&[("schema.ts", SCHEMA), ("functions/index.ts", WAITING)]).to_string();
    let user = &functions.place.user;
    let bearer = format!("Bearer {}", user.token);
    let keys: Vec<String> = (0..DATABASES)
        .map(|number| {
            let database = user.create_database(&format!("n{number}"));
            let path = format!("/v1/databases/{database}/functions/deploy");
            let headers = [("Authorization", bearer.as_str())];
            let deployed = http::send(functions.address(), "POST", &path, &headers, deployment.as_bytes());
            assert_eq!(deployed.unwrap().status, 200);
            let spec = json!({"kind": "publishable", "label": "page", "models": ["functions"], "ops": ["read", "write"]});
            let made = user.ferry("CreateApiKey", &json!({"database": database, "spec": spec})).unwrap();
            made["value"].as_str().unwrap().to_owned()
        })
        .collect();
    let address = functions.address();
    let (told, statuses) = mpsc::channel();
    for key in keys {
        for _ in 0..CALLERS {
            let (key, told) = (key.clone(), told.clone());
            thread::spawn(move || {
                for _ in 0..CALLS {
                    let headers = [("X-Edgepod-Key", key.as_str())];
                    let answer = http::send(address, "POST", "/rpc/waitAndWrite", &headers, b"{}");
                    let _ = told.send(answer.map(|answer| answer.status));
                }
            });
        }
    }
    drop(told);
    let mut done = 0;
    for _ in 0..DATABASES * CALLERS * CALLS {
        let status = statuses.recv_timeout(std::time::Duration::from_secs(60)).expect("a call ends");
        // 504: on a machine with much else to do.
        assert!(matches!(status, Ok(200 | 503 | 504)), "{status:?}");
        done += usize::from(matches!(status, Ok(200)));
    }
    assert!(done > DATABASES, "{done} calls wrote");
    functions.page("s1").data("createUser", &json!({"name": "Ada"}));
}
