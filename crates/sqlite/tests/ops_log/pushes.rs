//! What becomes of a batch.

use super::*;

const CREATE: &str = r#"{"v":1,"id":"op-a-0001","hlc":"01a1f8660d00-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"create","entity":"node/1","value":"note"}"#;
const MILK: &str = r#"{"v":1,"id":"op-a-0010","hlc":"01a1f8663410-0000-a1b2c3d4e5f60718","origin":"a1b2c3d4e5f60718","kind":"set","entity":"node/1","field":"title","value":"Milk","base":[]}"#;
const TEA: &str = r#"{"v":1,"id":"op-b-0005","hlc":"01a1f8662088-0000-b7d0193f5c2e8a46","origin":"b7d0193f5c2e8a46","kind":"set","entity":"node/1","field":"title","value":"Tea","base":[]}"#;
const CONFLICT: &str = r#"{"v":1,"id":"cf-f2cbe6da33f6e4ce0094a1e1c9597f29","hlc":"01a1f8662088-0000-b7d0193f5c2e8a46","origin":"0000000000000000","kind":"conflict","entity":"node/1","field":"title","value":{"op":"op-b-0005","origin":"b7d0193f5c2e8a46","value":"Tea"}}"#;

// Verifies: OPS-01, OPS-02, OPS-25
#[test]
fn the_late_op_of_the_examples_and_its_conflict_follow_in_order_of_arrival() {
    let log = Log::new();
    let pushed = log.push(&[CREATE, MILK]);
    let seqs: Vec<_> = pushed.results.iter().map(|result| result.seq).collect();
    assert_eq!((statuses(&pushed), seqs), (vec![ACCEPTED; 2], vec![Some(OpSeq(1)), Some(OpSeq(2))]));
    assert!(pushed.is_whole);
    let pushed = log.push(&[TEA]);
    assert_eq!((pushed.head, pushed.conflicts, pushed.results[0].seq), (OpSeq(4), 1, Some(OpSeq(3))));
    let published: Vec<_> =
        pushed.effect.unwrap().ops.iter().map(|op| (op.seq.0, op.raw.to_string())).collect();
    assert_eq!(published, [(3, TEA.to_owned()), (4, CONFLICT.to_owned())]);
    let skip = Skip::default();
    let wanted = OpsPull { after: OpSeq(2), after_id: Some("op-a-0010"), ..everything(&skip) };
    let (ops, next, next_id, has_more) = answered(log.page(&wanted));
    assert_eq!(ops, published);
    assert_eq!((next, next_id.as_deref(), has_more), (4, Some("cf-f2cbe6da33f6e4ce0094a1e1c9597f29"), false));
}

// Verifies: OPS-03
#[test]
fn a_known_op_is_a_duplicate_and_one_with_another_content_says_so() {
    let log = Log::new();
    log.push(&[CREATE, MILK]);
    let spaced = MILK.replace("\"base\":[]", "\"base\" : [ ]");
    let other = MILK.replace("Milk", "Oats");
    let pushed = log.push(&[MILK, &spaced, &other]);
    assert_eq!(statuses(&pushed), [DUPLICATE; 3]);
    let differs: Vec<_> = pushed.results.iter().map(|result| (result.seq, result.differs)).collect();
    assert_eq!(differs, [(Some(OpSeq(2)), false), (Some(OpSeq(2)), false), (Some(OpSeq(2)), true)]);
    assert_eq!((pushed.effect, pushed.differs, pushed.head, pushed.has_notes), (None, 1, OpSeq(2), false));
    assert_eq!(log.ops(1), [(2, MILK.to_owned())]);
    let twice = set("op-twice", NOW);
    assert_eq!(statuses(&log.push(&[&twice, &twice])), [ACCEPTED, DUPLICATE]);
}

// Verifies: OPS-04, OPS-06
#[test]
fn foreign_ops_keep_their_bytes_and_are_told_apart_by_all_of_them() {
    let log = Log::new();
    let one = r#"{ "hlc":"00001795168800000-0000-laptop","op":"node.set", "id":"n1","future":{"x":1.0,"big":9007199254740993}}"#;
    let other = one.replace("1.0", "1.00");
    let same = r#"{"id":"n1","op":"node.set","future":{"big":9007199254740993,"x":1.0},"hlc":"00001795168800000-0000-laptop"}"#;
    let pushed = log.shim(&[one, &other, same]);
    assert_eq!((statuses(&pushed), pushed.applied()), (vec![ACCEPTED, ACCEPTED, DUPLICATE], 2));
    assert_eq!(log.shim_pull("", 1 << 20, 1 << 20), format!("{{\"ops\":[{one},{other}]}}"));
    log.push(&[CREATE]);
    log.shim(&[MILK]);
    let expected = format!("{{\"ops\":[{one},{other},{MILK}]}}");
    assert_eq!(log.shim_pull("", 1 << 20, 1), expected, "ops of Ferry's wire stay out");
}

// Verifies: OPS-07
#[test]
fn one_bad_op_fails_no_other() {
    let log = Log::new();
    let base_later =
        MILK.replace("op-a-0010", "op-a-0011").replace("\"base\":[]", "\"base\":[\"op-b-0005\"]");
    let base_later = base_later.replace("01a1f8663410", "01a1f8660d01");
    let opaque = MILK.replace("op-a-0010", "op-a-0012").replace("\"set\"", "\"paint\"");
    let large = set_at("op-large", NOW, A, "e", &format!("\"{}\"", "x".repeat(1 << 20)));
    let pushed = log.push(&[CREATE, "{", TEA, &base_later, CONFLICT, &opaque, &large]);
    let rejected_as = |code| rejected(code);
    assert_eq!(
        statuses(&pushed),
        [
            ACCEPTED,
            rejected_as(OpCode::BadOp),
            ACCEPTED,
            rejected_as(OpCode::BadBase),
            rejected_as(OpCode::BadOp),
            ACCEPTED,
            rejected_as(OpCode::OpTooLarge),
        ]
    );
    assert_eq!((pushed.results[5].merged, pushed.results[2].merged, pushed.is_whole), (false, true, false));
    assert_eq!(pushed.results[6].id.as_deref(), Some("op-large"));
    assert_eq!(log.count("_ferry_ops"), 3);
}

// Verifies: OPS-33
#[test]
fn a_compacted_text_is_taken_if_its_id_fits_its_value() {
    let log = Log::new();
    let value = "AQEBAAQBAXQIQnV5IG1pbGsA";
    let id = ferry_protocol::ops::merged_text_id(value);
    let hlc = at(NOW, 0, A);
    let op = |id: &str| {
        format!(
            r#"{{"v":1,"id":"{id}","hlc":"{hlc}","origin":"0000000000000000","kind":"text","entity":"e","field":"t","value":"{value}","merged":["op-a-0001"]}}"#
        )
    };
    let forged = format!("tc-{}", "0".repeat(32));
    assert_eq!(statuses(&log.push(&[&op(&id), &op(&forged)])), [ACCEPTED, rejected(OpCode::BadOp)]);
}

// Verifies: OPS-51
#[test]
fn an_origin_belongs_to_who_first_pushed_as_it() {
    let log = Log::new();
    let as_a = Pushing { origin: Some(A.parse().unwrap()), ..BY };
    let other = Pushing { principal: "u_b", ..BY };
    let relayed = set_at("op-b-relayed", NOW, B, "e", "1");
    assert!(log.push_as(&as_a, &[&set("op-first", NOW), &relayed]).has_notes);
    assert!(!log.push_as(&as_a, &[&set("op-again", NOW)]).has_notes);
    let forged = set("op-forged", NOW);
    assert_eq!(statuses(&log.push_as(&other, &[&forged])), [rejected(OpCode::OriginForbidden)]);
    let as_b = Pushing { origin: Some(B.parse().unwrap()), ..other };
    let own = set_at("op-b-own1", NOW + 1, B, "e", "2");
    assert_eq!(statuses(&log.push_as(&as_b, &[&own])), [ACCEPTED], "what was relayed bound nothing");
    let stolen = Pushing { origin: Some(A.parse().unwrap()), ..other };
    assert_eq!(statuses(&log.push_as(&stolen, &[&forged])), [rejected(OpCode::OriginForbidden)]);
    let admin = Pushing { is_admin: true, ..other };
    assert_eq!(statuses(&log.push_as(&admin, &[&forged])), [ACCEPTED]);
}

// Verifies: OPS-52
#[test]
fn a_narrowed_credential_writes_and_reads_its_prefix_alone() {
    let log = Log::new();
    let prefixes = ["node/".to_owned(), "node/1".to_owned()];
    let narrow = Pushing { prefixes: Prefixes(&prefixes), ..BY };
    let outside = set_at("op-outside", NOW, A, "node/2", "1");
    let opaque =
        format!(r#"{{"v":1,"id":"op-opaque","hlc":"{}","origin":"{A}","kind":"paint"}}"#, at(NOW, 0, A));
    log.push(&[&foreign("a", "1"), &outside]);
    let pushed = log.push_as(&narrow, &[MILK, &outside, &foreign("b", "1"), &opaque]);
    let forbidden = rejected(OpCode::EntityForbidden);
    assert_eq!(statuses(&pushed), [ACCEPTED, forbidden, forbidden, forbidden]);
    let skip = Skip::default();
    let wanted = OpsPull { prefixes: Prefixes(&prefixes), ..everything(&skip) };
    let (ops, next, next_id, _) = answered(log.page(&wanted));
    assert_eq!((ops, next, next_id.as_deref()), (vec![(3, MILK.to_owned())], 3, Some("op-a-0010")));
}

#[test]
fn what_an_atomic_batch_would_become_is_told_and_nothing_is_set_aside() {
    let log = Log::new();
    let atomic = Pushing { atomic: true, ..BY };
    let pushed = log.push_as(&atomic, &[MILK, &set("op-ahead", NOW + 400_000), "7"]);
    let expected = [ACCEPTED, quarantined(OpCode::ClockAhead), rejected(OpCode::BadOp)];
    assert_eq!((statuses(&pushed), pushed.is_whole), (expected.to_vec(), false));
    assert_eq!(log.count("_ferry_op_quarantine"), 0);
    assert!(log.push_as(&atomic, &[MILK]).is_whole);
}
