//! Event logs by the command line.

use ferry_testkit::{
    command::Ferry,
    livestore::{LiveSocket, chain, path},
    wait,
};
use rusqlite::Connection;
use serde_json::Value;

use crate::support::{FERRY, hub};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A person with an account and a database.
fn person(server: &str) -> Ferry {
    let ferry = Ferry::new(FERRY, server);
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "app"]);
    ferry
}

// Verifies: EVT-70
#[test]
fn stores_are_created_appended_to_read_reset_and_deleted() {
    let hub = hub();
    let ferry = person(&hub.url());
    assert!(ferry.run(&["events", "list", "app"]).stderr.contains("(no stores)"));
    let made = ferry.ok(&["events", "create", "app", "todo list"]);
    assert!(made.contains("state: ok") && made.contains("store: todo list"), "{made}");
    ferry.fails(6, &["events", "create", "app", "todo list"]);

    let appended = ferry.ok(&["events", "append", "app", "v1.Paid", r#"{"id":9007199254740993}"#]);
    assert!(appended.starts_with("appended 1, commit "), "{appended}");
    let once = ["events", "append", "app", "v1.Noted", "--idempotency-key", "k", "--json"];
    assert_eq!(ferry.ok(&once), ferry.ok(&once));
    ferry.fails(6, &["events", "append", "app", "v1.Late", "--parent", "1"]);
    ferry.fails(2, &["events", "append", "app", "v1.Bad", "{"]);
    ferry.fails(5, &["events", "tail", "app", "--store", "unknown"]);
    let tail = ferry.ok(&["events", "tail", "app"]);
    let lines: Vec<&str> = tail.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("1\t") && lines[0].ends_with("\tferry-cli/cli\t{\"id\":9007199254740993}"),
        "{tail}"
    );
    let all = ferry.ok(&["events", "tail", "app", "--json"]);
    assert!(all.contains("9007199254740993") && json(&all).as_array().unwrap().len() == 2);
    let token = ferry.ok(&["db", "token", "app", "--op", "read", "--model", "events"]);
    let guest = Ferry::new(FERRY, &hub.url()).env("FERRY_SYNC_TOKEN", &token);
    assert_eq!(guest.ok(&["events", "tail", "-", "--after", "1"]).lines().count(), 1);
    guest.fails(4, &["events", "append", "-", "v1.Forbidden"]);

    let shown = json(&ferry.ok(&["events", "stat", "app", "todo list", "--json"]));
    assert_eq!((shown["head"].as_i64(), shown["count"].as_i64()), (Some(2), Some(2)));
    let clients = ferry.ok(&["events", "clients", "app", "todo list"]);
    assert!(clients.starts_with("ferry-cli\t") && clients.ends_with("\tok\n"), "{clients}");
    assert!(ferry.ok(&["events", "list", "app"]).starts_with("todo list\tok\t2 events\t"));

    ferry.fails(2, &["events", "reset", "app", "todo list"]);
    let reset =
        ferry.ok(&["events", "reset", "app", "todo list", "--yes", "--reason", "start over", "--json"]);
    assert_eq!(json(&reset)["head"], 0);
    assert_ne!(json(&reset)["backendId"], shown["backendId"]);
    ferry.fails(2, &["events", "remint", "app", "todo list", "--yes"]);
    let asked = ferry.fails(2, &["events", "remint", "app", "todo list", "--reason", "restored"]);
    assert!(asked.contains("to ask whether to give the store a new identity: give --yes"), "{asked}");
    ferry.ok(&["events", "remint", "app", "todo list", "--yes", "--reason", "restored"]);
    ferry.fails(6, &["events", "resume", "app", "todo list"]);
    ferry.ok(&["events", "delete", "app", "todo list", "--yes"]);
    ferry.fails(5, &["events", "stat", "app", "todo list"]);
}

// Verifies: EVT-46
#[test]
fn a_store_moves_in_a_file() {
    let (one, other) = (hub(), hub());
    let from = person(&one.url());
    for place in 1..=3 {
        from.ok(&["events", "append", "app", "v1.Made", &format!("{{\"n\":{place}}}"), "--store", "app"]);
    }
    let file = from.file("app.ndjson");
    let message = from.ok(&["events", "export", "app", "app", file.to_str().unwrap()]);
    assert!(message.starts_with("exported 3 events of app"), "{message}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(from.ok(&["events", "export", "app", "app"]), text, "the same on stdout");
    assert_eq!(from.ok(&["events", "export", "app", "app", "-"]), text, "by the name that import takes too");
    assert!(!from.file("-").exists());

    let to = person(&other.url());
    let message = to.ok(&["events", "import", "app", "app", file.to_str().unwrap()]);
    assert_eq!(message, "imported 3 events into app: head 3\n");
    let stat = |ferry: &Ferry| json(&ferry.ok(&["events", "stat", "app", "app", "--json"]));
    assert_eq!(stat(&from)["backendId"], stat(&to)["backendId"]);
    to.fails(6, &["events", "import", "app", "app", file.to_str().unwrap()]);
    let broken = text.replace("v1.Made", "v1.Fake");
    let error = to.clone().input(&broken).fails(9, &["events", "import", "app", "again", "-"]);
    assert!(error.contains("line 5: sha256"), "{error}");
    to.clone().input(&text).ok(&["events", "import", "app", "again", "-", "--mint"]);
    // Without an identity every client of the log would wipe its copy.
    let header = text.lines().next().unwrap();
    let mut nameless = json(header);
    nameless["backendId"] = Value::from("");
    let nameless = text.replacen(header, &nameless.to_string(), 1);
    let error = to.clone().input(&nameless).fails(9, &["events", "import", "app", "nameless", "-"]);
    assert!(error.contains("line 1: backendId"), "{error}");
    to.fails(10, &["events", "import", "app", "x", "no-such-file"]);
    to.fails(5, &["events", "export", "app", "unknown", "never"]);
    assert!(!to.file("never").exists());
}

/// A file as LiveStore's own worker leaves it, with these stores: id, table, identity, newest event.
pub(crate) fn workers_file(ferry: &Ferry, name: &str, stores: &[(&str, &str, &str, i64)]) -> String {
    let file = ferry.file(name);
    let connection = Connection::open(&file).unwrap();
    let context = r#"CREATE TABLE "context_7" ("storeId" text primary key, "currentHead" integer not null,
                         "backendId" text not null) strict"#;
    connection.execute_batch(context).unwrap();
    for (id, table, backend_id, head) in stores {
        let row = "INSERT INTO context_7 VALUES (?1, ?2, ?3)";
        connection.execute(row, rusqlite::params![id, head, backend_id]).unwrap();
        log(&connection, table);
    }
    file.to_str().unwrap().to_owned()
}

/// A log of two events, the newest of which is 4.
fn log(connection: &Connection, table: &str) {
    connection
        .execute_batch(&format!(
            r#"CREATE TABLE "{table}" (
                   "seqNum" INTEGER PRIMARY KEY, "parentSeqNum" INTEGER NOT NULL, "name" TEXT NOT NULL,
                   "args" TEXT, "createdAt" TEXT NOT NULL, "clientId" TEXT NOT NULL, "sessionId" TEXT NOT NULL);
               INSERT INTO "{table}" VALUES
                   (1, 0, 'a', '{{"x":1}}', '2026-01-02T03:04:05.678Z', 'c', 's'),
                   (4, 1, 'b', NULL, '2026-01-02T03:04:05.679Z', 'c', 's');"#,
        ))
        .unwrap();
}

/// What the file says of the store, and its log.
fn rows_of_my_store(file: &str) -> Vec<String> {
    let connection = Connection::open(file).unwrap();
    let sql = "SELECT concat_ws('|', storeId, currentHead, backendId) FROM context_7
               UNION ALL SELECT concat_ws('|', seqNum, parentSeqNum, name, quote(args), createdAt, clientId, sessionId)
               FROM eventlog_7_my_store";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn import(rest: &[&str]) -> Vec<String> {
    ["events", "import", "app"].iter().chain(rest).map(|word| (*word).to_owned()).collect()
}

// An operator mistyped `--backend-id`. The hub said "imported 500 events", and every client of that log wiped its copy,
// unpushed events included. The file knows its store and its identity: both are read from it.
// Verifies: EVT-46
#[test]
fn a_log_of_livestores_own_backend_is_taken_over() {
    let hub = hub();
    let ferry = person(&hub.url());
    let file =
        workers_file(&ferry, "livestore.sqlite", &[("my-store", "eventlog_7_my_store", "I4T0Dpcf", 4)]);
    for (options, said) in [
        (&["--backend-id", "I4T0Dpcg"][..], "\"I4T0Dpcf\", not \"I4T0Dpcg\""),
        (&["--table", "eventlog_7_other"], "eventlog_7_other"),
        (&["--backend-id", "I4T0Dpcf", "--table", "context_7"], "\"eventlog_7_my_store\", not \"context_7\""),
    ] {
        let error = ferry.fails(10, &import(&[&["my-store", "--sqlite", &file][..], options].concat()));
        assert!(error.contains(said), "{error}");
    }
    let error = ferry.fails(10, &import(&["my-stroe", "--sqlite", &file]));
    assert!(error.contains("no log of \"my-stroe\" but of \"my-store\""), "{error}");
    ferry.fails(2, &import(&["my-store", "--sqlite", &file, "--backend-id", ""]));
    assert!(ferry.run(&["events", "list", "app"]).stderr.contains("(no stores)"), "nothing was imported");

    let message = ferry.run(&import(&["--sqlite", &file]));
    assert_eq!(
        (message.stdout.as_str(), message.stderr.as_str()),
        ("imported 2 events into my-store: head 4\n", "")
    );
    let stat = json(&ferry.ok(&["events", "stat", "app", "my-store", "--json"]));
    assert_eq!((stat["backendId"].as_str(), stat["head"].as_i64()), (Some("I4T0Dpcf"), Some(4)));
    let events = json(&ferry.ok(&["events", "tail", "app", "--json"]));
    assert_eq!(events[0]["args"]["x"], 1);
    assert!(events[1].get("args").is_none());
    assert_eq!(events[1]["createdAt"], "2026-01-02T03:04:05.679Z");

    // And given back as it was.
    let back = ferry.file("back.sqlite");
    let back = back.to_str().unwrap();
    let told = ferry.run(&["events", "export", "app", "my-store", back, "--sqlite"]);
    assert_eq!(told.stdout, format!("exported 2 events of my-store to {back}\n"), "{}", told.stderr);
    assert_eq!(rows_of_my_store(back), rows_of_my_store(&file));
    ferry.fails(6, &["events", "export", "app", "my-store", back, "--sqlite"]);
    ferry.ok(&["events", "delete", "app", "my-store", "--yes"]);
    ferry.ok(&import(&["--sqlite", back]));

    let stores = [("a b.\u{fc}", "eventlog_7_a_b__", "one", 4), ("c\u{1f600}", "eventlog_7_c__", "two", 4)];
    let several = workers_file(&ferry, "several.sqlite", &stores);
    let error = ferry.fails(10, &import(&["--sqlite", &several]));
    assert!(error.contains("\"a b.\u{fc}\", \"c\u{1f600}\": name one"), "{error}");
    ferry.ok(&import(&["c\u{1f600}", "--sqlite", &several, "--backend-id", "two"]));
    ferry.ok(&import(&["--sqlite", &several, "--table", "eventlog_7_a_b__"]));
    let stat = json(&ferry.ok(&["events", "stat", "app", "a b.\u{fc}", "--json"]));
    assert_eq!(stat["backendId"], "one");
}

// Verifies: EVT-46
#[test]
fn a_workers_file_that_is_not_whole_is_refused_or_warned_of() {
    let hub = hub();
    let ferry = person(&hub.url());
    // It says that there is an event 5.
    let cut = workers_file(&ferry, "cut.sqlite", &[("cut", "eventlog_7_cut", "id", 5)]);
    let error = ferry.fails(10, &import(&["--sqlite", &cut]));
    assert!(error.contains("its log ends at 4"), "{error}");

    // In WAL mode, of which the newest events were not copied: that cannot be detected, so there is a warning.
    let file = workers_file(&ferry, "wal.sqlite", &[("wal", "eventlog_7_wal", "id", 4)]);
    let writer = Connection::open(&file).unwrap();
    let mode: String = writer.query_row("PRAGMA journal_mode = wal", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    let newer = "INSERT INTO eventlog_7_wal VALUES (5, 4, 'c', NULL, '2026-01-02T03:04:06.000Z', 'c', 's');
                 UPDATE context_7 SET currentHead = 5";
    writer.execute_batch(newer).unwrap();
    let alone = ferry.file("alone.sqlite");
    std::fs::copy(&file, &alone).unwrap();
    for store in ["first", "second"] {
        let message = ferry.run(&import(&["--sqlite", alone.to_str().unwrap()]));
        assert_eq!(message.code, Some(0), "{store}: {}", message.stderr);
        assert!(message.stderr.contains("alone.sqlite-wal is not beside it"), "{store}: {}", message.stderr);
        assert!(message.stdout.contains("head 4"), "{}", message.stdout);
        ferry.ok(&["events", "delete", "app", "wal", "--yes"]);
    }
    let message = ferry.run(&import(&["--sqlite", &file]));
    assert_eq!(
        (message.stdout.as_str(), message.stderr.as_str()),
        ("imported 3 events into wal: head 5\n", "")
    );
    drop(writer);

    // A log that somebody took out of its file.
    let bare = ferry.file("bare.sqlite");
    log(&Connection::open(&bare).unwrap(), "eventlog_7_my-store");
    let bare = bare.to_str().unwrap();
    let error = ferry.fails(2, &import(&["my-store", "--sqlite", bare]));
    assert!(error.contains("--backend-id"), "{error}");
    let message = ferry.run(&import(&["my-store", "--sqlite", bare, "--backend-id", "old"]));
    assert_eq!(message.stdout, "imported 2 events into my-store: head 4\n");
    assert!(message.stderr.contains("nothing confirms the backend id \"old\""), "{}", message.stderr);
}

// Verifies: EVT-47
#[test]
fn clients_that_hold_lost_events_are_shown_with_device_and_distance() {
    let hub = hub();
    let ferry = person(&hub.url());
    for place in 1..=5 {
        ferry.ok(&["events", "append", "app", "v1.Made", &format!("{{\"n\":{place}}}"), "--store", "app"]);
    }
    let id = json(&ferry.ok(&["events", "stat", "app", "app", "--json"]))["backendId"]
        .as_str()
        .unwrap()
        .to_owned();
    let token = ferry.ok(&["db", "token", "app", "--op", "read", "--op", "write", "--model", "events"]);
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("Authorization", bearer.as_str())];
    let open = |store: &str| LiveSocket::open(hub.address(), &path(store, "ws"), store, &headers);
    let mut socket = open("app").unwrap();
    // A client of a hub that was put back holds 10 events.
    socket.begin_push(&Value::from("0"), &chain(10, 1), Some(&id));
    assert_eq!(socket.exit_of(&Value::from("0")).code(), "CLIENT_AHEAD");
    assert_eq!(open("bell\u{7}").unwrap_err().status, 400);

    let ahead = "client-a holds event 10, 5 ahead of the log";
    let list = ferry.ok(&["events", "list", "app"]);
    assert!(list.starts_with("app\tok\t5 events\t") && list.contains(ahead), "{list}");
    let stat = ferry.ok(&["events", "stat", "app", "app"]);
    assert!(stat.contains("state: ok\n") && stat.contains("held before it reaches event 10"), "{stat}");
    assert!(stat.contains(&format!("ahead: {ahead} (push since ")), "{stat}");
    let clients = ferry.ok(&["events", "clients", "app", "app"]);
    let stuck = "\tCLIENT_AHEAD\tstuck at 11 v1.TodoCreated: CLIENT_AHEAD, 1 tries: ";
    assert!(clients.contains(ahead) && clients.contains(stuck), "{clients}");
    assert!(clients.contains("ferry events remint"), "what to do: {clients}");
    let (_, seen) = ferry.on_terminal(80, &["events", "clients", "app", "app"]);
    assert!(seen.contains("CLIENT_AHEAD") && seen.contains("client-a: "), "{seen}");
    assert!(seen.contains("ferry events remint"), "what to do is cut nowhere: {seen}");
    let all = ferry.ok(&["events", "clients", "app"]);
    assert!(
        all.contains("app\tclient-a\t") && all.contains(r#"not let in to "bell\u{7}": INVALID_ARGUMENT"#),
        "{all}"
    );
    for args in [&["stat", "app", "app"][..], &["clients", "app", "app"]] {
        let message = json(&ferry.ok(&[&["events"][..], args, &["--json"]].concat()));
        assert_eq!(message["suspect"]["devices"][0]["device"], "client-a", "{message}");
    }

    for place in 6..=9 {
        ferry.ok(&["events", "append", "app", "v1.Made", &format!("{{\"n\":{place}}}"), "--store", "app"]);
    }
    ferry.fails(7, &["events", "append", "app", "v1.Made", "--store", "app"]);
    let list = ferry.ok(&["events", "list", "app"]);
    assert!(list.starts_with("app\thold\t") && list.contains("held: cursors_ahead; client-a"), "{list}");
    let stat = ferry.ok(&["events", "stat", "app", "app"]);
    assert!(stat.contains("state: hold (cursors_ahead)\n"), "{stat}");
    let shown = ferry.ok(&["events", "remint", "app", "app", "--yes", "--reason", "restored"]);
    assert!(shown.contains("state: ok\n") && !shown.contains("suspect"), "{shown}");
}

// Verifies: EVT-71
#[test]
fn tail_follows_over_a_restart_of_the_hub() {
    use std::io::{BufRead as _, BufReader};
    // A port that the hub takes again.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hub = crate::support::options().arg(format!("--listen={free}")).start();
    let ferry = person(&hub.url());
    ferry.ok(&["events", "append", "app", "first"]);
    let mut child = ferry.spawn(&["events", "tail", "app", "--follow", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(json(&lines.next().unwrap())["name"], "first");
    ferry.ok(&["events", "append", "app", "second"]);
    assert_eq!(json(&lines.next().unwrap())["name"], "second");
    let hub = hub.restart();
    ferry.ok(&["events", "append", "app", "third"]);
    let (took, line) = wait::timed(|| lines.next().unwrap());
    assert_eq!(json(&line)["name"], "third", "after {took:?}");
    drop(hub);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The command line said to name a store "with store=", which it does not take.
// Verifies: EVT-70
#[test]
fn an_ambiguous_store_is_refused_with_the_flag_and_the_list_of_stores() {
    let hub = hub();
    let ferry = person(&hub.url());
    for store in ["one", "two"] {
        ferry.ok(&["events", "create", "app", store]);
    }
    let token = ferry.ok(&["db", "token", "app", "--op", "read,write", "--model", "events"]);
    let holder = ferry.clone().env("FERRY_SYNC_TOKEN", token.trim());
    for arguments in [
        &["append", "app", "v1.Made"][..],
        &["tail", "app"],
        &["tail", "app", "--follow"],
        &["tail", "app", "--json"],
    ] {
        let arguments = [&["events"], arguments].concat();
        let message = ferry.fails(5, &arguments);
        assert!(message.contains("name one with --store; there are: one, two"), "{message}");
        let message = holder.fails(5, &arguments);
        assert!(message.contains("name one with --store") && !message.contains("there are"), "{message}");
    }
}
