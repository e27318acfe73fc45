//! Sync tokens: what they allow, and that nobody can widen them.

use ferry_testkit::{
    Session,
    frames::Frame,
    http,
    rng::Rng,
    rpc::{EDGEREPLICA, FERRY, call},
    socket::{Event, Socket, upgrade},
    token, wait,
};
use serde_json::{Value, json};

use crate::support::{Place, options, refused};

/// What `/sync` says to a token: 101, or the status and text of its refusal.
fn verdict(place: &Place, token: &str) -> (u16, String) {
    let authorization = format!("Bearer {token}");
    let answer = upgrade(place.hub.address(), "/sync", &[("Authorization", &authorization)]);
    (answer.status, answer.text().trim().to_owned())
}

fn mint(user: &Session, request: &Value) -> (String, i64) {
    let answer = user.edgereplica("IssueSyncToken", request).unwrap();
    let expires = answer["expUnix"].as_str().unwrap().parse().unwrap();
    (answer["token"].as_str().unwrap().to_owned(), expires)
}

// Verifies: TOK-01, TOK-02
#[test]
fn appended_caveats_only_shrink_a_token() {
    let place = Place::new();
    let (pull, push) = (place.pull_token(), place.push_token());
    let now = wait::unix_seconds();
    assert_eq!(verdict(&place, &pull).0, 101);
    let own = format!("db={}", place.database);
    let (soon, long_ago) = (format!("exp={}", now + 1000), format!("exp={}", now - 1));
    let harmless: [&[&str]; 8] = [
        &["op=read"],
        &["op=read,write,admin"],
        &["model=pages"],
        &["model=pages,records"],
        &[&own],
        &[&soon],
        &["nbf=1"],
        &["ip=127.0.0.0/8"],
    ];
    for caveats in harmless {
        assert_eq!(verdict(&place, &token::attenuate(&pull, caveats)).0, 101, "{caveats:?}");
    }
    let fatal: [(&[&str], u16); 9] = [
        (&[&long_ago], 401),
        (&["nbf=99999999999"], 401),
        (&["op=write"], 403),
        (&["op=read", "op=write"], 403),
        (&["model=records"], 403),
        (&["db=db_00000000-0000-7000-8000-000000000000"], 404),
        (&["ip=10.0.0.0/8"], 403),
        (&["tbl=t_"], 403),
        (&["fn=f_"], 403),
    ];
    for (caveats, _) in fatal {
        let (status, text) = verdict(&place, &token::attenuate(&pull, caveats));
        assert!((400..500).contains(&status), "{caveats:?}: {status} {text}");
    }
    for bad in [
        "role=admin",
        "op=root",
        "op=",
        "op=read,",
        "op=read,read",
        "op= read",
        "exp=soon",
        "exp=+1",
        "exp=01",
        "nonsense",
        "EXP=1",
        "model=",
        "db=",
        "tbl=",
        "ip=1.2.3",
        "=",
        "",
        "direction = push",
        "bpd=-1",
    ] {
        let (status, text) = verdict(&place, &token::attenuate(&push, &[bad]));
        assert_eq!(status, 401, "{bad:?}: {text}");
        assert!(text.starts_with("invalid sync token: "), "{bad:?}: {text}");
    }
    assert_eq!(verdict(&place, &token::attenuate(&push, &["op=read,write"; 33])).0, 401, "33 caveats");
    let long = format!("tbl={}", "x".repeat(600));
    assert_eq!(verdict(&place, &token::attenuate(&push, &[&long])).0, 401, "a caveat of 604 bytes");
}

// Verifies: TOK-01
#[test]
fn random_caveats_never_add_a_right() {
    let place = Place::new();
    let pull = place.pull_token();
    let own = format!("db={}", place.database);
    let words = [
        "op=write",
        "op=read,write",
        "op=admin",
        "op=read",
        "model=pages",
        "model=events",
        "role=admin",
        &own,
        "exp=99999999999",
        "nbf=0",
        "ip=0.0.0.0/0",
        "op=root",
        "user=u_1",
        "tbl=",
        "direction=push",
        "write",
        "op=read,write,admin",
    ];
    let mut rng = Rng::new(11);
    for _ in 0..60 {
        let count = 1 + rng.below(5);
        let caveats: Vec<&str> = (0..count).map(|_| words[rng.below(words.len() as u64) as usize]).collect();
        let token = token::attenuate(&pull, &caveats);
        let Ok(mut socket) = Socket::open(place.hub.address(), &token) else { continue };
        socket.send(&Frame::hello(1));
        socket.send(&Frame::page_hash(1, &[0; 4096]));
        socket.send(&Frame::PageData { page_no: 1, data: vec![0; 4096] });
        let ending = socket.ending();
        assert_eq!(ending.code, 1008, "{caveats:?}: {ending:?}");
    }
    assert_eq!(place.user.seq(&place.database), 0);
}

// Verifies: TOK-02, TOK-03, TOK-16
#[test]
fn other_forms_other_keys_and_other_systems_are_refused() {
    let place = Place::new();
    let push = place.push_token();
    for (what, token) in [
        ("V1", token::as_v1(&push)),
        ("JSON", token::as_json(&push)),
        ("another key", token::signed_by_another(&push)),
        ("another system", token::of_another_system()),
        ("cut", push[..push.len() - 6].to_owned()),
        ("rubbish", "AAAA".to_owned()),
        ("long", "A".repeat(9000)),
    ] {
        let (status, text) = verdict(&place, &token);
        assert_eq!(status, 401, "{what}: {text}");
        assert!(text.starts_with("invalid sync token: "), "{what}: {text}");
    }
    // The signature is judged before the times: an expired forgery does not learn that it expired.
    let expired = token::attenuate(&token::signed_by_another(&push), &["exp=1"]);
    let (_, text) = verdict(&place, &expired);
    assert!(!text.contains("expired"), "{text}");
    let (status, text) = verdict(&place, &token::attenuate(&push, &["exp=1"]));
    assert_eq!(status, 401);
    assert!(text.contains("expired"), "{text}");

    let answer = upgrade(place.hub.address(), "/sync", &[]);
    assert_eq!((answer.status, answer.text().trim()), (401, "missing bearer token"));
    let (status, text) = verdict(&place, &place.user.token);
    assert_eq!(status, 403, "{text}");
    // And the other way round.
    let refusal = call(place.hub.address(), FERRY, "ListDatabases", &json!({}), Some(&push));
    refused(refusal, "permission_denied");
    // The scheme is case-insensitive; padding is accepted.
    let padded = format!("bearer {push}{}", "=".repeat((4 - push.len() % 4) % 4));
    let answer = upgrade(place.hub.address(), "/sync", &[("Authorization", &padded)]);
    assert_eq!(answer.status, 101);
}

// Verifies: TOK-04, TOK-05
#[test]
fn a_token_lives_as_long_as_asked_and_no_longer_than_allowed() {
    let place = Place::new();
    let request = |ttl: i64| json!({"databaseId": place.database, "direction": "DIRECTION_PULL", "ttlSeconds": ttl.to_string()});
    let now = wait::unix_seconds();
    // A token ends with its session at the latest (TOK-07), which may have begun a few seconds ago.
    let near = |expires: i64, ttl: i64| (-10..=10).contains(&(expires - now - ttl));
    let (_, expires) = mint(&place.user, &request(0));
    assert!(near(expires, 3600), "{}", expires - now);
    let (_, expires) = mint(&place.user, &request(-5));
    assert!(near(expires, 3600), "{}", expires - now);
    let (_, expires) = mint(&place.user, &request(10 * 86_400));
    assert!(near(expires, 86_400), "{}", expires - now);
    let (token, _) = mint(&place.user, &request(2));
    assert_eq!(verdict(&place, &token).0, 101);
    let (_, text) = wait::until("the token's expiry", || {
        let verdict = verdict(&place, &token);
        (verdict.0 == 401).then_some(verdict)
    });
    assert!(text.contains("expired"), "{text}");

    // The default is capped too.
    let place = Place::of(
        options().env("SYNC_TOKEN_TTL_SECONDS", "7200").env("MAX_SYNC_TOKEN_TTL_SECONDS", "600").start(),
    );
    let (_, expires) =
        mint(&place.user, &json!({"databaseId": place.database, "direction": "DIRECTION_PULL"}));
    assert!(near(expires, 600), "{}", expires - now);
}

// A hub whose clock was set back must know what it gave "later", and one whose clock has passed a token's end must not.
// Verifies: TOK-04
#[test]
fn a_token_outlives_a_clock_that_is_set_back_and_not_its_end() {
    let place = Place::new();
    let request = json!({"databaseId": place.database, "direction": "DIRECTION_PULL", "ttlSeconds": "1800"});
    let (token, _) = mint(&place.user, &request);
    let hours = |hours: i64| format!("clock={}", hours * 3_600_000);
    let place = place.restarted_with(|options| options.fault(hours(-1)));
    assert_eq!(verdict(&place, &token).0, 101);
    place.user.ferry("Whoami", &json!({})).unwrap();
    let (early, _) = mint(&place.user, &request);
    assert_eq!(verdict(&place, &early).0, 101, "minted an hour before the first one");
    let place = place.restarted_with(|options| options.fault(hours(1)));
    for token in [token, early] {
        let (status, text) = verdict(&place, &token);
        assert!(status == 401 && text.contains("expired"), "{status} {text}");
    }
    place.user.ferry("Whoami", &json!({})).unwrap();
}

// Verifies: TOK-06, PAG-12
#[test]
fn direction_decides_on_every_frame() {
    let place = Place::new();
    for direction in ["DIRECTION_UNSPECIFIED", "DIRECTION_SIDEWAYS"] {
        let request = json!({"databaseId": place.database, "direction": direction});
        refused(place.user.edgereplica("IssueSyncToken", &request), "invalid_argument");
    }
    let both = json!({"databaseId": place.database, "direction": "DIRECTION_PULL", "ops": ["write"]});
    refused(place.user.ferry("IssueSyncToken", &both), "invalid_argument");

    let mut socket = Socket::open(place.hub.address(), &place.pull_token()).unwrap();
    socket.send(&Frame::hello(1));
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    socket.send(&Frame::PageData { page_no: 1, data: vec![0; 4096] });
    let ending = socket.ending();
    assert_eq!(ending.error.as_deref(), Some("this token allows pull only"));
    assert_eq!(ending.code, 1008);
}

// Verifies: TOK-07
#[test]
fn what_a_narrowed_session_mints_is_as_narrow() {
    let place = Place::new();
    let expires = wait::unix_seconds() + 60;
    let narrowed = Session {
        token: token::attenuate(&place.user.token, &["op=read", &format!("exp={expires}")]),
        ..place.user.clone()
    };
    let request = json!({"databaseId": place.database, "direction": "DIRECTION_PULL"});
    let (pull, minted_expires) = mint(&narrowed, &request);
    assert!(minted_expires <= expires, "{minted_expires} > {expires}");
    assert_eq!(verdict(&place, &pull).0, 101);
    // A push token of it is refused at minting, or cannot write.
    let request = json!({"databaseId": place.database, "direction": "DIRECTION_PUSH"});
    if let Ok(answer) = narrowed.edgereplica("IssueSyncToken", &request) {
        let push = answer["token"].as_str().unwrap();
        assert_eq!(verdict(&place, push).0, 403);
    }
}

// Verifies: TOK-09
#[test]
fn a_caveat_that_pages_cannot_enforce_refuses_the_token() {
    let place = Place::new();
    for caveat in ["tbl=notes", "fn=list"] {
        let (status, text) = verdict(&place, &token::attenuate(&place.pull_token(), &[caveat]));
        assert!(status == 403 || status == 401, "{caveat}: {status} {text}");
    }
}

// Verifies: TOK-10
#[test]
fn keys_outlive_restarts_and_a_session_key_comes_first() {
    let place = Place::new();
    let ring: Value =
        serde_json::from_slice(&std::fs::read(place.hub.data_dir().join("keyring.json")).unwrap()).unwrap();
    assert_eq!(ring["version"], 1);
    assert_eq!(ring["keys"].as_array().unwrap().len(), 1);
    assert_eq!(ring["keys"][0]["state"], "active");
    assert_eq!(ring["keys"][0]["kid"].as_str().unwrap().len(), 8);

    let old = place.pull_token();
    // 32 bytes of 7, then another.
    let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let place = place.restarted_with(|options| options.env("SESSION_KEY", key));
    assert_eq!(verdict(&place, &old).0, 101, "a stored key still verifies");
    let new = place.pull_token();
    let place = place.restarted_with(|options| options.env("SESSION_KEY", ""));
    assert_eq!(verdict(&place, &old).0, 101);
    assert_eq!(verdict(&place, &new).0, 401, "nobody knows the key of SESSION_KEY any more");
}

// Verifies: TOK-15
#[test]
fn checking_a_token_waits_for_no_writer() {
    let place = Place::new();
    let token = place.pull_token();
    let control = crate::support::control_db(&place.hub);
    control.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (took, verdict) = wait::timed(|| verdict(&place, &token));
    assert_eq!(verdict.0, 101);
    assert!(took.as_secs() < 4, "{took:?}: as long as a wait for SQLite's lock");
}

#[test]
fn an_unreadable_bearer_on_the_rpc_is_unauthenticated() {
    let place = Place::new();
    for bearer in [None, Some("rubbish"), Some("")] {
        let refusal =
            refused(call(place.hub.address(), EDGEREPLICA, "Whoami", &json!({}), bearer), "unauthenticated");
        assert_eq!((refusal.status, refusal.message.as_str()), (401, "session token required"));
    }
    let answer = http::get(place.hub.address(), "/sync").unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
}
