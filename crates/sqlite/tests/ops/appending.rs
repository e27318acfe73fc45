//! Ops that are written here.

use ferry_core::ops::StoreRole;
use ferry_protocol::ops::SpokeErrorCode;

use super::store::Store;

const A: u64 = 0xa;
const B: u64 = 0xb;

// Verifies: OPS-62
#[test]
fn a_draft_is_filled_with_what_its_writer_has_seen() {
    let mut spoke = Store::new(StoreRole::Spoke);
    let drafts = r#"[{"kind":"create","entity":"node/1","value":"note"},
        {"kind":"set","entity":"node/1","field":"title","value":"Milk","id":"op-mine-1"},
        {"kind":"set","entity":"node/1","field":"title","value":"Tea"},
        {"kind":"link.add","entity":"node/1","field":"tag","value":{"to":"tag/home"}},
        {"kind":"link.remove","entity":"node/1","field":"tag","value":{"to":"tag/home"}},
        {"kind":"node.move","entity":"node/1","value":[1, 2]}]"#;
    let appended = spoke.append(A, 0x10, drafts).unwrap();
    assert_eq!(
        spoke.ops(),
        [
            r#"{"v":1,"id":"op-a-000001","hlc":"000000000010-0000-000000000000000a","origin":"000000000000000a","kind":"create","entity":"node/1","value":"note"}"#,
            r#"{"v":1,"id":"op-mine-1","hlc":"000000000010-0001-000000000000000a","origin":"000000000000000a","kind":"set","entity":"node/1","field":"title","value":"Milk","base":[]}"#,
            r#"{"v":1,"id":"op-a-000002","hlc":"000000000010-0002-000000000000000a","origin":"000000000000000a","kind":"set","entity":"node/1","field":"title","value":"Tea","base":["op-mine-1"]}"#,
            r#"{"v":1,"id":"op-a-000003","hlc":"000000000010-0003-000000000000000a","origin":"000000000000000a","kind":"link.add","entity":"node/1","field":"tag","value":{"to":"tag/home"}}"#,
            r#"{"v":1,"id":"op-a-000004","hlc":"000000000010-0004-000000000000000a","origin":"000000000000000a","kind":"link.remove","entity":"node/1","field":"tag","removes":["op-a-000003"]}"#,
            r#"{"v":1,"id":"op-a-000005","hlc":"000000000010-0005-000000000000000a","origin":"000000000000000a","kind":"node.move","entity":"node/1","value":[1, 2]}"#,
        ]
    );
    assert_eq!(appended.written.len(), 6);
    assert_eq!(appended.effect.ops.len(), 6);
    // The clock goes on, also when the device's is set back.
    let again = spoke.append(A, 0, r#"[{"kind":"set","entity":"node/2","field":"n","value":1}]"#).unwrap();
    assert_eq!(again.written[0].hlc, "000000000010-0006-000000000000000a");
}

// Verifies: OPS-62
#[test]
fn a_repeated_id_gives_the_first_result_and_a_refused_call_leaves_nothing() {
    let mut spoke = Store::new(StoreRole::Spoke);
    let draft = r#"[{"kind":"set","entity":"node/1","field":"title","value":1,"id":"op-mine-1"}]"#;
    let first = spoke.append(A, 0x10, draft).unwrap();
    let again = spoke.append(A, 0x20, &draft.replace(":1,", ":2,")).unwrap();
    assert_eq!((again.written, again.effect.ops.len()), (first.written, 0));
    assert_eq!(spoke.ops().len(), 1);
    for bad in [
        r#"{"kind":"set","entity":"node/1"}"#,
        r#"{"kind":"set","entity":"node/1","field":"title","value":1,"id":"short"}"#,
        r#"{"kind":"set","entity":"node/1","field":"title","value":1,"id":"cf-0123456789"}"#,
        r#"{"kind":"conflict","entity":"node/1","field":"title","value":1}"#,
        r#"{"kind":"text","entity":"node/1","field":"title","value":"no update"}"#,
        r#"{"kind":"text","entity":"node/1","field":"title"}"#,
        r#"{"kind":"text","entity":"node/1","field":"title","splice":[[1,0,"x"]]}"#,
        r#"{"kind":"set","entity":"node/1","field":"title","splice":[[0,0,"x"]]}"#,
        r#"{"kind":"link.remove","entity":"node/1","field":"tag"}"#,
        r#"{"kind":"link.add","entity":"node/1","field":"tag","value":"tag/home"}"#,
    ] {
        let call = format!(r#"[{{"kind":"set","entity":"node/3","field":"title","value":1}},{bad}]"#);
        let refused = spoke.append(A, 0x20, &call).unwrap_err();
        assert_eq!(refused.code, SpokeErrorCode::Invalid, "{bad}");
        assert_eq!(spoke.ops().len(), 1, "{bad}");
    }
    let long =
        format!(r#"[{{"kind":"set","entity":"node/1","field":"t","value":"{}"}}]"#, "x".repeat(1 << 20));
    assert_eq!(spoke.append(A, 0x20, &long).unwrap_err().code, SpokeErrorCode::Invalid);
}

// Verifies: OPS-23
#[test]
fn a_deleted_entity_takes_no_more_writes_from_here() {
    let mut spoke = Store::new(StoreRole::Spoke);
    spoke.append(A, 0x10, r#"[{"kind":"set","entity":"node/1","field":"title","value":1}]"#).unwrap();
    spoke.append(A, 0x20, r#"[{"kind":"tombstone","entity":"node/1"}]"#).unwrap();
    for draft in [
        r#"[{"kind":"set","entity":"node/1","field":"title","value":2}]"#,
        r#"[{"kind":"text","entity":"node/1","field":"body","splice":[[0,0,"x"]]}]"#,
        r#"[{"kind":"create","entity":"node/1"}]"#,
        r#"[{"kind":"link.add","entity":"node/1","field":"tag","value":{"to":"tag/home"}}]"#,
    ] {
        assert_eq!(spoke.append(A, 0x30, draft).unwrap_err().code, SpokeErrorCode::EntityDeleted, "{draft}");
    }
    assert_eq!(spoke.entity("node/1").fields["title"].get(), "1", "what it held is still read");
}

// Verifies: OPS-23, OPS-25
#[test]
fn a_deletion_names_all_heads_that_others_wrote_however_many() {
    let mut hub = Store::hub();
    for at in 0..600_u64 {
        let op = format!(
            r#"{{"v":1,"id":"op-{at:06}","hlc":"{at:012x}-0000-{:016x}","origin":"{:016x}","kind":"set","entity":"node/1","field":"f{}","value":{at},"base":[]}}"#,
            at + 100,
            at + 100,
            at % 300
        );
        hub.push_all([&*op]);
    }
    assert_eq!(hub.open().len(), 100.min(hub.open().len()));
    let appended =
        hub.append(A, 0x10_0000, r#"[{"kind":"tombstone","entity":"node/1","id":"op-the-end"}]"#).unwrap();
    assert_eq!((appended.written.len(), appended.effect.ops.len()), (1, 3));
    assert_eq!(appended.written[0].id, "op-the-end");
    assert!(hub.open().is_empty());
}

// Verifies: OPS-24
#[test]
fn a_text_is_edited_in_utf_16_units() {
    let mut spoke = Store::new(StoreRole::Spoke);
    let edit = |spoke: &mut Store, splice: &str| {
        let draft = format!(r#"[{{"kind":"text","entity":"node/1","field":"body","splice":{splice}}}]"#);
        spoke.append(A, 0x10, &draft).map(|_| spoke.entity("node/1").text["body"].clone())
    };
    assert_eq!(edit(&mut spoke, r#"[[0,0,"Buy milk"]]"#).unwrap(), "Buy milk");
    assert_eq!(edit(&mut spoke, r#"[[4,4,"🧀é"],[0,0,"1. "]]"#).unwrap(), "1. Buy 🧀é");
    assert!(edit(&mut spoke, r#"[[8,0,"x"]]"#).is_err(), "between the halves of a character");
    assert!(edit(&mut spoke, r#"[[7,1,""]]"#).is_err());
    assert!(edit(&mut spoke, r#"[[0,11,""]]"#).is_err());
    assert_eq!(edit(&mut spoke, r#"[[7,2,""],[7,1,"e"]]"#).unwrap(), "1. Buy e");
    // What came from elsewhere in the meantime is in it.
    let mut other = Store::new(StoreRole::Spoke);
    let ops = spoke.ops();
    other.push_all(ops.iter().map(String::as_str));
    let mut beside = Store::new(StoreRole::Spoke);
    beside.push_all(ops.iter().map(String::as_str));
    other.append(B, 0x20, r#"[{"kind":"set","entity":"node/1","field":"n","value":1}]"#).unwrap();
    let theirs = r#"[{"kind":"text","entity":"node/1","field":"body","splice":[[3,0,"Please: "]]}]"#;
    beside_client(&mut beside).append(B, 0x20, theirs).unwrap();
    spoke.push_all([beside.ops().last().unwrap().as_str()]);
    assert_eq!(edit(&mut spoke, r#"[[15,1,"bread"]]"#).unwrap(), "1. Please: Buy bread");
    let base: Vec<String> = super::store::ferry(spoke.ops().last().unwrap()).base;
    assert_eq!(base, [super::store::ferry(beside.ops().last().unwrap()).id]);
}

/// Another device: its edits are another client's.
fn beside_client(store: &mut Store) -> &mut Store {
    store.use_text_client(8);
    store
}

// Verifies: OPS-24, OPS-62
#[test]
fn an_edit_that_is_rolled_back_is_not_in_later_ones() {
    let mut spoke = Store::new(StoreRole::Spoke);
    let edit = |text: &str, rest: &str| {
        format!(r#"[{{"kind":"text","entity":"node/1","field":"body","splice":[[0,0,"{text}"]]}}{rest}]"#)
    };
    spoke.append(A, 0x10, &edit("c", "")).unwrap();
    spoke.append(A, 0x10, &edit("never", r#",{"kind":"set"}"#)).unwrap_err();
    spoke.append(A, 0x10, &edit("b", "")).unwrap();
    // The transaction around a call that went well is rolled back, too.
    spoke.connection.execute_batch("BEGIN").unwrap();
    spoke.append(A, 0x10, &edit("never", "")).unwrap();
    spoke.connection.execute_batch("ROLLBACK").unwrap();
    spoke.append(A, 0x10, &edit("a", "")).unwrap();
    assert_eq!(spoke.entity("node/1").text["body"], "abc");
    let other = Store::new(StoreRole::Spoke);
    other.push_all(spoke.ops().iter().map(String::as_str));
    assert_eq!(other.entity("node/1").text["body"], "abc");
}
