//! Hubs that were put back to an older state (acceptance scenario 8, the hub's part).

use std::fs;

use serde_json::{Value, json};

use super::{A, Ops, hlc, set, text};
use crate::support::{copy_folder, put_back};

fn write(n: u64) -> Value {
    set(&format!("op-a-{n:05}"), &hlc(n, 0, A), "n/1", "t", &json!(n), &[])
}

fn error(ops: &Ops, query: &str) -> (u16, Value) {
    let refused = ops.v1("GET", query, "");
    (refused.status, refused.json()["error"].clone())
}

// A restored hub never got its ops back.
// Verifies: OPS-31, OPS-32, OPS-33
#[test]
fn an_older_file_begins_a_new_epoch() {
    let mut ops = Ops::new();
    ops.accepted(A, &[write(1)]);
    let first = ops.page("");
    let epoch = text(&first["epoch"]);
    ops.place.hub.stop();
    let dir = ops.place.hub.database_dir(&ops.place.database);
    let backup = tempfile::tempdir().unwrap();
    copy_folder(&dir, backup.path());
    let mut ops = ops.restarted();
    assert_eq!(ops.page("")["epoch"], *epoch, "a restart is no loss");
    ops.accepted(A, &[write(2), write(3)]);
    ops.place.hub.stop();
    put_back(backup.path(), &dir);
    let ops = ops.restarted();
    let (status, refused) = error(&ops, &format!("?after_seq=3&after_id=op-a-00003&epoch={epoch}"));
    assert_eq!((status, &refused["code"]), (409, &json!("epoch_changed")), "{refused}");
    let details = &refused["details"];
    assert_eq!((&details["hub_id"], &details["policy"]), (&first["hub_id"], &json!("repush")));
    assert_ne!(details["epoch"], *epoch);
    // A push that names the old epoch is refused whole, and nothing of it is stored.
    let body = json!({"origin": A, "epoch": epoch, "ops": [write(2)]}).to_string();
    assert_eq!(ops.v1("POST", "", &body).status, 409);
    // What the spoke then does.
    let ids = json!({"ids": ["op-a-00001", "op-a-00002", "op-a-00003"]}).to_string();
    let missing = ops.v1("POST", "/missing", &ids).json()["missing"].clone();
    assert_eq!(missing, json!(["op-a-00002", "op-a-00003"]));
    ops.accepted(A, &[write(2), write(3)]);
    let ids = ops.ids();
    let again = ops.page("")["epoch"].clone();
    let ops = ops.restarted();
    assert_eq!((ops.ids(), &ops.page("")["epoch"]), (ids, &again));
    assert!(!ops.place.hub.log().contains("new epoch"), "once");
}

// Nothing in a data directory that was restored as a whole knows what was lost: the cursor proves it.
// Verifies: OPS-32, OPR-36
#[test]
fn a_whole_data_directory_is_found_out_by_the_cursor() {
    let mut ops = Ops::new();
    ops.accepted(A, &[write(1)]);
    ops.place.hub.stop();
    let dir = ops.place.hub.data_dir();
    let backup = tempfile::tempdir().unwrap();
    copy_folder(&dir, backup.path());
    let mut ops = ops.restarted();
    ops.accepted(A, &[write(2)]);
    let epoch = text(&ops.page("")["epoch"]);
    ops.place.hub.stop();
    put_back(backup.path(), &dir);
    let ops = ops.restarted();
    let ahead = format!("?after_seq=2&after_id=op-a-00002&epoch={epoch}");
    assert_eq!(error(&ops, &ahead).1["code"], "log_diverged");
    // Also once others have written as far.
    ops.accepted(A, &[write(7)]);
    for query in [ahead, "?after_seq=2&after_id=op-a-00002".to_owned()] {
        assert_eq!(error(&ops, &query).1["code"], "log_diverged", "{query}");
    }
    assert_eq!(ops.page("?after_seq=2&after_id=op-a-00007")["ops"], json!([]));
    let log = ops.place.hub.log();
    assert_eq!(log.matches("does not continue").count(), 1, "told once: {log}");
    let metrics = ferry_testkit::http::get(ops.address(), "/metrics").unwrap().text();
    assert!(metrics.contains("ferry_lineage_evidence_total{model=\"ops\"} 3"), "{metrics}");
}

// The op at the cursor was stored again, under its old number, behind another one than before: its id proves nothing.
// Verifies: OPS-32
#[test]
fn a_cursor_is_proven_by_when_its_op_was_stored() {
    let mut ops = Ops::new();
    ops.accepted(A, &[write(1)]);
    ops.place.hub.stop();
    let dir = ops.place.hub.data_dir();
    let backup = tempfile::tempdir().unwrap();
    copy_folder(&dir, backup.path());
    let mut ops = ops.restarted();
    ops.accepted(A, &[write(2)]);
    let push = |ops: &Ops, n| {
        let body = json!({"origin": A, "stamps": true, "ops": [write(n)]}).to_string();
        text(&ops.v1("POST", "", &body).json()["stamp"])
    };
    let cursor = "?after_seq=3&after_id=op-a-00003";
    let told = push(&ops, 3);
    assert!(ops.page(cursor)["next_stamp"].is_null(), "who does not ask is told no stamp");
    let page = ops.page("?after_seq=1&after_stamp=");
    assert_eq!((&page["next"], &page["next_stamp"]), (&json!(3), &json!(told)));
    let proven = format!("{cursor}&after_stamp={told}");
    assert_eq!(ops.page(&proven)["next_stamp"], *told);
    let header = ops.v1("GET", "/snapshot", "").text();
    let header: Value = serde_json::from_str(header.lines().next().unwrap()).unwrap();
    assert_eq!(header["next_stamp"], *told);
    ops.place.hub.stop();
    put_back(backup.path(), &dir);
    let ops = ops.restarted();
    ops.accepted(A, &[write(7)]);
    let anew = push(&ops, 3);
    assert_ne!(anew, told);
    assert_eq!(error(&ops, &proven).1["code"], "log_diverged");
    assert_eq!(ops.page(&format!("{cursor}&after_stamp={anew}"))["ops"], json!([]));
    assert_eq!(ops.page(cursor)["ops"], json!([]), "an older spoke is taken at its word");
}

// Verifies: OPS-30, OPS-33
#[test]
fn an_empty_hub_at_the_same_url_says_that_it_is_another_one() {
    let mut ops = Ops::new();
    ops.accepted(A, &[write(1)]);
    let (hub_id, epoch) = (text(&ops.page("")["hub_id"]), text(&ops.page("")["epoch"]));
    ops.place.hub.stop();
    fs::remove_dir_all(ops.place.hub.database_dir(&ops.place.database)).unwrap();
    let ops = ops.restarted();
    for query in
        [format!("?after_seq=1&hub_id={hub_id}&epoch={epoch}"), format!("?after_seq=0&hub_id={hub_id}")]
    {
        let (status, refused) = error(&ops, &query);
        assert_eq!((status, &refused["code"]), (409, &json!("epoch_changed")), "{query}");
    }
    assert_eq!(error(&ops, "?after_seq=1").1["code"], "log_diverged");
    let body = json!({"hub_id": hub_id, "ops": [write(1)]}).to_string();
    assert_eq!(ops.v1("POST", "", &body).status, 409);
    assert_eq!(ops.page("")["head"], 0);
    ops.accepted(A, &[write(1)]);
    assert_ne!(ops.page("")["hub_id"], *hub_id);
}

// Verifies: OPS-31, OPS-33
#[test]
fn an_admin_begins_an_epoch_and_may_empty_the_log() {
    let ops = Ops::new();
    let admin = ops.admin();
    let epoch = |token: &str, body: &Value| ops.v1_as(token, "POST", "/epoch", &body.to_string());
    assert_eq!(epoch(&admin, &json!({"policy": "repush", "confirm": "app"})).status, 404, "there is no log");
    ops.accepted(A, &[write(1), write(2)]);
    let before = ops.page("");
    for body in [
        json!({"policy": "repush"}),
        json!({"policy": "burn", "confirm": "app"}),
        json!({"policy": "repush", "confirm": "other"}),
    ] {
        assert_eq!(epoch(&admin, &body).status, 400, "{body}");
    }
    assert_eq!(epoch(&ops.token, &json!({"policy": "repush", "confirm": "app"})).status, 403);
    let begun = epoch(&admin, &json!({"policy": "repush", "confirm": ops.place.database})).json();
    assert_eq!((&begun["hub_id"], &begun["head"]), (&before["hub_id"], &json!(2)));
    assert_ne!(begun["epoch"], before["epoch"]);
    assert_eq!(ops.ids().len(), 2);
    let begun = epoch(&admin, &json!({"policy": "discard", "confirm": "app"})).json();
    let (_, refused) = error(&ops, &format!("?epoch={}", text(&before["epoch"])));
    assert_eq!(
        (&refused["details"]["policy"], &refused["details"]["epoch"]),
        (&json!("discard"), &begun["epoch"])
    );
    assert_eq!((ops.ids().len(), ops.v1("GET", "/entities", "").json()["entities"].clone()), (0, json!([])));
    ops.accepted(A, &[write(1)]);
    let ids = ops.ids();
    // The control plane knows the epoch: a restart makes no other one.
    let known = ops.page("")["epoch"].clone();
    let ops = ops.restarted();
    assert_eq!((&ops.page("")["epoch"], ops.ids()), (&known, ids));
}
