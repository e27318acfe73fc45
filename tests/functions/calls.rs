//! Calls over HTTP: order of checks, answers, errors.

use ferry_testkit::http;
use serde_json::{Value, json};

use super::{FUNCTIONS, Functions, USERS, bare, tables};

// Verifies: FUN-01, FUN-22
#[test]
fn a_call_has_the_members_of_edgepods_wire_and_no_others() {
    let functions = Functions::new();
    let page = functions.page("s1");
    let made = page.call("createUser", &json!({"name": "Ada"}));
    assert_eq!(
        made.text(),
        format!(
            r#"{{"success":true,"data":{{"id":1,"name":"Ada","email":null}},"_meta":{{"t":["{USERS}"]}}}}"#
        )
    );
    assert_eq!((made.status, made.header("ferry-seq").is_some()), (200, true));
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, POST, OPTIONS"),
        ("access-control-max-age", "86400"),
        ("access-control-expose-headers", "Ferry-Seq, X-Request-Id, ETag, Retry-After"),
    ] {
        assert_eq!(made.header(name), Some(value), "{name}");
    }
    assert!(made.header("x-powered-by").is_some_and(|value| value.starts_with("Ferry/")));
    assert!(made.header("x-request-id").is_some());
    let all = page.call("getUsers", &json!({}));
    assert_eq!(
        all.text(),
        format!(
            r#"{{"success":true,"data":[{{"id":1,"name":"Ada","email":null}}],"_meta":{{"t":["{USERS}"]}}}}"#
        )
    );
    let ferry = page.call_with("getUsers", &json!({}), &[("Ferry-Reactive", "false")]).json();
    assert!(
        ferry["_meta"]["seq"].is_u64()
            && ferry["_meta"]["hash"].as_str().is_some_and(|hash| hash.len() == 16)
    );
    for name in ["constant", "default", "hidden", "_private", "constructor", "toString", "a%2Fb", "missing"] {
        let unknown = page.call(name, &json!({}));
        assert_eq!(unknown.status, 404, "{name}: {}", unknown.text());
        assert!(unknown.json()["error"].as_str().unwrap().ends_with("does not exist."));
    }
}

// Verifies: FUN-03, FUN-50
#[test]
fn checks_come_in_their_order() {
    let functions = Functions::new();
    let send = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        http::send(functions.address(), method, path, headers, body.as_bytes()).unwrap()
    };
    let key = [("X-Edgepod-Key", functions.key.as_str())];
    let preflight = send("OPTIONS", "/rpc/getUsers", &[], "");
    assert_eq!((preflight.status, preflight.text()), (204, String::new()));
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    for headers in [&[][..], &[("X-Edgepod-Key", "ep_pk_unknown")]] {
        let refused = send("POST", "/rpc/getUsers", headers, "{}");
        assert_eq!((refused.status, refused.text()), (401, "Unauthorized".to_owned()));
    }
    let missing = send("DELETE", "/rpc/x", &key, "");
    assert_eq!(missing.text(), r#"{"success":false,"error":"NOT_FOUND: Function \"x\" does not exist."}"#);
    assert_eq!(missing.status, 404);
    let method = send("DELETE", "/rpc/getUsers", &key, "");
    assert_eq!((method.status, method.text()), (405, "Method Not Allowed".to_owned()));
    for body in ["", "{", "nonsense"] {
        let unusable = send("POST", "/rpc/getUsers", &key, body);
        assert_eq!(unusable.text(), r#"{"success":false,"error":"Invalid request body."}"#, "{body}");
        assert_eq!(unusable.status, 400);
    }
    let with_key = format!("/rpc/echo?key={}&args=%7B%22a%22%3A%2250%25%22%7D", functions.key);
    let by_query = send("GET", &with_key, &[], "");
    assert_eq!(by_query.json()["data"], json!({"a": "50%"}), "{}", by_query.text());
    let twice = send("GET", "/rpc/echo?args=%257B%2522a%2522%253A1%257D", &key, "");
    assert_eq!(twice.json()["data"], json!({"a": 1}));
    assert_eq!(send("GET", "/rpc/echo?args=%7Bbad", &key, "").status, 400);
    let socket = send("GET", &format!("/ws?key={}&sessionId=s", functions.key), &[], "");
    assert_eq!((socket.status, socket.text()), (426, "Expected WebSocket upgrade".to_owned()));
    let nothing = send("GET", "/rpc", &key, "");
    assert_eq!(nothing.status, 404);
    let bare = bare();
    let none = http::send(bare.hub.address(), "POST", "/rpc/x", &[], b"{}").unwrap();
    assert_eq!((none.status, none.text()), (401, "Unauthorized".to_owned()));
}

// Verifies: FUN-03, FUN-36
#[test]
fn what_writes_is_not_called_by_get_and_queries_never_write() {
    let functions = Functions::new();
    let page = functions.page("s1");
    for name in ["createUser", "addUser", "addTwo"] {
        let refused = page.get_with(name, "?args=%7B%22name%22%3A%22x%22%7D", &[]);
        assert_eq!(refused.status, 405, "{}", refused.text());
        assert_eq!(refused.header("allow"), Some("POST"));
        let text = format!("METHOD_NOT_ALLOWED: Function \"{name}\" writes; call it with POST.");
        assert_eq!(refused.json()["error"], text.as_str());
    }
    assert_eq!(page.data("getUsers", &json!({})), json!([]));
    let first = page.get_with("getUsers", "", &[]);
    let tag = first.header("etag").expect("a read has an ETag").to_owned();
    let same = page.get_with("getUsers", "", &[("If-None-Match", &tag)]);
    assert_eq!((same.status, same.text()), (304, String::new()));
    page.data("createUser", &json!({"name": "Ada"}));
    let other = page.get_with("getUsers", "", &[("If-None-Match", &tag)]);
    assert_eq!((other.status, other.json()["data"].as_array().map(Vec::len)), (200, Some(1)));
    let source = format!(
        "{FUNCTIONS}\nexport const bad = query(async (ctx) => ctx.db.insert(users).values({{ name: \"x\" }}));"
    );
    functions.deploy(&[("schema.ts", super::SCHEMA), ("functions/index.ts", &source)]);
    let refused = page.call("bad", &json!({}));
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (403, &json!("FORBIDDEN: query functions cannot write."))
    );
}

// Verifies: FUN-11
#[test]
fn a_call_that_throws_leaves_nothing() {
    let functions = Functions::new();
    let page = functions.page("s1");
    page.data("createUser", &json!({"name": "Ada"}));
    let before = page.call("getUsers", &json!({}));
    let failed = page.call("insertThenThrow", &json!({}));
    assert_eq!(failed.text(), r#"{"success":false,"error":"boom"}"#);
    assert_eq!(failed.status, 500);
    let after = page.call("getUsers", &json!({}));
    assert_eq!(after.json(), before.json());
    assert_eq!(after.header("ferry-seq"), before.header("ferry-seq"));
    // An action commits statement by statement.
    assert_eq!(page.call("addTwo", &json!({"first": "Bo"})).status, 500);
    assert_eq!(page.data("countUsers", &json!({})), json!(2));
}

// Verifies: FUN-45
#[test]
fn errors_say_what_callers_may_know() {
    let functions = Functions::with(
        &[],
        &format!(
            r#"{FUNCTIONS}
export async function fail(ctx, {{ message }}) {{ throw new Error(message); }}
export async function mistake(ctx) {{ return ctx.nothing.there; }}
export async function badSql(ctx) {{ return ctx.unsafeRawDb.run("SELECT secret FROM nowhere"); }}
export async function cycle() {{ const a: any = {{}}; a.a = a; return a; }}
export async function values() {{
  return {{ at: new Date(0), map: new Map([[1, 2]]), big: 12345678901234567890n, bytes: new Uint8Array([1, 2]), nan: NaN, none: undefined }};
}}
export async function nothing() {{}}
"#
        ),
    );
    let page = functions.page("s1");
    for (message, status) in [
        ("NOT_FOUND: no user", 404),
        ("UNAUTHORIZED: no", 401),
        ("Forbidden", 403),
        ("CONFLICT: taken", 409),
        ("RATE_LIMITED: slow down", 429),
        ("UNAVAILABLE: later", 503),
        ("whatever", 500),
    ] {
        let failed = page.call("fail", &json!({"message": message}));
        assert_eq!((failed.status, &failed.json()["error"]), (status, &json!(message)));
        assert_eq!(failed.header("retry-after").is_some(), matches!(status, 429 | 503), "{message}");
    }
    page.data("createUser", &json!({"name": "Ada", "email": "a@x"}));
    let taken = page.call("createUser", &json!({"name": "Bo", "email": "a@x"}));
    assert_eq!(
        (taken.status, &taken.json()["error"]),
        (409, &json!("CONFLICT: UNIQUE constraint failed: users.email"))
    );
    for name in ["mistake", "badSql", "cycle"] {
        let failed = page.call_with(name, &json!({}), &[("Ferry-Reactive", "false")]);
        let answer = failed.json();
        assert_eq!((failed.status, &answer["error"]), (500, &json!("Internal error")), "{name}");
        assert_eq!(answer["code"], "INTERNAL");
        let id = answer["requestId"].as_str().unwrap();
        ferry_testkit::wait::until("the details in the log under the id", || {
            functions.hub().log().contains(id).then_some(())
        });
    }
    let values = page.call("values", &json!({})).json()["data"].clone();
    assert_eq!(
        values,
        json!({"at": "1970-01-01T00:00:00.000Z", "map": {}, "big": "12345678901234567890", "bytes": "AQI=", "nan": null})
    );
    let nothing = page.call("nothing", &json!({}));
    assert_eq!(nothing.text(), r#"{"success":true,"_meta":{"t":[]}}"#);
}

// Verifies: FUN-18
#[test]
fn a_key_makes_a_call_once() {
    let functions = Functions::new();
    let page = functions.page("s1");
    let keyed = |name: &str, key: &str| {
        page.call_with("createUser", &json!({"name": name}), &[("Idempotency-Key", key)])
    };
    let first = keyed("Ada", "k1");
    let again = keyed("Ada", "k1");
    assert_eq!((again.status, again.json()["data"].clone()), (200, first.json()["data"].clone()));
    assert_eq!(again.header("ferry-seq"), first.header("ferry-seq"));
    assert_eq!(keyed("Bo", "k1").status, 409);
    assert_eq!(
        page.call_with("rename", &json!({"id": 1, "name": "x"}), &[("Idempotency-Key", "k1")]).status,
        409
    );
    assert_eq!(page.data("countUsers", &json!({})), json!(1));
    assert_eq!(keyed("Ada", "k2").json()["data"]["id"], 2);
    assert_eq!(page.call_with("addTwo", &json!({}), &[("Idempotency-Key", "k3")]).status, 400);
    let failed = page.call_with("insertThenThrow", &json!({}), &[("Idempotency-Key", "k4")]);
    assert_eq!(failed.status, 500);
    let functions = functions.restarted_with(|options| options);
    let page = functions.page("s1");
    let kept = page.call_with("createUser", &json!({"name": "Ada"}), &[("Idempotency-Key", "k1")]);
    assert_eq!(kept.json()["data"], first.json()["data"]);
}

// Verifies: FUN-36
#[test]
fn min_seq_is_waited_for_and_every_answer_tells_its_own() {
    let functions = Functions::new();
    let page = functions.page("s1");
    let made = page.call("createUser", &json!({"name": "Ada"}));
    let seq: u64 = made.header("ferry-seq").unwrap().parse().unwrap();
    let read = page.get_with("getUsers", "", &[("Ferry-Min-Seq", &seq.to_string())]);
    assert!(read.header("ferry-seq").unwrap().parse::<u64>().unwrap() >= seq);
    assert_eq!(tables(&read), [USERS]);
    let early = page.get_with("getUsers", "", &[("Ferry-Min-Seq", &(seq + 100).to_string())]);
    assert_eq!((early.status, &early.json()["code"]), (503, &json!("SEQ_NOT_REACHED")));
    assert_eq!(page.call("echo", &Value::Null).json()["data"], Value::Null);
}

// Verifies: FUN-02, FUN-04, FUN-05
#[test]
fn validators_middleware_and_context() {
    let functions = Functions::with(
        &[],
        r#"
import { query, createMiddleware } from "@ferry/server";
const name = { "~standard": { version: 1, vendor: "test", validate: (value) =>
  typeof value?.name === "string" ? { value } : { issues: [{ message: "expected a string", path: ["name"] }] } } };
export const hello = query({ args: name, handler: async (ctx, args) => `hello ${args.name}` });
const loggedIn = createMiddleware(async (ctx, args, next) => {
  if (!args.token) throw new Error("Unauthorized");
  ctx.set("token", args.token);
  return next(ctx, args);
});
export const guarded = loggedIn(async (ctx, args) => ctx.get("token"));
export const onlyMiddleware = loggedIn;
export async function context(ctx) {
  return { key: ctx.headers["x-edgepod-key"] ?? null, own: ctx.headers["x-own"], user: ctx.user, signJwt: ctx.signJwt,
    id: typeof ctx.requestId, seq: typeof ctx.seq };
}
"#,
    );
    let page = functions.page("s1");
    assert_eq!(page.data("hello", &json!({"name": "Ada"})), "hello Ada");
    let refused = page.call("hello", &json!({"name": 1}));
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (400, &json!("INVALID: args.name: expected a string"))
    );
    assert_eq!(page.call("guarded", &json!({})).status, 401);
    assert_eq!(page.data("guarded", &json!({"token": "t"})), "t");
    assert_eq!(page.call("onlyMiddleware", &json!({})).status, 404);
    let context = page.call_with("context", &json!({}), &[("X-Own", "1")]).json()["data"].clone();
    assert_eq!(
        context,
        json!({"key": null, "own": "1", "user": null, "signJwt": null, "id": "string", "seq": "number"})
    );
}
