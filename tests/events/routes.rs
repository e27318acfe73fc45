//! Which paths are this model's, and what they answer to browsers (events, 2.1 and 2.7).

use ferry_testkit::{
    http,
    livestore::{LiveSocket, chain},
    socket::upgrade,
};

use super::{Stores, a};

// Verifies: EVT-50
#[test]
fn any_path_with_a_store_id_reaches_the_store() {
    let stores = Stores::new();
    let bearer = format!("Bearer {}", stores.token);
    let headers = [("Authorization", bearer.as_str())];
    let database = &stores.place.database;
    let paths = [
        "/".to_owned(),
        "/livestore".to_owned(),
        "/livestore/".to_owned(),
        "/websocket".to_owned(),
        "/sync".to_owned(),
        "/ws".to_owned(),
        "/any/path/at/all".to_owned(),
        format!("/v1/databases/{database}/livestore"),
        format!("/v1/databases/{database}/livestore/"),
        "/v1/databases/-/livestore".to_owned(),
        "/v1/databases/app/livestore".to_owned(),
    ];
    for (head, path) in (0..).zip(paths) {
        let url = format!("{path}?storeId=shared&transport=ws");
        let mut socket = LiveSocket::open(stores.address(), &url, "shared", &headers)
            .unwrap_or_else(|refused| panic!("{path}: {} {}", refused.status, refused.text()));
        assert_eq!(socket.push(&a(1), &chain(head, 1)).code(), "success", "{path}");
    }
    let elsewhere = "/v1/databases/other/livestore?storeId=shared&transport=ws";
    let refused = LiveSocket::open(stores.address(), elsewhere, "shared", &headers).unwrap_err();
    assert_eq!(refused.status, 404);
}

#[test]
fn paths_of_other_endpoints_are_not_taken_as_stores() {
    let stores = Stores::new();
    let get = |path: &str| http::get(stores.address(), path).unwrap();
    assert_eq!(get("/healthz?storeId=a&transport=ws").text(), "ok");
    assert_eq!(get("/readyz?storeId=a&transport=ws").status, 200);
    assert_eq!(get("/v1/nothing?storeId=a&transport=ws").status, 404);
    let named = get("/");
    assert_eq!((named.status, named.text().lines().count()), (200, 1));
    for path in ["/livestore", "/websocket", "/livestore/"] {
        assert_eq!(get(path).status, 400, "{path}");
    }
}

#[test]
fn refusals_before_the_upgrade() {
    let stores = Stores::new();
    let bearer = format!("Bearer {}", stores.token);
    let headers = [("Authorization", bearer.as_str())];
    let plain = http::send(stores.address(), "GET", "/?storeId=a&transport=ws", &headers, &[]).unwrap();
    assert_eq!(plain.status, 426);
    let body = plain.json();
    assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string(), "{body}");
    for bad in [
        "/?storeId=a",
        "/?storeId=&transport=ws",
        "/?storeId=a&transport=tcp",
        "/?storeId=a%00&transport=ws",
        "/?storeId=a&transport=ws&payload=%257B",
        "/livestore?transport=ws",
    ] {
        assert_eq!(upgrade(stores.address(), bad, &headers).status, 400, "{bad}");
    }
    let long = format!("/?storeId={}&transport=ws", "a".repeat(257));
    assert_eq!(upgrade(stores.address(), &long, &headers).status, 400);
    let wrong = http::send(stores.address(), "DELETE", "/?storeId=a&transport=ws", &headers, &[]).unwrap();
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, POST, OPTIONS")));
}

#[test]
fn browsers_may_call_from_any_page() {
    let stores = Stores::new();
    let headers = [
        ("Origin", "https://app.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type,x-livestore-store-id"),
    ];
    for path in ["/?storeId=a&transport=http", "/any/?storeId=a", "/v1/databases/x/livestore"] {
        let answer = http::send(stores.address(), "OPTIONS", path, &headers, &[]).unwrap();
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, OPTIONS"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("content-type,x-livestore-store-id"));
    }
    let bare = http::send(stores.address(), "OPTIONS", "/?storeId=a", &[], &[]).unwrap();
    assert_eq!((bare.status, bare.header("access-control-allow-headers")), (204, Some("*")));
    let listed = Stores::with("--events-cors-origins=https://app.example");
    let from = |origin: &str| {
        http::send(listed.address(), "OPTIONS", "/?storeId=a", &[("Origin", origin)], &[]).unwrap()
    };
    assert_eq!(
        from("https://app.example").header("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert_eq!(from("https://evil.example").header("access-control-allow-origin"), None);
}
