//! What a hub tells of itself while all models run: traces, metrics, the log; and what it tells nobody (operate
//! specification, scenario 22).

mod collector;
mod log;
mod metrics;
mod prometheus;
mod traces;

use std::sync::OnceLock;

use ferry_testkit::{
    collector::{CollectedSpan, Collector},
    hooks::HookReceiver,
    http,
    livestore::{LiveSocket, chain, path},
    rpc::{FERRY, PASSWORD, call},
    sample::Shape,
    serve::{Reply, serve},
    wait,
};
use serde_json::{Value, json};

use crate::{
    functions::{FUNCTIONS, Functions, SCHEMA},
    support::options,
};

/// Of the trace that a proxy begins.
const PROXY_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PROXY_SPAN: &str = "00f067aa0ba902b7";

/// What was told while all models ran.
pub(crate) struct Observed {
    pub(crate) database: String,
    pub(crate) spans: Vec<CollectedSpan>,
    /// All that the collector was sent.
    pub(crate) exported: String,
    pub(crate) log: String,
    pub(crate) metrics: String,
    /// What must stand in none of them.
    pub(crate) secrets: Vec<String>,
    /// Headers of the hook's request.
    pub(crate) hook_traceparent: Option<String>,
}

/// The same for all tests: it takes a while.
pub(crate) fn observed() -> &'static Observed {
    static OBSERVED: OnceLock<Observed> = OnceLock::new();
    OBSERVED.get_or_init(observe)
}

/// Planted where users write: in events, records, ops, files, SQL, arguments, query strings, paths.
const PLANTED: [&str; 9] = [
    "zq-event-argument",
    "zq-record-value",
    "zq-op-value",
    "zq-sql-literal",
    "zq-function-argument",
    "zq-query-value",
    "zq-path-segment",
    "zq-fetched-secret",
    "zq-collector-secret",
];

fn source(outside: &str) -> String {
    format!(
        r#"{FUNCTIONS}
import {{ sql }} from "drizzle-orm";
export async function outside(ctx, {{ name }}) {{
  const answer = await fetch("{outside}?key=zq-fetched-secret", {{ headers: {{ "x-key": "zq-fetched-secret" }} }});
  await ctx.unsafeRawDb.run(sql`INSERT INTO users(name) VALUES ('zq-sql-literal')`);
  return ctx.db.insert(users).values({{ name }}).returning().get();
}}
"#
    )
}

fn observe() -> Observed {
    let (collector, hooks) = (Collector::start(), HookReceiver::start());
    let outside = serve(|_| Reply::json(&json!({"ok": true})));
    let options = options()
        .arg("--log-format=json")
        .arg("--log-level=debug")
        .arg(format!("--otlp-endpoint={}", collector.url()))
        .arg("--otlp-sample=1")
        .arg("--trusted-proxies=127.0.0.1")
        .arg("--signup=open")
        .arg("--metrics-public=true")
        .arg(format!("--functions-fetch-allow={outside}"))
        .arg(format!("--events-on-push-url={}", hooks.url()))
        .env("FERRY_OTLP_HEADERS", "x-key=zq-collector-secret");
    let source = source(&format!("http://{outside}/zq-path-segment"));
    let mut functions = Functions::of(options, &[("schema.ts", SCHEMA), ("functions/index.ts", &source)]);
    let secrets = run_all(&functions);
    let has = |name: &str| collector.spans().iter().any(|span| span.name == name);
    wait::until("the last spans arrive", || has("POST /v1/databases/{db}/ops/append").then_some(()));
    let metrics = http::send(functions.address(), "GET", "/metrics", &[], b"").unwrap().text();
    assert!(functions.place.hub.stop().success());
    Observed {
        database: functions.place.database.clone(),
        spans: collector.spans(),
        // The header that the operator wants there is not one of the secrets then.
        exported: collector.all_text().replace("x-key: zq-collector-secret", ""),
        log: functions.place.hub.log(),
        metrics,
        secrets,
        hook_traceparent: hooks.seen()[0].header("traceparent").map(str::to_owned),
    }
}

/// Uses every model, right and wrong; gives what nobody may be told.
fn run_all(functions: &Functions) -> Vec<String> {
    let (place, address) = (&functions.place, functions.address());
    let request = json!({ "databaseId": place.database, "models": ["events", "records", "ops", "functions"],
        "ops": ["read", "write"], "ttlSeconds": 3600 });
    let token = place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let send = |method: &str, path: &str, headers: &[(&str, &str)], body: &Value| {
        let mut all = vec![("Authorization", bearer.as_str()), ("X-Client-Id", "phone")];
        all.extend_from_slice(headers);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::send(address, method, path, &all, body.as_bytes()).unwrap()
    };
    let base = format!("/v1/databases/{}", place.database);

    let sampled = format!("00-{PROXY_TRACE}-{PROXY_SPAN}-01");
    let event = json!({"store": "app", "parentSeqNum": 0, "clientId": "c", "sessionId": "s",
        "events": [{"name": "v1.Noted", "args": {"text": "zq-event-argument"}}]});
    let path_of_events = format!("{base}/events");
    send("GET", "/healthz?x=zq-query-value", &[], &Value::Null);
    let appended = send("POST", &path_of_events, &[("traceparent", &sampled)], &event);
    assert!(appended.status < 300, "{}", appended.text());
    let not_sampled = format!("00-{}-{PROXY_SPAN}-00", PROXY_TRACE.replace("4bf9", "0000"));
    send("GET", &format!("{base}/events"), &[("traceparent", &not_sampled)], &Value::Null);
    let mut socket =
        LiveSocket::open(address, &path("app", "ws"), "app", &[("Authorization", &bearer)]).unwrap();
    assert_eq!(socket.push(&json!("1"), &chain(1, 2)).code(), "success");

    let change = json!({"clientId": "phone", "since": "", "changes": [{"table": "tasks", "id": "t1",
        "op": "insert", "data": {"title": "zq-record-value", "createdAt": "2026-11-29T10:00:00Z"}}]});
    let pushed = send("POST", "/sync/todo", &[], &change);
    assert!(pushed.status < 300, "{}", pushed.text());
    send("GET", &format!("{base}/records/todo/zq-path-segment"), &[], &Value::Null);

    let made = functions.page("one").call("outside", &json!({"name": "zq-function-argument"}));
    assert_eq!(made.status, 200, "{}", made.text());
    functions.page("one").call("insertThenThrow", &json!({}));

    let login = json!({"email": "ada@example.com", "password": "zq a guessed password"});
    call(address, FERRY, "Login", &login, None).unwrap_err();
    send("GET", &format!("/zq-path-segment?token={token}"), &[], &Value::Null);
    assert_eq!(send("GET", "/v1/databases/zq-path-segment/events", &[], &Value::Null).status, 404);

    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("app.db");
    Shape::default().create(&file, 20, 1);
    let replica = place.user.create_database("replica");
    let push = place.user.sync_token(&replica, ferry_testkit::Direction::Push);
    ferry_testkit::edgereplica::push(address, &push, &file).unwrap();

    let op = json!({"ops": [{"kind": "create", "entity": "node/1", "value": "note"},
        {"kind": "set", "entity": "node/1", "field": "title", "value": "zq-op-value"}]});
    let appended = send("POST", &format!("{base}/ops/append"), &[], &op);
    assert!(appended.status < 300, "{}", appended.text());

    let mut secrets: Vec<String> = PLANTED.map(str::to_owned).into();
    secrets.extend([
        token,
        push,
        place.user.token.clone(),
        functions.key.clone(),
        place.hub.operator_token(),
    ]);
    secrets.extend(["ada@example.com", PASSWORD, "zq a guessed password"].map(str::to_owned));
    secrets
}
