//! How clients whose pushes or pulls fail are listed for the operator (events, 2.10). A LiveStore client retries in silence, so this
//! is the only place where it shows: clients refused by INVALID_BATCH, CLIENT_AHEAD, STORE_HOLD or for want of a right
//! were not to be seen over WebSocket, since their pushes never came to the writer.

use ferry_testkit::livestore::{LiveSocket, chain, path, percent, push_payload, request};
use serde_json::{Value, json};

use super::{
    Stores, a,
    admin::{admin, confirmed},
    api::{call, events},
    hold::rolled_back,
    token,
};

fn clients(stores: &Stores) -> Value {
    admin(stores, "GET", "/app/clients", &[]).json()
}

/// Who is stuck, at which event, why, and how often.
fn stuck(stores: &Stores) -> Vec<(String, i64, String, u64)> {
    let clients = clients(stores);
    let stuck = clients["clients"].as_array().unwrap().iter().filter(|client| !client["blocked"].is_null());
    stuck
        .map(|client| {
            let blocked = &client["blocked"];
            assert!(!blocked["message"].as_str().unwrap().is_empty(), "{client}");
            assert!(blocked["advice"].as_str().unwrap().len() > 20, "{client}");
            (
                client["clientId"].as_str().unwrap().to_owned(),
                blocked["firstEvent"]["seqNum"].as_i64().unwrap(),
                blocked["code"].as_str().unwrap().to_owned(),
                blocked["tries"].as_u64().unwrap(),
            )
        })
        .collect()
}

fn by(client: &str, parent: i64) -> Vec<Value> {
    let mut batch = chain(parent, 1);
    batch[0]["clientId"] = json!(client);
    batch
}

// Verifies: EVT-04, EVT-09, EVT-53
#[test]
fn clients_refused_before_the_writer_are_listed_with_the_batch() {
    let stores = Stores::new();
    let mut socket = stores.open("app");
    assert_eq!(socket.push(&a(1), &by("fine", 0)).code(), "success");
    let mut nameless = by("nameless", 1);
    nameless[0]["name"] = json!("");
    for _ in 0..3 {
        assert_eq!(socket.push(&a(2), &nameless).code(), "INVALID_BATCH");
    }
    assert_eq!(socket.push(&a(3), &by("restored", 7)).code(), "CLIENT_AHEAD");
    let bearer = format!("Bearer {}", token(&stores.place, &["read"]));
    let headers = [("Authorization", bearer.as_str())];
    let mut reader = LiveSocket::open(stores.address(), &path("app", "ws"), "app", &headers).unwrap();
    assert_eq!(reader.push(&a(4), &by("reader", 1)).code(), "FORBIDDEN");
    // Being late is no trouble.
    assert_eq!(socket.push(&a(5), &by("late", 0)).code(), "ServerAheadError");
    let expected = [
        ("nameless".to_owned(), 2, "INVALID_BATCH".to_owned(), 3),
        ("reader".to_owned(), 2, "FORBIDDEN".to_owned(), 1),
        ("restored".to_owned(), 8, "CLIENT_AHEAD".to_owned(), 1),
    ];
    assert_eq!(stuck(&stores), expected);
    let all =
        call(&stores, &stores.place.user.token, "GET", &format!("{}/clients", events(&stores)), &[], &[]);
    assert_eq!(all.json()["clients"], clients(&stores)["clients"], "those of the only store");
    // Who gets on is no longer stuck.
    assert_eq!(socket.push(&a(6), &by("nameless", 1)).code(), "success");
    assert_eq!(stuck(&stores).len(), 2);
}

// Verifies: EVT-43
#[test]
fn clients_that_wait_for_a_held_store_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let stores = rolled_back(&folder.path().join("backup")).restarted();
    let bearer = format!("Bearer {}", stores.token);
    let headers = [("Authorization", bearer.as_str())];
    let open = || LiveSocket::open(stores.address(), &path("app", "ws"), "app", &headers);
    for _ in 0..2 {
        assert_eq!(open().unwrap_err().status, 503);
    }
    let payload = push_payload("app", &by("polling", 5), None);
    assert_eq!(stores.post("app", &request(&json!("0"), "SyncHttpRpc.Push", &payload)).status, 503);
    assert_eq!(stuck(&stores), [("polling".to_owned(), 6, "STORE_HOLD".to_owned(), 1)]);
    let reply = clients(&stores);
    let refused = &reply["refused"][0];
    assert!(refused["who"].as_str().unwrap().ends_with(" at 127.0.0.1"), "{reply}");
    // The sockets and the call, whose connection was refused before it was read.
    assert!(refused["refused"]["tries"].as_u64().unwrap() >= 3, "{reply}");
    assert_eq!((&refused["store"], &refused["refused"]["code"]), (&json!("app"), &json!("STORE_HOLD")));
    assert!(refused["refused"]["advice"].as_str().unwrap().contains("remint"), "{reply}");
    assert_eq!(reply["holdReason"], "older_file");
    assert_eq!(confirmed(&stores, "remint").status, 200);
    let reply = clients(&stores);
    assert_eq!((&reply["refused"], stuck(&stores).len()), (&json!([]), 0), "{reply}");
    assert!(open().is_ok());
}

// Verifies: EVT-50
#[test]
fn a_socket_that_names_an_invalid_store_is_listed_with_the_reason() {
    let stores = Stores::with("--events-store-id-pattern=app|new-.*");
    drop(stores.open("app"));
    let bearer = format!("Bearer {}", stores.token);
    let open = |store: &str, headers: &[(&str, &str)]| {
        let path = format!("/?storeId={}&transport=ws", percent(store));
        LiveSocket::open(stores.address(), &path, store, headers).unwrap_err().status
    };
    let long = "x".repeat(2000);
    for store in ["bell\u{7}", "\u{1b}[2J", &long, "", "old-1"] {
        assert_eq!(open(store, &[("Authorization", &bearer)]), 400, "{store:?}");
        assert_eq!(open(store, &[]), 400, "{store:?}");
    }
    let all =
        call(&stores, &stores.place.user.token, "GET", &format!("{}/clients", events(&stores)), &[], &[]);
    let all = all.json()["refused"].clone();
    let shown: Vec<_> =
        all.as_array().unwrap().iter().map(|reply| reply["store"].as_str().unwrap()).collect();
    assert_eq!(shown.len(), 5, "{all}");
    assert!(shown.contains(&"bell\u{7}") && shown.contains(&"old-1"), "{all}");
    assert!(all.to_string().len() < 4000, "nobody fills a list with one long name");
    for reply in all.as_array().unwrap() {
        let (refused, expected) = (&reply["refused"], reply["store"] == "old-1");
        let message = refused["message"].as_str().unwrap();
        assert_eq!(message.contains("store_id_pattern"), expected, "{reply}");
        assert_eq!(message.contains("1 to 256 bytes"), !expected, "{reply}");
        // A socket that is refused is asked for once more, for the answer's body.
        assert_eq!(refused["tries"], 2, "who has no credential is not listed: {reply}");
    }
    // They belong to no store, so they are in the list of every store.
    assert_eq!(clients(&stores)["refused"].as_array().unwrap().len(), 4);
}
