//! One user, one owner: what a function writes for a user is what the user's own devices keep, by the same token.

use ferry_testkit::http;
use serde_json::{Value, json};

use super::Functions;
use crate::support::options;

const SCHEMA: &str = r#"
import { collection, text } from "@ferry/server/schema";
export const tasks = collection("tasks", { app: "todo", title: text("title") });
"#;

const SOURCE: &str = r#"
import { eq } from "drizzle-orm";
import { tasks } from "../schema";
export async function login(ctx, { sub }) { return ctx.signJwt({ sub }, "1h"); }
export async function owner(ctx) { return ctx.owner; }
export async function add(ctx, { id, title }) { return ctx.db.insert(tasks).values({ id, title }).returning().get(); }
export async function put(ctx, { id, title }) { ctx.records.put("tasks", id, { title }); }
export async function titles(ctx) { return (await ctx.db.select().from(tasks)).map((task) => task.title); }
export async function drop(ctx, { id }) { await ctx.db.delete(tasks).where(eq(tasks.id, id)); }
export async function authorization(ctx) { return ctx.headers.authorization ?? null; }
export async function mine(ctx) { return ctx.db.select().from(tasks).where(eq(tasks._owner, ctx.owner)); }
"#;

fn functions() -> Functions {
    let files = [("schema.ts", SCHEMA), ("functions/index.ts", SOURCE)];
    let functions = Functions::of(options(), &files);
    let mut body = ferry_testkit::functions::deployment(&files);
    body["base"] = functions.admin("GET", "info", &Value::Null).json()["deployment"].clone();
    body["auth"] = json!({ "mode": "local" });
    let answer = functions.admin("POST", "deploy", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    functions
}

/// The ids of the tasks that a device with this token has after its first pull.
fn pulled(functions: &Functions, token: &str) -> Vec<String> {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("X-Client-Id", "phone")];
    let path = "/sync/todo/pull?since=1970-01-01T00:00:00Z&collection=tasks";
    let answer = http::send(functions.address(), "GET", path, &headers, b"").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let changes = answer["serverChanges"].as_array().unwrap_or_else(|| panic!("no changes in {answer}"));
    let inserted = changes.iter().filter(|change| change["op"] == "insert");
    let mut ids: Vec<_> = inserted.map(|change| change["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

// Verifies: FUN-50, FUN-81, FUN-83
#[test]
fn a_token_that_the_database_signed_opens_the_users_records_and_owns_what_functions_write() {
    let functions = functions();
    let token =
        |sub: &str| functions.page("s").data("login", &json!({ "sub": sub })).as_str().unwrap().to_owned();
    let (ann, ben) = (token("ann"), token("ben"));
    let page = |token: &str| {
        let mut page = functions.page("s");
        page.token = Some(token.to_owned());
        page
    };
    let owner = page(&ann).data("owner", &json!({}));
    assert_eq!(page(&ann).data("add", &json!({"id": "t1", "title": "milk"}))["_owner"], owner);
    assert_eq!(page(&ann).call("put", &json!({"id": "t2", "title": "bread"})).status, 200);
    let by_admin = functions.admin(
        "POST",
        "run",
        &json!({"fn": "add", "args": {"id": "t3", "title": "tea"}, "as": "ann"}),
    );
    assert_eq!(by_admin.json()["data"]["_owner"], owner, "{}", by_admin.text());
    assert_eq!(page(&ben).call("add", &json!({"id": "b1", "title": "beer"})).status, 200);
    assert_eq!(pulled(&functions, &ann), ["t1", "t2", "t3"]);
    assert_eq!(pulled(&functions, &ben), ["b1"]);
    // What the device makes is the user's to functions, too.
    let push = json!({"changes": [{"table": "tasks", "id": "t4", "op": "insert",
        "data": {"title": "jam", "createdAt": "2026-11-29T10:00:00Z"}}]});
    let bearer = format!("Bearer {ann}");
    let headers = [("Authorization", bearer.as_str()), ("X-Client-Id", "phone")];
    let pushed =
        http::send(functions.address(), "POST", "/sync/todo", &headers, push.to_string().as_bytes()).unwrap();
    assert_eq!(pushed.status, 200, "{}", pushed.text());
    assert_eq!(page(&ann).data("mine", &json!({})).as_array().unwrap().len(), 4);
    assert_eq!(page(&ben).data("mine", &json!({})).as_array().unwrap().len(), 1);
}

// Verifies: FUN-50, TOK-17
#[test]
fn a_token_that_the_database_signed_opens_nothing_that_users_share() {
    let functions = functions();
    let token = functions.page("s").data("login", &json!({ "sub": "ann" }));
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    let read = |path: &str| {
        http::send(functions.address(), "GET", path, &[("Authorization", &bearer)], b"").unwrap().status
    };
    assert_eq!(read(&format!("/v1/databases/{}/events?store=s-1", functions.place.database)), 403);
    let other = functions.place.user.create_database("other");
    let elsewhere = read(&format!("/v1/databases/{other}/records/todo"));
    assert!(matches!(elsewhere, 401 | 403 | 404), "{elsewhere}");
}

// Verifies: FUN-83
#[test]
fn an_app_alone_owns_nothing_unless_it_says_so() {
    let functions = functions();
    let refused = functions.page("s").call("add", &json!({"id": "t1", "title": "milk"}));
    assert_eq!(refused.json()["error"], "INVALID: tasks._owner is required for anonymous callers.");
    assert!(functions.page("s").data("owner", &json!({})).as_str().unwrap().starts_with("k_"));
}

// Verifies: FUN-83
#[test]
fn a_record_that_is_there_is_not_inserted_again() {
    let functions = functions();
    let page = functions.page("s");
    let add = |title: &str| {
        functions.admin(
            "POST",
            "run",
            &json!({"fn": "add", "args": {"id": "t1", "title": title}, "as": "ann"}),
        )
    };
    assert_eq!(add("milk").status, 200);
    let again = add("bread");
    assert_eq!(
        (again.status, again.json()["error"].clone()),
        (409, json!("CONFLICT: tasks.id \"t1\" is there already: update it"))
    );
    assert_eq!(page.data("titles", &json!({})), json!(["milk"]));
    // What was deleted comes back.
    assert_eq!(page.call("drop", &json!({"id": "t1"})).status, 200);
    assert_eq!(add("jam").status, 200);
    assert_eq!(page.data("titles", &json!({})), json!(["jam"]));
}

// Verifies: FUN-05
#[test]
fn a_function_sees_no_credential_but_a_jwt() {
    let functions = functions();
    let by_admin = functions.admin("POST", "run", &json!({"fn": "authorization"}));
    assert_eq!(by_admin.json()["data"], Value::Null, "{}", by_admin.text());
    let token = functions.page("s").data("login", &json!({ "sub": "ann" })).as_str().unwrap().to_owned();
    let mut page = functions.page("s");
    page.token = Some(token.clone());
    assert_eq!(page.data("authorization", &json!({})), json!(format!("Bearer {token}")));
}
