//! Processes of functions that are used up on purpose: who does it is told so, and neither the hub nor another database suffers.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ferry_testkit::{
    functions::{EdgePodClient, deployment},
    http,
    process::{self, usage},
    wait,
};
use serde_json::{Value, json};

use super::{FUNCTIONS, Functions, SCHEMA};

const GREEDY: &str = r#"
import { sql } from "drizzle-orm";
export async function spin() { for (;;) {} }
export async function power() { let x = 3n ** 300000n; for (;;) x = BigInt.asUintN(500000, x * x); }
export async function allocate() { const all = []; for (;;) all.push(new Uint8Array(1 << 20)); }
export async function allocateSmall() { const all = []; for (;;) all.push({}); }
export async function recurse() { const f = () => f() + 1; return f(); }
export async function regex() { return /^(a+)+$/.test("a".repeat(40) + "b"); }
export async function lines() { for (let i = 0; i < 10000; i++) console.log(`line ${i}`); return "wrote"; }
export async function wideLines() { for (let i = 0; ; i++) console.log("x".repeat(100000) + i); }
export async function timers() { const again = () => { setTimeout(again, 0); setTimeout(again, 0); }; again(); await new Promise(() => {}); }
export async function promises() { const again = () => { Promise.resolve().then(again); Promise.resolve().then(again); }; again(); await new Promise(() => {}); }
export async function large() { return "x".repeat(9 << 20); }
export async function deep() { let a = 1; for (let i = 0; i < 100000; i++) a = [a]; return a; }
export async function bigStatement(ctx) { return ctx.unsafeRawDb.get(sql`SELECT length(${"x".repeat(20 << 20)}) AS n`); }
export async function manyRows(ctx) {
  return ctx.unsafeRawDb.all(sql`WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x, hex(zeroblob(1000)) AS y FROM n`);
}
export async function holdAndSpin(ctx) { await ctx.db.insert(users).values({ name: "gone" }); for (;;) {} }
export async function floods() { for (;;) Promise.reject(new Error("x".repeat(1000))); }
"#;

/// What each comes to, if it gets a process.
const ENDS: [(&str, &[u16]); 17] = [
    ("spin", &[504]),
    ("power", &[504]),
    ("allocate", &[500]),
    ("allocateSmall", &[500, 504]),
    ("recurse", &[500]),
    ("regex", &[504]),
    ("lines", &[200]),
    ("wideLines", &[504]),
    ("timers", &[500, 504]),
    ("promises", &[500, 504]),
    ("large", &[413]),
    ("deep", &[500]),
    ("bigStatement", &[413, 500, 504]),
    ("manyRows", &[413, 500, 504]),
    ("holdAndSpin", &[504]),
    ("floods", &[500, 504]),
    ("countUsers", &[200]),
];
/// What the hub may keep of all this beside what it had, bytes: the lines of the log, and what the allocator does not give back.
const KEPT_MAX_BYTES: u64 = 192 << 20;

/// A page of another database of the same hub.
fn neighbour(functions: &Functions) -> EdgePodClient {
    let user = &functions.place.user;
    let database = user.create_database("neighbour");
    let deployment = deployment(&[("schema.ts", SCHEMA), ("functions/index.ts", FUNCTIONS)]).to_string();
    let bearer = format!("Bearer {}", user.token);
    let path = format!("/v1/databases/{database}/functions/deploy");
    let headers = [("Authorization", bearer.as_str())];
    let deployed = http::send(functions.address(), "POST", &path, &headers, deployment.as_bytes()).unwrap();
    assert_eq!(deployed.status, 200, "{}", deployed.text());
    let spec =
        json!({"kind": "publishable", "label": "page", "models": ["functions"], "ops": ["read", "write"]});
    let made = user.ferry("CreateApiKey", &json!({"database": database, "spec": spec})).unwrap();
    EdgePodClient::new(functions.address(), made["value"].as_str().unwrap(), "neighbour")
}

// Verifies: FUN-11, FUN-14, FUN-19
#[test]
fn who_uses_up_all_processes_of_his_share_harms_nobody_else() {
    const PROCESSES: usize = 8;
    let settings = [
        "--functions-isolation=process",
        "--functions-processes=8",
        "--functions-cpu-ms=500",
        "--functions-hold-ms=60000",
        "--functions-wall-ms=120000",
    ];
    let functions = Functions::with(&settings, &format!("{FUNCTIONS}\n{GREEDY}"));
    let neighbour = neighbour(&functions);
    neighbour.data("createUser", &json!({"name": "Ada"}));
    let pid = functions.hub().pid();
    let before = usage(pid).unwrap().resident_bytes;
    let is_over = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let mut calls = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(neighbour.data("countUsers", &json!({})), json!(1));
                neighbour.data("rename", &json!({"id": 1, "name": format!("Ada {calls}")}));
                calls += 1;
            }
            calls
        });
        let greedy: Vec<_> = (0..4)
            .map(|number| {
                let page = functions.page(&format!("greedy {number}"));
                scope.spawn(move || {
                    for step in 0..ENDS.len() {
                        let (function, ends) = ENDS[(step + number * 4) % ENDS.len()];
                        let status = page.call(function, &json!({})).status;
                        // One for which there is no process is refused at once.
                        assert!(status == 503 || ends.contains(&status), "{function}: {status}");
                    }
                })
            })
            .collect();
        let mut most = 0;
        let ended = wait::within(Duration::from_secs(300), || {
            most = most.max(process::children(pid).len());
            (greedy.iter().all(thread::ScopedJoinHandle::is_finished) || calling.is_finished()).then_some(())
        });
        assert!(ended.is_some(), "the calls of the greedy end");
        is_over.store(true, Ordering::Relaxed);
        assert!(calling.join().unwrap() > 0);
        most
    });
    // One that was killed is seen until it has been waited for.
    assert!(most <= PROCESSES, "{most} processes");
    let page = functions.page("after");
    // None of what they had written is left, and the share is free again.
    let left = wait::until("a process", || {
        let answer = page.call("countUsers", &json!({}));
        (answer.status == 200).then(|| answer.json()["data"].clone())
    });
    assert_eq!(left, json!(0));
    let grown = usage(pid).unwrap().resident_bytes.saturating_sub(before);
    assert!(grown < KEPT_MAX_BYTES, "the hub has grown by {grown} bytes");
    let logs = functions.admin("GET", "logs?since=0", &Value::Null).text();
    let lines = logs.lines().filter(|line| line.starts_with("data:")).count();
    assert!((1..=2000).contains(&lines), "{lines} lines are kept");
}
