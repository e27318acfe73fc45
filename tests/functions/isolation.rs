//! Calls beside one another: attribution, atomicity, crashes.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ferry_testkit::{
    functions::FunctionsSaid,
    serve::{Reply, serve},
    wait,
};
use serde_json::{Value, json};

use super::{FUNCTIONS, Functions, POSTS, USERS, tables};

/// A server whose answer waits until the test lets it go, and functions that fetch from it.
fn with_fetch(extra: &str) -> (Functions, std::sync::mpsc::Sender<()>, String) {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let address = serve(move |_| {
        let _ = wait.lock().unwrap().recv_timeout(std::time::Duration::from_secs(20));
        Reply::json(&json!({"ok": true}))
    });
    let allow = format!("--functions-fetch-allow={address}");
    let functions = Functions::with(&[&allow], &format!("{FUNCTIONS}\n{extra}"));
    (functions, go, format!("http://{address}/"))
}

// Verifies: FUN-13, FUN-15
#[test]
fn a_call_that_awaits_the_outside_keeps_its_own_reads_and_writes() {
    let (functions, go, url) = with_fetch(
        "export async function slow(ctx, { url }) { await fetch(url); return ctx.db.insert(users).values({ name: \"slow\" }).returning().get(); }",
    );
    let slow = functions.page("a");
    let waiting = thread::spawn(move || slow.call("slow", &json!({ "url": url })));
    wait::until("the slow call is under way", || {
        functions.metric("ferry_functions_cached_total").or(Some(0.0))
    });
    let quick = functions.page("b").call("createPost", &json!({"title": "quick"}));
    assert_eq!(tables(&quick), [POSTS]);
    go.send(()).unwrap();
    let slow = waiting.join().unwrap();
    assert_eq!(slow.status, 200, "{}", slow.text());
    assert_eq!(tables(&slow), [USERS]);
}

// Verifies: FUN-13
#[test]
fn what_was_read_before_a_fetch_and_has_changed_is_a_conflict() {
    let (functions, go, url) = with_fetch(
        "export async function slow(ctx, { url }) { const n = (await ctx.db.select().from(users)).length; await fetch(url);\n\
         return ctx.db.insert(users).values({ name: `user ${n}` }).returning().get(); }",
    );
    let slow = functions.page("a");
    let waiting = {
        let url = url.clone();
        thread::spawn(move || slow.call("slow", &json!({ "url": url })))
    };
    // Until the slow call has read, the other writes go on.
    let writer = functions.page("b");
    let finished = AtomicBool::new(false);
    let answer = thread::scope(|scope| {
        let finished = &finished;
        scope.spawn(move || {
            while !finished.load(Ordering::Acquire) {
                writer.data("createUser", &json!({"name": "quick"}));
            }
        });
        wait::until("the other call has written a few times", || {
            let count = functions.page("c").data("countUsers", &json!({})).as_u64()?;
            (count >= 20).then_some(())
        });
        go.send(()).unwrap();
        let answer = waiting.join().unwrap();
        finished.store(true, Ordering::Release);
        answer
    });
    assert_eq!(
        (answer.status, answer.json()["error"].clone()),
        (409, json!("CONFLICT: data read before fetch() has changed; retry."))
    );
    // What did not change meanwhile is no conflict.
    go.send(()).unwrap();
    let again = functions.page("a").call("slow", &json!({ "url": url }));
    assert_eq!(again.status, 200, "{}", again.text());
}

// Verifies: FUN-11, FUN-13
#[test]
fn read_then_write_is_atomic_under_concurrent_writers() {
    let functions = Functions::with(
        &[],
        &format!(
            "{FUNCTIONS}\nexport async function addNumbered(ctx) {{ const n = (await ctx.db.select().from(users)).length;\n\
             return ctx.db.insert(users).values({{ name: `user ${{n}}` }}).returning().get(); }}"
        ),
    );
    thread::scope(|scope| {
        for number in 0..8 {
            let page = functions.page(&format!("w{number}"));
            scope.spawn(move || {
                for _ in 0..25 {
                    page.data("addNumbered", &json!({}));
                }
            });
        }
    });
    let users = functions.page("r").data("getUsers", &json!({}));
    let names: BTreeSet<String> =
        users.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 200, "each call saw what all before it wrote");
}

// Twelve at once waited for one another: for the writer, and for places.
// Verifies: FUN-13, FUN-14
#[test]
fn calls_that_wait_between_reading_and_writing_end_and_none_is_lost() {
    let functions = Functions::with(
        &[],
        &format!(
            "{FUNCTIONS}\nexport async function addSlowly(ctx) {{ const n = (await ctx.db.select().from(users)).length;\n\
             await new Promise((done) => setTimeout(done, 2));\n\
             return ctx.db.insert(users).values({{ name: `user ${{n}}` }}).returning().get(); }}"
        ),
    );
    thread::scope(|scope| {
        for number in 0..12 {
            let page = functions.page(&format!("w{number}"));
            scope.spawn(move || {
                for _ in 0..10 {
                    page.data("addSlowly", &json!({}));
                }
            });
        }
    });
    let users = functions.page("r").data("getUsers", &json!({}));
    let names: BTreeSet<String> =
        users.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 120, "each call saw what all before it wrote");
}

// Verifies: FUN-16
#[test]
fn a_transaction_inside_a_call_is_undone_alone() {
    let functions = Functions::with(
        &[],
        r#"
import { users } from "../schema";
export async function nested(ctx) {
  await ctx.db.insert(users).values({ name: "outer" });
  try {
    await ctx.db.transaction(async (tx) => {
      await tx.insert(users).values({ name: "inner" });
      throw new Error("undo");
    });
  } catch {}
  try { ctx.db.transaction((tx) => { tx.insert(users).values({ name: "rolled" }).run(); tx.rollback(); }); } catch {}
  await ctx.db.transaction(async (tx) => { await tx.insert(users).values({ name: "kept" }); });
  return (await ctx.db.select().from(users)).map((user) => user.name);
}
export async function onlyUndone(ctx) {
  try { await ctx.db.transaction(async (tx) => { await tx.insert(users).values({ name: "x" }); throw new Error("undo"); }); } catch {}
}
"#,
    );
    let page = functions.page("s1");
    assert_eq!(page.data("nested", &json!({})), json!(["outer", "kept"]));
    let mut socket = page.socket();
    page.data("nested", &json!({}));
    let undone = page.call("onlyUndone", &json!({}));
    assert_eq!(undone.status, 200);
    assert_eq!(socket.next_within(std::time::Duration::from_millis(300)), FunctionsSaid::Nothing);
}

// Verifies: FUN-17
#[test]
fn what_a_function_left_behind_does_nothing() {
    let functions = Functions::with(
        &[],
        r#"
import { users } from "../schema";
let late = null;
export async function leave(ctx) { late = ctx; setTimeout(() => ctx.db.insert(users).values({ name: "late" }).run(), 1); return 1; }
export async function useLate(ctx) { try { await late?.db.select().from(users); return "used"; } catch (error) { return String(error.message); } }
export async function count(ctx) { return (await ctx.db.select().from(users)).length; }
"#,
    );
    let page = functions.page("s1");
    page.data("leave", &json!({}));
    let told = page.data("useLate", &json!({}));
    assert!(told == json!("ctx.db was used after the function returned.") || told == json!("used"), "{told}");
    assert_eq!(page.data("count", &json!({})), json!(0));
}

// Verifies: FUN-12, FUN-18
#[test]
fn a_hub_that_is_killed_under_writers_keeps_what_it_acknowledged_whole() {
    let source = format!(
        "{FUNCTIONS}\nexport async function pair(ctx, {{ name }}) {{\n\
           const user = await ctx.db.insert(users).values({{ name }}).returning().get();\n\
           await ctx.db.insert(posts).values({{ title: name, userId: user.id }}); return user.id; }}"
    );
    let mut functions = Functions::with(&[], &source);
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        let stop = AtomicBool::new(false);
        let pages: Vec<_> = (0..32).map(|number| functions.page(&format!("w{number}"))).collect();
        let made: Vec<BTreeSet<String>> = thread::scope(|scope| {
            let stop = &stop;
            let writers: Vec<_> = pages
                .into_iter()
                .enumerate()
                .map(|(writer, page)| {
                    scope.spawn(move || {
                        let mut made = BTreeSet::new();
                        for number in 0.. {
                            if stop.load(Ordering::Acquire) {
                                break;
                            }
                            let name = format!("{round}-{writer}-{number}");
                            let keyed = [("Idempotency-Key", name.as_str())];
                            let answered = std::panic::catch_unwind(|| {
                                page.call_with("pair", &json!({ "name": name }), &keyed).status
                            });
                            match answered {
                                Ok(200) => drop(made.insert(name)),
                                _ => break,
                            }
                        }
                        made
                    })
                })
                .collect();
            wait::until("some hundred calls were acknowledged", || {
                let commits = functions.metric("ferry_commits_total")?;
                (commits > 300.0).then_some(())
            });
            functions.place.hub.kill();
            stop.store(true, Ordering::Release);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        acknowledged.extend(made.into_iter().flatten());
        functions = functions.restarted_with(|options| options);
        let page = functions.page("r");
        // A retry under its key returns what was stored, and makes nothing.
        for name in acknowledged.iter().take(20) {
            let keyed = [("Idempotency-Key", name.as_str())];
            assert_eq!(page.call_with("pair", &json!({ "name": name }), &keyed).status, 200);
        }
        let names = |function: &str, member: &str| -> Vec<String> {
            let all = all(&functions, function);
            all.iter().map(|row| row[member].as_str().unwrap().to_owned()).collect()
        };
        let (users, titles) =
            (names("SELECT name FROM users", "name"), names("SELECT title FROM posts", "title"));
        assert_eq!(users, titles, "nothing is half applied");
        let unique: BTreeSet<String> = users.iter().cloned().collect();
        assert_eq!(unique.len(), users.len(), "nothing is there twice");
        assert!(acknowledged.is_subset(&unique), "nothing acknowledged is lost");
    }
}

/// All rows, read beside the hub.
fn all(functions: &Functions, sql: &str) -> Vec<Value> {
    let path = functions.hub().database_dir(&functions.place.database).join("main.db");
    let connection =
        rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = connection.prepare(&format!("{sql} ORDER BY rowid")).unwrap();
    let name = statement.column_name(0).unwrap().to_owned();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|value| json!({ name.clone(): value.unwrap() })).collect()
}
