//! Batches and pages of Ferry's own wire.

use serde_json::{Value, json};

use super::{A, B, Ops, codes, hlc, set, statuses, text};

/// The batch of the specification's example E2.
const E2: &str = r#"{"origin":"a1b2c3d4e5f60718","ops":[{"v":1,"id":"op-a-0001","hlc":"01a1f8660d00-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"create","entity":"node/1","value":"note"},{"v":1,"id":"op-a-0010","hlc":"01a1f8663410-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"set","entity":"node/1","field":"title","value":"Milk","base":[]}]}"#;
/// Its answer, behind the log's identity and the time.
const E2_RESULTS: &str = r#""results":[{"id":"op-a-0001","status":"accepted","seq":1},{"id":"op-a-0010","status":"accepted","seq":2}]}"#;
/// The late op of E3.
const E3: &str = r#"{"v":1,"id":"op-b-0005","hlc":"01a1f8662088-0000-b7d0193f5c2e8a46","origin":"b7d0193f5c2e8a46","kind":"set","entity":"node/1","field":"title","value":"Tea","base":[]}"#;
/// The page of E4, behind the log's identity and the time.
const E4_PAGE: &str = r#""floor":0,"next":4,"next_id":"cf-f2cbe6da33f6e4ce0094a1e1c9597f29","has_more":false,"ops":[{"seq":3,"op":{"v":1,"id":"op-b-0005","hlc":"01a1f8662088-0000-b7d0193f5c2e8a46","origin":"b7d0193f5c2e8a46","kind":"set","entity":"node/1","field":"title","value":"Tea","base":[]}},{"seq":4,"op":{"v":1,"id":"cf-f2cbe6da33f6e4ce0094a1e1c9597f29","hlc":"01a1f8662088-0000-b7d0193f5c2e8a46","origin":"0000000000000000","kind":"conflict","entity":"node/1","field":"title","value":{"op":"op-b-0005","origin":"b7d0193f5c2e8a46","value":"Tea"}}}]}"#;

/// An answer whose identity and time are checked and left out.
fn behind_head(answer: &str, head: u64) -> String {
    let json: Value = serde_json::from_str(answer).unwrap();
    let begin = format!(
        r#"{{"hub_id":"{}","epoch":"{}","head":{head},"hub_time_ms":{},"#,
        text(&json["hub_id"]),
        text(&json["epoch"]),
        json["hub_time_ms"]
    );
    answer.strip_prefix(&*begin).unwrap_or_else(|| panic!("{answer} does not begin with {begin}")).to_owned()
}

// Verifies: OPS-01, OPS-02, OPS-25
#[test]
fn the_examples_of_a_batch_and_a_page_with_a_conflict() {
    let ops = Ops::new();
    let pushed = ops.v1("POST", "", E2);
    assert_eq!(behind_head(&pushed.text(), 2), E2_RESULTS);
    let late = ops.v1("POST", "", &format!(r#"{{"origin":"{B}","ops":[{E3}]}}"#));
    assert_eq!(late.json()["results"][0]["seq"], 3);
    let page = ops.v1("GET", "?after_seq=2&after_id=op-a-0010", "");
    assert_eq!(behind_head(&page.text(), 4), E4_PAGE);
    assert_eq!(
        (page.header("ferry-seq"), page.header("content-type")),
        (Some("2"), Some("application/json"))
    );
}

// Verifies: OPS-03, OPS-04
#[test]
fn a_known_id_is_a_duplicate_and_another_content_is_told() {
    let ops = Ops::new();
    let op = r#"{"v":1, "id":"op-a-0001","hlc":"01a1f8660d00-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"set","entity":"n/1","field":"t","value":1.0,"future":[1, 2],"base":[]}"#;
    let push = |op: &str| ops.v1("POST", "", &format!(r#"{{"ops":[{op}]}}"#));
    assert_eq!(statuses(&push(op).json()), ["accepted"]);
    let again = push(op);
    assert_eq!((statuses(&again.json()), again.header("ferry-seq")), (vec!["duplicate".into()], Some("1")));
    assert_eq!(again.json()["results"][0]["seq"], 1);
    // Blanks and the order of keys are no other content.
    let reordered = r#"{"id":"op-a-0001","v":1,"base":[],"hlc":"01a1f8660d00-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"set","entity":"n/1","field":"t","value":1.0,"future":[1,2]}"#;
    assert!(push(reordered).json()["results"][0]["differs"].is_null());
    let other = push(&op.replace("1.0", "1"));
    assert_eq!(other.json()["results"][0]["differs"], true);
    assert!(ops.v1("GET", "", "").text().contains(op), "the first stays, byte for byte");
    assert_eq!(ops.metric("ferry_ops_differs_total"), Some(1.0));
    assert_eq!(ops.metric("ferry_ops_results_total{status=\"duplicate\"}"), Some(3.0));
}

// One bad op failed all others.
// Verifies: OPS-07
#[test]
fn each_op_has_a_result_of_its_own() {
    let ops = Ops::new();
    let good = |n: u16| set(&format!("op-a-00{n:02}"), &hlc(n.into(), 0, A), "n/1", "t", &json!(n), &[]);
    let mut wrong_origin = good(2);
    wrong_origin["origin"] = json!(B);
    let derived = json!({"v": 1, "id": "cf-00000001", "hlc": hlc(3, 0, A), "origin": A, "kind": "set",
        "entity": "n/1", "field": "t", "value": 1});
    let bad_hlc = set("op-a-0004", &hlc(4, 0, A).to_uppercase(), "n/1", "t", &json!(1), &[]);
    let answer = ops.push(A, &[good(1), wrong_origin, derived, bad_hlc, json!(7), good(5)]);
    assert_eq!(
        statuses(&answer),
        ["accepted", "rejected", "rejected", "rejected", "rejected", "accepted"],
        "{answer}"
    );
    assert_eq!(&codes(&answer)[3], "bad_hlc", "{answer}");
    let repeated = format!(r#"{{"ops":[{{"v":1,"v":1,"id":"op-a-0009","hlc":"{}"}}]}}"#, hlc(9, 0, A));
    assert_eq!(codes(&ops.v1("POST", "", &repeated).json()), ["bad_op"]);
    assert_eq!(ops.ids(), ["op-a-0001", "op-a-0005"]);
}

// Verifies: OPS-07
#[test]
fn an_atomic_batch_is_stored_whole_or_not_at_all() {
    let ops = Ops::new();
    let mut batch: Vec<Value> = (0..1_000)
        .map(|n| set(&format!("op-a-{n:05}"), &hlc(n, 0, A), &format!("n/{n}"), "t", &json!(n), &[]))
        .collect();
    let good = batch[500].clone();
    batch[500] = json!({"v": 1, "id": "short"});
    let refused = ops.v1("POST", "?atomic=1", &super::batch(A, &batch));
    let error = &refused.json()["error"];
    assert_eq!((refused.status, &error["code"]), (422, &json!("atomic_failed")));
    let results = error["details"]["results"].as_array().unwrap();
    assert_eq!((results.len(), &results[500]["status"]), (1_000, &json!("rejected")));
    assert_eq!(ops.page("")["head"], 0, "not even the log was made");
    batch[500] = good;
    assert_eq!(ops.v1("POST", "?atomic=1", &super::batch(A, &batch)).status, 200);
    assert_eq!(ops.log_from(0, "&limit=5000").len(), 1_000);
    let again = ops.v1("POST", "?atomic=1", &super::batch(A, &batch[..3]));
    assert_eq!((again.status, again.header("ferry-seq")), (200, Some("1")), "duplicates stand");
}

// Verifies: OPS-08, OPS-09
#[test]
fn pages_are_bounded_and_pass_what_the_puller_holds() {
    let ops = Ops::new();
    let all: Vec<Value> = (0..20)
        .map(|n| {
            set(&format!("op-a-{n:05}"), &hlc(n, 0, A), &format!("n/{n}"), "t", &json!("x".repeat(100)), &[])
        })
        .collect();
    ops.accepted(A, &all);
    let page = ops.page("?limit=3");
    assert_eq!((&page["next"], &page["has_more"]), (&json!(3), &json!(true)));
    let page = ops.page("?after_seq=3&bytes=1");
    assert_eq!((page["ops"].as_array().unwrap().len(), &page["next"]), (1, &json!(4)), "one at least");
    for query in ["&limit=1", "&bytes=1", "&bytes=700", "&limit=5000", "&limit=7&skip=2-3,19"] {
        let seqs: Vec<u64> = ops.log_from(0, query).iter().map(|(seq, _)| *seq).collect();
        let expected: Vec<u64> =
            (1..=20).filter(|n| !query.contains("skip") || ![2, 3, 19].contains(n)).collect();
        assert_eq!(seqs, expected, "{query}");
    }
    let skipped = ops.page("?skip=1-20");
    assert_eq!(
        (&skipped["ops"], &skipped["next"], &skipped["next_id"], &skipped["has_more"]),
        (&json!([]), &json!(20), &json!("op-a-00019"), &json!(false))
    );
    assert_eq!(ops.v1("GET", &format!("?skip={}1", "1,".repeat(64)), "").status, 400);
}

// Verifies: OPS-33
#[test]
fn missing_names_what_the_log_never_knew() {
    let ops = Ops::new();
    let ask = |ids: &Value| {
        ops.v1("POST", "/missing", &json!({ "ids": ids }).to_string()).json()["missing"].clone()
    };
    assert_eq!(ask(&json!(["op-a-0001"])), json!(["op-a-0001"]), "there is no log yet");
    ops.accepted(A, &[set("op-a-0001", &hlc(0, 0, A), "n/1", "t", &json!(1), &[])]);
    assert_eq!(ask(&json!(["op-a-0002", "op-a-0001", "op-a-0003"])), json!(["op-a-0002", "op-a-0003"]));
    let many: Vec<String> = (0..10_001).map(|n| format!("op-{n:08}")).collect();
    let refused = ops.v1("POST", "/missing", &json!({ "ids": many }).to_string());
    assert_eq!(refused.status, 400);
    assert_eq!(ask(&json!(many[..10_000])).as_array().unwrap().len(), 10_000);
}

// Verifies: OPS-62
#[test]
fn the_hub_writes_drafts_under_an_origin_of_its_own() {
    let ops = Ops::new();
    let drafts = json!({"ops": [
        {"kind": "create", "entity": "node/1", "value": "note"},
        {"kind": "set", "entity": "node/1", "field": "title", "value": "Milk", "id": "mine-0001"},
        {"kind": "text", "entity": "node/1", "field": "body", "splice": [[0, 0, "Buy milk"]]},
        {"kind": "link.add", "entity": "node/1", "field": "tag", "value": {"to": "tag/home"}},
    ]});
    let written = ops.v1("POST", "/append", &drafts.to_string());
    assert_eq!(written.status, 200, "{}", written.text());
    let list = written.json()["ops"].clone();
    assert_eq!((list.as_array().unwrap().len(), &list[1]["id"]), (4, &json!("mine-0001")));
    let view = ops.v1("GET", "/entity?entity=node/1", "").json();
    assert_eq!(
        (&view["type"], &view["fields"]["title"], &view["text"]["body"], &view["links"]["tag"]),
        (&json!("note"), &json!("Milk"), &json!("Buy milk"), &json!(["tag/home"])),
        "{view}"
    );
    let origins: Vec<String> = ops.log_from(0, "").iter().map(|(_, op)| text(&op["origin"])).collect();
    assert!(
        origins.iter().all(|origin| *origin == origins[0]) && origins[0] != "0".repeat(16),
        "{origins:?}"
    );
    // A repeated id gives the first result.
    let again = ops.v1("POST", "/append", &json!({"ops": [drafts["ops"][1]]}).to_string()).json();
    assert_eq!(again["ops"][0], list[1]);
    assert_eq!(ops.ids().len(), 4);
    let gone = json!({"ops": [{"kind": "tombstone", "entity": "node/1"}]});
    assert_eq!(ops.v1("POST", "/append", &gone.to_string()).status, 200);
    let refused = ops.v1("POST", "/append", &json!({"ops": [drafts["ops"][3]]}).to_string());
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (409, &json!("entity_deleted")));
}

// Verifies: OPS-28
#[test]
fn entities_are_listed_in_pages() {
    let ops = Ops::new();
    let all: Vec<Value> = (0..25)
        .map(|n| set(&format!("op-a-{n:05}"), &hlc(n, 0, A), &format!("task/{n:02}"), "t", &json!(n), &[]))
        .collect();
    ops.accepted(A, &all);
    ops.accepted(A, &[super::tombstone("op-a-gone1", &hlc(99, 0, A), "task/03", &["op-a-00003"])]);
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let page = ops.v1("GET", &format!("/entities?prefix=task/&limit=7&after={after}"), "").json();
        names.extend(page["entities"].as_array().unwrap().iter().map(|entity| text(&entity["entity"])));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names.len(), 24, "{names:?}");
    assert!(!names.contains(&"task/03".to_owned()));
    let all = ops.v1("GET", "/entities?deleted=1&limit=1000", "").json();
    assert_eq!(all["entities"].as_array().unwrap().len(), 25);
    assert_eq!(ops.v1("GET", "/entities?prefix=note/", "").json()["entities"], json!([]));
}
