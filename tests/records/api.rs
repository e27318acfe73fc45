//! `/v1/databases/{db}/records`.

use std::{fs, io::Write as _, path::Path, time::Duration};

use ferry_testkit::{records::EventStream, wait};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Records, T, device::Device, insert, token, update};

// Verifies: REC-50, REC-52
#[test]
fn a_push_is_seen_by_sql_and_carries_the_sequence_of_the_database() {
    let records = Records::new();
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t1", "x")]}).to_string();
    let answer = records.call("POST", "/sync/todo", "", &body);
    let seq: u64 = answer.header("ferry-seq").unwrap().parse().unwrap();
    let listed = records.v1("GET", "/todo/tasks", "");
    assert_eq!(listed.header("ferry-seq").unwrap().parse::<u64>().unwrap(), seq);
    let file = records.place.hub.database_dir(&records.place.database).join("main.db");
    let connection = Connection::open(file).unwrap();
    let title: String = connection
        .query_row("SELECT title FROM records_todo__tasks WHERE id = 't1'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(title, "x");
}

// What SQL wrote to records stayed in SQL. Acceptance scenario 16, with a write that any SQLite can make while the hub
// is stopped.
// Verifies: REC-51, REC-52
#[test]
fn a_write_of_sql_reaches_devices() {
    let mut records = Records::new();
    records.push("c", "", &json!([insert("tasks", "t1", "x"), insert("tasks", "t2", "x")]));
    let mut phone = Device::new("phone");
    phone.pull(&records);
    records.place.hub.stop();
    let file = records.place.hub.database_dir(&records.place.database).join("main.db");
    let connection = Connection::open(file).unwrap();
    connection
        .execute_batch(
            "UPDATE records_todo__tasks SET title = 'by SQL' WHERE id = 't1';
             DELETE FROM records_todo__tasks WHERE id = 't2'",
        )
        .unwrap();
    drop(connection);
    records = records.restarted();
    wait::until("the write arrives", || {
        phone.pull(&records);
        (phone.value("t1", "title") == "by SQL" && phone.value("t2", "deletedAt").is_string()).then_some(())
    });
    let held = records.v1("GET", "/todo/tasks/t1", "").json();
    assert_eq!(held["fields"]["title"]["writer"], "ferry-sql");
}

#[test]
fn records_are_read_and_written_one_by_one() {
    let records = Records::new();
    records.push(
        "c",
        "",
        &json!([insert("tasks", "t1", "a"), insert("tasks", "t2", "b"), insert("tasks", "t3", "b")]),
    );
    let page = records.v1("GET", "/todo/tasks?limit=2", "").json();
    assert_eq!((&page["records"][0]["id"], &page["next"]), (&json!("t1"), &json!("t2")));
    let page = records.v1("GET", "/todo/tasks?after=t2&limit=2", "").json();
    assert_eq!((&page["records"][0]["id"], &page["next"]), (&json!("t3"), &Value::Null));
    let found = records.v1("GET", "/todo/tasks?where%5Btitle%5D=b", "").json();
    assert_eq!(found["records"].as_array().unwrap().len(), 2);
    let one = records.v1("GET", "/todo/tasks/t1", "");
    assert_eq!(one.json()["fields"]["title"]["writer"], "c");
    let tag = one.header("etag").unwrap().to_owned();
    let patched = records.v1("PATCH", "/todo/tasks/t1", r#"{"title":"patched"}"#);
    assert_eq!((patched.status, &patched.json()["data"]["title"]), (200, &json!("patched")));
    let bearer = records.bearer();
    let path = "/v1/databases/-/records/todo/tasks/t1";
    let headers = [("Authorization", &*bearer), ("If-Match", &*tag)];
    let stale =
        ferry_testkit::http::send(records.address(), "PATCH", path, &headers, b"{\"title\":\"y\"}").unwrap();
    assert_eq!(stale.status, 412, "{}", stale.text());
    assert_eq!(stale.json()["error"]["reason"], "VERSION_CONFLICT");
    let put = records.v1("PUT", "/todo/tasks/new", r#"{"title":"made","n":[1, 2]}"#);
    assert_eq!(put.json()["data"], json!({"title": "made", "n": [1, 2]}));
    assert_eq!(records.v1("DELETE", "/todo/tasks/t2", "").json()["deleted"], true);
    assert_eq!(records.v1("DELETE", "/todo/tasks/none", "").status, 404);
    assert_eq!(records.v1("GET", "/todo/tasks/none", "").json()["error"]["code"], "not_found");
    // Devices learn of all that.
    let (changes, _) = records.pull_all("c", "tasks", "");
    assert!(
        changes.iter().any(|change| change["id"] == "new") && changes.iter().any(|c| c["op"] == "delete")
    );
    let history = records.v1("GET", "/todo/tasks/t1/history", "").json();
    assert_eq!(history["entries"][0]["changes"][0]["fields"]["title"]["value"], "patched");
    assert_eq!(history["entries"].as_array().unwrap().len(), 2);
}

// Who looked for what a device had just sent, or for who deleted a record, had to know its id.
// Verifies: REC-35
#[test]
fn records_are_listed_the_newest_first_and_deleted_ones_with_who_deleted_them() {
    let records = Records::new();
    records.push(
        "c",
        "",
        &json!([insert("tasks", "t1", "a"), insert("tasks", "t2", "b"), insert("tasks", "t3", "c")]),
    );
    records.push("c", "", &json!([insert("lists", "l1", "other")]));
    let delete = json!({"table": "tasks", "id": "t2", "op": "delete", "deletedAt": "2026-01-01T10:05:00Z"});
    records.push("tablet", "", &json!([delete]));
    records.v1("PATCH", "/todo/tasks/t1", r#"{"title":"newest"}"#);
    let listed = |query: &str| records.v1("GET", &format!("/todo/tasks?{query}"), "").json();
    let ids = |listed: &Value| -> Vec<String> {
        let ids = listed["records"].as_array().unwrap().iter();
        ids.map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&listed("order=newest")), ["t1", "t3"]);
    assert_eq!(ids(&listed("order=newest&deleted=true")), ["t1", "t2", "t3"]);
    assert_eq!(ids(&listed("deleted=true")), ["t1", "t2", "t3"]);
    let page = listed("order=newest&deleted=true&limit=2");
    let next = page["next"].as_str().unwrap();
    assert_eq!(ids(&listed(&format!("order=newest&deleted=true&after={next}"))), ["t3"]);
    for query in ["deleted=only", "deleted=only&order=newest"] {
        let gone = listed(query);
        assert_eq!(ids(&gone), ["t2"], "{query}");
        let gone = &gone["records"][0];
        let when = "2026-01-01T10:05:00.000000000Z";
        assert_eq!((&gone["deletedBy"], &gone["deletedAt"]), (&json!("tablet"), &json!(when)));
    }
    assert!(listed("deleted=true")["records"][0]["deletedBy"].is_null());
    for wrong in ["order=age", "deleted=yes", "order=newest&after=t1"] {
        assert_eq!(records.v1("GET", &format!("/todo/tasks?{wrong}"), "").status, 400, "{wrong}");
    }
}

// A boolean was compared as SQL has it, as 1 or 0, and so `true` found nothing, and then `1` found `true`.
// Verifies: REC-35
#[test]
fn a_filter_finds_values_as_json_writes_them() {
    let records = Records::new();
    let values = json!({"yes": true, "no": false, "none": null, "one": 1, "text": "true", "real": 1.5, "list": [1, true]});
    for (id, value) in values.as_object().unwrap() {
        records.v1("PUT", &format!("/todo/tasks/{id}"), &json!({ "v": value }).to_string());
    }
    records.v1("PUT", "/todo/tasks/absent", "{}");
    let found = |text: &str| -> Vec<Value> {
        let listed = records.v1("GET", &format!("/todo/tasks?where%5Bv%5D={text}"), "").json();
        listed["records"].as_array().unwrap().iter().map(|record| record["id"].clone()).collect()
    };
    assert_eq!(found("true"), ["text", "yes"]);
    assert_eq!(found("false"), ["no"]);
    assert_eq!(found("null"), ["none"]);
    assert_eq!(found("1.5"), ["real"]);
    assert_eq!(found("%5B1,true%5D"), ["list"]);
    assert_eq!(found("integer"), [] as [Value; 0]);
    assert_eq!(found("1"), ["one"]);
    assert_eq!(found("0"), [] as [Value; 0]);
    // A path of SQLite ends at a NUL.
    for name in ["%00", "a%00b"] {
        let refused = records.v1("GET", &format!("/todo/tasks?where%5B{name}%5D=1"), "");
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!("invalid_argument")));
    }
}

// Verifies: REC-42
#[test]
fn conflicts_are_listed_and_resolved() {
    let records = Records::new();
    records.push("a", "", &json!([insert("tasks", "t1", "x")]));
    records.push("b", "", &json!([update("t1", "title", &json!("of b"), "2026-01-01T10:00:05Z")]));
    let answer =
        records.push("a", T, &json!([update("t1", "title", &json!("of a"), "2026-01-01T10:00:04Z")]));
    assert_eq!(answer["conflicts"][0]["loser"]["value"], "of a");
    let open = records.v1("GET", "/conflicts", "").json();
    let lost: Vec<&Value> =
        open["conflicts"].as_array().unwrap().iter().filter(|c| c["loser"]["value"] == "of a").collect();
    assert_eq!(lost.len(), 1, "{open}");
    let path = format!("/conflicts/{}/resolve", lost[0]["id"]);
    assert_eq!(records.v1("POST", &path, r#"{"take":"loser"}"#).json()["state"], "resolved");
    assert_eq!(records.v1("GET", "/todo/tasks/t1", "").json()["data"]["title"], "of a");
    assert_eq!(records.v1("POST", &path, r#"{"take":"loser"}"#).status, 404);
}

// Verifies: REC-11, REC-16, REC-44
#[test]
fn ferrys_own_client_pushes_follows_and_resyncs() {
    let records = Records::new();
    let field = |value: Value, at: &str| json!({"value": value, "at": at});
    let body = json!({"app": "todo", "changes": [
        {"collection": "tasks", "id": "t1", "op": "insert", "fields": {"title": field(json!("a"), T)}},
        {"collection": "tasks", "id": "t2", "op": "nonsense", "fields": {}},
        {"collection": "tasks", "id": "t1", "op": "update", "fields": {"far": field(json!(1), "2090-01-01T00:00:00Z")}}]});
    let answer = records.v1("POST", "/changes", &body.to_string()).json();
    assert_eq!(answer["results"][0], json!({"status": "ok"}));
    assert_eq!(answer["results"][1]["reason"], "invalid");
    assert_eq!(answer["results"][2]["fields"]["far"]["by"], "v1");
    let epoch = answer["epoch"].as_str().unwrap();
    assert!(!epoch.is_empty());
    let page = records.v1("GET", &format!("/changes?app=todo&epoch={epoch}&own=1"), "").json();
    assert_eq!((&page["snapshot"], &page["more"]), (&json!(true), &json!(false)));
    assert_eq!(
        page["changes"][0]["fields"]["title"],
        json!({"value": "a", "at": "2026-01-01T10:00:00.000000000Z", "by": "v1"})
    );
    let cursor = page["cursor"].as_str().unwrap();
    let path = format!("/v1/databases/-/records/changes/stream?app=todo&since={cursor}&epoch={epoch}");
    let bearer = records.bearer();
    let mut stream =
        EventStream::open(records.address(), &path, &[("Authorization", &bearer), ("X-Client-Id", "other")])
            .unwrap();
    let caught_up = stream.event().unwrap();
    assert_eq!((&*caught_up.name, &caught_up.data["changes"]), ("changes", &json!([])));
    records.push("old", "", &json!([update("t1", "title", &json!("b"), "2026-01-01T10:00:09Z")]));
    let news = stream.event().unwrap();
    assert_eq!(news.data["changes"][0]["fields"].as_object().unwrap().keys().collect::<Vec<_>>(), ["title"]);
    assert_eq!(news.data["cursor"].as_str(), news.id.as_deref());
    let other = records.v1("GET", "/changes?app=todo&epoch=other", "").json();
    assert_eq!((&other["resync"], &other["reason"]), (&json!(true), &json!("epoch")));
    let other = records.v1("POST", "/changes", r#"{"app":"todo","epoch":"other","changes":[]}"#).json();
    assert_eq!(other["resync"], true);
}

#[test]
fn an_export_is_imported_whole_or_refused() {
    let records = Records::new();
    let delete = json!({"table": "tasks", "id": "t2", "op": "delete", "deletedAt": "2026-01-01T10:00:07Z"});
    records.push("a", "", &json!([insert("tasks", "t1", "x"), insert("tasks", "t2", "y"), delete]));
    records.push("b", "", &json!([update("t1", "title", &json!("of b"), "2026-01-01T10:00:05Z")]));
    let export = records.v1("GET", "/export", "").text();
    assert_eq!(export.lines().count(), 4, "{export}");
    let other = Records::new();
    let admin = token(&other.place, &["read", "write", "admin"], &[]);
    let import = |body: &str| other.call_as(&admin, "POST", "/v1/databases/-/records/import", "", body);
    let cut: String = export.lines().take(3).map(|line| format!("{line}\n")).collect();
    assert_eq!(import(&cut).status, 400);
    assert_eq!(import(&export.replace("of b", "of c")).status, 400, "the digest does not fit");
    assert_eq!(import(&export).json()["records"], 2);
    let one = other.v1("GET", "/todo/tasks/t1", "").json();
    assert_eq!(
        one["fields"]["title"],
        json!({"value": "of b", "at": "2026-01-01T10:00:05.000000000Z", "writer": "b"})
    );
    assert_eq!(other.v1("GET", "/todo/tasks/t2", "").json()["deleted"], true);
    // Fields have no order of their own.
    let lines = |text: &str| {
        let lines = text.lines().skip(1).take(2);
        lines.map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    assert_eq!(lines(&other.v1("GET", "/export", "").text()), lines(&export));
}

// Verifies: REC-43
#[test]
fn devices_and_owners_can_be_forgotten() {
    let records = Records::new();
    records.push("phone", "", &json!([insert("tasks", "t1", "x")]));
    let devices = records.v1("GET", "/devices", "").json();
    assert_eq!(devices["devices"][0]["client"], "phone", "{devices}");
    assert_eq!(records.v1("DELETE", "/devices/phone", "").status, 200);
    assert_eq!(records.v1("DELETE", "/devices/phone", "").status, 404);
    let mut stream = records.stream("");
    stream.event().unwrap();
    let owner = records.v1("GET", "/export", "").text();
    let header: Value = serde_json::from_str(owner.lines().next().unwrap()).unwrap();
    let path = format!("/v1/databases/-/records/owners/{}", header["owner"].as_str().unwrap());
    assert_eq!(records.call("DELETE", &path, "", "").status, 403);
    let admin = token(&records.place, &["read", "write", "admin"], &[]);
    assert_eq!(records.call_as(&admin, "DELETE", &path, "", "").status, 200);
    assert_eq!(stream.event().unwrap().name, "bye");
    assert_eq!(records.pull("r", "tasks", "")["serverChanges"], json!([]));
}

/// A removal of an owner whose client hangs up before the commit. False if the request ran the commit itself, so that
/// nothing could stop it.
fn remove_and_hang_up(records: &Records, admin: &str, owner: &str, gates: &[&Path; 2]) -> bool {
    let [pushing, removing] = gates;
    let address = records.address();
    let send = |method: &str, path: &str, token: &str, body: &str| {
        let mut client = ferry_testkit::http::connect(address).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}");
        write!(client, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        client
    };
    // A push holds the writer meanwhile: then the removal runs on another thread than its request.
    let body = json!({"clientId": "phone", "changes": [insert("tasks", "t2", "x")]}).to_string();
    let _push = send("POST", "/sync/todo", &records.token, &body);
    wait::until("the push to stand before its commit", || pushing.exists().then_some(()));
    let removal = send("DELETE", &format!("/v1/databases/-/records/owners/{owner}"), admin, "");
    assert_eq!(records.v1("GET", "/export", "").status, 200);
    fs::remove_file(pushing).unwrap();
    wait::until("the removal to stand before its commit", || removing.exists().then_some(()));
    let sockets = || {
        let files = ferry_testkit::process::open_files(records.place.hub.pid());
        files.iter().filter(|file| file.to_string_lossy().starts_with("socket:")).count()
    };
    let before = sockets();
    drop(removal);
    let is_seen = wait::within(Duration::from_secs(2), || (sockets() < before).then_some(()));
    fs::remove_file(removing).unwrap();
    is_seen.is_some()
}

// The request ended its owner's streams after its commit, if it still ran then: they lived on when its client had hung up.
// Verifies: REC-43
#[test]
fn an_owners_streams_end_also_when_nobody_waits_for_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (pushing, removing) = (folder.path().join("pushing"), folder.path().join("removing"));
    let records = Records::new();
    records.push("phone", "", &json!([insert("tasks", "t1", "x")]));
    let admin = token(&records.place, &["read", "write", "admin"], &[]);
    let header = records.v1("GET", "/export", "").text();
    let header: Value = serde_json::from_str(header.lines().next().unwrap()).unwrap();
    let owner = header["owner"].as_str().unwrap().to_owned();
    let faults = [("records.applied", &pushing), ("records.owner_removed", &removing)];
    let faults = faults.map(|(point, gate)| format!("{point}=wait:{}", gate.display())).join(",");
    let records = records.restarted_with(|options| options.fault(faults));
    let mut stream = wait::until("a removal that is given up", || {
        let stream = records.stream("");
        remove_and_hang_up(&records, &admin, &owner, &[&pushing, &removing]).then_some(stream)
    });
    let bye = std::iter::from_fn(|| stream.event()).find(|event| event.name == "bye");
    assert_eq!(bye.expect("the stream says why it ends").data, json!({"reason": "revoked"}));
}

#[test]
fn a_write_refuses_parameters_that_it_does_not_know() {
    let records = Records::new();
    let put = |query: &str| records.v1("PUT", &format!("/todo/tasks/t1{query}"), r#"{"title":"a"}"#);
    let refused = put("?ownr=bob");
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused.text().contains("unknown parameter \\\"ownr\\\": this request takes owner"),
        "{}",
        refused.text()
    );
    assert_eq!(put("").status, 200);
}

// The figures of a database named events and pages, and not a word of records.
#[test]
fn the_figures_of_a_database_tell_its_live_records() {
    let records = Records::new();
    let figures = || {
        let shown = records.place.user.database(&records.place.database);
        shown["lanes"].as_array().cloned().unwrap_or_default()
    };
    assert_eq!(figures(), [] as [Value; 0], "no file yet");
    records.push("c", "", &json!([insert("tasks", "t1", "x"), insert("notes", "n1", "y")]));
    records.push("c", "", &json!([insert("tasks", "t2", "z")]));
    let deleted = records.v1("DELETE", "/todo/tasks/t1", "");
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let seq = deleted.header("ferry-seq").unwrap().to_owned();
    let figures = figures();
    let [lane] = &figures[..] else { panic!("{figures:?}") };
    let (model, items, head) = (&lane["model"], &lane["items"], &lane["head_seq"]);
    let head = if head.is_null() { &lane["headSeq"] } else { head };
    assert_eq!((model, items, head), (&json!("records"), &json!("2"), &json!(seq)), "{lane}");
    let bytes: u64 = lane["bytes"].as_str().unwrap().parse().unwrap();
    assert!((30..10_000).contains(&bytes), "{lane}");
}
