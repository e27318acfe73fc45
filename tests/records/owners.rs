//! Owners of records: names, migration from earlier versions, lists.

use ferry_testkit::{
    jwks_server::{Behaviour, JwksServer},
    jwt::{ED, GOOD},
    wait,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Records, insert, token};
use crate::support::{Place, options};

const ONE: &str = "https://one.example";
const TWO: &str = "https://two.example";
const PULL: &str = "/sync/todo/pull?collection=tasks&since=";
const V1: &str = "/v1/databases/-/records";

/// A hub whose default database takes JWTs of this issuer, `*` for any.
fn trusting(server: &JwksServer, issuer: &str) -> Records {
    let options = options()
        .env("FERRY_JWKS_URL", server.url())
        .env("FERRY_JWT_ISSUER", issuer)
        .env("FERRY_JWT_AUDIENCE", "notes")
        .env("FERRY_DEFAULT_DATABASE", "app");
    Records::at(Place::under(options))
}

fn server() -> JwksServer {
    JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None))
}

fn jwt(issuer: &str, sub: &str) -> String {
    let now = wait::unix_seconds();
    ED.token(&json!({"iss": issuer, "sub": sub, "aud": "notes", "exp": now + 600, "iat": now}))
}

fn push_as(records: &Records, token: &str, title: &str) {
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t1", title)]}).to_string();
    let answer = records.call_as(token, "POST", "/sync/todo", "", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn title_of(records: &Records, token: &str) -> Value {
    let answer = records.call_as(token, "GET", PULL, "", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["serverChanges"][1]["fields"]["title"]["value"].clone()
}

fn own_name(records: &Records) -> String {
    let header = records.v1("GET", "/export", "").text();
    let header: Value = serde_json::from_str(header.lines().next().unwrap()).unwrap();
    header["owner"].as_str().unwrap().to_owned()
}

// A JWT whose `sub` had the form of an account's id read that account's records, and so of an API key, of `--dev`, and of
// the same `sub` at another issuer.
// Verifies: REC-34
#[test]
fn no_jwt_subject_equals_another_owner() {
    let server = server();
    let records = trusting(&server, "*");
    push_as(&records, &records.token, "of the account");
    let account = own_name(&records);
    push_as(&records, &jwt(ONE, "ada"), "of ada at one");
    for (issuer, sub) in [
        (ONE, &*account),
        (TWO, "ada"),
        (ONE, "dev"),
        (ONE, "jwt:https://one.example#ada"),
        ("https://one.example#ada", "x"),
        ("https://one", ".example#ada"),
    ] {
        let stranger = jwt(issuer, sub);
        assert_eq!(title_of(&records, &stranger), Value::Null, "{issuer} {sub}");
        push_as(&records, &stranger, "of a stranger");
        let conflicts = records.call_as(&stranger, "GET", &format!("{V1}/conflicts"), "", "").json();
        assert_eq!(conflicts["conflicts"], json!([]));
    }
    assert_eq!(title_of(&records, &records.token), "of the account");
    assert_eq!(title_of(&records, &jwt(ONE, "ada")), "of ada at one");
}

/// Makes the file what an earlier program left.
fn made_old(records: &mut Records, owners: &[(&str, &str)]) {
    records.place.hub.stop();
    let file = records.place.hub.database_dir(&records.place.database).join("main.db");
    let connection = Connection::open(file).unwrap();
    connection.execute_batch(include_str!("layout_1.sql")).unwrap();
    for (new, old) in owners {
        for table in ["records", "record_owners", "record_devices", "record_history"] {
            let sql = format!("UPDATE _ferry_{table} SET owner = ?2 WHERE owner = ?1");
            connection.execute(&sql, [new, old]).unwrap();
        }
    }
}

// Verifies: REC-34
#[test]
fn records_stored_by_an_earlier_version_keep_their_owners() {
    let server = server();
    for issuer in [ONE, "*"] {
        let mut records = trusting(&server, issuer);
        push_as(&records, &records.token, "of the account");
        push_as(&records, &jwt(ONE, "ada"), "of ada");
        push_as(&records, &jwt(ONE, "jwt:https://one.example#ada"), "of a strange name");
        let account = own_name(&records);
        made_old(
            &mut records,
            &[
                ("jwt:https://one.example#ada", "ada"),
                ("jwt:https://one.example#jwt:https://one.example#ada", "jwt:https://one.example#ada"),
            ],
        );
        records = records.restarted();
        assert_eq!(title_of(&records, &records.token), "of the account", "{issuer}");
        assert_eq!(title_of(&records, &jwt(ONE, &account)), Value::Null);
        let ada = jwt(ONE, "ada");
        assert_eq!(title_of(&records, &ada), "of ada", "{issuer}");
        assert_eq!(title_of(&records, &jwt(ONE, "jwt:https://one.example#ada")), "of a strange name");
        let history = records.call_as(&ada, "GET", &format!("{V1}/todo/tasks/t1/history"), "", "").json();
        assert_eq!(history["entries"].as_array().unwrap().len(), 1);
        if issuer == "*" {
            assert_eq!(title_of(&records, &jwt(TWO, "ada")), Value::Null, "they are taken once");
        }
        records = records.restarted();
        assert_eq!(title_of(&records, &ada), "of ada", "once and for all");
    }
}

// `ferry records list` said that there were no records, and nothing named their owners.
#[test]
fn owners_apps_and_collections_are_listed() {
    let server = server();
    let records = trusting(&server, ONE);
    let admin = token(&records.place, &["read", "write", "admin"], &[]);
    let get = |token: &str, rest: &str| records.call_as(token, "GET", &format!("{V1}{rest}"), "", "");
    assert_eq!(get(&admin, "/owners").json(), json!({"owners": [], "next": null}));
    assert_eq!(get(&admin, "/apps").json(), json!({"apps": []}));
    push_as(&records, &jwt(ONE, "ada"), "x");
    let account = own_name(&records);
    records.push(
        "c",
        "",
        &json!([insert("tasks", "t1", "x"), insert("tasks", "t2", "x"), insert("lists", "l1", "x"),
            {"table": "tasks", "id": "t2", "op": "delete"}]),
    );
    assert_eq!(get(&records.token, "/owners").status, 403);
    let owners = get(&admin, "/owners").json();
    let names: Vec<&Value> = owners["owners"].as_array().unwrap().iter().map(|one| &one["owner"]).collect();
    assert_eq!(names, ["jwt:https://one.example#ada", &*account]);
    assert_eq!((&owners["owners"][1]["apps"], &owners["owners"][1]["records"]), (&json!(1), &json!(2)));
    let first = get(&admin, "/owners?limit=1").json();
    assert_eq!(first["next"], "jwt:https://one.example#ada");
    let second = get(&admin, "/owners?limit=1&after=jwt:https://one.example%23ada").json();
    assert_eq!((&second["owners"][0]["owner"], &second["next"]), (&json!(account), &Value::Null));
    assert_eq!(
        get(&records.token, "/apps").json(),
        json!({"apps": [{"app": "todo", "collections": 2, "records": 2}]})
    );
    let collections = json!({"collections": [
        {"app": "todo", "collection": "lists", "records": 1, "deleted": 0},
        {"app": "todo", "collection": "tasks", "records": 1, "deleted": 1}]});
    assert_eq!(get(&records.token, "/collections?app=todo").json(), collections);
    assert_eq!(get(&records.token, "/collections").json(), collections);
    assert_eq!(get(&records.token, "/collections?app=other").json(), json!({"collections": []}));
    let narrow = token(&records.place, &["read"], &["tbl=ta"]);
    assert_eq!(get(&narrow, "/collections").json()["collections"].as_array().unwrap().len(), 1);
    // An owner by name, by a `sub` that only one has, and by a name that nobody has.
    for owner in ["jwt:https://one.example%23ada", "ada"] {
        let listed = get(&admin, &format!("/todo/tasks?owner={owner}")).json();
        assert_eq!(listed["records"].as_array().unwrap().len(), 1, "{owner}");
    }
    let missing = get(&admin, "/todo/tasks?owner=adda");
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("did you mean jwt:https://one.example#ada?"), "{}", missing.text());
    let put = |owner: &str| {
        let path = format!("{V1}/todo/tasks/made?owner={owner}");
        records.call_as(&admin, "PUT", &path, "", r#"{"title":"made"}"#).status
    };
    assert_eq!(put("bob"), 404, "no credential leads there");
    assert_eq!(put("jwt:https://one.example%23bob"), 200);
    assert_eq!(title_of(&records, &jwt(ONE, "bob")), "made");
}
