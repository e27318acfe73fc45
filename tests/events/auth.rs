//! Authentication, rights, and the end of both on open sockets (events, scenario 11).

use std::time::Duration;

use ferry_testkit::{
    http,
    jwks_server::{Behaviour, JwksServer},
    jwt::{ED, GOOD, key_set},
    livestore::{LiveSocket, chain, path, percent, pull_payload, request},
    token::attenuate,
    wait,
};
use serde_json::json;

use super::{
    Stores, a, b,
    credentials::{changed, claims, trusting_with},
    token, token_for,
};

fn open(stores: &Stores, token: &str) -> Result<LiveSocket, http::Response> {
    let bearer = format!("Bearer {token}");
    LiveSocket::open(stores.address(), &path("app", "ws"), "app", &[("Authorization", &bearer)])
}

fn code(refused: &http::Response) -> String {
    refused.json()["error"]["code"].as_str().unwrap_or("none").to_owned()
}

// Verifies: EVT-51, EVT-52
#[test]
fn refused_credentials_are_refused_before_the_upgrade() {
    let stores = Stores::new();
    drop(stores.open("app"));
    let no_credential = LiveSocket::open(stores.address(), &path("app", "ws"), "app", &[]).unwrap_err();
    assert_eq!((no_credential.status, code(&no_credential).as_str()), (401, "UNAUTHORIZED"));
    for (bad, status) in [
        ("nonsense".to_owned(), 401),
        (attenuate(&stores.token, &["role=admin"]), 401),
        (attenuate(&stores.token, &["exp=1"]), 401),
        (stores.place.pull_token(), 403),
        (attenuate(&stores.token, &["model=pages"]), 403),
        (attenuate(&stores.token, &["tbl=notes"]), 403),
        (attenuate(&stores.token, &["ip=10.0.0.0/8"]), 403),
    ] {
        let refused = open(&stores, &bad).unwrap_err();
        assert_eq!(refused.status, status, "{}", refused.text());
        let expected = if status == 401 { "UNAUTHORIZED" } else { "FORBIDDEN" };
        assert_eq!(code(&refused), expected);
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"), "on errors too");
    }
}

// Verifies: EVT-51, EVT-54
#[test]
fn a_credential_may_stand_in_the_urls_payload() {
    let stores = Stores::new();
    for name in ["authToken", "token", "apiKey"] {
        let payload = json!({"other": 1, name: stores.token}).to_string();
        let path = format!("{}&payload={}", path("app", "ws"), percent(&percent(&payload)));
        let mut socket = LiveSocket::open(stores.address(), &path, "app", &[]).unwrap();
        socket.pull(&a(1), true, None);
        socket.page(&a(1));
        // A header is found first, and a bad one is not made up for by the payload.
        let bad = [("Authorization", "Bearer nonsense")];
        assert_eq!(LiveSocket::open(stores.address(), &path, "app", &bad).unwrap_err().status, 401);
    }
    let payload = json!({"authToken": "nonsense"}).to_string();
    let bad = format!("{}&payload={}", path("app", "ws"), percent(&percent(&payload)));
    assert_eq!(LiveSocket::open(stores.address(), &bad, "app", &[]).unwrap_err().status, 401);
    let undecodable = format!("{}&payload=%257Bnothing", path("app", "ws"));
    assert_eq!(LiveSocket::open(stores.address(), &undecodable, "app", &[]).unwrap_err().status, 400);
    assert!(!stores.place.hub.log().contains(&stores.token), "tokens never reach the log");
}

// Verifies: EVT-51
#[test]
fn a_cookie_counts_only_from_a_page_of_a_listed_origin() {
    let stores = Stores::of(
        crate::support::options()
            .arg("--events-auth-cookie=session")
            .arg("--events-cors-origins=https://app.example,https://*.pages.example")
            .start(),
    );
    let cookie = format!("other=1; session={}", stores.token);
    let open = |origin: Option<&str>| {
        let mut headers = vec![("Cookie", cookie.as_str())];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        LiveSocket::open(stores.address(), &path("app", "ws"), "app", &headers)
    };
    assert!(open(Some("https://app.example")).is_ok());
    // Patterns were taken as a setting and matched nobody.
    assert!(open(Some("https://mine.pages.example")).is_ok());
    assert_eq!(open(Some("https://pages.example")).unwrap_err().status, 401);
    assert_eq!(open(Some("https://evil.example")).unwrap_err().status, 401);
    assert_eq!(open(None).unwrap_err().status, 401);

    // A header beats the cookie, and the cookie what the app sends; a bad one is not made up for by what comes later.
    let payload = json!({"authToken": stores.token}).to_string();
    let with_payload = format!("{}&payload={}", path("app", "ws"), percent(&percent(&payload)));
    let origin = ("Origin", "https://app.example");
    let bearer = format!("Bearer {}", stores.token);
    let open = |headers: &[(&str, &str)]| LiveSocket::open(stores.address(), &with_payload, "app", headers);
    assert_eq!(open(&[origin, ("Cookie", "session=nonsense")]).unwrap_err().status, 401);
    assert!(open(&[origin, ("Cookie", "session=nonsense"), ("Authorization", &bearer)]).is_ok());
    assert!(open(&[("Cookie", "session=nonsense")]).is_ok(), "a cookie that does not count is not looked at");
}

// Verifies: EVT-53
#[test]
fn each_call_needs_its_right() {
    let stores = Stores::new();
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 2)).code(), "success");
    let mut reader = open(&stores, &token(&stores.place, &["read"])).unwrap();
    reader.pull(&a(1), true, None);
    assert_eq!(reader.page(&a(1)).events.len(), 2);
    assert_eq!(reader.push(&a(2), &chain(2, 1)).code(), "FORBIDDEN");
    let mut writer = open(&stores, &token(&stores.place, &["write"])).unwrap();
    assert_eq!(writer.push(&b(1), &chain(2, 1)).code(), "success");
    writer.pull(&b(2), true, None);
    assert_eq!(writer.exit_of(&b(2)).code(), "FORBIDDEN");
    assert_eq!(reader.page(&a(1)).numbers(), [3]);
}

// Verifies: EVT-50
#[test]
fn only_who_may_write_makes_a_store() {
    let stores = Stores::new();
    let reading = token(&stores.place, &["read"]);
    let refused = open(&stores, &reading).unwrap_err();
    assert_eq!((refused.status, code(&refused).as_str()), (404, "STORE_NOT_FOUND"));
    drop(stores.open("app"));
    assert!(open(&stores, &reading).is_ok());
    let fixed = Stores::with("--events-auto-create=false");
    assert_eq!(open(&fixed, &fixed.token).unwrap_err().status, 404);
    let named = Stores::with("--events-store-id-pattern=app-[0-9]+");
    assert_eq!(open(&named, &named.token).unwrap_err().status, 400);
    drop(named.open("app-7"));
}

// Verifies: EVT-50
#[test]
fn the_store_map_says_where_a_store_is_and_widens_nothing() {
    let stores = Stores::with("--events-store-map=team-.*=other,.*=app");
    drop(stores.open("anything else"));
    let other = stores.place.user.create_database("other");
    let bearer = format!("Bearer {}", stores.token);
    let headers = [("Authorization", bearer.as_str())];
    let open = |path: &str| LiveSocket::open(stores.address(), path, "team-1", &headers);
    assert_eq!(open(&path("team-1", "ws")).unwrap_err().status, 404, "mapped to another database");
    let direct = "/v1/databases/app/livestore?storeId=team-1&transport=ws";
    assert!(open(direct).is_ok(), "the map is for hub-wide paths only");
    let place = crate::support::Place { database: other, ..stores.place };
    let token = token(&place, &["read", "write"]);
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let address = place.hub.address();
    assert!(LiveSocket::open(address, &path("team-1", "ws"), "team-1", &headers).is_ok());
    assert_eq!(LiveSocket::open(address, &path("x", "ws"), "x", &headers).unwrap_err().status, 404);
}

// JWTs of the operator's own issuer, for which the map is described, got 404 for every store that it put elsewhere.
// Verifies: EVT-50
#[test]
fn the_store_map_leads_a_jwt_that_names_no_database() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let map = "--events-store-map=old-.*=archive,new-.*=made,own-.*=theirs";
    let stores = trusting_with(&server, &[map]);
    let user = &stores.place.user;
    let (archive, theirs) = (user.create_database("archive"), user.create_database("theirs"));
    let own = json!({"jwksJson": key_set(&[ED]).to_string(), "issuer": "https://id.example", "audiences": ["others"]});
    user.ferry("SetJwtSettings", &json!({"database": "theirs", "settings": own})).unwrap();
    let open = |bearer: &str, store: &str| {
        let bearer = format!("Bearer {bearer}");
        LiveSocket::open(stores.address(), &path(store, "ws"), store, &[("Authorization", &bearer)])
    };
    let jwt = ED.token(&claims());
    assert_eq!(open(&jwt, "old-1").unwrap().push(&a(1), &chain(0, 2)).code(), "success");
    drop(open(&jwt, "new-1").unwrap());
    drop(open(&jwt, "elsewhere").unwrap());
    let token = |database: &str| {
        let wish = json!({"databaseId": database, "models": ["events"], "ops": ["read"], "ttlSeconds": 60});
        user.ferry("IssueSyncToken", &wish).unwrap()["token"].as_str().unwrap().to_owned()
    };
    let mut socket = open(&token(&archive), "old-1").unwrap();
    socket.pull(&a(1), false, None);
    assert_eq!(socket.page(&a(1)).numbers(), [1, 2], "they are in the database of the map");
    let listed = user.ferry("ListDatabases", &json!({})).unwrap();
    let names: Vec<_> =
        listed["databases"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["app", "archive", "theirs", "made"], "made when it was first used");
    // Settings of a database's own decide; the map widens nothing.
    assert_eq!(open(&jwt, "own-1").unwrap_err().status, 401);
    drop(open(&ED.token(&changed("aud", json!("others"))), "own-1").unwrap());
    assert_eq!(open(&token(&theirs), "old-1").unwrap_err().status, 404);
}

// Verifies: EVT-50
#[test]
fn a_pushed_file_takes_no_events_and_the_other_way_round() {
    let stores = Stores::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    ferry_testkit::sample::Shape::default().create(&file, 10, 1);
    stores.place.push(&file);
    let refused = open(&stores, &stores.token).unwrap_err();
    assert_eq!((refused.status, code(&refused).as_str()), (409, "WRONG_KIND"));
    let hub = Stores::new();
    drop(hub.open("app"));
    assert!(hub.place.try_push(&file).is_err());
}

// Verifies: EVT-53
#[test]
fn a_revoked_token_closes_its_sockets_at_once() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    socket.pull(&a(1), true, None);
    socket.page(&a(1));
    stores.place.user.ferry("RevokeSession", &json!({})).unwrap();
    let (took, code) = wait::timed(|| socket.closed());
    assert_eq!(code, 4403);
    assert!(took < wait::PROMPT, "after {took:?}");
}

// Verifies: EVT-53
#[test]
fn an_expired_token_closes_its_sockets_after_a_grace() {
    let stores = Stores::with("--events-expiry-grace-seconds=3");
    let short = token_for(&stores.place, &["read", "write"], &[], 2);
    let mut socket = open(&stores, &short).unwrap();
    socket.set_read_timeout(Duration::from_secs(90));
    socket.pull(&a(1), true, None);
    socket.page(&a(1));
    let (took, code) = wait::timed(|| socket.closed());
    assert_eq!(code, 4401);
    assert!(took > Duration::from_millis(2500), "after {took:?}");
    assert_eq!(open(&stores, &short).unwrap_err().status, 401);
}

// The grace is for reading. A push in it was committed as if the credential still counted.
// Verifies: TOK-17, EVT-53
#[test]
fn an_expired_token_pushes_no_more_while_its_sockets_still_read() {
    let stores = Stores::with("--events-expiry-grace-seconds=60");
    stores.open("app").push(&a(1), &chain(0, 1));
    let short = token_for(&stores.place, &["read", "write"], &[], 2);
    let mut reader = open(&stores, &short).unwrap();
    let mut writer = open(&stores, &short).unwrap();
    reader.pull(&a(1), true, None);
    assert_eq!(reader.page(&a(1)).numbers(), [1]);
    let over = wait::unix_seconds() + 8;
    wait::until("five seconds after the token's end", || (wait::unix_seconds() > over).then_some(()));
    writer.begin_push(&a(1), &chain(1, 1), None);
    let (took, code) = wait::timed(|| writer.closed());
    assert_eq!(code, 4401, "it comes again with a new credential");
    assert!(took < Duration::from_secs(30), "closed by its push, not at the end of the grace: {took:?}");
    stores.open("app").push(&a(1), &chain(1, 1));
    assert_eq!(reader.page(&a(1)).numbers(), [2], "the first event of that number is another's");
}

// Verifies: EVT-52, EVT-53
#[test]
fn in_fail_mode_the_app_gets_the_reason() {
    let stores = Stores::with("--events-auth-refusal=fail");
    let mut nobody = LiveSocket::open(stores.address(), &path("app", "ws"), "app", &[]).unwrap();
    nobody.pull(&a(1), true, None);
    let outcome = nobody.exit_of(&a(1));
    assert_eq!(outcome.code(), "UNAUTHORIZED", "{outcome:?}");
    assert_eq!(nobody.push(&b(2), &chain(0, 1)).code(), "UNAUTHORIZED");
    nobody.send(&json!({"_tag": "Ping"}));
    assert_eq!(nobody.frame(), json!({"_tag": "Pong"}));
    let mut pages = open(&stores, &stores.place.pull_token()).unwrap();
    pages.pull(&a(1), true, None);
    assert_eq!(pages.exit_of(&a(1)).code(), "FORBIDDEN");

    let mut socket = stores.open("app");
    socket.pull(&a(1), true, None);
    socket.page(&a(1));
    stores.place.user.ferry("RevokeSession", &json!({})).unwrap();
    assert_eq!(socket.exit_of(&a(1)).code(), "FORBIDDEN", "the open call fails");
    assert_eq!(socket.push(&a(2), &chain(0, 1)).code(), "FORBIDDEN");
}

// Verifies: EVT-51, EVT-52
#[test]
fn over_http_refusals_are_arrays_that_the_client_shows() {
    let stores = Stores::new();
    drop(stores.open("app"));
    for id in [a(3), b(3)] {
        let body = request(&id, "SyncHttpRpc.Pull", &pull_payload("app", false, None)).to_string();
        let send = |headers: &[(&str, &str)]| {
            http::send(stores.address(), "POST", &path("app", "http"), headers, body.as_bytes()).unwrap()
        };
        for (headers, status, code) in [
            (vec![], 401, "UNAUTHORIZED"),
            (vec![("Authorization", format!("Bearer {}", stores.place.pull_token()))], 403, "FORBIDDEN"),
        ] {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let refused = send(&headers);
            assert_eq!(refused.status, status);
            let frame = refused.json()[0].clone();
            assert_eq!(frame["requestId"], id);
            assert_eq!(ferry_testkit::livestore::outcome(&frame).code(), code);
        }
    }
}

// Verifies: EVT-50
#[test]
fn in_dev_mode_everyone_uses_the_database_main() {
    let hub = crate::support::options().arg("--dev").start();
    let mut socket = LiveSocket::open(hub.address(), &path("app", "ws"), "app", &[]).unwrap();
    assert_eq!(socket.push(&a(1), &chain(0, 1)).code(), "success");
    let route = "/v1/databases/main/livestore/?storeId=app&transport=ws";
    let mut socket = LiveSocket::open(hub.address(), route, "app", &[]).unwrap();
    socket.pull(&a(1), false, None);
    assert_eq!(socket.page(&a(1)).numbers(), [1]);
    let bad = [("Authorization", "Bearer nonsense")];
    assert_eq!(LiveSocket::open(hub.address(), route, "app", &bad).unwrap_err().status, 401);
}
