//! Spokes that wrote offline agree when they meet at the hub, in whatever order they come back.

use serde_json::{Value, json};

use super::{
    Ops,
    spokes::{Site, assert_equal, set_op, settle, splice},
};

/// All orders of three.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn three(ops: &Ops) -> [Site; 3] {
    [Site::new(ops), Site::new(ops), Site::new(ops)]
}

// Verifies: OPS-20, OPS-21, OPS-25, OPS-26, OPS-27, OPS-63
#[test]
fn three_offline_writes_of_one_field_make_the_same_winner_and_conflicts_in_every_order() {
    let ops = Ops::new();
    let sites = three(&ops);
    let all = [&sites[0], &sites[1], &sites[2]];
    for (round, order) in ORDERS.iter().enumerate() {
        let entity = format!("note/{round}");
        all.iter().for_each(|site| site.go_offline());
        let mut written = Vec::new();
        for (place, site) in all.iter().enumerate() {
            let op = set_op(&entity, "title", &json!(format!("by {place}")));
            let hlc = site.spoke.call("op.append", &json!({ "ops": [op] }))["ops"][0]["hlc"].clone();
            written.push((hlc.as_str().unwrap().to_owned(), format!("by {place}")));
        }
        for place in order {
            all[*place].sync();
        }
        settle(&all);
        let state = assert_equal(&ops, &all);
        let (_, winner) = written.iter().max().unwrap();
        assert_eq!(state[&entity]["fields"]["title"], *winner, "{order:?}");
        assert_eq!(state[&entity]["conflicts"].as_array().unwrap().len(), 2, "{order:?}");
    }
    // Decided at one place, they are closed at all.
    let conflict = all[1].spoke.conflicts().remove(0);
    let entity = conflict["entity"].as_str().unwrap();
    // The second one is closed with the first if it is an older write of who decides.
    while let Some(open) = all[1].spoke.conflicts().iter().find(|open| open["entity"] == entity) {
        all[1].spoke.call("conflicts.resolve", &json!({ "id": open["id"], "take": "winner" }));
    }
    let refused =
        all[1].spoke.try_call("conflicts.resolve", &json!({ "id": conflict["id"], "take": "loser" }));
    assert_eq!(refused.unwrap_err()["data"]["code"], "conflict_closed");
    settle(&all);
    let state = assert_equal(&ops, &all);
    assert_eq!(state[entity]["conflicts"], json!([]));
}

// Verifies: OPS-25
#[test]
fn equal_values_and_edits_that_follow_each_other_are_no_conflict() {
    let ops = Ops::new();
    let sites = three(&ops);
    let all = [&sites[0], &sites[1], &sites[2]];
    all.iter().for_each(|site| site.go_offline());
    all.iter().for_each(|site| drop(site.spoke.set("note/1", "title", &json!({ "a": 1, "b": [2] }))));
    settle(&all);
    for (round, site) in all.iter().enumerate() {
        site.spoke.set("note/2", "title", &json!(round));
        settle(&all);
    }
    let state = assert_equal(&ops, &all);
    assert_eq!(state["note/2"]["fields"]["title"], 2);
    assert_eq!(all[0].spoke.conflicts(), [Value::Null; 0]);
}

// Verifies: OPS-23, OPS-25, OPS-27
#[test]
fn an_edit_against_a_delete_is_a_conflict_in_both_orders_and_can_be_kept_as_a_copy() {
    let ops = Ops::new();
    let (editor, deleter) = (Site::new(&ops), Site::new(&ops));
    for (entity, order) in [("note/1", [&editor, &deleter]), ("note/2", [&deleter, &editor])] {
        editor.sync();
        editor.spoke.append(&json!([
            { "kind": "create", "entity": entity, "value": "note" },
            set_op(entity, "title", &json!("Milk")),
            splice(entity, 0, 0, "from the shop"),
        ]));
        settle(&[&editor, &deleter]);
        editor.go_offline();
        deleter.go_offline();
        editor.spoke.set(entity, "title", &json!("Tea"));
        deleter.spoke.append(&json!([{ "kind": "tombstone", "entity": entity }]));
        order.iter().for_each(|site| drop(site.sync()));
        settle(&[&editor, &deleter]);
        let state = assert_equal(&ops, &[&editor, &deleter]);
        assert_eq!(state[entity]["deleted"], true);
        let conflicts = editor.spoke.conflicts();
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        assert_eq!(
            (&conflicts[0]["reason"], &conflicts[0]["losing"]["value"]),
            (&json!("deleted"), &json!("Tea"))
        );
        // No op revives it.
        let late =
            editor.spoke.try_call("op.append", &json!({ "ops": [set_op(entity, "title", &json!("x"))] }));
        assert_eq!(late.unwrap_err()["data"]["code"], "entity_deleted");
        let copy = format!("{entity}-copy");
        let params = json!({ "id": conflicts[0]["id"], "take": "loser", "as_entity": copy });
        editor.spoke.call("conflicts.resolve", &params);
        settle(&[&editor, &deleter]);
        let state = assert_equal(&ops, &[&editor, &deleter]);
        assert_eq!(state[&copy]["fields"]["title"], "Tea");
        assert_eq!(state[&copy]["text"]["body"], "from the shop");
        assert_eq!(deleter.spoke.conflicts(), [Value::Null; 0]);
    }
}

// Verifies: OPS-22, OPS-24
#[test]
fn disjoint_edits_of_a_text_merge_and_a_link_that_was_added_again_stays() {
    let ops = Ops::new();
    let (left, right) = (Site::new(&ops), Site::new(&ops));
    let link = |kind: &str| json!({ "kind": kind, "entity": "note/1", "field": "tag", "value": { "to": "tag/home" } });
    left.spoke.append(&json!([
        splice("note/1", 0, 0, "Buy milk"),
        { "kind": "create", "entity": "tag/home", "value": "tag" },
        link("link.add"),
    ]));
    settle(&[&left, &right]);
    left.go_offline();
    right.go_offline();
    left.spoke.append(&json!([splice("note/1", 0, 0, "1. "), link("link.remove")]));
    right.spoke.append(&json!([splice("note/1", 8, 0, " and tea"), link("link.add")]));
    assert_eq!(left.spoke.get("note/1")["links"], json!({}));
    settle(&[&left, &right]);
    let state = assert_equal(&ops, &[&left, &right]);
    assert_eq!(state["note/1"]["text"]["body"], "1. Buy milk and tea");
    assert_eq!(state["note/1"]["links"]["tag"], json!(["tag/home"]));
    assert_eq!(state["note/1"]["conflicts"], json!([]));
}
