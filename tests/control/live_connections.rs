//! Who is connected: every model's connections are listed with what they moved, to those who may know; an admin ends one.

use ferry_testkit::{
    Session, http,
    socket::Socket,
    sse::{EventStream, Sent},
    token::attenuate,
    wait,
};
use serde_json::{Value, json};

use super::team::{Team, rows, text};
use crate::support::{Place, refused};

fn token(user: &Session, database: &str, request: Value) -> String {
    let mut request = request;
    request["databaseId"] = json!(database);
    request["ttlSeconds"] = json!("600");
    text(&user.ferry("IssueSyncToken", &request).unwrap(), "token")
}

fn send(place: (&Session, &str), method: &str, path: &str, body: &Value) -> http::Response {
    let bearer = format!("Bearer {}", token(place.0, place.1, json!({"ops": ["read", "write"]})));
    let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    http::send(
        place.0.address,
        method,
        &format!("/v1/databases/-/{path}"),
        &headers,
        body.to_string().as_bytes(),
    )
    .unwrap()
}

/// The commit that it is.
fn append(place: (&Session, &str), text: &str) -> String {
    let body =
        json!({"clientId": "c", "sessionId": "s", "events": [{"name": "said", "args": {"text": text}}]});
    let answer = send(place, "POST", "events?store=s", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.header("ferry-seq").unwrap().to_owned()
}

fn listed(user: &Session, database: &str) -> Vec<Value> {
    rows(user, "ListConnections", "connections", &json!({"database": database, "pageSize": 2}))
}

// Verifies: OPR-56
#[test]
fn the_connections_of_every_model_are_listed_until_they_end() {
    let place = Place::new();
    let whole = (&place.user, &*place.database);
    append(whole, "one");
    assert_eq!(send(whole, "PUT", "records/app/notes/n1", &json!({"text": "x"})).status / 100, 2);
    assert_eq!(listed(&place.user, &place.database), Vec::<Value>::new());
    let bearer = format!("Bearer {}", token(&place.user, &place.database, json!({"ops": ["read", "write"]})));
    let open = |path: &str, agent: &str| {
        let headers = [("Authorization", &*bearer), ("Accept", "text/event-stream"), ("User-Agent", agent)];
        EventStream::open(place.hub.address(), &format!("/v1/databases/-/{path}"), &headers)
            .unwrap_or_else(|refusal| panic!("{path}: {}", refusal.text()))
    };
    let mut events = open("events?store=s", "events/1");
    let mut records = open("records/changes/stream?app=app", "records/1");
    let ops = open("ops/live", "ops/1");
    let pages = open("pages/stream", "pages/1");
    let path = "/websocket?storeId=s&transport=ws";
    let socket = Socket::open_with(place.hub.address(), path, &[("Authorization", &bearer)])
        .unwrap_or_else(|refusal| panic!("{}", refusal.text()));
    assert_eq!(events.expect("ready").1["head"], 1);
    records.expect("changes");

    let of = |model: &str, transport: &str| {
        let all = listed(&place.user, &place.database);
        let is_it = |one: &&Value| one["model"] == model && one["transport"] == transport;
        all.iter().find(is_it).cloned()
    };
    wait::until("all of them", || (listed(&place.user, &place.database).len() == 5).then_some(()));
    for (model, transport, client, unit) in [
        ("events", "sse", "events/1", "events"),
        ("records", "sse", "records/1", "nanoseconds"),
        ("ops", "sse", "ops/1", "ops"),
        ("pages", "sse", "pages/1", "versions"),
        ("events", "ws", "", ""),
    ] {
        let one = of(model, transport).unwrap_or_else(|| panic!("{model} {transport}"));
        let shown = (text(&one, "client"), text(&one, "unit"), text(&one, "ip"), text(&one, "state"));
        assert_eq!(shown, (client.into(), unit.into(), "127.0.0.1".into(), "open".into()), "{one}");
        assert!(text(&one, "bytesOut").parse::<u64>().unwrap() > 0, "{one}");
        assert!(text(&one, "sinceUnix").parse::<i64>().unwrap() <= wait::unix_seconds(), "{one}");
    }
    assert_eq!(text(&of("events", "sse").unwrap(), "cursor"), "1");

    append(whole, "two");
    events.events(2);
    let moved = wait::until("the cursor of the stream", || {
        of("events", "sse").filter(|one| text(one, "cursor") == "2" && text(one, "behind").is_empty())
    });
    assert_eq!((text(&moved, "scope"), text(&moved, "state")), ("s".to_owned(), "open".to_owned()));
    let third = append(whole, "three");
    wait::until("the follower of pages to be told", || {
        of("pages", "sse").filter(|one| text(one, "cursor") == third)
    });
    drop((events, records, ops, pages, socket));
    wait::until("the end of all", || listed(&place.user, &place.database).is_empty().then_some(()));
}

// Verifies: OPR-56
#[test]
fn a_connection_is_seen_by_its_owner_and_by_admins_who_alone_end_it() {
    let team = Team::new("member");
    let outsider = team.hub.signup("eve@example.com");
    append((&team.admin, &team.database), "one");
    let open = |user: &Session| {
        let bearer = format!("Bearer {}", token(user, &team.database, json!({"ops": ["read"]})));
        let headers = [("Authorization", &*bearer), ("Accept", "text/event-stream")];
        let mut stream =
            EventStream::open(team.hub.address(), "/v1/databases/-/events?store=s", &headers).unwrap();
        stream.expect("ready");
        stream
    };
    let (mut hers, _his) = (open(&team.admin), open(&team.member));
    let all = listed(&team.admin, &team.database);
    assert_eq!(all.len(), 2, "{all:?}");
    let own = listed(&team.member, &team.database);
    assert_eq!(own.len(), 1);
    assert!(text(&own[0], "principal").starts_with("u_") && own[0]["id"] == all[1]["id"], "{own:?} {all:?}");
    refused(outsider.ferry("ListConnections", &json!({"database": team.database})), "not_found");
    // A narrowed session of an admin sees what is its user's.
    let narrowed = Session { token: attenuate(&team.admin.token, &["op=read"]), ..team.admin.clone() };
    assert_eq!(listed(&narrowed, &team.database).len(), 1);

    let close = |user: &Session, id: &Value| user.ferry("CloseConnection", &json!({"id": id}));
    refused(close(&team.member, &own[0]["id"]), "permission_denied");
    refused(close(&outsider, &own[0]["id"]), "not_found");
    for unknown in ["", "c_1_1", "x", &format!("{}0", text(&all[0], "id"))] {
        refused(close(&team.admin, &json!(unknown)), "not_found");
    }
    close(&team.admin, &all[0]["id"]).unwrap();
    hers.expect("bye");
    assert!(matches!(hers.next(), Sent::End));
    wait::until("its end", || (listed(&team.admin, &team.database).len() == 1).then_some(()));
    refused(close(&team.admin, &all[0]["id"]), "not_found");
    let org = text(&team.admin.database(&team.database), "orgId");
    let audit = rows(&team.admin, "ListAuditEvents", "events", &json!({"org": org}));
    let row = audit.iter().find(|row| row["action"] == "connection.close").expect("a row");
    assert!(text(row, "detailJson").contains(&text(&all[0], "id")), "{row}");
    // Its client comes again.
    drop(open(&team.admin));
}

// Verifies: OPR-56
#[test]
fn who_is_stuck_is_told_with_the_first_of_its_batch_until_it_passes() {
    let team = Team::new("viewer");
    let whole = (&team.admin, &*team.database);
    append(whole, "one");
    let push = |caveats: &[&str]| {
        let wanted = json!({"ops": ["read", "write"], "models": ["records"], "caveats": caveats});
        let bearer = format!("Bearer {}", token(&team.admin, &team.database, wanted));
        let headers =
            [("Authorization", &*bearer), ("Content-Type", "application/json"), ("X-Client-Id", "phone-7")];
        let change = json!({"table": "notes", "id": "n1", "op": "insert", "data": {"text": "x"}});
        let body = json!({"clientId": "phone-7", "changes": [change]}).to_string();
        http::send(team.hub.address(), "POST", "/sync/app", &headers, body.as_bytes()).unwrap().status
    };
    let stuck = |user: &Session| {
        let answer = user.ferry("ListConnections", &json!({"database": team.database})).unwrap();
        answer["stuck"].as_array().cloned().unwrap_or_default()
    };
    assert_eq!((push(&["tbl=public_"]), push(&["tbl=public_"])), (403, 403));
    let [one] = &stuck(&team.admin)[..] else { panic!("{:?}", stuck(&team.admin)) };
    let shown = ["model", "client", "scope", "first", "code", "tries"].map(|name| text(one, name));
    assert_eq!(shown, ["records", "phone-7", "app", "notes/n1", "PERMISSION_DENIED", "2"]);
    assert!(text(one, "advice").contains("credential"), "{one}");
    assert_eq!(stuck(&team.member), Vec::<Value>::new());
    assert_eq!(push(&[]), 200);
    assert_eq!(stuck(&team.admin), Vec::<Value>::new());
}

// A phone with a token that may only read, or that has ended, and one whose every change is rejected, were told nowhere.
// Verifies: OPR-56
#[test]
fn who_is_not_let_in_to_write_and_whose_changes_are_all_rejected_is_stuck() {
    let team = Team::new("viewer");
    append((&team.admin, &team.database), "one");
    let minted = |request: Value| token(&team.admin, &team.database, request);
    let push = |bearer: &str, device: &str, id: &str| {
        let bearer = format!("Bearer {bearer}");
        let headers = [("Authorization", &*bearer), ("X-Client-Id", device)];
        let change = json!({"table": "tasks", "id": id, "op": "insert", "fields": {"text": {"value": "x"}}});
        let body = json!({"app": "todo", "changes": [change]}).to_string();
        let path = "/v1/databases/-/records/changes";
        http::send(team.hub.address(), "POST", path, &headers, body.as_bytes()).unwrap().status
    };
    let ops = |bearer: &str| {
        let bearer = format!("Bearer {bearer}");
        let headers = [("Authorization", &*bearer)];
        http::send(team.hub.address(), "POST", "/v1/databases/-/ops", &headers, b"{\"ops\":[]}")
            .unwrap()
            .status
    };
    let stuck = || {
        let answer = team.admin.ferry("ListConnections", &json!({"database": team.database})).unwrap();
        let stuck = answer["stuck"].as_array().cloned().unwrap_or_default();
        let mut told: Vec<_> = stuck
            .iter()
            .map(|one| ["model", "client", "code", "tries"].map(|name| text(one, name)).join(" "))
            .collect();
        told.sort();
        told
    };
    let whole = minted(json!({"ops": ["read", "write"]}));
    let reads = minted(json!({"ops": ["read"]}));
    let ended = attenuate(&whole, &["exp=1"]);
    let lists = minted(json!({"ops": ["read", "write"], "caveats": ["tbl=lists"]}));
    assert_eq!((push(&reads, "reader", "t1"), push(&reads, "reader", "t1")), (403, 403));
    assert_eq!(push(&ended, "late", "t1"), 401);
    assert_eq!((push(&lists, "narrow", "t1"), push(&whole, "odd", "")), (200, 200));
    assert_eq!(ops(&reads), 403);
    // Strangers are not: whose client it would be nobody knows.
    assert_eq!((push("nonsense", "stranger", "t1"), push("a.b.c", "stranger", "t1")), (401, 401));
    let told = stuck();
    assert_eq!(
        told[1..],
        [
            "records late TOKEN_EXPIRED 1",
            "records narrow PERMISSION_DENIED 1",
            "records odd INVALID_ARGUMENT 1",
            "records reader PERMISSION_DENIED 2",
        ]
    );
    assert!(told[0].starts_with("ops u_") && told[0].ends_with("PERMISSION_DENIED 1"), "{told:?}");
    for device in ["reader", "late", "narrow", "odd"] {
        assert_eq!(push(&whole, device, "t1"), 200);
    }
    assert_eq!(ops(&whole), 200);
    assert_eq!(stuck(), [] as [&str; 0]);
    // They count among the hub's numbers, as those of the other wire do.
    let metrics = http::get(team.hub.address(), "/metrics").unwrap().text();
    let counted = metrics.lines().find_map(|line| line.strip_prefix("ferry_records_changes_total "));
    assert_eq!(counted, Some("4"), "{metrics}");
}
