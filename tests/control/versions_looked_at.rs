//! Members look at a database as it was: tables and statements of a version that is kept.

use std::{fs, path::Path};

use ferry_testkit::{Session, http, rpc::Refusal, wait};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::team::{Team, text};
use crate::support::{Place, options, refused};

/// Pushes a file whose table `t` has this many rows, and whose other tables are these.
fn push(place: &Place, rows: u32, others: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file.db");
    let made = Connection::open(&file).unwrap();
    made.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, x)").unwrap();
    for number in 0..rows {
        made.execute("INSERT INTO t VALUES (?1, 'row')", [number]).unwrap();
    }
    for name in others {
        made.execute_batch(&format!("CREATE TABLE {name}(y)")).unwrap();
    }
    drop(made);
    place.push(&file);
}

fn query(session: &Session, database: &str, at: &str, sql: &str) -> Result<Value, Refusal> {
    session.ferry("QueryDatabase", &json!({"database": database, "at": at, "sql": sql}))
}

fn rows(answer: &Value) -> Value {
    serde_json::from_str(answer["rowsJson"].as_str().unwrap()).unwrap()
}

fn tables(session: &Session, database: &str, at: &str) -> Vec<String> {
    let answer = session.ferry("ListTables", &json!({"database": database, "at": at})).unwrap();
    answer["tables"].as_array().unwrap().iter().map(|table| text(table, "name")).collect()
}

/// Files of versions that the hub has written out.
fn files(data_dir: &Path) -> usize {
    fs::read_dir(data_dir.join("console")).map_or(0, Iterator::count)
}

fn written_out(place: &Place) -> u64 {
    let text = http::get(place.hub.address(), "/metrics").unwrap().text();
    let line = text.lines().find_map(|line| line.strip_prefix("ferry_version_files_total "));
    line.map_or(0, |number| number.parse().unwrap())
}

// Verifies: OPR-56, OPR-57
#[test]
fn a_pushed_database_is_asked_as_it_was() {
    let place = Place::new();
    push(&place, 1, &[]);
    push(&place, 2, &["late"]);
    push(&place, 3, &["late", "later"]);
    let (user, database) = (&place.user, &place.database);
    let count = |at: &str| query(user, database, at, "SELECT count(*) FROM t").unwrap();
    for (at, expected) in [("", 3), ("1", 1), ("2", 2), ("3", 3)] {
        assert_eq!(rows(&count(at)), json!([[expected]]), "{at}");
    }
    assert_eq!(tables(user, database, "1"), ["t"]);
    assert_eq!(tables(user, database, "2"), ["late", "t"]);
    assert_eq!(tables(user, database, ""), ["late", "later", "t"]);
    // By its tag and by its time; the answer names the version.
    let second = count("2");
    assert_eq!(
        (second["seq"].as_str(), second["version"].as_str().map(|tag| &tag[..2])),
        (Some("2"), Some("2-"))
    );
    assert_eq!(rows(&count(&text(&second, "version"))), json!([[2]]));
    let made_ms: i64 = text(&second, "versionUnixMs").parse().unwrap();
    let time = jiff::Timestamp::from_millisecond(made_ms).unwrap().to_string();
    assert_eq!(rows(&count(&time)), json!([[2]]), "{time}");
    // Each version was written out once, whoever asked how often.
    assert_eq!((files(&place.hub.data_dir()), written_out(&place)), (3, 3));

    // The same limits as of what lives.
    for bad in
        ["DELETE FROM t", "ATTACH 'x' AS y", "SELECT 1; SELECT 2", "SELECT * FROM sqlite_dbpage", "nonsense"]
    {
        assert_eq!(
            refused(query(user, database, "1", bad), "invalid_argument").reason,
            "INVALID_ARGUMENT",
            "{bad}"
        );
    }
    assert_eq!(rows(&count("1")), json!([[1]]));
    for (at, code, told) in [
        ("nonsense", "invalid_argument", "at: expected a version"),
        ("9", "not_found", "never made"),
        ("2199-01-01T00:00:00Z", "not_found", "still to come"),
        ("0", "failed_precondition", "the oldest is"),
        ("1970-01-01T00:00:01Z", "failed_precondition", ""),
        ("2-0000000000000000", "failed_precondition", "the oldest is"),
    ] {
        let refusal = refused(query(user, database, at, "SELECT 1"), code);
        assert!(refusal.message.contains(told), "{at}: {refusal:?}");
        refused(user.ferry("ListTables", &json!({"database": database, "at": at})), code);
    }
    // What was written out goes with the process, also if that is killed.
    let place = place.restarted();
    assert_eq!(files(&place.hub.data_dir()), 0);
    assert_eq!(
        rows(&query(&place.user, &place.database, "1", "SELECT count(*) FROM t").unwrap()),
        json!([[1]])
    );
}

// Verifies: OPR-56, OPR-57
#[test]
fn a_database_that_the_hub_writes_is_asked_as_it_was_since_versions_are_kept() {
    let team = Team::new("viewer");
    let token = text(
        &team
            .admin
            .ferry(
                "IssueSyncToken",
                &json!({"databaseId": team.database, "ops": ["read", "write"], "ttlSeconds": "600"}),
            )
            .unwrap(),
        "token",
    );
    let append = || {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let body =
            b"{\"clientId\":\"c1\",\"sessionId\":\"s1\",\"events\":[{\"name\":\"noteAdded\",\"args\":{}}]}";
        let answer =
            http::send(team.hub.address(), "POST", "/v1/databases/-/events?store=s", &headers, body).unwrap();
        assert_eq!(answer.status / 100, 2, "{}", answer.text());
        answer.header("ferry-seq").unwrap().to_owned()
    };
    let count = |at: &str| query(&team.member, &team.database, at, "SELECT count(*) FROM events");
    refused(count("1"), "failed_precondition");
    append();
    let first = append();
    // The first look begins to keep them.
    assert_eq!(rows(&count(&first).unwrap()), json!([[2]]));
    let refusal = refused(count("1"), "failed_precondition");
    assert!(
        refusal.reason == "VERSION_GONE" && refusal.message.contains(&format!("the oldest is {first}-")),
        "{refusal:?}"
    );
    append();
    assert_eq!((rows(&count("").unwrap()), rows(&count(&first).unwrap())), (json!([[3]]), json!([[2]])));
    let outsider = team.hub.signup("eve@example.com");
    refused(query(&outsider, &team.database, &first, "SELECT 1"), "not_found");
    refused(outsider.ferry("ListTables", &json!({"database": team.database, "at": first})), "not_found");
}

// Verifies: OPR-57
#[test]
fn statements_on_versions_take_turns_and_end() {
    let place = Place::of(options().env("FERRY_QUERY_SECONDS", "2").start());
    push(&place, 1, &[]);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n";
    let answer = query(&place.user, &place.database, "1", endless).unwrap();
    assert_eq!(answer["stoppedBy"], "time");
    let ask = || query(&place.user, &place.database, "1", endless);
    let as_soon_as_it_may = || {
        wait::until("a turn is free", || match ask() {
            Err(refusal) if refusal.reason == "BUSY" => None,
            answer => Some(answer.unwrap()),
        })
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..2).map(|_| scope.spawn(as_soon_as_it_may)).collect();
        let refusal = wait::until("a third is refused", || {
            place.user.ferry("ListTables", &json!({"database": place.database, "at": "1"})).err()
        });
        assert_eq!(refusal.reason, "BUSY");
        for one in running {
            assert_eq!(one.join().unwrap()["stoppedBy"], "time");
        }
    });
}
