//! Every kind of credential at the event endpoints: JWTs of a foreign issuer, API keys, and the end of very many
//! connections at once.

use ferry_testkit::{
    http,
    jwks_server::{Behaviour, JwksServer},
    jwt::{ED, GOOD, OTHER_ED},
    livestore::{LiveSocket, chain, path, percent},
    wait,
};
use serde_json::{Value, json};

use super::{Stores, a};
use crate::support::{Place, options};

const ISSUER: &str = "https://id.example";
/// Connections of one database that are ended together.
const CONNECTIONS: usize = 100;

pub(super) fn claims() -> Value {
    let now = wait::unix_seconds();
    json!({"iss": ISSUER, "sub": "ada", "aud": "notes", "exp": now + 600, "iat": now})
}

pub(super) fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// A hub that trusts the key server for the database `app`, which has a store `app`.
fn trusting(server: &JwksServer) -> Stores {
    let stores = trusting_with(server, &[]);
    drop(stores.open("app"));
    stores
}

/// The same with more settings, and without the store.
pub(super) fn trusting_with(server: &JwksServer, settings: &[&str]) -> Stores {
    let options = options()
        .env("FERRY_JWKS_URL", server.url())
        .env("FERRY_JWT_ISSUER", ISSUER)
        .env("FERRY_JWT_AUDIENCE", "notes")
        .env("FERRY_DEFAULT_DATABASE", "app");
    Stores::at(Place::under(settings.iter().fold(options, |options, setting| options.arg(*setting))))
}

fn open(stores: &Stores, token: &str) -> Result<LiveSocket, http::Response> {
    let bearer = format!("Bearer {token}");
    LiveSocket::open(stores.address(), &path("app", "ws"), "app", &[("Authorization", &bearer)])
}

fn status(stores: &Stores, token: &str) -> u16 {
    open(stores, token).map_or_else(|refused| refused.status, |_| 101)
}

// Verifies: JWT-01, JWT-03, JWT-08, EVT-51
#[test]
fn a_good_jwt_of_each_algorithm_syncs_and_a_bad_one_is_refused() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let stores = trusting(&server);
    let mut head = 0;
    for key in GOOD {
        let mut socket = open(&stores, &key.token(&claims())).unwrap();
        assert_eq!(socket.push(&a(1), &chain(head, 2)).code(), "success", "{}", key.alg());
        head += 2;
    }
    let payload = json!({"authToken": ED.token(&claims())}).to_string();
    let in_payload = format!("{}&payload={}", path("app", "ws"), percent(&percent(&payload)));
    assert!(LiveSocket::open(stores.address(), &in_payload, "app", &[]).is_ok());

    let now = wait::unix_seconds();
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("others")),
        ("exp", json!(now - 60)),
        ("exp", Value::Null),
        ("nbf", json!(now + 600)),
        ("sub", json!("")),
    ] {
        let token = ED.token(&changed(name, value.clone()));
        assert_eq!(status(&stores, &token), 401, "{name} = {value}");
    }
    assert_eq!(status(&stores, &OTHER_ED.token(&claims())), 401, "a key that the issuer does not have");
}

// Verifies: JWT-06, EVT-51, EVT-52
#[test]
fn while_no_key_can_be_had_a_jwt_is_told_to_come_again() {
    let server = JwksServer::start(Behaviour::Answer(500, String::new()));
    let stores = trusting(&server);
    let refused = open(&stores, &ED.token(&claims())).unwrap_err();
    assert_eq!(refused.status, 503, "a 401 would make clients give up: {}", refused.text());
    assert!(refused.header("retry-after").is_some());
    // Others are let in as ever.
    assert_eq!(status(&stores, &stores.token), 101);
}

fn key(stores: &Stores, spec: &Value) -> Value {
    let request = json!({"database": stores.place.database, "spec": spec});
    stores.place.user.ferry("CreateApiKey", &request).unwrap()
}

// Verifies: KEY-01, KEY-02, EVT-51, EVT-53
#[test]
fn an_api_key_opens_what_it_was_made_for_until_it_is_revoked() {
    let stores = Stores::new();
    drop(stores.open("app"));
    let origin = "https://app.example";
    let spec = json!({"kind": "publishable", "models": ["events"], "ops": ["read"], "origins": [origin]});
    let public = key(&stores, &spec);
    let value = public["value"].as_str().unwrap();
    let open =
        |headers: &[(&str, &str)]| LiveSocket::open(stores.address(), &path("app", "ws"), "app", headers);
    let mut socket = open(&[("Ferry-Key", value), ("Origin", origin)]).unwrap();
    socket.pull(&a(1), true, None);
    socket.page(&a(1));
    assert_eq!(socket.push(&a(2), &chain(0, 1)).code(), "FORBIDDEN");
    assert_eq!(open(&[("Ferry-Key", value), ("Origin", "https://evil.example")]).unwrap_err().status, 403);

    let pages = key(&stores, &json!({"kind": "secret", "models": ["pages"]}));
    let wrong_model = format!("Bearer {}", pages["value"].as_str().unwrap());
    assert_eq!(open(&[("Authorization", &wrong_model)]).unwrap_err().status, 403);
    let secret = key(&stores, &json!({"kind": "secret", "models": ["events"]}));
    let bearer = format!("Bearer {}", secret["value"].as_str().unwrap());
    let mut writer = open(&[("Authorization", &bearer)]).unwrap();
    assert_eq!(writer.push(&a(1), &chain(0, 1)).code(), "success");

    stores.place.user.ferry("RevokeApiKey", &json!({"id": public["id"]})).unwrap();
    let (took, code) = wait::timed(|| socket.closed());
    assert!(code == 4403 && took < wait::PROMPT, "closed {code} after {took:?}");
    assert_eq!(open(&[("Ferry-Key", value), ("Origin", origin)]).unwrap_err().status, 401);
}

// Verifies: TOK-12, TOK-13, EVT-53
#[test]
fn a_hundred_connections_end_within_a_second_and_stay_out_after_a_crash() {
    let mut stores = Stores::new();
    let mut sockets: Vec<LiveSocket> = (0..CONNECTIONS).map(|_| stores.open("app")).collect();
    let database = json!({"database": stores.place.database});
    let (took, codes) = wait::timed(|| {
        stores.place.user.ferry("RevokeDatabaseTokens", &database).unwrap();
        sockets.iter_mut().map(LiveSocket::closed).collect::<Vec<_>>()
    });
    assert!(codes.iter().all(|code| *code == 4403), "{codes:?}");
    assert!(took < wait::PROMPT, "closed after {took:?}");
    stores.place.hub.kill();
    let stores = stores.restarted();
    assert_eq!(status(&stores, &stores.token), 401);
}
