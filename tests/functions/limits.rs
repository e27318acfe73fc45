//! Functions that want too much, and arguments that mean harm.

use std::{thread, time::Duration};

use ferry_testkit::{
    serve::{Reply, serve},
    wait,
};
use serde_json::{Value, json};

use super::{FUNCTIONS, Functions};

const HOSTILE: &str = r#"
import { sql } from "drizzle-orm";
export async function endless() { for (;;) {} }
export async function microtasks() { for (;;) await null; }
export async function allocate() { const all = []; for (;;) all.push("x".repeat(1 << 20) + all.length); }
export async function recurse() { const f = () => f() + 1; return f(); }
export async function regex() { return /^(a+)+$/.test("a".repeat(40) + "b"); }
export async function never() { return new Promise(() => {}); }
export async function large() { return "x".repeat(9 << 20); }
export async function cycle() { const a = {}; a.a = a; return a; }
export async function endlessSql(ctx) {
  return ctx.unsafeRawDb.all(sql`WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n`);
}
export async function manyStatements(ctx) { for (let i = 0; i < 20000; i++) ctx.unsafeRawDb.get(sql`SELECT 1`); }
export async function hold(ctx) {
  await ctx.db.insert(users).values({ name: "held" });
  await new Promise((done) => setTimeout(done, 60000));
}
export async function pollute() {
  try { Object.prototype.polluted = "yes"; } catch {}
  try { JSON.stringify = () => "broken"; } catch {}
  return 1;
}
export async function isPolluted() { return [({}).polluted ?? null, [1].map((x) => x + 1)]; }
export async function raw(ctx, { text }) { return ctx.unsafeRawDb.all(sql.raw(text)); }
export async function get(ctx, { url }) { try { return (await fetch(url)).status; } catch (error) { return String(error.message); } }
"#;

fn hostile(settings: &[&str]) -> Functions {
    Functions::with(settings, &format!("{FUNCTIONS}\n{HOSTILE}"))
}

// Verifies: FUN-14, FUN-19
#[test]
fn each_excess_has_its_answer_and_others_go_on() {
    let functions = hostile(&[]);
    let page = functions.page("s1");
    for (name, status, error) in [
        ("endless", 504, "TIMEOUT: function used more than 1000 ms of CPU."),
        ("microtasks", 504, "TIMEOUT: function used more than 1000 ms of CPU."),
        ("allocate", 500, "Function exceeded its memory limit."),
        ("regex", 504, "TIMEOUT: function used more than 1000 ms of CPU."),
        ("large", 413, "TOO_LARGE: result over 8388608 bytes."),
        ("endlessSql", 504, "TIMEOUT: function used more than 1000 ms of CPU."),
        ("manyStatements", 500, "Function ran more than 10000 SQL statements (functions.max_statements)."),
        (
            "hold",
            504,
            "TIMEOUT: function waited more than 1000 ms while holding the database; call fetch() before writing.",
        ),
    ] {
        let failed = page.call(name, &json!({}));
        assert_eq!((failed.status, failed.json()["error"].as_str()), (status, Some(error)), "{name}");
        assert_eq!(page.data("countUsers", &json!({})), json!(0), "after {name}");
    }
    for name in ["recurse", "cycle"] {
        assert_eq!(page.call(name, &json!({})).status, 500, "{name}");
    }
    let never = page.call("never", &json!({}));
    assert_eq!(never.status, 504, "{}", never.text());
    page.call("pollute", &json!({}));
    assert_eq!(page.data("isPolluted", &json!({})), json!([null, [2]]));
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(5 << 20));
    let large = page.call("echo", &Value::String(body));
    assert_eq!(
        (large.status, large.json()["error"].as_str()),
        (413, Some("TOO_LARGE: request body over 4194304 bytes."))
    );
}

// Verifies: FUN-19
#[test]
fn normal_calls_go_on_beside_hostile_ones() {
    let functions = hostile(&[]);
    let page = functions.page("s1");
    page.data("createUser", &json!({"name": "Ada"}));
    thread::scope(|scope| {
        for name in ["endless", "allocate", "regex"] {
            let hostile = functions.page(name);
            scope.spawn(move || {
                for _ in 0..3 {
                    assert_ne!(hostile.call(name, &json!({})).status, 200);
                }
            });
        }
        for number in 0..60 {
            let renamed = page.call("rename", &json!({"id": 1, "name": number.to_string()}));
            assert_eq!(renamed.status, 200, "{}", renamed.text());
            assert_eq!(page.data("getUserById", &json!({"id": 1}))["name"], number.to_string());
        }
    });
}

// Verifies: FUN-44
#[test]
fn what_no_function_may_touch_is_prohibited() {
    let functions = hostile(&[]);
    let page = functions.page("s1");
    for text in [
        "ATTACH 'other.db' AS other",
        "VACUUM",
        "PRAGMA journal_mode = DELETE",
        "SELECT * FROM _ferry_meta",
        "DELETE FROM _ferry_fn_deploy",
        "SELECT load_extension('x')",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "CREATE TABLE x(y)",
        "DROP TABLE users",
        "UPDATE sqlite_schema SET sql = ''",
        "CREATE TEMP VIEW v AS SELECT * FROM _ferry_meta",
        "SELECT 1; DELETE FROM users",
    ] {
        let refused = page.call("raw", &json!({ "text": text }));
        assert_eq!(
            (refused.status, refused.json()["error"].as_str()),
            (500, Some("Internal error")),
            "{text}"
        );
    }
    wait::until("what was prohibited stands in the log", || {
        functions.hub().log().contains("access to _ferry_meta is prohibited").then_some(())
    });
    page.data("createUser", &json!({"name": "Ada"}));
    assert_eq!(page.data("countUsers", &json!({})), json!(1));
}

// Verifies: FUN-09
#[test]
fn fetch_reaches_public_addresses_and_what_the_operator_allows() {
    let inside = serve(|_| Reply::json(&json!({"secret": true})));
    let target = format!("http://{inside}/");
    let redirect = serve(move |_| Reply::redirect(target.clone()));
    let allow = format!("--functions-fetch-allow={redirect}");
    let functions = hostile(&[&allow]);
    let page = functions.page("s1");
    let told = "fetch reaches public addresses alone: the operator can allow others (functions.fetch_allow)";
    for url in [
        format!("http://{inside}/"),
        format!("http://localhost:{}/", inside.port()),
        format!("http://{redirect}/"),
        "http://[::1]/".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://2130706433/".to_owned(),
    ] {
        assert_eq!(page.data("get", &json!({ "url": url })), told, "{url}");
    }
    for url in ["file:///etc/passwd", "ftp://example.com/", "nonsense"] {
        let answer = page.data("get", &json!({ "url": url }));
        assert!(answer.as_str().is_some_and(|text| text != told), "{url}: {answer}");
    }
}

// Verifies: FUN-14, FUN-19
#[test]
fn too_many_calls_are_told_to_come_later() {
    let functions = hostile(&["--functions-waiting-calls=4", "--functions-contexts=2"]);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..12)
            .map(|number| {
                let page = functions.page(&format!("s{number}"));
                scope.spawn(move || page.call("endless", &json!({})))
            })
            .collect();
        let answers: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
        assert!(!refused.is_empty());
        for answer in refused {
            assert_eq!(answer.json()["error"], "UNAVAILABLE: too many waiting calls.");
            assert!(answer.header("retry-after").is_some());
        }
    });
    let page = functions.page("after");
    let answered = ferry_testkit::wait::within(Duration::from_secs(10), || {
        (page.call("countUsers", &json!({})).status == 200).then_some(())
    });
    assert!(answered.is_some());
}
