//! Snapshots and compaction over the wire (acceptance scenario 10, the hub's part).

use ferry_testkit::http::{gunzip, send, sha256_hex};
use serde_json::{Value, json};

use super::{A, Ops, hlc, set, text};

/// Edits of a few fields, one behind the other.
fn history(ops: &Ops, count: u64) {
    let mut last: Vec<Option<String>> = vec![None; 5];
    for n in 0..count {
        let field = usize::try_from(n % 5).unwrap();
        let id = format!("op-a-{n:05}");
        let base: Vec<&str> = last[field].iter().map(String::as_str).collect();
        ops.accepted(A, &[set(&id, &hlc(n, 0, A), "n/1", &format!("f{field}"), &json!(n), &base)]);
        last[field] = Some(id);
    }
}

/// The ops of a snapshot, whose header and trailer are right.
fn lines(snapshot: &str) -> (Value, Vec<Value>) {
    let all: Vec<&str> = snapshot.lines().collect();
    let [header, ops @ .., trailer] = &all[..] else { panic!("{snapshot}") };
    let header: Value = serde_json::from_str(header).unwrap();
    assert_eq!((&header["ferry"], &header["version"]), (&json!("ops-snapshot"), &json!(1)));
    let covered: String = ops.iter().map(|line| format!("{line}\n")).collect();
    let digest = sha256_hex(covered.as_bytes());
    let trailer: Value = serde_json::from_str(trailer).unwrap();
    assert_eq!(trailer, json!({"end": true, "count": ops.len(), "sha256": digest}));
    (header, ops.iter().map(|line| serde_json::from_str(line).unwrap()).collect())
}

// Verifies: OPS-41
#[test]
fn a_snapshot_is_the_log_as_if_it_had_just_been_compacted() {
    let ops = Ops::new();
    let (header, none) = lines(&ops.v1("GET", "/snapshot", "").text());
    let named = text(&header["hub_id"]);
    assert_eq!((named.len(), &header["seq"], none.len()), (32, &json!(0), 0));
    history(&ops, 40);
    let page = ops.page("?limit=1");
    let answer = ops.v1("GET", "/snapshot", "");
    assert_eq!(
        (answer.header("content-type"), answer.header("ferry-seq")),
        (Some("application/x-ndjson"), Some("40"))
    );
    let (header, kept) = lines(&answer.text());
    assert_eq!(text(&header["hub_id"]), named);
    assert_eq!((&header["hub_id"], &header["epoch"]), (&page["hub_id"], &page["epoch"]));
    assert_eq!((&header["seq"], &header["next_id"]), (&json!(40), &json!("op-a-00039")));
    let ids: Vec<String> = kept.iter().map(|line| text(&line["op"]["id"])).collect();
    assert_eq!(ids, ["op-a-00035", "op-a-00036", "op-a-00037", "op-a-00038", "op-a-00039"]);
    assert_eq!(ops.ids().len(), 40, "the log itself keeps them");
    // The same, compressed.
    let bearer = format!("Bearer {}", ops.token);
    for (coding, word) in [("gzip", "gzip"), ("zstd, gzip", "zstd")] {
        let headers = [("Authorization", &*bearer), ("Accept-Encoding", coding)];
        let packed = send(ops.address(), "GET", "/v1/databases/-/ops/snapshot", &headers, b"").unwrap();
        assert_eq!(packed.header("content-encoding"), Some(word));
        if word == "gzip" {
            assert_eq!(gunzip(&packed.body), answer.body);
        } else {
            assert_eq!(&packed.body[..4], [0x28, 0xb5, 0x2f, 0xfd], "a frame of zstd (RFC 8878)");
        }
    }
}

// Verifies: OPS-40, OPS-41
#[test]
fn a_compacted_log_refuses_cursors_below_its_floor() {
    let ops = Ops::with(&["--ops-retain-days=0"]);
    history(&ops, 40);
    let before = ops.v1("GET", "/entity?entity=n/1", "").json();
    assert_eq!(ops.v1("POST", "/compact", "").status, 403);
    let compacted = ops.v1_as(&ops.admin(), "POST", "/compact", "");
    let done = compacted.json();
    assert_eq!((compacted.status, &done["dropped"], &done["floor"]), (200, &json!(35), &json!(35)), "{done}");
    let gone = ops.v1("GET", "", "");
    let error = &gone.json()["error"];
    assert_eq!(
        (gone.status, &error["code"], &error["details"]["floor"]),
        (410, &json!("snapshot_required"), &json!(35))
    );
    let page = ops.page("?after_seq=35&after_id=op-a-00034");
    assert_eq!((page["ops"].as_array().unwrap().len(), &page["floor"]), (5, &json!(35)));
    let after = ops.v1("GET", "/entity?entity=n/1", "").json();
    assert_eq!((&before["fields"], &before["hlc"]), (&after["fields"], &after["hlc"]));
    // Dropped ids stay known.
    let again = ops.push(A, &[set("op-a-00001", &hlc(1, 0, A), "n/1", "f1", &json!(1), &[])]);
    assert_eq!(super::statuses(&again), ["duplicate"]);
    // A stream whose cursor is below the floor begins anew.
    for query in ["?mode=ops&after_seq=3", "?after_seq=3"] {
        let mut stream = ops.stream(query);
        stream.expect("resync");
    }
    let mut nudged = ops.stream("");
    assert_eq!(nudged.expect("nudge").1["head"], 40, "who names no cursor wants nudges");
    let again = ops.v1_as(&ops.admin(), "POST", "/compact", "").json();
    assert_eq!((&again["dropped"], &again["floor"]), (&json!(0), &json!(35)));
}

// Verifies: OPS-40
#[test]
fn a_log_is_compacted_daily_beside_its_first_request() {
    let ops = Ops::with(&["--ops-retain-days=0"]);
    history(&ops, 10);
    // Two days on; nobody asks for it.
    let days = 2 * 24 * 3_600_000_i64;
    let mut ops = ops.restarted_with(|options| options.fault(format!("clock={days}")));
    ops.place.user = ferry_testkit::Session::login(ops.address(), &ops.place.user.email);
    ops.token = super::token(&ops.place, &["read", "write"], &[]);
    ferry_testkit::wait::until("the compaction", || {
        (ops.v1("GET", "?after_seq=10", "").json()["floor"] == 5).then_some(())
    });
}
