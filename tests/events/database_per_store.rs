//! A database for each store (EVT-50), for callers whose credential names none.

use std::thread;

use ferry_testkit::{
    http,
    jwks_server::{Behaviour, JwksServer},
    jwt::{ED, GOOD, key_set},
    livestore::{LiveSocket, chain, path},
    wait,
};
use serde_json::{Value, json};

use super::{
    Stores, a, b,
    credentials::{claims, trusting_with},
};
use crate::support::{control_db, options};

const PER_STORE: &str = "--events-database-per-store=true";

fn server() -> JwksServer {
    JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None))
}

fn jwt() -> String {
    format!("Bearer {}", ED.token(&claims()))
}

fn open_at(stores: &Stores, bearer: &str, path: &str, store: &str) -> Result<LiveSocket, http::Response> {
    LiveSocket::open(stores.address(), path, store, &[("Authorization", bearer)])
}

fn open(stores: &Stores, bearer: &str, store: &str) -> Result<LiveSocket, http::Response> {
    open_at(stores, bearer, &path(store, "ws"), store)
}

/// Names of all databases.
fn databases(stores: &Stores) -> Vec<String> {
    let answer = stores.place.user.ferry("ListDatabases", &json!({})).unwrap();
    let rows = answer["databases"].as_array().unwrap().clone();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

fn numbers(socket: &mut LiveSocket) -> Vec<i64> {
    socket.pull(&b(99), false, None);
    socket.history(&b(99)).iter().flat_map(ferry_testkit::livestore::Page::numbers).collect()
}

// Verifies: EVT-50
#[test]
fn a_credential_that_names_no_database_gets_the_one_of_the_store() {
    let server = server();
    let stores = trusting_with(&server, &[PER_STORE, "--events-store-map=mapped-.*=app"]);
    let bearer = jwt();
    for (store, count) in [("team-1", 2), ("team-2", 3)] {
        assert_eq!(open(&stores, &bearer, store).unwrap().push(&a(1), &chain(0, count)).code(), "success");
    }
    assert_eq!(databases(&stores), ["app", "team-1", "team-2"]);
    assert_eq!(numbers(&mut open(&stores, &bearer, "team-1").unwrap()), [1, 2]);
    assert_eq!(numbers(&mut open(&stores, &bearer, "team-2").unwrap()), [1, 2, 3]);
    // One that exists is used; the default one is one like any other.
    stores.place.user.create_database("made-before");
    drop(open(&stores, &bearer, "made-before").unwrap());
    drop(open(&stores, &bearer, "app").unwrap());
    // A map entry wins, a path that names a database too, and a credential that names one.
    drop(open(&stores, &bearer, "mapped-1").unwrap());
    let direct = "/v1/databases/app/livestore?storeId=direct&transport=ws";
    drop(open_at(&stores, &bearer, direct, "direct").unwrap());
    drop(stores.open("of-a-token"));
    assert_eq!(databases(&stores), ["app", "team-1", "team-2", "made-before"]);

    // What cannot name a database is refused with the reason.
    for bad in ["a.b", "a b", &"x".repeat(65)] {
        let refused = open(&stores, &bearer, bad).unwrap_err();
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains("A-Z, a-z, 0-9"), "{}", refused.text());
    }
    // All of it is there after a crash.
    let mut stores = stores;
    stores.place.hub.kill();
    let stores = stores.restarted();
    assert_eq!(numbers(&mut open(&stores, &bearer, "team-2").unwrap()), [1, 2, 3]);
    let sql =
        "SELECT actor || ' ' || target FROM audit WHERE action = 'database.create' AND target LIKE 'team-%'";
    let database = control_db(&stores.place.hub);
    let mut statement = database.prepare(sql).unwrap();
    let rows: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, ["jwt:https://id.example#ada team-1", "jwt:https://id.example#ada team-2"]);
}

// Verifies: EVT-50
#[test]
fn missing_databases_are_made_only_where_stores_are_and_within_the_limit() {
    let server = server();
    let fixed = trusting_with(&server, &[PER_STORE, "--events-auto-create=false"]);
    let refused = open(&fixed, &jwt(), "team-1").unwrap_err();
    assert_eq!(refused.status, 404, "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "STORE_NOT_FOUND");
    assert_eq!(databases(&fixed), ["app"]);

    let few = trusting_with(&server, &[PER_STORE, "--max-databases-per-org=2"]);
    drop(open(&few, &jwt(), "team-1").unwrap());
    let refused = open(&few, &jwt(), "team-2").unwrap_err();
    assert_eq!(refused.status, 429, "{}", refused.text());
    drop(open(&few, &jwt(), "team-1").unwrap());
    assert_eq!(databases(&few), ["app", "team-1"]);
}

// Verifies: EVT-50
#[test]
fn many_first_connections_make_one_database() {
    let server = server();
    let stores = trusting_with(&server, &[PER_STORE]);
    let (address, bearer) = (stores.address(), jwt());
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let headers = [("Authorization", bearer.as_str())];
                LiveSocket::open(address, &path("team-1", "ws"), "team-1", &headers).unwrap();
            });
        }
    });
    assert_eq!(databases(&stores), ["app", "team-1"]);
    let sql = "SELECT count(*) FROM audit WHERE action = 'database.create'";
    let rows: u64 = control_db(&stores.place.hub).query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2);
}

#[track_caller]
fn assert_withdrawn(socket: &mut LiveSocket, end: impl FnOnce()) {
    let (took, code) = wait::timed(|| {
        end();
        socket.closed()
    });
    assert!(code == 4403 && took < wait::PROMPT, "closed {code} after {took:?}");
}

// Verifies: EVT-50, EVT-53, TOK-13
#[test]
fn what_ends_a_jwt_ends_it_in_the_stores_database_too() {
    let server = server();
    let stores = trusting_with(&server, &[PER_STORE]);
    let user = &stores.place.user;
    let own = |audience: &str| json!({"jwksJson": key_set(&[ED]).to_string(), "issuer": "https://id.example", "audiences": [audience]});
    let set = |database: &str, settings: &Value| {
        user.ferry("SetJwtSettings", &json!({"database": database, "settings": settings})).unwrap();
    };
    // Credentials of that database are revoked.
    let mut socket = open(&stores, &jwt(), "team-1").unwrap();
    assert_withdrawn(&mut socket, || {
        user.ferry("RevokeDatabaseTokens", &json!({"database": "team-1"})).unwrap();
    });
    assert_eq!(open(&stores, &jwt(), "team-1").unwrap_err().status, 401);
    // It gets settings of its own, which now decide: the operator's are none of its business.
    let mut socket = open(&stores, &jwt(), "team-2").unwrap();
    assert_withdrawn(&mut socket, || set("team-2", &own("others")));
    assert_eq!(open(&stores, &jwt(), "team-2").unwrap_err().status, 404);
    // The default database gets settings of its own: what the operator's let in ends everywhere.
    let mut socket = open(&stores, &jwt(), "team-3").unwrap();
    assert_withdrawn(&mut socket, || set("app", &own("others")));
    assert_eq!(open(&stores, &jwt(), "team-3").unwrap_err().status, 401);
}

// Verifies: EVT-50, CFG-04
#[test]
fn in_dev_mode_everyone_gets_the_database_of_the_store() {
    let hub = options().arg("--dev").arg(PER_STORE).start();
    for store in ["one", "two"] {
        let mut socket = LiveSocket::open(hub.address(), &path(store, "ws"), store, &[]).unwrap();
        assert_eq!(socket.push(&a(1), &chain(0, 1)).code(), "success");
    }
    let sql = "SELECT group_concat(name, ' ') FROM (SELECT name FROM databases ORDER BY name)";
    let names: String = control_db(&hub).query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(names, "main one two");
    // A path that names the database leads there.
    let direct = "/v1/databases/main/livestore?storeId=three&transport=ws";
    drop(LiveSocket::open(hub.address(), direct, "three", &[]).unwrap());
    let names: String = control_db(&hub).query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(names, "main one two");
}
