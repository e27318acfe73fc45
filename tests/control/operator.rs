//! Administration of accounts, session keys and tokens by operators and users.

use ferry_testkit::{
    Direction, Session,
    command::Ferry,
    frames::Frame,
    http,
    rpc::PASSWORD,
    socket::{Event, Socket},
    sse::EventStream,
    wait,
};
use serde_json::{Value, json};

use crate::support::{FERRY, Place, hub, operator, options, refused};

/// One more socket, past its greeting.
fn open(place: &Place, token: &str) -> Socket {
    let mut socket = Socket::open(place.hub.address(), token).unwrap();
    socket.send(&Frame::hello(0));
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    socket
}

/// All of them end within a second, as revoked.
fn assert_revoked(sockets: &mut [Socket]) {
    let (took, endings) = wait::timed(|| sockets.iter_mut().map(Socket::ending).collect::<Vec<_>>());
    for ending in endings {
        assert_eq!((ending.code, ending.reason.as_str()), (1008, "token revoked"), "{ending:?}");
    }
    assert!(took < wait::PROMPT, "closed after {took:?}");
}

// Verifies: TOK-10, TOK-13
#[test]
fn rotation_keeps_tokens_and_retirement_ends_them() {
    let place = Place::new();
    let operator = operator(&place.hub);
    let before = operator.ok(&["admin", "key", "list"]);
    let old_kid = before.split('\t').next().unwrap();
    let old = place.pull_token();
    let mut sockets = [open(&place, &old)];
    operator.ok(&["admin", "key", "rotate"]);
    let user = Session::login(place.hub.address(), &place.user.email);
    let new = user.sync_token(&place.database, Direction::Pull);
    for token in [&old, &new] {
        assert!(Socket::open(place.hub.address(), token).is_ok());
    }
    assert_eq!(operator.ok(&["admin", "key", "retire", old_kid]), format!("retired {old_kid}\n"));
    assert_revoked(&mut sockets);
    assert_eq!(Socket::open(place.hub.address(), &old).unwrap_err().status, 401);
    let place = place.restarted();
    assert_eq!(Socket::open(place.hub.address(), &old).unwrap_err().status, 401);
    assert!(Socket::open(place.hub.address(), &new).is_ok(), "the ring survives");
}

// Verifies: PWD-06, TOK-12, ORG-03
#[test]
fn an_operator_makes_disables_and_lets_back_in() {
    let hub = options().env("FERRY_SIGNUP", "closed").start();
    let operator = operator(&hub);
    let create = ["admin", "user", "create", "ada@example.com", "--json"];
    let made = operator.clone().env("FERRY_PASSWORD", PASSWORD).ok(&create);
    let made: Value = serde_json::from_str(&made).unwrap();
    assert!(made["userId"].as_str().unwrap().starts_with("u_"), "{made}");
    assert!(operator.ok(&["admin", "info"]).contains("users: 1\n"));
    let user = Session::login(hub.address(), "ada@example.com");
    operator.ok(&["admin", "user", "disable", "ada@example.com"]);
    refused(user.ferry("Whoami", &json!({})), "unauthenticated");
    operator.ok(&["admin", "user", "disable", "ada@example.com", "--undo"]);
    let code = operator.ok(&["admin", "user", "reset-code", "ada@example.com"]);
    let ada = Ferry::new(FERRY, &hub.url()).env("FERRY_NEW_PASSWORD", "another password");
    let reset = ["password", "reset", "ada@example.com", "--code", code.trim()];
    assert_eq!(ada.ok(&reset), "password changed\n");
    let error = ada.fails(4, &reset);
    assert!(error.contains("invalid or expired code"), "{error}");
    ada.clone().env("FERRY_PASSWORD", "another password").ok(&["login", "ada@example.com"]);

    // Only the operator token: the one that is named, else that of a hub of this machine that runs in this folder.
    let stranger = Ferry::new(FERRY, &hub.url());
    let reply = stranger.fails(2, &["admin", "info"]);
    assert!(
        reply.contains("--operator-token-file") && reply.contains("ferry-data/operator.token"),
        "{reply}"
    );
    stranger.clone().env("FERRY_OPERATOR_TOKEN", "fop_guess").fails(3, &["admin", "info"]);
    std::fs::create_dir(stranger.file("ferry-data")).unwrap();
    std::fs::copy(hub.data_dir().join("operator.token"), stranger.file("ferry-data/operator.token")).unwrap();
    assert!(stranger.ok(&["admin", "info"]).contains("users: 1\n"));
    stranger.fails(2, &["admin", "info", "--server", "http://hub.example"]);
    refused(user.ferry("RotateSigningKey", &json!({})), "unauthenticated");
}

// Verifies: OPR-56
#[test]
fn an_operator_lists_the_users_and_settings_and_connections_are_listed_at_the_command_line() {
    let place = Place::of(options().env("FERRY_QUERY_ROWS", "17").start());
    for number in 0..3 {
        place.hub.signup(&format!("user{number}@Example.com"));
    }
    let operator = operator(&place.hub);
    operator.ok(&["admin", "user", "disable", "user1@example.com"]);
    let listed = |arguments: &[&str]| -> Vec<(String, String)> {
        let arguments = [&["admin", "user", "list"], arguments].concat();
        let text = operator.ok(&arguments);
        let cells = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        cells.map(|cells| (cells[1].to_owned(), cells[2].to_owned())).collect()
    };
    let all = listed(&[]);
    assert_eq!(all.len(), 4, "{all:?}");
    let states = |address: &str| all.iter().find(|(email, _)| email == address).map(|(_, state)| &**state);
    assert_eq!(states("ada@example.com"), Some("active"));
    assert_eq!(all.iter().filter(|(_, state)| state == "disabled").count(), 1, "{all:?}");
    assert_eq!(listed(&["--contains", "USER2@"]).len(), 1);
    let settings = operator.ok(&["admin", "settings"]);
    assert!(settings.contains("query_rows\t17\tFERRY_QUERY_ROWS\n"), "{settings}");
    assert!(settings.contains("query_seconds\t5\tdefault\n"), "{settings}");
    refused(place.user.ferry("ListUsers", &json!({})), "unauthenticated");

    let request = json!({"databaseId": "app", "ops": ["read", "write"], "ttlSeconds": "600"});
    let issued = place.user.ferry("IssueSyncToken", &request).unwrap();
    let bearer = format!("Bearer {}", issued["token"].as_str().unwrap());
    let record = "/v1/databases/-/records/app/notes/n1";
    let put = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    assert!(http::send(place.hub.address(), "PUT", record, &put, b"{\"text\":\"x\"}").unwrap().status < 300);
    let path = format!("/v1/databases/{}/pages/stream", place.database);
    let headers = [("Authorization", &*bearer), ("User-Agent", "watcher/3")];
    let stream = EventStream::open(place.hub.address(), &path, &headers).unwrap();
    let user = Ferry::new(FERRY, &place.hub.url()).env("FERRY_TOKEN", &place.user.token);
    let row = user.ok(&["connection", "list", "app"]);
    let cells: Vec<_> = row.trim_end().split('\t').collect();
    assert_eq!((cells[1], cells[2], cells[4]), ("pages", "sse", "watcher/3"), "{row}");
    assert_eq!(user.ok(&["connection", "close", cells[0]]), format!("closed {}\n", cells[0]));
    assert_eq!(user.ok(&["connection", "stuck", "app"]), "");
    wait::until("its end", || user.ok(&["connection", "list", "app"]).is_empty().then_some(()));
    drop(stream);
}

// Verifies: TOK-07, TOK-12, CLI-02
#[test]
fn a_user_lists_and_revokes_sessions_and_changes_the_password() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url()).env("FERRY_PASSWORD", PASSWORD);
    ferry.signup("ada@example.com");
    let phone = Session::login(hub.address(), "ada@example.com");
    let list: Value = serde_json::from_str(&ferry.ok(&["session", "list", "--json"])).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    let other = list.as_array().unwrap().iter().find(|row| row["current"] != true).unwrap();
    let id = other["id"].as_str().unwrap();
    let refreshed = phone.ferry("RefreshSession", &json!({})).unwrap();
    assert_eq!(refreshed["whoami"]["sessionId"], *id);
    assert_eq!(ferry.ok(&["session", "revoke", id]), format!("revoked {id}\n"));
    refused(phone.ferry("Whoami", &json!({})), "unauthenticated");

    let changed = ferry.clone().env("FERRY_NEW_PASSWORD", "another password");
    assert_eq!(changed.ok(&["password", "change"]), "password changed\n");
    ferry.ok(&["whoami"]);
    ferry.fails(3, &["login", "ada@example.com"]);
    ferry.ok(&["session", "revoke-all"]);
    ferry.fails(3, &["whoami"]);
}

// Verifies: ORG-11, CLI-09
#[test]
fn an_account_is_deleted_with_its_databases() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url()).env("FERRY_PASSWORD", PASSWORD);
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "app"]);
    let token = ferry.ok(&["db", "token", "app", "--direction", "pull"]);
    ferry.fails(2, &["account", "delete"]);
    assert_eq!(ferry.ok(&["account", "delete", "--yes"]), "account deleted\n");
    assert!(Socket::open(hub.address(), token.trim()).is_err());
    ferry.fails(3, &["login", "ada@example.com"]);
    ferry.signup("ada@example.com");
    assert_eq!(ferry.ok(&["db", "list"]), "");
}

// Verifies: TOK-12, TOK-13
#[test]
fn every_socket_ends_when_a_databases_tokens_are_revoked() {
    let mut place = Place::new();
    let token = place.pull_token();
    // As many as one database takes.
    let mut sockets: Vec<Socket> = (0..64).map(|_| open(&place, &token)).collect();
    place.user.ferry("RevokeDatabaseTokens", &json!({"database": "app"})).unwrap();
    assert_revoked(&mut sockets);
    place.hub.kill();
    let place = place.restarted();
    assert_eq!(Socket::open(place.hub.address(), &token).unwrap_err().status, 401);
    assert!(Socket::open(place.hub.address(), &place.pull_token()).is_ok());
}

// Verifies: CLI-08, TOK-12
#[test]
fn tokens_are_listed_narrowed_and_revoked_at_the_command_line() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "app"]);
    let token = ferry.ok(&["db", "token", "app", "--op", "read,write", "--label", "ci"]);
    let listed = ferry.ok(&["token", "list", "app"]);
    let id = listed.split('\t').next().unwrap();
    assert!(listed.contains("\tci\t"), "{listed}");

    // Nobody is asked: no hub listens there.
    let offline = Ferry::new(FERRY, "http://127.0.0.1:1").input(&token);
    let narrowed = offline.run(&["token", "attenuate", "--op", "read", "--ttl", "60"]);
    assert_eq!((narrowed.code, narrowed.stderr.as_str()), (Some(0), ""));
    let shown = offline.clone().input(&narrowed.stdout).ok(&["token", "inspect"]);
    assert!(shown.contains(&format!("token_id: {id}\n")) && shown.contains("caveat: op=read\n"), "{shown}");
    let idle = offline.run(&["token", "attenuate", "--op", "read,write,admin"]);
    assert!(idle.code == Some(0) && idle.stderr.starts_with("warning: nothing narrows"), "{}", idle.stderr);
    offline.fails(2, &["token", "attenuate", "--op", "root"]);
    offline.fails(2, &["token", "attenuate", "--ip", "everywhere"]);

    assert!(Socket::open(hub.address(), narrowed.stdout.trim()).is_ok());
    assert_eq!(ferry.ok(&["token", "revoke", id]), format!("revoked {id}\n"));
    for token in [narrowed.stdout.trim(), token.trim()] {
        assert_eq!(Socket::open(hub.address(), token).unwrap_err().status, 401);
    }
    assert_eq!(ferry.ok(&["token", "list", "app"]), "");
}
