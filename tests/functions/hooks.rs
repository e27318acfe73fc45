//! Hooks of event stores that are functions (scenario 16).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ferry_testkit::{
    hooks::HookReceiver,
    http::{self, Response},
    livestore::{LiveSocket, Said, chain, event, path, percent},
    wait,
};
use serde_json::{Value, json};

use super::Functions;
use crate::support::options;

const SCHEMA: &str = r#"
import { table, integer, text } from "@ferry/server/schema";
export const told = table("told", { id: integer("id").primaryKey({ autoIncrement: true }), seqNum: integer("seq_num"), text: text("text") });
export const banned = table("banned", { name: text("name").primaryKey() });
"#;

const SOURCE: &str = r#"
import { banned, told } from "../schema";
export async function ban(ctx, { name }) { await ctx.db.insert(banned).values({ name }); }
export async function all(ctx) { return ctx.db.select().from(told); }
export async function append(ctx, { store, text }) { return ctx.events.append(store, { name: "v1.Noted", args: { text } }); }
"#;

const HOOKS: &str = r#"
import { eq } from "drizzle-orm";
import { banned, told } from "../schema";
export async function onPush(message, ctx) {
  const [first] = message.batch;
  const found = await ctx.db.select().from(banned).where(eq(banned.name, first.name)).get();
  if (found) throw new Error(`${first.name} is banned in ${ctx.storeId} for ${ctx.user.sub}`);
  if (first.name === "v1.Writes") await ctx.db.insert(told).values({ text: "written" });
  if (first.name === "v1.Loops") for (;;);
  if (first.name === "v1.Breaks") return undefined.x;
  if (first.name === "v1.Slow") await new Promise((done) => setTimeout(done, 20000));
  if (first.name === "v1.Adds") return { verdict: "accept", append: [{ name: "v1.Added", args: { to: first.name } }] };
}
export async function onPushed(message, ctx) {
  for (const { seqNum, args } of message.events) await ctx.db.insert(told).values({ seqNum, text: args?.text ?? null });
}
"#;

fn functions(hooks: &str) -> Functions {
    Functions::of(
        options().arg("--events-hook-timeout-ms=1500"),
        &[("schema.ts", SCHEMA), ("functions/index.ts", SOURCE), ("functions/hooks.ts", hooks)],
    )
}

fn bearer(functions: &Functions) -> String {
    let request = json!({ "databaseId": functions.place.database, "models": ["events"], "ops": ["read", "write"],
        "ttlSeconds": 3600 });
    let issued = functions.place.user.ferry("IssueSyncToken", &request).unwrap();
    format!("Bearer {}", issued["token"].as_str().unwrap())
}

fn open(functions: &Functions, bearer: &str, payload: &Value) -> Result<LiveSocket, Response> {
    let payload = percent(&percent(&payload.to_string()));
    let path = format!("{}&payload={payload}", path("app", "ws"));
    LiveSocket::open(functions.address(), &path, "app", &[("Authorization", bearer)])
}

fn named(name: &str, seq_num: i64) -> Value {
    let mut event = event(seq_num, seq_num - 1);
    event["name"] = json!(name);
    event
}

// Verifies: FUN-85, EVT-56, EVT-57, EVT-60
#[test]
fn a_function_decides_on_pushes_as_a_program_of_the_operator_would() {
    let functions = functions(HOOKS);
    let bearer = bearer(&functions);
    let page = functions.page("s1");
    assert_eq!(page.call("ban", &json!({"name": "v1.Bad"})).status, 200);
    let mut socket = open(&functions, &bearer, &Value::Null).unwrap();
    assert_eq!(socket.push(&json!("1"), &chain(0, 1)).code(), "success");
    // It reads the newest rows, and its message is the rejection's.
    let refused = socket.push(&json!("2"), &[named("v1.Bad", 2)]);
    assert_eq!(refused.code(), "REJECTED");
    assert!(format!("{refused:?}").contains("v1.Bad is banned in app for u_"), "{refused:?}");
    let refused = socket.push(&json!("3"), &[named("v1.Writes", 2)]);
    assert_eq!(refused.code(), "REJECTED");
    assert!(format!("{refused:?}").contains("of all hooks only onPushed writes"), "{refused:?}");
    // What it did not decide is not decided.
    for (id, name) in [("4", "v1.Loops"), ("5", "v1.Breaks"), ("6", "v1.Slow")] {
        let refused = socket.push(&json!(id), &[named(name, 2)]);
        assert_eq!(refused.code(), "HOOK_UNAVAILABLE", "{name}: {refused:?}");
    }
    assert_eq!(socket.push(&json!("7"), &[named("v1.Adds", 2)]).code(), "success");
    socket.pull(&json!("8"), false, None);
    let events = socket.page(&json!("8")).events;
    let names: Vec<&str> = events.iter().map(|event| event["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["v1.TodoCreated", "v1.Adds", "v1.Added"]);
    assert_eq!(
        (&events[2]["clientId"], &events[2]["args"]),
        (&json!("ferry-hub"), &json!({"to": "v1.Adds"}))
    );
}

// Verifies: FUN-84, FUN-85, EVT-58
#[test]
fn a_function_is_told_of_each_commit_once_it_can_take_it() {
    let functions = functions("export async function onPushed() { throw new Error(\"not yet\"); }");
    let bearer = bearer(&functions);
    let page = functions.page("s1");
    let mut socket = open(&functions, &bearer, &Value::Null).unwrap();
    assert_eq!(socket.push(&json!("1"), &chain(0, 2)).code(), "success");
    wait::until("the function that throws was called", || {
        functions.hub().log().contains("onPushed threw").then_some(())
    });
    assert_eq!(page.data("all", &json!({})), json!([]));
    // Another one is told at once, of everything, and of what functions append.
    functions.deploy(&[("schema.ts", SCHEMA), ("functions/index.ts", SOURCE), ("functions/hooks.ts", HOOKS)]);
    let numbers = |count: usize| {
        wait::until("the events have been told", || {
            let all = page.data("all", &json!({}));
            let all = all.as_array().unwrap();
            let numbers: Vec<i64> = all.iter().map(|row| row["seqNum"].as_i64().unwrap()).collect();
            (numbers.len() >= count).then_some(numbers)
        })
    };
    assert_eq!(numbers(2), [1, 2]);
    let appended = page.call("append", &json!({"store": "app", "text": "by a function"}));
    assert_eq!(appended.status, 200, "{}", appended.text());
    assert_eq!(numbers(3), [1, 2, 3]);
    assert_eq!(page.data("all", &json!({}))[2]["text"], "by a function");
}

// Verifies: FUN-85, EVT-59
#[test]
fn a_function_decides_who_may_read() {
    let functions = functions(
        "import { banned } from \"../schema\";\nexport async function onPull(message, ctx) {\n\
         if (await ctx.db.select().from(banned).get()) throw new Error(`${message.store} is closed`);\n}",
    );
    let bearer = bearer(&functions);
    let read = |store: &str| {
        let path = format!("/v1/databases/-/events?store={store}");
        http::send(functions.address(), "GET", &path, &[("Authorization", &bearer)], b"").unwrap()
    };
    let mut socket = open(&functions, &bearer, &Value::Null).unwrap();
    assert_eq!(socket.push(&json!("1"), &chain(0, 1)).code(), "success");
    assert_eq!(read("app").status, 200);
    assert_eq!(functions.page("s1").call("append", &json!({"store": "other", "text": "x"})).status, 200);
    functions.page("s1").data("ban", &json!({"name": "readers"}));
    let refused = read("other");
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("other is closed"), "{}", refused.text());
    // What was said of a reader holds for a minute.
    assert_eq!(read("app").status, 200);
}

// Verifies: FUN-85
#[test]
fn a_function_validates_what_connections_are_opened_with() {
    let hooks = |word: &str| {
        format!(
            "export function validatePayload(payload, {{ storeId, headers }}) {{\n\
             if (payload?.word !== {word:?}) throw new Error(`${{storeId}}: the word is wrong, ${{headers[\"x-app\"] ?? \"nobody\"}}`);\n}}"
        )
    };
    let functions = functions(&hooks("one"));
    let bearer = bearer(&functions);
    let good = json!({"word": "one"});
    let refused = open(&functions, &bearer, &json!({"word": "none"})).err().unwrap();
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("app: the word is wrong, nobody"), "{}", refused.text());
    let mut socket = open(&functions, &bearer, &good).unwrap();
    assert_eq!(socket.push(&json!("1"), &chain(0, 1)).code(), "success");
    // Over HTTP each request is asked about.
    let push = ferry_testkit::livestore::request(
        &json!("9"),
        "SyncHttpRpc.Push",
        &ferry_testkit::livestore::push_payload("app", &chain(1, 1), None),
    );
    let headers = [("Authorization", bearer.as_str()), ("X-App", "me"), ("Content-Type", "application/json")];
    let sent =
        http::send(functions.address(), "POST", &path("app", "http"), &headers, push.to_string().as_bytes());
    let sent = sent.unwrap();
    assert_eq!(sent.status, 400, "{}", sent.text());
    assert!(sent.text().contains("app: the word is wrong, me"), "{}", sent.text());
    // A push is refused, and its socket closed, once the payload is not good any more.
    let files = [("schema.ts", SCHEMA), ("functions/index.ts", SOURCE)];
    let deploy = |hooks: &str| functions.deploy(&[files[0], files[1], ("functions/hooks.ts", hooks)]);
    deploy(&hooks("two"));
    assert_eq!(socket.push(&json!("2"), &chain(1, 1)).code(), "REJECTED");
    assert_eq!(socket.next(), Said::Closed(4403));
    // A socket of before there was such a hook comes again.
    functions.deploy(&files);
    let mut socket = open(&functions, &bearer, &Value::Null).unwrap();
    assert_eq!(socket.push(&json!("1"), &chain(1, 1)).code(), "success");
    deploy(&hooks("two"));
    assert_eq!(socket.push(&json!("2"), &chain(2, 1)).code(), "RATE_LIMITED");
    assert_eq!(socket.next(), Said::Closed(1012));
}

// Verifies: FUN-85
#[test]
fn where_there_are_two_hooks_both_must_accept() {
    let receiver = HookReceiver::start();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    receiver.answer(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        ferry_testkit::serve::Reply::json(&json!({"verdict": "accept", "append": [{"name": "v1.ByProgram"}]}))
    });
    let functions = Functions::of(
        options().arg(format!("--events-on-push-url={}", receiver.url())),
        &[("schema.ts", SCHEMA), ("functions/index.ts", SOURCE), ("functions/hooks.ts", HOOKS)],
    );
    let bearer = bearer(&functions);
    functions.page("s1").data("ban", &json!({"name": "v1.Bad"}));
    let mut socket = open(&functions, &bearer, &Value::Null).unwrap();
    assert_eq!(socket.push(&json!("1"), &[named("v1.Bad", 1)]).code(), "REJECTED");
    assert_eq!(socket.push(&json!("2"), &[named("v1.Adds", 1)]).code(), "success");
    socket.pull(&json!("3"), false, None);
    let events = socket.page(&json!("3")).events;
    let names: Vec<&str> = events.iter().map(|event| event["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["v1.Adds", "v1.ByProgram", "v1.Added"]);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}
