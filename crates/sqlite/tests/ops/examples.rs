//! The examples of the specification, and the scenarios that they are of.

use ferry_protocol::ops::{ConflictFilter, ConflictReason, ConflictStatus, OpCode, SpokeErrorCode};

use super::store::{Pushed, Store};

const A: u64 = 0xa1b2_c3d4_e5f6_0718;

const CREATE: &str = r#"{"v":1,"id":"op-a-0001","hlc":"01a1f8660d00-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"create","entity":"node/1","value":"note"}"#;
const MILK: &str = r#"{"v":1,"id":"op-a-0010","hlc":"01a1f8663410-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"set","entity":"node/1","field":"title","value":"Milk","base":[]}"#;
const TEA: &str = r#"{"v":1,"id":"op-b-0005","hlc":"01a1f8662088-0000-b7d0193f5c2e8a46","origin":"b7d0193f5c2e8a46","kind":"set","entity":"node/1","field":"title","value":"Tea","base":[]}"#;
const TEA_LOST: &str = r#"{"v":1,"id":"cf-f2cbe6da33f6e4ce0094a1e1c9597f29","hlc":"01a1f8662088-0000-b7d0193f5c2e8a46","origin":"0000000000000000","kind":"conflict","entity":"node/1","field":"title","value":{"op":"op-b-0005","origin":"b7d0193f5c2e8a46","value":"Tea"}}"#;
const RESOLVED: &str = r#"{"v":1,"id":"op-a-0020","hlc":"01a1f8665b20-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"set","entity":"node/1","field":"title","value":"Tea","base":["op-a-0010","op-b-0005"]}"#;
const LINKED: &str = r#"{"v":1,"id":"op-a-0030","hlc":"01a1f8666ea8-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"link.add","entity":"node/1","field":"tag","value":{"to":"tag/home"}}"#;
const UNLINKED: &str = r#"{"v":1,"id":"op-a-0031","hlc":"01a1f8666ea8-0001-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"link.remove","entity":"node/1","field":"tag","removes":["op-a-0030"]}"#;
const BODY: &str = r#"{"v":1,"id":"op-b-body1","hlc":"01a1f8666ea8-0000-b7d0193f5c2e8a46","origin":"b7d0193f5c2e8a46","kind":"set","entity":"node/1","field":"body","value":"more","base":[]}"#;
const DELETED: &str = r#"{"v":1,"id":"op-a-0040","hlc":"01a1f8668230-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"tombstone","entity":"node/1","base":["op-a-0020"]}"#;

fn set(id: &str, ms: u64, origin: u64, value: &str, base: &str) -> String {
    format!(
        r#"{{"v":1,"id":"{id}","hlc":"{ms:012x}-0000-{origin:016x}","origin":"{origin:016x}","kind":"set","entity":"node/1","field":"title","value":{value},"base":[{base}]}}"#
    )
}

// Verifies: OPS-21, OPS-25
#[test]
fn the_late_write_of_example_3_loses_and_is_recorded_as_in_example_4() {
    let hub = Store::hub();
    hub.push_all([CREATE, MILK, TEA]);
    assert_eq!(hub.ops(), [CREATE, MILK, TEA, TEA_LOST]);
    let view = hub.entity("node/1");
    assert_eq!((view.fields["title"].get(), view.kind.as_ref().unwrap().get()), ("\"Milk\"", "\"note\""));
    assert_eq!(view.conflicts, ["cf-f2cbe6da33f6e4ce0094a1e1c9597f29"]);
    let conflicts = hub.conflicts(ConflictFilter::Open);
    let [conflict] = &conflicts[..] else { panic!("{conflicts:?}") };
    assert_eq!((conflict.reason, conflict.status), (ConflictReason::Value, ConflictStatus::Open));
    assert_eq!(conflict.losing.value.as_ref().unwrap().get(), "\"Tea\"");
    assert_eq!(conflict.losing.origin, "b7d0193f5c2e8a46");
    let winning = conflict.winning.as_ref().unwrap();
    assert_eq!((&*winning.op, winning.value.as_ref().unwrap().get()), ("op-a-0010", "\"Milk\""));
    // The other order: the same op of conflict.
    let other = Store::hub();
    other.push_all([CREATE, TEA, MILK]);
    assert_eq!(other.ops(), [CREATE, TEA, MILK, TEA_LOST]);
}

// Verifies: OPS-26, OPS-27
#[test]
fn the_resolution_of_example_5_closes_the_conflict_and_an_ordinary_overwrite_does_not() {
    let mut hub = Store::hub();
    hub.push_all([CREATE, MILK, TEA]);
    hub.push_all([&*set("op-a-overwrite", 0x01a1_f866_4000, A, "\"Cream\"", "\"op-a-0010\"")]);
    assert_eq!(hub.open().len(), 1, "an overwrite covers the winner alone");
    let id = "cf-f2cbe6da33f6e4ce0094a1e1c9597f29";
    let written = hub.resolve(A, 0x01a1_f866_5b20, &format!(r#"{{"id":"{id}","take":"loser"}}"#)).unwrap();
    let expected =
        RESOLVED.replace("op-a-0010", "op-a-overwrite").replace("op-a-0020", &written.written[0].id);
    assert_eq!(hub.ops().last(), Some(&expected));
    assert_eq!(hub.entity("node/1").fields["title"].get(), "\"Tea\"");
    assert!(hub.open().is_empty());
    let all = hub.conflicts(ConflictFilter::All);
    assert_eq!(all.iter().map(|conflict| conflict.status).collect::<Vec<_>>(), [ConflictStatus::Closed]);
    let again = hub.resolve(A, 0x01a1_f866_5b20, &format!(r#"{{"id":"{id}","take":"winner"}}"#)).unwrap_err();
    assert_eq!(again.code, SpokeErrorCode::ConflictClosed);
    let unknown =
        hub.resolve(A, 0, r#"{"id":"cf-00000000000000000000000000000000","take":"winner"}"#).unwrap_err();
    assert_eq!(unknown.code, SpokeErrorCode::NotFound);
}

// Verifies: OPS-27
#[test]
fn two_resolutions_by_devices_that_did_not_meet_are_in_conflict() {
    let hub = Store::hub();
    hub.push_all([CREATE, MILK, TEA]);
    let both = "\"op-a-0010\",\"op-b-0005\"";
    hub.push_all([&*set("op-c-0001", 0x01a1_f866_6000, 0xc, "\"Milk\"", both)]);
    assert!(hub.open().is_empty());
    hub.push_all([&*set("op-d-0001", 0x01a1_f866_5f00, 0xd, "\"Tea\"", both)]);
    assert_eq!(hub.open().len(), 1);
    hub.push_all([&*set("op-e-0001", 0x01a1_f866_5e00, 0xe, " \"Milk\"", both)]);
    assert_eq!(hub.open().len(), 1, "the same value is no conflict");
}

// Verifies: OPS-22, OPS-23, OPS-25, OPS-27
#[test]
fn the_delete_of_example_6_is_in_conflict_with_the_edit_that_it_did_not_see() {
    let orders = [[BODY, DELETED], [DELETED, BODY]];
    for order in orders {
        let mut hub = Store::hub();
        hub.push_all([CREATE, MILK, TEA, RESOLVED, LINKED, UNLINKED]);
        hub.push_all(order);
        let view = hub.entity("node/1");
        assert!(view.deleted && view.links.is_empty());
        let open = hub.conflicts(ConflictFilter::Open);
        let [conflict] = &open[..] else { panic!("{open:?}") };
        assert_eq!(conflict.id, "cf-9e3b840c312b1336334d17a9a6624fc2");
        assert_eq!((conflict.reason, conflict.winning.is_none()), (ConflictReason::Deleted, true));
        let id = &conflict.id;
        let refused =
            hub.resolve(A, 0x01a1_f866_9000, &format!(r#"{{"id":"{id}","take":"loser"}}"#)).unwrap_err();
        assert_eq!(refused.code, SpokeErrorCode::Invalid);
        let copied = format!(r#"{{"id":"{id}","take":"loser","as_entity":"node/2"}}"#);
        hub.resolve(A, 0x01a1_f866_9000, &copied).unwrap();
        assert!(hub.open().is_empty());
        let copy = hub.entity("node/2");
        assert!(!copy.deleted && copy.kind.unwrap().get() == "\"note\"");
        assert_eq!((copy.fields["body"].get(), copy.fields["title"].get()), ("\"more\"", "\"Tea\""));
    }
}

// Verifies: OPS-27
#[test]
fn a_deletion_that_is_confirmed_closes_the_conflict() {
    let mut hub = Store::hub();
    hub.push_all([CREATE, MILK, TEA, RESOLVED, BODY, DELETED]);
    let id = hub.open().remove(0);
    hub.resolve(A, 0x01a1_f866_9000, &format!(r#"{{"id":"{id}","take":"winner"}}"#)).unwrap();
    assert!(hub.open().is_empty() && hub.entity("node/1").deleted);
}

// Verifies: OPS-21, OPS-25
#[test]
fn three_devices_that_write_one_field_offline_end_equal_in_all_orders() {
    let ops: Vec<String> = [("a", 0x10), ("b", 0x20), ("c", 0x30)]
        .iter()
        .map(|(name, ms)| set(&format!("op-{name}-0001"), *ms, *ms, &format!("\"{name}\""), ""))
        .collect();
    let mut seen = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let hub = Store::hub();
        hub.push_all(order.iter().map(|at| &*ops[*at]));
        assert_eq!(hub.entity("node/1").fields["title"].get(), "\"c\"", "{order:?}");
        let recorded = hub.recorded();
        assert_eq!((recorded.len(), hub.ops().len()), (2, 5), "{order:?}");
        seen.push((recorded, hub.derived()));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    // Edits that follow each other are in no conflict.
    let hub = Store::hub();
    hub.push_all([
        &*set("op-a-0001", 0x10, 0xa, "1", ""),
        &*set("op-b-0001", 0x20, 0xb, "2", "\"op-a-0001\""),
        &*set("op-a-0002", 0x30, 0xa, "3", "\"op-b-0001\""),
        &*set("op-a-0003", 0x40, 0xa, "4", ""),
    ]);
    assert_eq!(hub.ops().len(), 4);
}

// Verifies: OPS-21
#[test]
fn a_base_that_is_not_older_is_refused_in_either_order() {
    let (older, newer) = (set("op-a-0001", 0x10, 0xa, "1", ""), set("op-b-0001", 0x10, 0xb, "2", ""));
    let hub = Store::hub();
    hub.push_all([&*newer]);
    let contradicts = set("op-a-0001", 0x10, 0xa, "1", "\"op-b-0001\"");
    assert_eq!(hub.push(&contradicts), Pushed::Refused(OpCode::BadBase));
    assert_eq!(hub.push(&older), Pushed::Accepted);
    let hub = Store::hub();
    hub.push_all([&*contradicts]);
    assert_eq!(hub.push(&newer), Pushed::Refused(OpCode::BadBase));
    // Refused, it left nothing behind.
    assert_eq!(hub.entity("node/1").fields["title"].get(), "1");
    assert_eq!(hub.ops().len(), 1);
}

// Verifies: OPS-20
#[test]
fn what_names_an_op_of_another_entity_covers_nothing() {
    let hub = Store::hub();
    let loser = set("op-a-0001", 0x10, 0xa, "1", "");
    hub.push_all([&*loser, &*set("op-b-0001", 0x20, 0xb, "2", "")]);
    assert_eq!(hub.open().len(), 1);
    let elsewhere = set("op-c-0001", 0x30, 0xc, "3", "\"op-a-0001\"").replace("node/1", "node/9");
    let removes = r#"{"v":1,"id":"op-c-0002","hlc":"000000000031-0000-000000000000000c","origin":"000000000000000c","kind":"link.remove","entity":"node/9","field":"tag","removes":["op-a-0030"]}"#;
    hub.push_all([&*elsewhere, LINKED, removes]);
    assert_eq!(hub.open().len(), 1);
    assert_eq!(hub.entity("node/1").links["tag"], ["tag/home"]);
    // Nor does it before that op comes.
    let late = Store::hub();
    late.push_all([&*elsewhere, removes, &*set("op-b-0001", 0x20, 0xb, "2", ""), &*loser, LINKED]);
    assert_eq!(late.open(), hub.open());
    assert_eq!(late.entity("node/1").links["tag"], ["tag/home"]);
}

// Verifies: OPS-22
#[test]
fn a_link_that_is_added_again_while_it_is_removed_stays() {
    let again = LINKED.replace("op-a-0030", "op-b-0030").replace("a1b2c3d4e5f60718", "b7d0193f5c2e8a46");
    for order in [[LINKED, UNLINKED, &*again], [&*again, UNLINKED, LINKED], [UNLINKED, LINKED, &*again]] {
        let hub = Store::hub();
        hub.push_all([CREATE]);
        hub.push_all(order);
        assert_eq!(hub.entity("node/1").links["tag"], ["tag/home"]);
    }
    let hub = Store::hub();
    hub.push_all([CREATE, UNLINKED, LINKED]);
    assert!(hub.entity("node/1").links.is_empty());
    // A link to what was deleted is not shown.
    let gone = r#"{"v":1,"id":"op-c-0001","hlc":"01a1f8668230-0000-000000000000000c","origin":"000000000000000c","kind":"tombstone","entity":"tag/home","base":[]}"#;
    hub.push_all([&*again]);
    assert_eq!(hub.rows("SELECT * FROM ops_links").len(), 1);
    hub.push_all([gone]);
    assert!(hub.entity("node/1").links.is_empty() && hub.rows("SELECT * FROM ops_links").is_empty());
}

// Verifies: OPS-28
#[test]
fn sql_sees_what_lives() {
    let hub = Store::hub();
    hub.push_all([CREATE, MILK, LINKED]);
    let shown = hub.rows("SELECT entity, type, deleted, hlc FROM ops_entities");
    assert_eq!(shown[0][..3], ["node/1", "note", "Integer(0)"]);
    assert_eq!(hub.rows("SELECT value FROM ops_fields WHERE field = 'title'")[0][0], "\"Milk\"");
    assert_eq!(hub.rows("SELECT target FROM ops_links")[0][0], "tag/home");
    hub.push_all([TEA, RESOLVED, DELETED]);
    assert_eq!(hub.rows("SELECT deleted FROM ops_entities")[0][0], "Integer(1)");
    assert!(hub.rows("SELECT * FROM ops_fields").is_empty());
}
