//! Old versions: brought back, made into databases of their own, and dropped as they grow old.

use std::fs;

use ferry_testkit::{
    hub::Options,
    page_bodies::{normal, root, tag},
};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::http_push::{Known, Writer, assert_refused, token};
use crate::support::fault_points;

fn post(writer: &Writer, path: &str, based_on: &str, body: &Value) -> ferry_testkit::http::Response {
    writer.send("POST", path, &[("If-Match", &format!("\"{based_on}\""))], body.to_string().as_bytes())
}

/// The schema cookie of a file.
fn cookie(file: &[u8]) -> u32 {
    u32::from_be_bytes(file[40..44].try_into().unwrap())
}

fn rows(file: &[u8]) -> Vec<(i64, f64)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    fs::write(&path, file).unwrap();
    let connection = Connection::open(&path).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let mut statement = connection.prepare("SELECT id, amount FROM t ORDER BY id").unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

// Verifies: PAG-30
#[test]
fn an_old_version_becomes_the_newest_under_a_schema_cookie_of_its_own() {
    let writer = Writer::new(2000);
    let mut known = writer.push_file(None);
    let (first, old) = (known.tag.clone(), writer.file());
    let mut newest = Vec::new();
    for sql in [
        "UPDATE t SET amount = 0 WHERE id % 100 = 0",
        "CREATE TABLE more(x); INSERT INTO more SELECT uid FROM t",
        "DELETE FROM t WHERE id % 2 = 0; VACUUM",
    ] {
        newest = writer.run(sql);
        known = writer.push_file(Some(&known));
    }
    assert_refused(&post(&writer, "restore", &first, &json!({"at": first})), 412, "VERSION_CONFLICT");
    let answer = post(&writer, "restore", &known.tag, &json!({"at": first}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["version"], 5);
    let restored = writer.served();
    assert!(cookie(&restored) > cookie(&old) && cookie(&restored) > cookie(&newest));
    assert!(rows(&restored) == rows(&old));
    let mut but_cookie = normal(&restored);
    but_cookie[0][40..44].copy_from_slice(&old[40..44]);
    assert!(but_cookie == normal(&old), "all else is as it was");
    assert_eq!(answer.json()["tag"], tag(5, &root(&normal(&restored))));
    // Versions before stay readable, and so can be brought back in turn, by number or time.
    let answer = post(&writer, "restore", answer.json()["tag"].as_str().unwrap(), &json!({"at": 4}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(rows(&writer.served()) == rows(&newest));
    let current = answer.json()["tag"].as_str().unwrap().to_owned();
    assert_refused(
        &post(&writer, "restore", &current, &json!({"at": "99-0000000000000000"})),
        410,
        "VERSION_GONE",
    );
    assert_refused(&post(&writer, "restore", &current, &json!({"at": null})), 400, "INVALID_ARGUMENT");
    assert_refused(&writer.send("POST", "restore", &[], b"{\"at\":1}"), 428, "PRECONDITION_REQUIRED");
    let mut writer = writer;
    writer.token = token(&writer.place, &["read", "write"]);
    assert_refused(&post(&writer, "restore", &current, &json!({"at": 1})), 403, "PERMISSION_DENIED");
}

// Verifies: PAG-31
#[test]
fn a_fork_is_a_database_of_its_own_with_the_same_image() {
    let writer = Writer::new(1500);
    let known = writer.push_file(None);
    let old = writer.file();
    writer.run("DELETE FROM t WHERE id > 100");
    let newest = writer.push_file(Some(&known));
    let fork = |name: &str, at: Option<&str>| {
        let question = match at {
            Some(at) => json!({"name": name, "at": at}),
            None => json!({"name": name}),
        };
        writer.send("POST", "fork", &[], question.to_string().as_bytes())
    };
    let answer = fork("earlier", Some(&known.tag));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    assert_eq!((&made["name"], &made["tag"]), (&json!("earlier"), &json!(known.tag)));
    let now = fork("now", None).json();
    assert_eq!(now["tag"], tag(1, &root(&newest.pages)));
    assert_refused(&fork("now", None), 409, "ALREADY_EXISTS");
    assert_refused(&fork("a b", None), 400, "INVALID_ARGUMENT");
    // The two go their own ways.
    let mut writer = writer;
    let source = std::mem::replace(&mut writer.place.database, made["id"].as_str().unwrap().to_owned());
    writer.token = token(&writer.place, &["read", "write", "admin"]);
    assert!(writer.served() == old, "byte for byte");
    assert_eq!(writer.place.user.database(&writer.place.database)["kind"], "replica");
    writer.run("UPDATE t SET amount = 1");
    writer.push_file(Some(&Known { tag: known.tag.clone(), version: 1, pages: normal(&old) }));
    let forked = writer.served();
    writer.place.database = source;
    writer.token = token(&writer.place, &["read", "write", "admin"]);
    assert!(normal(&writer.served()) == newest.pages && forked != writer.served());
}

// Verifies: PAG-31
#[test]
fn killed_within_a_fork_all_of_it_is_there_or_nothing() {
    let points = fault_points("fork.");
    assert!(points.len() >= 3, "{points:?}");
    let mut writer = Writer::new(300);
    writer.push_file(None);
    let file = writer.file();
    for (n, point) in points.iter().enumerate() {
        writer.place = writer.place.restarted_with(|options: Options| options.fault(format!("{point}=kill")));
        let name = format!("fork{n}");
        let path = format!("/v1/databases/{}/fork", writer.place.database);
        let bearer = format!("Bearer {}", writer.token);
        let body = json!({"name": name}).to_string();
        let headers = [("Authorization", bearer.as_str())];
        let lost =
            ferry_testkit::http::send(writer.place.hub.address(), "POST", &path, &headers, body.as_bytes());
        assert!(lost.is_err(), "{point}: {lost:?}");
        writer.place.hub.ended();
        writer.place = writer.place.restarted();
        let listed = writer.place.user.ferry("ListDatabases", &json!({})).unwrap();
        let found = listed["databases"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
        let folders = fs::read_dir(writer.place.hub.data_dir().join("databases")).unwrap().count();
        if let Some(found) = found {
            let source =
                std::mem::replace(&mut writer.place.database, found["id"].as_str().unwrap().to_owned());
            writer.token = token(&writer.place, &["read"]);
            assert!(writer.served() == file, "{point}");
            writer.place.database = source;
            writer.token = token(&writer.place, &["read", "write", "admin"]);
        }
        let others = listed["databases"].as_array().unwrap().len();
        assert!(folders <= others, "{point}: {folders} folders of {others} databases");
    }
}
