//! API keys over the wire (scenario 11).

use ferry_testkit::{
    frames::Frame,
    rpc::{FERRY, Refusal, call},
    socket::{Event, Socket, upgrade},
    wait,
};
use serde_json::{Value, json};

use crate::support::{Place, control_db, options, refused};

/// A key that may pull, which stands where a token does.
fn spec() -> Value {
    json!({"kind": "secret", "label": "puller", "models": ["pages"], "ops": ["read"]})
}

fn create(place: &Place, spec: &Value) -> Result<Value, Refusal> {
    place.user.ferry("CreateApiKey", &json!({"database": place.database, "spec": spec}))
}

fn text<'a>(key: &'a Value, name: &str) -> &'a str {
    key[name].as_str().unwrap_or_else(|| panic!("{name} in {key}"))
}

fn list(place: &Place) -> Vec<Value> {
    let answer = place.user.ferry("ListApiKeys", &json!({"database": place.database})).unwrap();
    answer["apiKeys"].as_array().cloned().unwrap_or_default()
}

/// What `/sync` answers: 101, or the status of its refusal.
fn status(place: &Place, value: &str, more: &[(&str, &str)]) -> u16 {
    let authorization = format!("Bearer {value}");
    let mut headers = vec![("Authorization", authorization.as_str())];
    headers.extend(more);
    upgrade(place.hub.address(), "/sync", &headers).status
}

fn open(place: &Place, value: &str) -> Socket {
    let mut socket = Socket::open(place.hub.address(), value).unwrap();
    socket.send(&Frame::hello(0));
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    socket
}

// Verifies: KEY-01, KEY-02
#[test]
fn an_api_key_is_shown_once_and_identified_by_its_prefix() {
    let place = Place::new();
    let made = create(&place, &json!({"kind": "publishable", "origins": ["https://app.example"]})).unwrap();
    let value = text(&made, "value");
    assert!(value.starts_with("fy_pk_") && value.len() == 32, "{value}");
    assert_eq!(text(&made, "prefix"), &value[..12]);
    assert_eq!(made["models"], json!(["functions"]));
    assert_eq!(made["ops"], json!(["read", "write"]));
    assert_eq!(made["expUnix"].as_str(), None, "it never ends");
    let secret = create(&place, &spec()).unwrap();
    assert!(text(&secret, "value").starts_with("fy_sk_"));
    let imported = create(
        &place,
        &json!({"kind": "secret", "models": ["events"], "value": "an-old-static-token", "label": "old"}),
    )
    .unwrap();
    assert_eq!(text(&imported, "value"), "an-old-static-token");
    let edgepod = "ep_pk_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
    create(&place, &json!({"value": edgepod})).unwrap();
    refused(create(&place, &json!({"value": edgepod})), "already_exists");

    let listed = list(&place);
    assert_eq!(listed.len(), 4);
    assert!(listed.iter().all(|key| key.get("value").is_none()), "{listed:?}");
    assert_eq!(text(&listed[1], "label"), "puller");
    assert_eq!(listed[0]["origins"], json!(["https://app.example"]));

    // Only the digest of a value and its beginning are stored.
    let values = [value, text(&secret, "value"), "an-old-static-token", edgepod];
    let mut searched = 0;
    for (name, _) in ferry_testkit::hub::listing(&place.hub.data_dir()) {
        let bytes = std::fs::read(place.hub.data_dir().join(&name)).unwrap_or_default();
        searched += usize::from(name.starts_with("control.db"));
        for value in values {
            let found = bytes.windows(value.len()).any(|window| window == value.as_bytes());
            assert!(!found, "{name} holds {value:.8}…");
        }
    }
    assert!(searched >= 1);
    let log = place.hub.log();
    assert!(values.iter().all(|value| !log.contains(value)));
}

// Verifies: KEY-01, KEY-02
#[test]
fn invalid_api_keys_are_not_created() {
    let place = Place::new();
    for wrong in [
        json!({"kind": "private"}),
        json!({"ops": ["admin"]}),
        json!({"ops": ["root"]}),
        json!({"models": ["files"]}),
        json!({"label": "line\nbreak"}),
        json!({"expUnix": "1"}),
        json!({"expUnix": "-1"}),
        json!({"origins": ["app.example"]}),
        json!({"origins": ["https://app.example/path"]}),
        json!({"origins": ["*"]}),
        json!({"functions": [""]}),
        json!({"value": "short"}),
        json!({"value": "fy_pk_abcdefghijklmnopqrstuvwxyz"}),
        json!({"kind": "secret", "value": "1234567"}),
        json!({"kind": "secret", "value": "with a space"}),
        json!({"kind": "secret", "value": "fop_0123456789"}),
        json!({"kind": "secret", "value": "x".repeat(257)}),
    ] {
        let refusal = refused(create(&place, &wrong), "invalid_argument");
        assert!(!refusal.message.is_empty(), "{wrong}");
    }
    assert_eq!(list(&place).len(), 0, "nothing was written");
    let elsewhere = json!({"database": "nowhere", "spec": {}});
    refused(place.user.ferry("CreateApiKey", &elsewhere), "not_found");
    let stranger = place.hub.signup("eve@example.com");
    let theirs = json!({"database": place.database, "spec": {}});
    refused(stranger.ferry("CreateApiKey", &theirs), "not_found");
    refused(stranger.ferry("ListApiKeys", &json!({"database": place.database})), "not_found");
    let made = create(&place, &spec()).unwrap();
    for method in ["RotateApiKey", "RevokeApiKey"] {
        refused(stranger.ferry(method, &json!({"id": made["id"]})), "not_found");
        refused(place.user.ferry(method, &json!({"id": "k_1"})), "not_found");
    }
    for overlap in ["-1", "2592001"] {
        let request = json!({"id": made["id"], "overlapSeconds": overlap});
        refused(place.user.ferry("RotateApiKey", &request), "invalid_argument");
    }
    control_db(&place.hub).execute("UPDATE memberships SET role = 'member'", []).unwrap();
    let place = place.restarted();
    for (method, request) in [
        ("CreateApiKey", json!({"database": place.database, "spec": {}})),
        ("ListApiKeys", json!({"database": place.database})),
        ("RotateApiKey", json!({"id": made["id"]})),
        ("RevokeApiKey", json!({"id": made["id"]})),
    ] {
        refused(place.user.ferry(method, &request), "permission_denied");
    }
}

// Verifies: KEY-03
#[test]
fn after_a_rotation_the_old_key_works_until_its_grace_ends() {
    let place = Place::new();
    let old = create(&place, &spec()).unwrap();
    let request = json!({"id": old["id"], "overlapSeconds": "3"});
    let new = place.user.ferry("RotateApiKey", &request).unwrap();
    assert_ne!(new["value"], old["value"]);
    assert_eq!((&new["models"], &new["ops"], &new["label"]), (&old["models"], &old["ops"], &old["label"]));
    let (was, is) = (text(&old, "value"), text(&new, "value"));
    assert_eq!((status(&place, was, &[]), status(&place, is, &[])), (101, 101), "overlap");
    let again = refused(place.user.ferry("RotateApiKey", &request), "failed_precondition");
    assert!(again.message.contains(text(&new, "id")), "{}", again.message);
    wait::until("the end of the overlap", || (status(&place, was, &[]) == 401).then_some(()));
    assert_eq!(status(&place, is, &[]), 101);
    assert_eq!(list(&place).len(), 1, "only the new one is left");
    let place = place.restarted();
    assert_eq!((status(&place, was, &[]), status(&place, is, &[])), (401, 101));
}

// Verifies: KEY-03, TOK-12, TOK-13
#[test]
fn a_revoked_key_ends_its_connections_at_once_and_for_good() {
    let mut place = Place::new();
    let (key, other) = (create(&place, &spec()).unwrap(), create(&place, &spec()).unwrap());
    let mut sockets: Vec<Socket> = (0..20).map(|_| open(&place, text(&key, "value"))).collect();
    let mut spared = open(&place, text(&other, "value"));
    place.user.ferry("RevokeApiKey", &json!({"id": key["id"]})).unwrap();
    let (took, endings) = wait::timed(|| sockets.iter_mut().map(Socket::ending).collect::<Vec<_>>());
    for ending in endings {
        assert_eq!((ending.code, ending.reason.as_str()), (1008, "token revoked"), "{ending:?}");
    }
    assert!(took < wait::PROMPT, "closed after {took:?}");
    assert_eq!(status(&place, text(&key, "value"), &[]), 401);
    spared.send(&Frame::Complete);
    assert_eq!(spared.ending().code, 1000);
    refused(place.user.ferry("RevokeApiKey", &json!({"id": key["id"]})), "not_found");
    // The answer was given, so a crash changes nothing.
    place.hub.kill();
    let place = place.restarted();
    assert_eq!(status(&place, text(&key, "value"), &[]), 401);
    assert_eq!(status(&place, text(&other, "value"), &[]), 101);
    // With its database a key goes too.
    let mut last = open(&place, text(&other, "value"));
    place.user.ferry("DeleteDatabase", &json!({"databaseId": place.database})).unwrap();
    assert_eq!(last.ending().code, 1008);
    assert_eq!(status(&place, text(&other, "value"), &[]), 401);
}

// Verifies: KEY-02
#[test]
fn a_key_of_one_origin_is_refused_on_pages_of_another() {
    let place = Place::new();
    let mut wanted = spec();
    wanted["origins"] = json!(["https://app.example", "https://*.example.org"]);
    let key = create(&place, &wanted).unwrap();
    let from = |origin: &str| status(&place, text(&key, "value"), &[("Origin", origin)]);
    assert_eq!((from("https://app.example"), from("https://a.example.org")), (101, 101));
    for wrong in ["https://evil.example", "http://app.example", "https://example.org", "null"] {
        assert_eq!(from(wrong), 403, "{wrong}");
    }
    // A publishable key is no bearer, and a key reaches its models only.
    let publishable = create(&place, &json!({"models": ["pages"], "ops": ["read"]})).unwrap();
    assert_eq!(status(&place, text(&publishable, "value"), &[]), 401);
    let functions = create(&place, &json!({"kind": "secret"})).unwrap();
    assert_eq!(status(&place, text(&functions, "value"), &[]), 403);
    let rpc = call(place.hub.address(), FERRY, "Whoami", &json!({}), Some(text(&key, "value")));
    refused(rpc, "unauthenticated");
}

// Verifies: WEB-06, KEY-02
#[test]
fn a_key_has_a_rate_of_its_own() {
    let place = Place::of(options().env("FERRY_RATE_LIMIT_SCALE", "1").start());
    let mut wanted = spec();
    wanted["perMinute"] = json!(3);
    let (slow, free) = (create(&place, &wanted).unwrap(), create(&place, &spec()).unwrap());
    let (slow, free) = (text(&slow, "value"), text(&free, "value"));
    let answers: Vec<u16> = (0..4).map(|_| status(&place, slow, &[])).collect();
    assert_eq!(answers, [101, 101, 101, 429]);
    let authorization = format!("Bearer {slow}");
    let over = upgrade(place.hub.address(), "/sync", &[("Authorization", &authorization)]);
    let seconds: u64 = over.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!((0..4).all(|_| status(&place, free, &[]) == 101), "others are not counted with it");
}

// Verifies: KEY-01
#[test]
fn the_last_use_of_a_key_is_listed_and_survives_a_restart() {
    let place = Place::new();
    let key = create(&place, &spec()).unwrap();
    assert_eq!(list(&place)[0].get("lastUsedUnix"), None);
    let before = wait::unix_seconds();
    assert_eq!(status(&place, text(&key, "value"), &[]), 101);
    let used = |place: &Place| -> i64 { text(&list(place)[0], "lastUsedUnix").parse().unwrap() };
    let at = used(&place);
    assert!((before..=wait::unix_seconds()).contains(&at));
    let mut place = place;
    place.hub.stop();
    let place = place.restarted();
    assert_eq!(used(&place), at);
}

// Verifies: CFG-04, KEY-01
#[test]
fn dev_mode_has_a_public_key() {
    let hub = options().arg("--dev").start();
    let login = json!({"email": "dev@localhost", "password": "ferry-dev"});
    let keys = |hub: &ferry_testkit::Hub| {
        let session = call(hub.address(), FERRY, "Login", &login, None).unwrap();
        let token = session["sessionToken"].as_str().unwrap().to_owned();
        let answer =
            call(hub.address(), FERRY, "ListApiKeys", &json!({"database": "main"}), Some(&token)).unwrap();
        let keys = answer["apiKeys"].as_array().unwrap().clone();
        assert_eq!((keys.len(), text(&keys[0], "kind")), (1, "publishable"));
        assert!("fy_pk_dev".starts_with(text(&keys[0], "prefix")));
        (text(&keys[0], "id").to_owned(), token)
    };
    let (first, _) = keys(&hub);
    let hub = hub.restart();
    let (second, token) = keys(&hub);
    assert_eq!(first, second, "a restart makes no other");
    call(hub.address(), FERRY, "RevokeApiKey", &json!({"id": second}), Some(&token)).unwrap();
    let (third, _) = keys(&hub.restart());
    assert_ne!(third, second, "the key of --dev is always there");
}
