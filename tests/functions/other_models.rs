//! One file, one transaction: records, events and ops beside a function's own tables.

use ferry_testkit::{functions::FunctionsSaid, http};
use serde_json::{Value, json};

use super::{Functions, tables};
use crate::support::options;

const SCHEMA: &str = r#"
import { table, integer, text, collection } from "@ferry/server/schema";
export const notes = table("notes", { id: integer("id").primaryKey(), text: text("text") });
export const tasks = collection("tasks", { app: "todo", title: text("title"), done: integer("done") });
"#;

const SOURCE: &str = r#"
import { sql } from "drizzle-orm";
import { tasks, notes } from "../schema";
export async function list(ctx) { return ctx.db.select().from(tasks); }
export async function add(ctx, { id, title, owner }) {
  await ctx.unsafeRawDb.run(sql`INSERT INTO tasks(id, _owner, title) VALUES (${id}, ${owner}, ${title})`);
}
export async function finish(ctx, { id }) { await ctx.unsafeRawDb.run(sql`UPDATE tasks SET done = 1 WHERE id = ${id}`); }
export async function event(ctx, { store, text, fail }) {
  await ctx.db.insert(notes).values({ text });
  const appended = ctx.events.append(store, { name: "v1.Noted", args: { text } });
  if (fail) throw new Error("stopped");
  return appended;
}
export async function op(ctx, { entity, fail }) {
  const written = ctx.ops.append([{ kind: "create", entity, value: "note" }]);
  if (fail) throw new Error("stopped");
  return written;
}
export async function events(ctx) { return ctx.unsafeRawDb.all(sql`SELECT name FROM events ORDER BY seq_num`); }
export async function howMany(ctx) { return ctx.unsafeRawDb.get(sql`SELECT count(*) AS count FROM events`); }
export async function fields(ctx) { return ctx.unsafeRawDb.all(sql`SELECT * FROM ops_fields`); }
export async function entities(ctx) { return ctx.unsafeRawDb.all(sql`SELECT entity FROM ops_entities`); }
"#;

fn functions() -> Functions {
    Functions::of(options(), &[("schema.ts", SCHEMA), ("functions/index.ts", SOURCE)])
}

fn token(functions: &Functions, models: &[&str]) -> String {
    let request = json!({ "databaseId": functions.place.database, "models": models, "ops": ["read", "write"],
        "ttlSeconds": 3600 });
    functions.place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned()
}

fn records(functions: &Functions, token: &str, method: &str, path: &str, body: &Value) -> Value {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("X-Client-Id", "phone")];
    let body = if method == "GET" { String::new() } else { body.to_string() };
    let answer = http::send(functions.address(), method, path, &headers, body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

// Verifies: FUN-80, FUN-81, FUN-82
#[test]
fn records_are_tables_to_functions_and_live_queries_follow_them() {
    let functions = functions();
    let page = functions.page("s1");
    let mut socket = page.socket();
    assert_eq!(page.data("list", &json!({})), json!([]));
    let hash = tables(&page.call("list", &json!({}))).remove(0);
    // A push of a device wakes the live query.
    let device = token(&functions, &["records"]);
    let push = json!({"changes": [{"table": "tasks", "id": "t1", "op": "insert",
        "data": {"title": "milk", "createdAt": "2026-11-29T10:00:00Z"}}]});
    records(&functions, &device, "POST", "/sync/todo", &push);
    assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(&hash)));
    let listed = page.data("list", &json!({}));
    assert_eq!((&listed[0]["id"], &listed[0]["title"]), (&json!("t1"), &json!("milk")));
    // What a function writes reaches the device by its pull.
    let owner = listed[0]["_owner"].as_str().expect("an owner").to_owned();
    let added = page.call("add", &json!({"id": "t2", "title": "bread", "owner": owner}));
    assert_eq!(added.status, 200, "{}", added.text());
    assert_eq!(page.call("finish", &json!({"id": "t1"})).status, 200);
    let pulled = records(
        &functions,
        &device,
        "GET",
        "/sync/todo/pull?since=1970-01-01T00:00:00Z&collection=tasks",
        &Value::Null,
    );
    let text = pulled.to_string();
    assert!(text.contains("bread") && text.contains("done"), "{text}");
    assert_eq!(page.data("list", &json!({})).as_array().unwrap().len(), 2);
}

// Verifies: FUN-84
#[test]
fn an_event_and_a_row_are_one_commit_or_none() {
    let functions = functions();
    let page = functions.page("s1");
    let appended = page.call("event", &json!({"store": "s-1", "text": "one", "fail": false}));
    assert_eq!(appended.status, 200, "{}", appended.text());
    assert_eq!(appended.json()["data"]["seqNum"], 1);
    assert_eq!(page.call("event", &json!({"store": "s-1", "text": "two", "fail": true})).status, 500);
    let bearer = format!("Bearer {}", token(&functions, &["events"]));
    let read = http::send(
        functions.address(),
        "GET",
        "/v1/databases/-/events?store=s-1",
        &[("Authorization", &bearer)],
        b"",
    );
    let events = read.unwrap();
    assert_eq!(events.status, 200, "{}", events.text());
    assert!(events.text().contains("v1.Noted") && !events.text().contains("two"), "{}", events.text());
    let refused = page.call("event", &json!({"store": "", "text": "x", "fail": false}));
    assert_eq!(refused.status, 400, "{}", refused.text());
}

// Verifies: FUN-84
#[test]
fn ops_are_appended_in_the_same_commit_and_seen_as_views() {
    let functions = functions();
    let page = functions.page("s1");
    let written = page.call("op", &json!({"entity": "note/1", "fail": false}));
    assert_eq!(written.status, 200, "{}", written.text());
    assert_eq!(page.call("op", &json!({"entity": "note/2", "fail": true})).status, 500);
    assert_eq!(page.data("entities", &json!({})), json!([{"entity": "note/1"}]));
    let mut socket = page.socket();
    let hash = tables(&page.call("entities", &json!({}))).remove(0);
    page.call("op", &json!({"entity": "note/3", "fail": false}));
    assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(&hash)));
}

// Views of events and ops that nobody had written yet were errors of SQL.
// Verifies: FUN-20, FUN-82
#[test]
fn events_and_ops_of_which_there_are_none_are_empty_and_the_first_one_is_told() {
    let functions = functions();
    let page = functions.page("s1");
    for function in ["events", "entities", "fields"] {
        assert_eq!(page.data(function, &json!({})), json!([]), "{function}");
    }
    assert_eq!(page.data("howMany", &json!({})), json!({"count": 0}));
    let mut socket = page.socket();
    let hash = tables(&page.call("events", &json!({}))).remove(0);
    functions.page("w").data("event", &json!({"store": "s-1", "text": "one", "fail": false}));
    assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(&hash)));
    assert_eq!(page.data("events", &json!({})), json!([{"name": "v1.Noted"}]));
    assert_eq!(page.data("howMany", &json!({})), json!({"count": 1}));
    let hash = tables(&page.call("entities", &json!({}))).remove(0);
    functions.page("w").data("op", &json!({"entity": "note/1", "fail": false}));
    assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(&hash)));
    assert_eq!(page.data("entities", &json!({})), json!([{"entity": "note/1"}]));
    // A deployment beside them changes nothing of that.
    functions.deploy(&[("schema.ts", SCHEMA), ("functions/index.ts", SOURCE)]);
    assert_eq!(page.data("events", &json!({})), json!([{"name": "v1.Noted"}]));
}
