//! Members look into databases: tables and statements by RPC, within limits; what lists tell of databases.

use std::thread;

use ferry_testkit::{Session, http, rpc::Refusal, token::attenuate, wait};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::team::{Team, rows, text};
use crate::support::{Place, options, refused};

/// Numbers without end.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

/// Pushes a file of `count` tables, of which `t0` has three rows.
fn push(place: &Place, count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file.db");
    let made = Connection::open(&file).unwrap();
    made.execute_batch("PRAGMA page_size = 512; BEGIN").unwrap();
    for number in 0..count {
        made.execute_batch(&format!("CREATE TABLE t{number}(id INTEGER PRIMARY KEY, x)")).unwrap();
    }
    made.execute_batch(
        "INSERT INTO t0 VALUES (1, 'a'), (9007199254740993, x'00ff'), (9007199254740994, 2.0); COMMIT",
    )
    .unwrap();
    drop(made);
    place.push(&file);
}

fn query(session: &Session, database: &str, sql: &str) -> Result<Value, Refusal> {
    session.ferry("QueryDatabase", &json!({"database": database, "sql": sql}))
}

fn found(answer: &Value) -> Value {
    serde_json::from_str(answer["rowsJson"].as_str().unwrap()).unwrap()
}

// Verifies: OPR-57
#[test]
fn whoever_belongs_to_the_organisation_looks_and_nobody_else() {
    let team = Team::new("viewer");
    let outsider = team.hub.signup("eve@example.com");
    assert_eq!(
        team.member.ferry("ListTables", &json!({"database": team.database})).unwrap()["tables"],
        Value::Null
    );
    let refusal = refused(query(&team.member, &team.database, "SELECT 1"), "failed_precondition");
    assert!(refusal.message.contains("nothing was written"), "{refusal:?}");
    for answer in [
        outsider.ferry("ListTables", &json!({"database": team.database})),
        query(&outsider, &team.database, "SELECT 1"),
    ] {
        refused(answer, "not_found");
    }
    let other = team.admin.create_database("other");
    for caveat in ["op=write", "model=records", "tbl=a", "fn=a", "bpd=1000000"] {
        let narrowed = Session { token: attenuate(&team.admin.token, &[caveat]), ..team.admin.clone() };
        refused(query(&narrowed, &team.database, "SELECT 1"), "permission_denied");
        refused(narrowed.ferry("ListTables", &json!({"database": team.database})), "permission_denied");
    }
    let narrowed =
        Session { token: attenuate(&team.admin.token, &[&format!("db={other}")]), ..team.admin.clone() };
    refused(query(&narrowed, &team.database, "SELECT 1"), "not_found");
    refused(query(&narrowed, &other, "SELECT 1"), "failed_precondition");
}

// Verifies: OPR-57
#[test]
fn a_statement_is_held_to_rows_time_memory_and_turns() {
    let place = Place::of(options().env("FERRY_QUERY_SECONDS", "4").env("FERRY_QUERY_ROWS", "10").start());
    push(&place, 1);
    let ask = |sql: &str| query(&place.user, &place.database, sql);
    let answer = ask("SELECT id, x FROM t0").unwrap();
    assert_eq!(
        found(&answer),
        json!([
            [1, "a"],
            [{"integer": "9007199254740993"}, {"blob": "00ff", "bytes": 2}],
            [{"integer": "9007199254740994"}, {"real": 2.0}],
        ])
    );
    assert_eq!((answer["truncated"].as_bool(), answer["stoppedBy"].as_str()), (None, None));
    let asked = json!({
        "database": place.database, "sql": "SELECT x FROM t0 WHERE id = ?1", "paramsJson": r#"[{"integer":"9007199254740993"}]"#,
    });
    assert_eq!(
        found(&place.user.ferry("QueryDatabase", &asked).unwrap()),
        json!([[{"blob": "00ff", "bytes": 2}]])
    );

    let limited = |sql: &str, limit: &str, count: usize| {
        let answer = ask(sql).unwrap();
        assert_eq!(
            (answer["stoppedBy"].as_str(), found(&answer).as_array().unwrap().len()),
            (Some(limit), count),
            "{sql}"
        );
    };
    limited(&format!("{ENDLESS} SELECT i FROM n"), "rows", 10);
    limited(&format!("{ENDLESS} SELECT sum(i) FROM n"), "time", 0);
    limited(&format!("{ENDLESS} SELECT i, printf('%.100000c', 'x') FROM n ORDER BY 1 DESC"), "memory", 0);
    let wide = json!({
        "database": place.database, "maxValueBytes": 1 << 20,
        "sql": format!("{ENDLESS} SELECT printf('%.900000c', 'x') FROM n"),
    });
    let answer = place.user.ferry("QueryDatabase", &wide).unwrap();
    assert_eq!((answer["stoppedBy"].as_str(), found(&answer).as_array().unwrap().len()), (Some("bytes"), 1));

    // Two of a user run, a third is told to come back; pushes go on beside them.
    let sums = format!("{ENDLESS} SELECT sum(i) FROM n");
    // One of the two is refused itself when it comes during a `SELECT 1`.
    let as_soon_as_it_may = || {
        wait::until("a turn is free", || match ask(&sums) {
            Err(refusal) if refusal.reason == "BUSY" => None,
            answer => Some(answer.unwrap()),
        })
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..2).map(|_| scope.spawn(as_soon_as_it_may)).collect();
        let refusal = wait::until("a third statement is refused", || ask("SELECT 1").err());
        assert_eq!(refusal.reason, "BUSY");
        push(&place, 2);
        for one in running {
            assert_eq!(one.join().unwrap()["stoppedBy"], "time");
        }
    });
    for bad in [
        "DELETE FROM t0",
        "ATTACH 'x' AS y",
        "SELECT 1; SELECT 2",
        "PRAGMA journal_mode=DELETE",
        "nonsense",
        "",
    ] {
        assert_eq!(refused(ask(bad), "invalid_argument").reason, "INVALID_ARGUMENT", "{bad}");
    }
    assert_eq!(found(&ask("SELECT count(*) FROM t0").unwrap()), json!([[3]]));
}

// Verifies: OPR-57
#[test]
fn ten_thousand_tables_are_listed_page_by_page() {
    let place = Place::new();
    push(&place, 10_000);
    let names = |request: Value| -> Vec<String> {
        rows(&place.user, "ListTables", "tables", &request).iter().map(|table| text(table, "name")).collect()
    };
    let mut all: Vec<String> = (0..10_000).map(|number| format!("t{number}")).collect();
    all.sort();
    assert_eq!(names(json!({"database": place.database, "pageSize": 1000})), all);
    let found = names(json!({"database": place.database, "nameContains": "T999", "pageSize": 3}));
    assert_eq!(
        found,
        ["t999", "t9990", "t9991", "t9992", "t9993", "t9994", "t9995", "t9996", "t9997", "t9998", "t9999"]
    );
    let table = &place.user.ferry("ListTables", &json!({"database": place.database, "pageSize": 1})).unwrap()
        ["tables"][0];
    assert_eq!(
        (&table["columns"], &table["key"], &table["own"]),
        (&json!(["id", "x"]), &json!(["rowid"]), &Value::Null)
    );
    for bad in [
        json!({"pageSize": 1001}),
        json!({"pageSize": -1}),
        json!({"pageToken": "x"}),
        json!({"at": "yesterday"}),
    ] {
        let mut request = json!({"database": place.database});
        request.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        refused(place.user.ferry("ListTables", &request), "invalid_argument");
    }
}

// Verifies: OPR-57, WEB-07
#[test]
fn the_audit_trail_has_each_statement_and_not_its_parameters() {
    let place = Place::new();
    push(&place, 1);
    for value in ["first", "second"] {
        let request = json!({
            "database": place.database, "sql": "SELECT id FROM t0 WHERE x = ?1", "paramsJson": json!([value]).to_string(),
        });
        place.user.ferry("QueryDatabase", &request).unwrap();
    }
    refused(query(&place.user, &place.database, "DROP TABLE t0"), "invalid_argument");
    let noted = rows(&place.user, "ListAuditEvents", "events", &json!({"action": "database.query"}));
    let told: Vec<_> = noted.iter().map(|event| (text(event, "target"), text(event, "detailJson"))).collect();
    let row = |sql: &str| ("app".to_owned(), json!({ "sql": sql }).to_string());
    assert_eq!(told, [row("DROP TABLE t0"), row("SELECT id FROM t0 WHERE x = ?1")]);
}

/// Lists told seq 0 and no models of databases that were written.
// Verifies: ORG-13
#[test]
fn a_list_tells_what_each_database_holds_whether_it_is_open_or_not() {
    let place = Place::new();
    push(&place, 1);
    let ids: Vec<String> = (0..5).map(|number| place.user.create_database(&format!("app{number}"))).collect();
    for id in &ids[..4] {
        let request =
            json!({"databaseId": id, "models": ["events"], "ops": ["read", "write"], "ttlSeconds": 600});
        let bearer =
            format!("Bearer {}", text(&place.user.ferry("IssueSyncToken", &request).unwrap(), "token"));
        let event =
            json!({"clientId": "c", "sessionId": "s", "events": [{"name": "a", "args": {}}]}).to_string();
        let headers = [("Authorization", bearer.as_str())];
        let path = "/v1/databases/-/events?store=s";
        let answer = http::send(place.hub.address(), "POST", path, &headers, event.as_bytes()).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let shown = |one: &Value| -> Vec<Value> {
        ["id", "seq", "lanes", "kind", "tag"].iter().map(|name| one[name].clone()).collect()
    };
    let listed = |place: &Place| -> Vec<Vec<Value>> {
        rows(&place.user, "ListDatabases", "databases", &json!({})).iter().map(shown).collect()
    };
    let each = |place: &Place, listed: &[Vec<Value>]| -> Vec<Vec<Value>> {
        let one =
            |row: &Vec<Value>| shown(&place.user.ferry("GetDatabase", &json!({"database": row[0]})).unwrap());
        listed.iter().map(one).collect()
    };
    let found = listed(&place);
    assert_eq!(found, each(&place, &found));
    let mut place = place;
    place.hub.stop();
    let place = place.restarted();
    let closed = listed(&place);
    assert_eq!(closed, found);
    assert_eq!(closed, each(&place, &closed));
    let seqs: Vec<_> = closed.iter().map(|row| row[1].as_str().unwrap_or_default()).collect();
    // A store is a commit, and its event another.
    assert_eq!(seqs, ["1", "2", "2", "2", "2", ""]);
    assert_eq!(closed[1][2][0]["model"], "events");
}
