//! Conflicts over the wire (acceptance scenarios 3 and 4, the hub's part).

use serde_json::{Value, json};

use super::{A, B, Ops, hlc, set, text, tombstone};

const C: &str = "c000000000000001";

fn open(ops: &Ops) -> Vec<Value> {
    ops.v1("GET", "/conflicts", "").json()["conflicts"].as_array().unwrap().clone()
}

// Each replica recorded its own conflicts, twice or never.
// Verifies: OPS-20, OPS-21, OPS-25, OPS-26
#[test]
fn three_writers_make_the_same_two_conflicts_in_any_order() {
    let writes = [
        (A, set("op-a-0001", &hlc(30, 0, A), "node/1", "title", &json!("Milk"), &[])),
        (B, set("op-b-0001", &hlc(20, 0, B), "node/1", "title", &json!("Tea"), &[])),
        (C, set("op-c-0001", &hlc(10, 0, C), "node/1", "title", &json!("Oats"), &[])),
    ];
    let mut seen: Option<Vec<String>> = None;
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let ops = Ops::new();
        for at in order {
            let (origin, op) = &writes[at];
            ops.accepted(origin, std::slice::from_ref(op));
        }
        assert_eq!(ops.v1("GET", "/entity?entity=node/1", "").json()["fields"]["title"], "Milk");
        let page = ops.v1("GET", "", "").text();
        let mut recorded: Vec<String> = ops
            .log_from(0, "")
            .iter()
            .filter(|(_, op)| op["kind"] == "conflict")
            .map(|(_, op)| op.to_string())
            .collect();
        recorded.sort();
        assert_eq!((recorded.len(), page.matches("\"kind\":\"conflict\"").count()), (2, 2), "{order:?}");
        match &seen {
            None => seen = Some(recorded),
            Some(first) => assert_eq!(*first, recorded, "{order:?}"),
        }
        let ids: Vec<String> = open(&ops).iter().map(|conflict| text(&conflict["id"])).collect();
        assert_eq!(ids.len(), 2, "{order:?}");
        assert_eq!(ops.v1("GET", "/conflicts?entity=node/2", "").json()["conflicts"], json!([]));
    }
}

// Verifies: OPS-25, OPS-26, OPS-27
#[test]
fn a_resolution_closes_its_conflict_and_is_an_op_like_others() {
    let ops = Ops::new();
    ops.accepted(A, &[set("op-a-0001", &hlc(30, 0, A), "node/1", "title", &json!("Milk"), &[])]);
    ops.accepted(B, &[set("op-b-0001", &hlc(20, 0, B), "node/1", "title", &json!("Tea"), &[])]);
    let [conflict] = &open(&ops)[..] else { panic!("one conflict") };
    assert_eq!(
        (
            &conflict["reason"],
            &conflict["status"],
            &conflict["losing"]["value"],
            &conflict["winning"]["value"]
        ),
        (&json!("value"), &json!("open"), &json!("Tea"), &json!("Milk"))
    );
    let gauge = |count: f64| {
        let is_so = || (ops.metric("ferry_ops_conflicts_open") == Some(count)).then_some(());
        ferry_testkit::wait::until("the gauge of open conflicts", is_so);
    };
    gauge(1.0);
    let resolve = format!("/conflicts/{}/resolve", text(&conflict["id"]));
    for (body, status) in [(r#"{"take":"both"}"#, 400), (r#"{"take":"value"}"#, 422), ("{}", 400)] {
        assert_eq!(ops.v1("POST", &resolve, body).status, status, "{body}");
    }
    let resolved = ops.v1("POST", &resolve, r#"{"take":"loser"}"#);
    assert_eq!(resolved.status, 200, "{}", resolved.text());
    let id = text(&resolved.json()["ops"][0]["id"]);
    assert!(open(&ops).is_empty());
    gauge(0.0);
    let (_, op) = ops.log_from(0, "").pop().unwrap();
    assert_eq!((&op["id"], &op["value"]), (&json!(id), &json!("Tea")));
    let mut base: Vec<String> = op["base"].as_array().unwrap().iter().map(text).collect();
    base.sort();
    assert_eq!(base, ["op-a-0001", "op-b-0001"]);
    let again = ops.v1("POST", &resolve, r#"{"take":"loser"}"#);
    assert_eq!((again.status, &again.json()["error"]["code"]), (409, &json!("conflict_closed")));
    assert_eq!(ops.v1("POST", "/conflicts/cf-none/resolve", r#"{"take":"loser"}"#).status, 404);
    let all = ops.v1("GET", "/conflicts?status=all", "").json();
    assert_eq!(all["conflicts"][0]["status"], "closed");
}

// Verifies: OPS-25
#[test]
fn equal_values_and_sequential_edits_are_no_conflict() {
    let ops = Ops::new();
    ops.accepted(A, &[set("op-a-0001", &hlc(10, 0, A), "node/1", "title", &json!({"a": 1}), &[])]);
    ops.accepted(B, &[set("op-b-0001", &hlc(20, 0, B), "node/1", "title", &json!({"a": 1}), &[])]);
    ops.accepted(A, &[set("op-a-0002", &hlc(30, 0, A), "node/1", "title", &json!(2), &["op-b-0001"])]);
    assert_eq!(open(&ops), Vec::<Value>::new());
    assert_eq!(ops.ids().len(), 3);
}

// Verifies: OPS-23, OPS-25, OPS-27
#[test]
fn an_edit_that_the_delete_did_not_see_is_a_conflict_in_either_order() {
    for delete_first in [false, true] {
        let ops = Ops::new();
        ops.accepted(A, &[set("op-a-0001", &hlc(0, 0, A), "node/1", "title", &json!("Milk"), &[])]);
        let edit = (B, set("op-b-0001", &hlc(5, 0, B), "node/1", "body", &json!("more"), &[]));
        let delete = (A, tombstone("op-a-0002", &hlc(9, 0, A), "node/1", &["op-a-0001"]));
        let order = if delete_first { [&delete, &edit] } else { [&edit, &delete] };
        for (origin, op) in order {
            ops.accepted(origin, std::slice::from_ref(op));
        }
        let view = ops.v1("GET", "/entity?entity=node/1", "").json();
        assert_eq!(view["deleted"], true);
        let [conflict] = &open(&ops)[..] else { panic!("one conflict, delete first: {delete_first}") };
        assert_eq!((&conflict["reason"], &conflict["winning"]), (&json!("deleted"), &Value::Null));
        let resolve = format!("/conflicts/{}/resolve", text(&conflict["id"]));
        let taken = ops.v1("POST", &resolve, r#"{"take":"loser","as_entity":"node/2"}"#);
        assert_eq!(taken.status, 200, "{}", taken.text());
        let copy = ops.v1("GET", "/entity?entity=node/2", "").json();
        assert_eq!((&copy["fields"]["body"], &copy["deleted"]), (&json!("more"), &json!(false)), "{copy}");
        assert!(open(&ops).is_empty());
    }
}

// The examples E6 and E7.
// Verifies: OPS-22, OPS-24, OPS-25
#[test]
fn links_and_texts_merge_and_the_conflict_of_a_delete_has_the_id_of_the_example() {
    const Y: [&str; 3] = ["AQEBAAQBAXQIQnV5IG1pbGsA", "AQEBCEQBAAMxLiAA", "AQECAIQBBwggYW5kIHRlYQA="];
    const E6: [&str; 4] = [
        r#"{"v":1,"id":"op-a-0030","hlc":"01a1f8666ea8-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"link.add","entity":"node/1","field":"tag","value":{"to":"tag/home"}}"#,
        r#"{"v":1,"id":"op-a-0031","hlc":"01a1f8666ea8-0001-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"link.remove","entity":"node/1","field":"tag","removes":["op-a-0030"]}"#,
        r#"{"v":1,"id":"op-b-body1","hlc":"01a1f8666ea8-0000-b7d0193f5c2e8a46","origin":"b7d0193f5c2e8a46","kind":"set","entity":"node/1","field":"body","value":"more","base":[]}"#,
        r#"{"v":1,"id":"op-a-0040","hlc":"01a1f8668230-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"tombstone","entity":"node/1","base":["op-a-0020"]}"#,
    ];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let ops = Ops::new();
        for at in order {
            let at_ms = u64::try_from(at).unwrap();
            let op = json!({"v": 1, "id": format!("op-text-{at}"), "hlc": hlc(at_ms, 0, A), "origin": A,
                "kind": "text", "entity": "note/1", "field": "body", "value": Y[at], "base": []});
            ops.accepted(A, &[op]);
        }
        let view = ops.v1("GET", "/entity?entity=note/1", "").json();
        assert_eq!(view["text"]["body"], "1. Buy milk and tea", "{order:?}: {view}");
    }
    let ops = Ops::new();
    let link = |n: u64, kind: &str| {
        let id = format!("op-l-{n:04}");
        json!({"v": 1, "id": id, "hlc": hlc(n, 0, A), "origin": A, "kind": kind, "entity": "n/1", "field": "tag",
            "value": {"to": "tag/a"}})
    };
    let mut remove = link(2, "link.remove");
    remove["removes"] = json!(["op-l-0001"]);
    // The second add was made while the first was removed.
    ops.accepted(A, &[link(1, "link.add"), remove, link(3, "link.add")]);
    assert_eq!(ops.v1("GET", "/entity?entity=n/1", "").json()["links"]["tag"], json!(["tag/a"]));
    let ops = Ops::new();
    let pushed = ops.v1("POST", "", &format!(r#"{{"ops":[{}]}}"#, E6.join(",")));
    assert!(super::statuses(&pushed.json()).iter().all(|status| status == "accepted"), "{}", pushed.text());
    let [conflict] = &open(&ops)[..] else { panic!("one conflict") };
    assert_eq!(
        (&conflict["id"], &conflict["reason"]),
        (&json!("cf-9e3b840c312b1336334d17a9a6624fc2"), &json!("deleted"))
    );
}
