//! JWTs whose issuer says which stores they open (EVT-51).

use ferry_testkit::{
    http,
    jwks_server::{Behaviour, JwksServer},
    jwt::{ED, GOOD},
    livestore::{LiveSocket, chain, outcome, path, pull_payload, request},
    sse::EventStream,
};
use serde_json::{Value, json};

use super::{
    Stores, a, b,
    credentials::{changed, claims, trusting_with},
};

const DIRECT: &str = "/v1/databases/app/livestore";

fn jwt(stores: &Value) -> String {
    format!("Bearer {}", ED.token(&changed("stores", stores.clone())))
}

fn open(stores: &Stores, bearer: &str, path: &str) -> Result<LiveSocket, http::Response> {
    LiveSocket::open(stores.address(), path, "team-1", &[("Authorization", bearer)])
}

/// What each way to a store says: the status, and the code of this wire.
fn every_way(stores: &Stores, bearer: &str, store: &str) -> Vec<(u16, String)> {
    let headers = [("Authorization", bearer)];
    let query = path(store, "ws").trim_start_matches('/').to_owned();
    let mut reply = Vec::new();
    for path in [format!("/{query}"), format!("{DIRECT}{query}"), format!("/v1/databases/-/livestore{query}")]
    {
        let said = LiveSocket::open(stores.address(), &path, store, &headers);
        reply.push(said.map_or_else(
            |refused| (refused.status, refused.json()["error"]["code"].as_str().unwrap().to_owned()),
            |_| (200, String::new()),
        ));
    }
    for id in [a(1), b(1)] {
        let call = request(&id, "SyncHttpRpc.Pull", &pull_payload(store, false, None)).to_string();
        let path = path(store, "http");
        let answer = http::send(stores.address(), "POST", &path, &headers, call.as_bytes()).unwrap();
        let code = if answer.status == 200 { String::new() } else { outcome(&answer.json()[0]).code() };
        reply.push((answer.status, code));
    }
    let append =
        json!({"store": store, "clientId": "c", "sessionId": "s", "events": [{"name": "v1.X"}]}).to_string();
    let base = "/v1/databases/app/events";
    for (method, path, body) in
        [("GET", format!("{base}?store={store}"), ""), ("POST", base.to_owned(), append.as_str())]
    {
        let answer = http::send(stores.address(), method, &path, &headers, body.as_bytes()).unwrap();
        let code = answer.json()["error"]["reason"].as_str().unwrap_or_default().to_owned();
        reply.push((if answer.status == 201 { 200 } else { answer.status }, code));
    }
    let live = EventStream::open(stores.address(), &format!("{base}/live?store={store}"), &headers);
    reply.push(live.map_or_else(|refused| (refused.status, "live".into()), |_| (200, String::new())));
    reply
}

// Verifies: EVT-51
#[test]
fn a_jwt_opens_the_stores_that_it_names_by_every_way() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let stores = trusting_with(&server, &["--events-jwt-stores-claim=stores"]);
    for store in ["team-1", "team-22", "other"] {
        assert_eq!(stores.open(store).push(&a(1), &chain(0, 1)).code(), "success", "tokens need no claim");
    }
    for scope in [json!("team-[0-9]+"), json!(["nothing", "team-.*"])] {
        let bearer = jwt(&scope);
        for store in ["team-1", "team-22"] {
            let reply = every_way(&stores, &bearer, store);
            assert!(reply.iter().all(|(status, _)| *status == 200), "{scope} {store} {reply:?}");
        }
        let reply = every_way(&stores, &bearer, "other");
        assert!(reply.iter().all(|(status, _)| *status == 403), "{scope} {reply:?}");
        let codes: Vec<&str> = reply.iter().map(|(_, code)| code.as_str()).collect();
        assert_eq!(codes[..5], ["FORBIDDEN"; 5]);
        assert_eq!(codes[5..7], ["PERMISSION_DENIED"; 2]);
    }
    // No store is made that the token does not name.
    let refused = open(&stores, &jwt(&json!("team-1")), &path("team-3", "ws")).unwrap_err();
    assert_eq!(refused.status, 403);
    let bearer = format!("Bearer {}", stores.token);
    let headers = [("Authorization", bearer.as_str())];
    let page = http::send(stores.address(), "GET", "/v1/databases/app/events?store=team-3", &headers, b"");
    assert_eq!(page.unwrap().status, 404);
}

// Verifies: EVT-51, EVT-52
#[test]
fn without_a_claim_that_can_be_understood_a_jwt_opens_nothing() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let stores = trusting_with(&server, &["--events-jwt-stores-claim=https://id.example/stores"]);
    drop(stores.open("team-1"));
    let missing = format!("Bearer {}", ED.token(&claims()));
    let of = |value: Value| format!("Bearer {}", ED.token(&changed("https://id.example/stores", value)));
    assert!(open(&stores, &of(json!("team-1")), &path("team-1", "ws")).is_ok());
    for (bearer, why) in [
        (missing.clone(), "has no claim https://id.example/stores"),
        (of(Value::Null), "has no claim"),
        (of(json!(7)), "must be a pattern or a list"),
        (of(json!([["team-1"]])), "must be a pattern or a list"),
        (of(json!(["team-1", "("])), "no pattern"),
        (of(json!([])), "does not name the store"),
    ] {
        let reply = every_way(&stores, &bearer, "team-1");
        assert!(reply.iter().all(|(status, _)| *status == 403), "{why} {reply:?}");
        let refused = open(&stores, &bearer, &path("team-1", "ws")).unwrap_err();
        assert!(refused.text().contains(why), "{why}: {}", refused.text());
    }
    // Other models ask for no such claim.
    let headers = [("Authorization", missing.as_str())];
    let pushed = http::send(stores.address(), "POST", "/sync/todo", &headers, b"{}").unwrap();
    assert_eq!(pushed.status, 200, "{}", pushed.text());
    // Where the app is to see why, it does.
    let failing = trusting_with(&server, &["--events-jwt-stores-claim=stores", "--events-auth-refusal=fail"]);
    drop(failing.open("team-1"));
    let mut socket = open(&failing, &missing, &path("team-1", "ws")).unwrap();
    socket.pull(&b(1), true, None);
    assert_eq!(socket.exit_of(&b(1)).code(), "FORBIDDEN");
}
