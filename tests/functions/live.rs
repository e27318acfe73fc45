//! Sockets: who is told of what, when, and that nobody is forgotten.

use std::time::Duration;

use ferry_testkit::{
    functions::{EdgePodClient, FunctionsSaid, FunctionsSocket},
    http, wait,
};
use serde_json::json;

use super::{FUNCTIONS, Functions, POSTS, SCHEMA, USERS, bare, key, tables};

/// A time in which a frame would have come.
const QUIET: Duration = Duration::from_millis(700);

// Verifies: FUN-20, FUN-21, FUN-23, FUN-24, FUN-27
#[test]
fn a_page_that_shows_users_is_told_once_when_another_makes_one() {
    let functions = Functions::new();
    let (first, second) = (functions.page("s1"), functions.page("s2"));
    let mut socket = first.socket();
    let (took, told) = wait::timed(|| {
        assert_eq!(tables(&first.call("getUsers", &json!({}))), [USERS]);
        assert_eq!(tables(&second.call("createUser", &json!({"name": "Ada"}))), [USERS]);
        socket.said()
    });
    assert_eq!(told, FunctionsSaid::Text(format!(r#"{{"action":"invalidate","tables":["{USERS}"]}}"#)));
    assert!(took >= Duration::from_millis(195), "the page has had time to take its answer in: {took:?}");
    assert_eq!(socket.next_within(QUIET), FunctionsSaid::Nothing);
    // Who did not ask again is told again; of other tables he is not.
    second.data("createPost", &json!({"title": "x", "userId": 1}));
    assert_eq!(socket.next_within(QUIET), FunctionsSaid::Nothing);
    let quiet = functions.page("s3");
    let mut quiet_socket = quiet.socket();
    assert_eq!(quiet.call_with("getUsers", &json!({}), &[("X-Edgepod-Reactive", "false")]).status, 200);
    second.data("createUser", &json!({"name": "Bo"}));
    assert_eq!(quiet_socket.next_within(QUIET), FunctionsSaid::Nothing);
}

// Verifies: FUN-26
#[test]
fn all_sockets_of_a_session_are_told_and_answer_to_ping_alone() {
    let functions = Functions::new();
    let page = functions.page("s1");
    let (mut one, mut two) = (page.socket(), page.socket());
    page.data("getUsers", &json!({}));
    page.data("createUser", &json!({"name": "Ada"}));
    for socket in [&mut one, &mut two] {
        assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(USERS)));
        socket.send("ping");
        assert_eq!(socket.said(), FunctionsSaid::Text("pong".to_owned()));
    }
    one.send("hello");
    let violation = "Policy Violation: This endpoint is send-only.".to_owned();
    assert_eq!(one.said(), FunctionsSaid::Closed(1008, violation));
    two.send_bytes(b"x");
    assert!(matches!(two.said(), FunctionsSaid::Closed(1008, _)));
    let mut three = functions.page("s3").socket();
    three.send(&"x".repeat(65 << 10));
    assert!(matches!(three.said(), FunctionsSaid::Closed(1009, _)));
}

// Verifies: FUN-25
#[test]
fn what_changed_before_the_socket_is_told_when_it_opens() {
    let functions = Functions::new();
    let page = functions.page("s1");
    page.data("getUsers", &json!({}));
    functions.page("s2").data("createUser", &json!({"name": "Ada"}));
    let mut socket = page.socket();
    assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(USERS)));
    let refused = FunctionsSocket::open(functions.address(), &format!("/ws?key={}", functions.key), &[]);
    let refused = refused.unwrap_err();
    assert_eq!((refused.status, refused.text()), (400, "Missing sessionId".to_owned()));
}

// Verifies: FUN-30, FUN-35
#[test]
fn only_who_shows_the_changed_user_is_told() {
    let functions = Functions::new();
    let writer = functions.page("writer");
    for number in 1..=10 {
        writer.data("createUser", &json!({"name": format!("user {number}")}));
    }
    let pages: Vec<_> = (1..=10).map(|number| functions.page(&format!("p{number}"))).collect();
    let mut sockets: Vec<_> = pages.iter().map(ferry_testkit::functions::EdgePodClient::socket).collect();
    for (number, page) in (1..=10).zip(&pages) {
        page.data("getUserById", &json!({"id": number}));
    }
    writer.data("rename", &json!({"id": 7, "name": "new"}));
    assert!(matches!(sockets[6].said(), FunctionsSaid::Text(text) if text.contains(USERS)));
    for (number, socket) in (1..=10).zip(&mut sockets) {
        if number != 7 {
            let limit = if number == 1 { QUIET } else { Duration::from_millis(1) };
            assert_eq!(socket.next_within(limit), FunctionsSaid::Nothing, "{number}");
        }
    }
    assert_eq!(functions.metric("ferry_functions_pushes_total{reason=\"changed\"}"), Some(1.0));
    // An update of no row tells nobody.
    writer.data("rename", &json!({"id": 999, "name": "x"}));
    assert_eq!(sockets[6].next_within(QUIET), FunctionsSaid::Nothing);
}

// Verifies: FUN-20, FUN-21
#[test]
fn views_triggers_cascades_and_replacements_are_seen() {
    let schema = r#"
import { table, view, integer, text, sql, eq } from "@ferry/server/schema";
export const users = table("users", { id: integer("id").primaryKey(), name: text("name") });
export const posts = table("posts", { id: integer("id").primaryKey(), title: text("title"),
  userId: integer("user_id").references(() => users.id, { onDelete: "set null" }) });
export const named = view("named").as((qb) => qb.select({ id: users.id, name: users.name }).from(users));
export const longNamed = view("long_named").as((qb) => qb.select().from(named));
"#;
    let source = r#"
import { sql } from "drizzle-orm";
import { longNamed, users, posts } from "../schema";
export async function throughView(ctx) { return ctx.db.select().from(longNamed); }
export async function throughCte(ctx) { return ctx.unsafeRawDb.all(sql`WITH u AS (SELECT * FROM USERS) SELECT count(*) AS n FROM u`); }
export async function throughIn(ctx) { return ctx.unsafeRawDb.all(sql`SELECT title FROM posts WHERE user_id IN (SELECT id FROM users)`); }
export async function run(ctx, { text }) { return ctx.unsafeRawDb.run(sql.raw(text)); }
export async function remove(ctx) { return ctx.db.delete(users).withoutWhere(); }
"#;
    let functions =
        Functions::of(crate::support::options(), &[("schema.ts", schema), ("functions/index.ts", source)]);
    let writer = functions.page("writer");
    let run = |text: &str| writer.call("run", &json!({ "text": text }));
    run("INSERT INTO users VALUES (1, 'Ada'), (2, 'Bo')");
    run("INSERT INTO posts VALUES (1, 'one', 1), (2, 'two', 2)");
    for (function, write) in [
        ("throughView", "UPDATE users SET name = 'Cy' WHERE id = 1"),
        ("throughCte", "INSERT INTO users VALUES (3, 'Di')"),
        ("throughIn", "DELETE FROM users WHERE id = 2"),
        ("throughView", "REPLACE INTO users VALUES (3, 'Ed')"),
    ] {
        let page = functions.page(&format!("{function}-{}", write.len()));
        let mut socket = page.socket();
        let answer = page.call(function, &json!({}));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(tables(&answer).contains(&USERS.to_owned()), "{function}: {}", answer.text());
        assert_eq!(run(write).status, 200);
        assert!(
            matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(USERS)),
            "{function}: {write}"
        );
    }
    // Deleting a user sets a column of the posts to NULL.
    let page = functions.page("posts");
    let mut socket = page.socket();
    page.data("throughIn", &json!({}));
    let removed = writer.call("remove", &json!({}));
    let (mut changed, mut expected) = (tables(&removed), [USERS.to_owned(), POSTS.to_owned()]);
    changed.sort();
    expected.sort();
    assert_eq!(changed, expected);
    assert!(
        matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(POSTS) && text.contains(USERS))
    );
}

// Verifies: FUN-28
#[test]
fn names_are_subscribed_to_and_invalidated_as_functions_say() {
    let functions = Functions::with(
        &[],
        r#"
export async function listen(ctx) { ctx.subscribeTo(["weather"]); return 1; }
export async function change(ctx) { ctx.invalidate(["weather"]); }
"#,
    );
    let page = functions.page("s1");
    let mut socket = page.socket();
    let answer = page.call("listen", &json!({}));
    let hash = tables(&answer).remove(0);
    functions.page("s2").call("change", &json!({}));
    assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(&hash)));
}

// Verifies: FUN-36, FUN-27
#[test]
fn ferrys_dialect_sends_results_until_it_is_told_not_to() {
    let functions = Functions::new();
    let page = functions.page("s1");
    let mut socket = page.ferry_socket();
    socket.send(r#"{"type":"sub","id":"a","fn":"getUsers","args":{}}"#);
    let first = socket.frame();
    assert_eq!((&first["type"], &first["id"], &first["data"]), (&json!("result"), &json!("a"), &json!([])));
    let made = functions.page("s2").call("createUser", &json!({"name": "Ada"}));
    let seq: u64 = made.header("ferry-seq").unwrap().parse().unwrap();
    let second = socket.frame();
    assert_eq!(second["data"][0]["name"], "Ada");
    assert!(second["seq"].as_u64().unwrap() >= seq);
    assert_eq!(second["t"], json!([USERS]));
    // Who holds the result is told that it is the same.
    let known =
        format!(r#"{{"type":"sub","id":"b","fn":"getUsers","args":{{}},"known":{}}}"#, second["hash"]);
    socket.send(&known);
    let same = socket.frame();
    assert_eq!((&same["id"], &same["same"], same.get("data")), (&json!("b"), &json!(true), None));
    for (frame, status) in [
        (r#"{"type":"sub","id":"c","fn":"missing"}"#, 404),
        (r#"{"type":"sub","id":"c","fn":"addUser"}"#, 405),
        (r#"{"type":"unknown"}"#, 400),
    ] {
        socket.send(frame);
        let error = socket.frame();
        assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(status)), "{error}");
    }
    socket.send(r#"{"type":"unsub","id":"a"}"#);
    socket.send(r#"{"type":"unsub","id":"b"}"#);
    socket.send("ping");
    assert_eq!(socket.said(), FunctionsSaid::Text("pong".to_owned()));
    functions.page("s2").data("createUser", &json!({"name": "Bo"}));
    assert_eq!(socket.next_within(QUIET), FunctionsSaid::Nothing);
}

// Verifies: FUN-29
#[test]
fn a_deployment_is_told_and_everything_may_have_changed() {
    let functions = Functions::new();
    let page = functions.page("s1");
    let (mut socket, mut ferry) = (page.socket(), functions.page("s2").ferry_socket());
    page.data("getUsers", &json!({}));
    let changed = FUNCTIONS.replace("from(users); }", "from(users).limit(1); }");
    let deployed = functions.deploy(&[("schema.ts", SCHEMA), ("functions/index.ts", &changed)]);
    assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(USERS)));
    assert_eq!(ferry.frame(), json!({"type": "deployed", "deployment": deployed["deployment"]}));
    functions.page("w").data("createUser", &json!({"name": "Ada"}));
    functions.page("w").data("createUser", &json!({"name": "Bo"}));
    assert_eq!(page.data("getUsers", &json!({})).as_array().unwrap().len(), 1);
}

// Verifies: FUN-33
#[test]
fn equal_reads_run_once_until_something_changes() {
    let functions = Functions::new();
    let page = functions.page("s1");
    page.data("createUser", &json!({"name": "Ada"}));
    for _ in 0..10 {
        assert_eq!(page.data("getUsers", &json!({})).as_array().unwrap().len(), 1);
    }
    let cached = functions.metric("ferry_functions_cached_total").unwrap_or(0.0);
    assert!(cached >= 9.0, "{cached}");
    page.data("createUser", &json!({"name": "Bo"}));
    assert_eq!(page.data("getUsers", &json!({})).as_array().unwrap().len(), 2);
}

// Verifies: FUN-25, FUN-27
#[test]
fn a_flood_of_commits_reaches_a_slow_page_as_one_frame_and_restarts_lose_nothing() {
    let functions = Functions::new();
    let page = functions.page("s1");
    let mut socket = page.socket();
    page.data("getUsers", &json!({}));
    let writer = functions.page("w");
    for number in 0..50 {
        writer.data("createUser", &json!({"name": number.to_string()}));
    }
    let mut frames = 0;
    while socket.next_within(QUIET) != FunctionsSaid::Nothing {
        frames += 1;
    }
    assert!((1..=50).contains(&frames), "{frames} frames for 50 commits");
    drop(socket);
    let functions = functions.restarted_with(|options| options);
    let page = functions.page("s1");
    let mut socket = page.socket();
    assert_eq!(page.data("getUsers", &json!({})).as_array().unwrap().len(), 50);
    functions.page("w").data("createUser", &json!({"name": "after"}));
    assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(USERS)));
}

// Verifies: FUN-25, FUN-29
#[test]
fn a_socket_may_come_before_the_first_deployment() {
    let place = bare();
    let page = EdgePodClient::new(place.hub.address(), &key(&place), "s1");
    let mut socket = page.ferry_socket();
    let functions = Functions { key: page.key.clone(), place };
    functions.deploy(&[("schema.ts", SCHEMA), ("functions/index.ts", FUNCTIONS)]);
    assert_eq!(socket.frame()["type"], "deployed");
    assert!(!functions.hub().log().contains("\"ERROR\""), "{}", functions.hub().log());
}

// Verifies: FUN-25, FUN-33
#[test]
fn five_hundred_pages_are_current_after_a_restart_and_equal_reads_run_once() {
    const PAGES: usize = 500;
    let functions = Functions::with(&[], FUNCTIONS);
    let open = |functions: &Functions, count: usize| -> Vec<_> {
        let pages = (0..PAGES).map(|number| functions.page(&format!("p{number}")));
        pages
            .map(|page| {
                let socket = page.socket();
                assert_eq!(page.data("getUsers", &json!({})).as_array().unwrap().len(), count);
                socket
            })
            .collect()
    };
    let before = open(&functions, 0);
    functions.page("w").data("createUser", &json!({"name": "Ada"}));
    drop(before);
    let functions = functions.restarted_with(|options| options);
    let mut after = open(&functions, 1);
    assert_eq!(functions.metric("ferry_functions_cached_total"), Some(PAGES as f64 - 1.0), "it ran once");
    functions.page("w").data("createUser", &json!({"name": "Bo"}));
    for socket in &mut after {
        assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(USERS)));
    }
}

// Verifies: FUN-23
#[test]
fn a_session_keeps_so_many_results_and_sockets() {
    let functions = Functions::with(&["--functions-subscriptions=2", "--functions-sockets=2"], FUNCTIONS);
    let page = functions.page("s1");
    let mut first = page.socket();
    page.data("getUsers", &json!({}));
    page.data("getPosts", &json!({}));
    page.data("countUsers", &json!({}));
    assert!(
        matches!(first.said(), FunctionsSaid::Text(text) if text.contains(USERS)),
        "the oldest was dropped"
    );
    let (_second, _third) = (page.socket(), page.socket());
    let closed = wait::until("the oldest socket is closed", || match first.next_within(QUIET) {
        FunctionsSaid::Closed(code, _) => Some(code),
        _ => None,
    });
    assert_eq!(closed, 1008);
    let long = "x".repeat(129);
    let refused = page.call_with("getUsers", &json!({}), &[("Ferry-Session-Id", &long)]);
    assert_eq!(refused.status, 400);
    let path = format!("/ws?key={}&sessionId={long}", functions.key);
    let refused = http::send(functions.address(), "GET", &path, &[], b"").unwrap();
    assert_eq!(refused.status, 426);
}

// A result that was the same for all was made again as its last caller, and sent to everybody.
// Verifies: FUN-30, FUN-36
#[test]
fn a_result_that_comes_to_depend_on_its_user_is_shown_to_nobody_else() {
    let functions = Functions::with(
        &[],
        r#"
import { query } from "@ferry/server";
import { users } from "../schema";
export const feed = query(async (ctx) => (await ctx.db.select().from(users)).length > 0 ? ctx.user : "nobody");
export async function create(ctx) { await ctx.db.insert(users).values({ name: "x" }); }
"#,
    );
    let mut socket = functions.page("anonymous").ferry_socket();
    socket.send(r#"{"type":"sub","id":"1","fn":"feed","args":{}}"#);
    assert_eq!(socket.frame()["data"], "nobody");
    let request = json!({ "databaseId": functions.place.database, "models": ["functions"], "ops": ["read", "write"],
        "ttlSeconds": 3600 });
    let issued = functions.place.user.ferry("IssueSyncToken", &request).unwrap();
    let mut known = functions.page("known");
    known.token = Some(issued["token"].as_str().unwrap().to_owned());
    let mut known_socket = known.socket();
    assert_eq!(known.data("feed", &json!({})), "nobody");
    functions.page("w").data("create", &json!({}));
    assert_eq!(socket.frame()["data"], serde_json::Value::Null, "nobody is logged in here");
    assert!(matches!(known_socket.said(), FunctionsSaid::Text(text) if text.contains(USERS)));
    assert!(known.data("feed", &json!({}))["sub"].is_string());
}

// Verifies: FUN-29, FUN-36
#[test]
fn a_deployment_is_a_new_result_for_sockets_that_keep_one() {
    let source = |version: u32| format!("export async function version() {{ return {version}; }}");
    let functions = Functions::with(&[], &source(1));
    let mut socket = functions.page("s1").ferry_socket();
    socket.send(r#"{"type":"sub","id":"1","fn":"version","args":{}}"#);
    assert_eq!(socket.frame()["data"], 1);
    functions.deploy(&[("schema.ts", SCHEMA), ("functions/index.ts", &source(2))]);
    let frames = [socket.frame(), socket.frame()];
    assert!(frames.iter().any(|frame| frame["data"] == 2), "{frames:?}");
    assert_eq!(functions.page("s2").data("version", &json!({})), 2);
}

// Verifies: FUN-30, FUN-33, FUN-34, FUN-35
#[test]
fn a_commit_wakes_only_what_shows_a_row_that_it_changed() {
    let functions = Functions::new();
    let writer = functions.page("w");
    let mut socket = functions.page("s1").ferry_socket();
    for id in 1..=20 {
        writer.data("createUser", &json!({"name": format!("user {id}")}));
        socket.send(&format!(r#"{{"type":"sub","id":"{id}","fn":"getUserById","args":{{"id":{id}}}}}"#));
        assert_eq!(socket.frame()["data"]["id"], id);
    }
    let count = |name: &str| functions.metric(name).unwrap_or(0.0);
    let runs = || count(r#"ferry_functions_gate_runs_total{changed="true"}"#);
    let before = (runs(), count("ferry_functions_spared_total"), count("ferry_functions_cached_total"));
    writer.data("rename", &json!({"id": 7, "name": "Ada"}));
    let told = socket.frame();
    assert_eq!((&told["id"], &told["data"]["name"]), (&json!("7"), &json!("Ada")));
    assert_eq!(socket.next_within(QUIET), FunctionsSaid::Nothing);
    assert_eq!(runs() - before.0, 1.0);
    assert_eq!(count("ferry_functions_spared_total") - before.1, 19.0);
    // What is kept of the others holds.
    let reader = functions.page("r");
    for id in [3, 7, 19] {
        let name = if id == 7 { "Ada".to_owned() } else { format!("user {id}") };
        assert_eq!(reader.data("getUserById", &json!({"id": id}))["name"], name);
    }
    assert_eq!(count("ferry_functions_cached_total") - before.2, 3.0);
    // A row that is moved into what a result shows wakes it, too.
    assert_eq!(reader.data("getUserById", &json!({"id": 21})), serde_json::Value::Null);
    writer.data("createUser", &json!({"name": "user 21"}));
    assert_eq!(reader.data("getUserById", &json!({"id": 21}))["name"], "user 21");
}

// A failed run told nothing of what it had read, so that nothing woke it.
// Verifies: FUN-36
#[test]
fn a_socket_is_sent_the_result_once_there_is_one() {
    let functions = Functions::with(
        &[],
        r#"
import { query } from "@ferry/server";
import { eq } from "drizzle-orm";
import { users } from "../schema";
export const must = query(async (ctx, { id }) => {
  const user = await ctx.db.select().from(users).where(eq(users.id, id)).get();
  if (!user) throw new Error("NOT_FOUND: no such user");
  return user.name;
});
export async function create(ctx, { name }) { await ctx.db.insert(users).values({ name }); }
"#,
    );
    let mut socket = functions.page("s1").ferry_socket();
    socket.send(r#"{"type":"sub","id":"1","fn":"must","args":{"id":1}}"#);
    assert_eq!(socket.frame()["status"], 404);
    functions.page("w").data("create", &json!({"name": "Ada"}));
    assert_eq!(socket.frame()["data"], "Ada");
}
