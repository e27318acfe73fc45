//! Answers that say what was wrong, and what functions find around them.

use std::time::Duration;

use ferry_testkit::{functions::FunctionsSaid, http};
use serde_json::json;

use super::{FUNCTIONS, Functions, POSTS, SCHEMA, USERS, tables};
use crate::support::options;

const SOURCE: &str = r#"
import { sql } from "drizzle-orm";
export async function announce(ctx) { ctx.invalidate(["news"]); return 1; }
export async function requestId(ctx) { return ctx.requestId; }
export async function manyNames(ctx) { ctx.invalidate(Array.from({ length: 2000 }, (_, i) => `n${i}`)); }
export async function manyTimers() { for (let i = 0; i < 2000; i++) setTimeout(() => {}, 1000); }
export async function longText() { return "x".repeat(2 ** 30).length; }
export async function longSql(ctx) { return ctx.unsafeRawDb.get(sql`SELECT length(printf('%.*c', 20000000, 'x')) AS n`); }
export async function both(ctx) {
  await ctx.db.insert(users).values({ name: "Ada" });
  await ctx.db.insert(posts).values({ title: "Notes", userId: 1 });
}
export async function withPosts(ctx) {
  return ctx.db.query.users.findMany({ columns: { name: true }, with: { posts: { columns: { title: true } } } });
}
export async function authorOf(ctx) { return (await ctx.db.query.posts.findFirst({ with: { author: true } })).author.name; }
const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
export async function globals() {
  const names = ["fetch", "Headers", "Request", "Response", "setTimeout", "clearTimeout", "setInterval", "URL", "URLSearchParams",
    "TextEncoder", "TextDecoder", "AbortController", "structuredClone", "performance", "console", "crypto"];
  const missing = names.filter((name) => globalThis[name] === undefined);
  const data = new TextEncoder().encode("abc");
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode("Jefe"), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode("what do ya want for nothing?"));
  return {
    missing, intl: typeof Intl, sha: hex(await crypto.subtle.digest("SHA-256", data)), mac: hex(mac),
    uuid: /^[0-9a-f-]{36}$/.test(crypto.randomUUID()), random: crypto.getRandomValues(new Uint8Array(8)).length,
    query: new URL("https://a.example/b?c=1&d=%20").searchParams.get("d"), text: new TextDecoder().decode(data),
    clone: structuredClone(new Map([["a", new Date(0)]])).get("a").toISOString(),
  };
}
"#;

fn functions() -> Functions {
    Functions::with(&[], &format!("{FUNCTIONS}\n{SOURCE}"))
}

// `throw null` was told as a memory limit.
// Verifies: FUN-45
#[test]
fn what_is_thrown_is_told_whatever_it_is() {
    let null =
        "null was thrown: by the function, or by the engine where no memory was left (functions.heap_bytes).";
    let functions = functions();
    for (thrown, status, error) in [
        ("null", 500, null),
        ("undefined", 500, "undefined"),
        ("0", 500, "0"),
        ("'NOT_FOUND: x'", 404, "NOT_FOUND: x"),
        ("''", 500, "an error without a message was thrown."),
        ("new Error()", 500, "an error without a message was thrown."),
        ("{ message: 'CONFLICT: y' }", 409, "CONFLICT: y"),
        ("{ message: null }", 500, "[object Object]"),
        ("Object.create(null)", 500, "an error that cannot be shown"),
        ("Symbol('s')", 500, "an error that cannot be shown"),
        ("await Promise.reject(null)", 500, null),
    ] {
        let source = format!("export async function f() {{ throw {thrown}; }}");
        functions.deploy(&[("schema.ts", SCHEMA), ("functions/index.ts", &source)]);
        let failed = functions.page("s1").call("f", &json!({}));
        assert_eq!((failed.status, failed.json()["error"].as_str()), (status, Some(error)), "{thrown}");
    }
}

// What was lost without a word: a write that nobody awaited, a promise that was rejected, where a loop was.
// Verifies: FUN-17, FUN-19, FUN-45
#[test]
fn the_log_tells_of_mistakes_with_the_lines_of_the_source() {
    let source = r#"
import { users } from "../schema";
export async function forgets(ctx) {
  ctx.db.insert(users).values({ name: "never" });
  return (await ctx.db.select().from(users)).length;
}
export async function loses() { (async () => { await null; throw new Error("lost"); })(); }
export async function mistypes(ctx) { return ctx.db.selct().from(users); }
export async function spins(ctx) { let n = 0; for (;;) n += Math.sqrt(n); }
export async function several() { return Promise.any([Promise.reject(new Error("CONFLICT: a")), Promise.reject(new Error("b"))]); }
"#;
    let functions = Functions::with(&[], source);
    let page = functions.page("s1");
    assert_eq!(page.data("forgets", &json!({})), json!(0));
    page.data("loses", &json!({}));
    for (name, status, error) in [
        ("mistypes", 500, "Internal error"),
        ("spins", 504, "TIMEOUT: function used more than 1000 ms of CPU."),
        ("several", 409, "CONFLICT: a; b"),
    ] {
        let failed = page.call(name, &json!({}));
        assert_eq!((failed.status, failed.json()["error"].as_str()), (status, Some(error)), "{name}");
    }
    let logs = functions.admin("GET", "logs?since=0", &json!(null)).text();
    let lines: Vec<serde_json::Value> =
        logs.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    for (function, level, text, place) in [
        (
            "forgets",
            "warn",
            "ctx.db.insert(users) was never run, so it changed nothing",
            "functions/index.ts:4:",
        ),
        ("loses", "error", "a promise was rejected and nothing awaited it: lost", "functions/index.ts:7:"),
        (
            "mistypes",
            "error",
            "TypeError: not a function, near `return ctx.db.selct().from(users);",
            "functions/index.ts:8:",
        ),
        ("spins", "error", "TIMEOUT: function used more than 1000 ms of CPU.", "functions/index.ts:9:"),
        ("several", "warn", "CONFLICT: a; b", "functions/index.ts:10:"),
    ] {
        let of_function: Vec<_> = lines.iter().filter(|line| line["function"] == function).collect();
        let [line] = of_function[..] else { panic!("{function} has one line: {of_function:?}") };
        let told =
            format!("{}\n{}", line["text"].as_str().unwrap(), line["stack"].as_str().unwrap_or_default());
        assert_eq!(line["level"], level, "{told}");
        assert!(told.contains(text) && told.contains(place) && !told.contains("ferry:"), "{told}");
    }
}

// Verifies: FUN-03, FUN-28
#[test]
fn who_follows_a_link_makes_nobody_fetch_anew() {
    let functions = functions();
    let refused = functions.page("s1").get_with("announce", "", &[]);
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")), "{}", refused.text());
    assert_eq!(functions.page("s1").data("announce", &json!({})), json!(1));
}

// Verifies: FUN-33
#[test]
fn the_id_of_a_request_is_its_own() {
    let page = functions();
    let page = page.page("s1");
    let first = page.call("requestId", &json!({}));
    let second = page.call("requestId", &json!({}));
    for answer in [&first, &second] {
        assert_eq!(answer.json()["data"].as_str(), answer.header("x-request-id"));
    }
    assert_ne!(first.json()["data"], second.json()["data"]);
}

// Verifies: FUN-19
#[test]
fn what_is_over_a_limit_is_told_which() {
    let functions = functions();
    let page = functions.page("s1");
    for (name, status, error) in [
        ("manyNames", 500, "more than 1000 names in one call."),
        ("manyTimers", 500, "more than 1000 timers are set in this call."),
        ("longText", 500, "Function exceeded its memory limit."),
        ("longSql", 413, "TOO_LARGE: SQL takes no text and no blob over 16777216 bytes."),
    ] {
        let failed = page.call(name, &json!({}));
        assert_eq!((failed.status, failed.json()["error"].as_str()), (status, Some(error)), "{name}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let headers = [("X-Edgepod-Key", functions.key.as_str())];
    let refused =
        http::send(functions.address(), "POST", "/rpc/countUsers", &headers, deep.as_bytes()).unwrap();
    let error = refused.json()["error"].clone();
    assert_eq!((refused.status, error), (400, json!("INVALID: arguments are nested more than 500 deep.")));
}

// Verifies: FUN-03, FUN-36
#[test]
fn a_result_that_is_kept_for_a_socket_writes_nothing_and_says_so() {
    let functions = functions();
    let mut socket = functions.page("s1").ferry_socket();
    socket.send(&json!({"type": "sub", "id": "1", "fn": "both", "args": {}}).to_string());
    let told = socket.frame();
    assert_eq!(
        (&told["type"], &told["status"], &told["code"]),
        (&json!("error"), &json!(405), &json!("METHOD_NOT_ALLOWED"))
    );
    assert_eq!(functions.page("s1").data("countUsers", &json!({})), json!(0));
}

// Verifies: FUN-27
#[test]
fn all_that_changed_is_named_and_the_session_that_changed_it_gets_it_too() {
    let functions = functions();
    let page = functions.page("s1");
    let mut socket = page.socket();
    page.data("getUsers", &json!({}));
    page.data("getPosts", &json!({}));
    assert_eq!(page.call("both", &json!({})).status, 200);
    let mut named = std::collections::BTreeSet::new();
    while named.len() < 2 {
        let frame = socket.frame();
        assert_eq!(frame["action"], "invalidate");
        named
            .extend(frame["tables"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()));
    }
    assert!(named.contains(USERS) && named.contains(POSTS), "{named:?}");
    assert_eq!(socket.next_within(Duration::from_millis(300)), FunctionsSaid::Nothing);
}

// Verifies: FUN-07
#[test]
fn relations_of_the_schema_are_queried() {
    let functions = functions();
    let page = functions.page("s1");
    page.data("both", &json!({}));
    assert_eq!(page.data("withPosts", &json!({})), json!([{"name": "Ada", "posts": [{"title": "Notes"}]}]));
    assert_eq!(page.data("authorOf", &json!({})), json!("Ada"));
    let read = tables(&page.call("withPosts", &json!({})));
    assert!(read.contains(&USERS.to_owned()) && read.contains(&POSTS.to_owned()), "{read:?}");
}

// Verifies: FUN-08
#[test]
fn functions_have_the_globals_of_the_web() {
    let found = functions().page("s1").data("globals", &json!({}));
    assert_eq!(found["missing"], json!([]));
    assert_eq!(found["intl"], "undefined");
    // FIPS 180-2, B.1; RFC 4231, 4.3.
    assert_eq!(found["sha"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(found["mac"], "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_eq!((&found["uuid"], &found["random"], &found["query"]), (&json!(true), &json!(8), &json!(" ")));
    assert_eq!((&found["text"], &found["clone"]), (&json!("abc"), &json!("1970-01-01T00:00:00.000Z")));
}

// Verifies: FUN-82
#[test]
fn a_collection_is_named_as_the_schema_names_it() {
    let schema = "import { collection, text } from \"@ferry/server/schema\";\n\
                  export const tasks = collection(\"tasks\", { app: \"todo\", title: text(\"title\") });";
    let source = "import { sql } from \"drizzle-orm\";\n\
                  export async function add(ctx) { await ctx.unsafeRawDb.run(sql`INSERT INTO tasks(id, _owner, title) VALUES ('t', 'u', 'x')`); }";
    let functions = Functions::of(options(), &[("schema.ts", schema), ("functions/index.ts", source)]);
    let added = functions.page("s1").call("add", &json!({}));
    assert_eq!(added.status, 200, "{}", added.text());
    assert_eq!(tables(&added), ["4jxcy3"]);
}

// Verifies: FUN-11
#[test]
fn a_full_disk_refuses_what_writes_and_reads_go_on() {
    let functions = functions();
    functions.page("s1").data("both", &json!({}));
    let functions = functions.restarted_with(|options| options.fault("functions.applied=full"));
    let page = functions.page("s1");
    for _ in 0..2 {
        let refused = page.call("both", &json!({}));
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.text().contains("disk is full"), "{}", refused.text());
        assert_eq!(page.data("countUsers", &json!({})), json!(1));
    }
}
