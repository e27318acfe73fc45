//! Functions in processes of their own: what brings one down ends its call, and nothing else.

use std::{fs, thread};

use ferry_testkit::{
    functions::deployment,
    process::{self, usage},
    serve::{Reply, serve},
    wait,
};
use serde_json::{Value, json};

use super::{FUNCTIONS, Functions};

const MORE: &str = r#"
import { sql } from "drizzle-orm";
export async function insertThenSpin(ctx) { await ctx.db.insert(users).values({ name: "gone" }); for (;;) {} }
export async function spin() { for (;;) {} }
export const actThenSpin = action(async (ctx) => { await ctx.db.insert(users).values({ name: "stays" }); for (;;) {} });
export async function power() { let x = 3n ** 300000n; for (;;) x = BigInt.asUintN(500000, x * x); }
export async function writeThenPower(ctx) {
  await ctx.db.insert(users).values({ name: "gone" });
  let x = 3n ** 300000n;
  for (;;) x = BigInt.asUintN(500000, x * x);
}
export async function allocate() { const all = []; for (;;) all.push(new Uint8Array(1 << 20)); }
export async function allocateSmall() { const all = []; for (;;) all.push({}); }
export async function recurse() { const f = () => f() + 1; return f(); }
export async function wait(ctx, { ms }) { await new Promise((done) => setTimeout(done, ms)); return "waited"; }
export async function values(ctx) {
  const sent = [null, 5, 1.5, 2n ** 62n, "日本", true, new Uint8Array([0, 255])];
  const row = ctx.unsafeRawDb.get(sql`SELECT ${sent[0]} a, ${sent[1]} b, ${sent[2]} c, ${sent[3]} d, ${sent[4]} e, ${sent[5]} f, ${sent[6]} g`);
  return [row, typeof row.d];
}
export async function many(ctx) {
  return ctx.unsafeRawDb.all(sql`WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000) SELECT x, 'row ' || x AS text FROM n`);
}
export async function noRows(ctx) { return ctx.unsafeRawDb.all(sql`SELECT 1 AS one WHERE 0`); }
export async function twice(ctx, { email }) {
  await ctx.db.transaction(async (tx) => {
    await tx.insert(users).values({ name: "inner", email });
    tx.rollback();
  }).catch(() => {});
  await ctx.db.insert(users).values({ name: "one", email });
  return ctx.db.insert(users).values({ name: "two", email });
}
export async function broken(ctx) { console.log("before"); return ctx.unsafeRawDb.all(sql`SELECT nothing`); }
export async function get(ctx, { url }) { const answer = await fetch(url); return [answer.status, await answer.text()]; }
export async function bytes() { return new Uint8Array([1, 2, 3]); }
export async function throws() { throw new Error("NOT_FOUND: no such thing"); }
export async function throwsNull() { throw null; }
export async function throwsUndefined() { throw undefined; }
export async function throwsObject() { throw { a: 1 }; }
"#;

fn isolated(settings: &[&str]) -> Functions {
    let settings = [&["--functions-isolation=process"], settings].concat();
    Functions::with(&settings, &format!("{FUNCTIONS}\n{MORE}"))
}

/// The process that has used the most CPU, once that is as much as a call that runs for a while.
fn busy_child(functions: &Functions) -> u32 {
    wait::until("a process that works", || {
        let children = process::children(functions.hub().pid());
        children.into_iter().find(|child| usage(*child).is_some_and(|usage| usage.cpu_ms >= 700))
    })
}

fn count(functions: &Functions) -> Value {
    functions.page("count").data("countUsers", &json!({}))
}

// Verifies: FUN-19
#[test]
fn a_process_that_is_killed_fails_its_call_alone_and_the_next_one_works() {
    let functions = isolated(&["--functions-cpu-ms=60000", "--functions-hold-ms=60000"]);
    for (function, left, error) in [
        (
            "spin",
            0,
            "UNAVAILABLE: the process that ran this call ended; the call changed nothing. Try again.",
        ),
        (
            "insertThenSpin",
            0,
            "UNAVAILABLE: the process that ran this call ended; the call changed nothing. Try again.",
        ),
        (
            "actThenSpin",
            1,
            "UNAVAILABLE: the process that ran this action ended; what it had committed stays.",
        ),
    ] {
        let page = functions.page(function);
        let failed = thread::scope(|scope| {
            let call = scope.spawn(|| page.call(function, &json!({})));
            process::kill(busy_child(&functions));
            call.join().unwrap()
        });
        assert_eq!((failed.status, failed.json()["error"].as_str()), (503, Some(error)), "{function}");
        assert!(failed.header("retry-after").is_some());
        assert_eq!(count(&functions), json!(left), "after {function}");
    }
    functions.page("w").data("createUser", &json!({"name": "Ada"}));
    assert_eq!(count(&functions), json!(2));
}

// Verifies: FUN-14, FUN-19
#[test]
fn what_the_engine_cannot_end_by_itself_ends_at_the_limit_too() {
    let functions = isolated(&["--functions-cpu-ms=300"]);
    let page = functions.page("s1");
    for (function, status, error) in [
        ("power", 504, "TIMEOUT: function used more than 300 ms of CPU."),
        ("writeThenPower", 504, "TIMEOUT: function used more than 300 ms of CPU."),
        ("spin", 504, "TIMEOUT: function used more than 300 ms of CPU."),
        ("allocate", 500, "Function exceeded its memory limit."),
        ("recurse", 500, "Function exceeded its stack limit."),
    ] {
        let failed = page.call(function, &json!({}));
        assert_eq!((failed.status, failed.json()["error"].as_str()), (status, Some(error)), "{function}");
        assert_eq!(count(&functions), json!(0), "after {function}");
    }
    // Not by way of the test kit, which loads what it makes.
    let mut body = deployment(&[("functions/index.ts", "export const x = () => 1;")]);
    body["bundle"] = json!("let x = 3n ** 300000n; for (;;) x = BigInt.asUintN(500000, x * x);");
    body["base"] = functions.admin("GET", "info", &Value::Null).json()["deployment"].clone();
    let refused = functions.admin("POST", "deploy", &body);
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert_eq!(count(&functions), json!(0), "the functions of before serve on");
}

// Verifies: FUN-06, FUN-16, FUN-19, FUN-45
#[test]
fn a_call_answers_the_same_wherever_it_runs() {
    let outside = serve(|_| Reply::status_json(201, &json!({"a": 1})));
    let url = format!("http://{outside}/");
    let allow = format!("--functions-fetch-allow={outside}");
    let here = Functions::with(&[&allow], &format!("{FUNCTIONS}\n{MORE}"));
    let apart = isolated(&[&allow]);
    for (function, args) in [
        ("values", json!({})),
        ("many", json!({})),
        ("noRows", json!({})),
        ("createUser", json!({"name": "Ada", "email": "ada@example.com"})),
        ("twice", json!({"email": "bo@example.com"})),
        ("getUsers", json!({})),
        ("getUserById", json!({"id": 1})),
        ("insertThenThrow", json!({})),
        ("addUser", json!({"name": "Cy"})),
        ("addTwo", json!({"first": "Di"})),
        ("countUsers", json!({})),
        ("broken", json!({})),
        ("get", json!({"url": url})),
        ("get", json!({"url": "http://127.0.0.1:1/"})),
        ("bytes", json!({})),
        ("wait", json!({"ms": 20})),
        ("throws", json!({})),
        ("throwsNull", json!({})),
        ("throwsUndefined", json!({})),
        ("throwsObject", json!({})),
        ("echo", json!({"a": [1, "x".repeat(100_000)]})),
        ("nothing", json!({})),
    ] {
        let (one, other) = (here.page("s").call(function, &args), apart.page("s").call(function, &args));
        assert_eq!((one.status, one.text()), (other.status, other.text()), "{function} {args}");
    }
    assert!(!process::children(apart.hub().pid()).is_empty());
    assert!(process::children(here.hub().pid()).is_empty());
}

// Verifies: FUN-19
#[test]
fn a_process_has_no_files_no_environment_and_little_memory() {
    let functions = isolated(&[]);
    assert_eq!(count(&functions), json!(0));
    for child in process::children(functions.hub().pid()) {
        let limits = fs::read_to_string(format!("/proc/{child}/limits")).unwrap();
        let limit = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name));
            let words: Vec<String> = line.unwrap().split_whitespace().map(str::to_owned).collect();
            (words[0].clone(), words[1].clone())
        };
        let none = ("0".to_owned(), "0".to_owned());
        for name in ["Max open files", "Max processes", "Max file size", "Max core file size"] {
            assert_eq!(limit(name), none, "{name}");
        }
        assert!(limit("Max address space").1.parse::<u64>().is_ok(), "{limits}");
        let environment = fs::read_to_string(format!("/proc/{child}/environ")).unwrap();
        assert!(environment.is_empty() || environment.starts_with("TZ="), "{environment}");
        let folder = fs::read_link(format!("/proc/{child}/cwd")).unwrap();
        assert_eq!(folder.to_str(), Some("/"));
        for file in process::open_files(child) {
            let file = file.to_string_lossy().into_owned();
            let is_none = file.starts_with("socket:") || file.starts_with("pipe:") || file == "/dev/null";
            assert!(is_none, "{file}");
        }
    }
}

// Verifies: FUN-19
#[test]
fn a_hub_that_ends_leaves_no_process_behind_however_it_ends() {
    for kills in [false, true] {
        let mut functions = isolated(&["--functions-cpu-ms=60000"]);
        assert_eq!(count(&functions), json!(0));
        let children = process::children(functions.hub().pid());
        assert!(!children.is_empty());
        thread::scope(|scope| {
            let page = functions.page("s1");
            if kills {
                // It works, and cannot see that nobody waits for it.
                let (address, key) = (functions.address(), functions.key.clone());
                scope.spawn(move || {
                    let body = b"{}";
                    let headers = [("Ferry-Key", key.as_str())];
                    let _ = ferry_testkit::http::send(address, "POST", "/rpc/spin", &headers, body);
                });
                busy_child(&functions);
                functions.place.hub.kill();
            } else {
                assert_eq!(page.data("countUsers", &json!({})), json!(0));
                functions.place.hub.stop();
            }
        });
        wait::until("the end of all processes", || {
            children.iter().all(|child| usage(*child).is_none()).then_some(())
        });
    }
}

// Verifies: FUN-19
#[test]
fn processes_are_bounded_for_the_hub_and_a_database() {
    // A process may take long to start where much else runs.
    let functions = isolated(&["--functions-processes=8", "--functions-wall-ms=300000"]);
    let pid = functions.hub().pid();
    let answers = thread::scope(|scope| {
        let calls: Vec<_> = (0..100)
            .map(|number| {
                let page = functions.page(&format!("p{number}"));
                scope.spawn(move || page.call("wait", &json!({"ms": 30})).status)
            })
            .collect();
        let mut most = 0;
        wait::until("the end of all calls", || {
            most = most.max(process::children(pid).len());
            calls.iter().all(thread::ScopedJoinHandle::is_finished).then_some(())
        });
        // One that was killed may be seen until it is waited for.
        assert!(most <= 4, "{most} processes");
        calls.into_iter().map(|call| call.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(answers.iter().all(|status| matches!(status, 200 | 503)), "{answers:?}");
    assert!(answers.contains(&200));
    assert_eq!(count(&functions), json!(0));
}
