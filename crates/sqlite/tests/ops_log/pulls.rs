//! Cursors and pages.

use ferry_core::ops::{
    epoch::{CursorClaim, LogRefusal, begin_epoch, prove_cursor},
    pull::missing,
    stamp,
};
use ferry_protocol::ops::EpochPolicy;

use super::*;

fn filled(count: i64) -> Log {
    let log = Log::new();
    let ops: Vec<String> = (1..=count).map(|n| set(&format!("op-{n:06}"), NOW + n)).collect();
    log.push(&ops.iter().map(String::as_str).collect::<Vec<_>>());
    log
}

fn seqs(ops: &[(u64, String)]) -> Vec<u64> {
    ops.iter().map(|(seq, _)| *seq).collect()
}

// Verifies: OPS-08
#[test]
fn a_page_ends_at_its_limit_or_its_bytes_and_holds_one_op_at_least() {
    let log = filled(10);
    let skip = Skip::default();
    let bytes = set("op-000001", NOW).len() + 32;
    for (limit, bytes, expected, has_more) in [
        (3, 1 << 20, vec![1, 2, 3], true),
        (10, 1 << 20, (1..=10).collect(), false),
        (500, 2 * bytes, vec![1, 2], true),
        (500, 1, vec![1], true),
    ] {
        let wanted = OpsPull { limit, bytes, ..everything(&skip) };
        let (ops, next, next_id, more) = answered(log.page(&wanted));
        assert_eq!((seqs(&ops), more), (expected.clone(), has_more), "limit {limit}, {bytes} bytes");
        assert_eq!((Some(&next), next_id), (expected.last(), Some(format!("op-{next:06}"))));
    }
    let wanted = OpsPull { after: OpSeq(10), after_id: Some("op-000010"), ..everything(&skip) };
    let (ops, next, next_id, has_more) = answered(log.page(&wanted));
    assert_eq!((ops.len(), next, next_id.as_deref(), has_more), (0, 10, Some("op-000010"), false));
    let (_, next, next_id, _) = answered(Log::new().page(&everything(&skip)));
    assert_eq!((next, next_id), (0, None));
}

// Verifies: OPS-09
#[test]
fn what_a_puller_holds_is_left_out_and_its_cursor_passes_it() {
    let log = filled(300);
    for (skip, limit, expected, next) in [
        ("1-2,5", 3, vec![3, 4, 6], 6),
        ("4-299", 500, vec![1, 2, 3, 300], 300),
        ("2-400", 500, vec![1], 300),
        ("1-300", 500, vec![], 300),
        ("200-250", 199, (1..200).collect(), 250),
    ] {
        let skip: Skip = skip.parse().unwrap();
        let (ops, at, _, has_more) = answered(log.page(&OpsPull { limit, ..everything(&skip) }));
        assert_eq!((seqs(&ops), at), (expected, next), "skip={skip}");
        assert_eq!(has_more, next < 300, "skip={skip}");
    }
}

// Verifies: OPS-32
#[test]
fn a_cursor_is_proven_in_order_of_epoch_head_floor_and_id() {
    let log = filled(5);
    let sql = log.sql();
    let prove = |claim: CursorClaim<'_>| {
        let meta = meta::read(&sql).unwrap().unwrap();
        prove_cursor(&sql, &meta, &claim).unwrap()
    };
    let claim = CursorClaim {
        hub_id: Some(HUB),
        epoch: Some(EPOCH),
        after: OpSeq(3),
        after_id: Some("op-000003"),
        after_stamp: None,
    };
    assert_eq!(prove(claim), Ok(()));
    assert_eq!(prove(CursorClaim { hub_id: Some(""), epoch: None, after_id: None, ..claim }), Ok(()));
    let changed = Err(LogRefusal::EpochChanged { policy: EpochPolicy::Repush });
    assert_eq!(prove(CursorClaim { epoch: Some("0000000000000000"), after: OpSeq(9), ..claim }), changed);
    assert_eq!(prove(CursorClaim { hub_id: Some(EPOCH), ..claim }), changed);
    let ahead = CursorClaim { after: OpSeq(6), after_id: None, ..claim };
    assert_eq!(prove(ahead), Err(LogRefusal::Diverged), "whatever stood there");
    assert_eq!(prove(CursorClaim { after_id: Some("op-000002"), ..claim }), Err(LogRefusal::Diverged));
    assert_eq!(prove(CursorClaim { after: OpSeq(0), after_id: Some("x"), ..claim }), Ok(()));
    meta::set(&sql, meta::MetaKey::Floor, "3").unwrap();
    let own = stamp::at(&sql, OpSeq(3)).unwrap().unwrap();
    let stamped = CursorClaim { after_stamp: Some(&own), ..claim };
    let anew = CursorClaim { after_stamp: Some("1-1"), ..claim };
    let unknown = CursorClaim { after_stamp: Some(""), ..claim };
    assert_eq!(
        [stamped, unknown, anew].map(prove),
        [Ok(()), Ok(()), Err(LogRefusal::Diverged)],
        "it was stored at another time"
    );
    let drop = "INSERT INTO _ferry_op_seen(id, op_seq, hlc) SELECT id, op_seq, hlc FROM _ferry_ops WHERE op_seq <= 3";
    sql.execute(drop, &[]).unwrap();
    sql.execute("DELETE FROM _ferry_ops WHERE op_seq <= 3", &[]).unwrap();
    assert_eq!(prove(claim), Ok(()), "the op at the cursor was dropped, and is known");
    assert_eq!(prove(anew), Ok(()), "an older program dropped it, and kept no stamp");
    assert_eq!(prove(CursorClaim { after_id: Some("op-000002"), ..claim }), Err(LogRefusal::Diverged));
    let floor = OpSeq(3);
    let below = CursorClaim { after: OpSeq(2), after_id: Some("x"), ..claim };
    assert_eq!(prove(below), Err(LogRefusal::SnapshotRequired { floor }));
    let skip = Skip::default();
    let wanted = OpsPull { after: OpSeq(3), after_id: Some("op-000003"), limit: 1, ..everything(&skip) };
    assert_eq!(answered(log.page(&wanted)).1, 4);
    assert_eq!(missing(&sql, &["op-000001", "op-000005", "op-none"]).unwrap(), ["op-none"]);
    assert_eq!(statuses(&log.push(&[&set("op-000001", NOW)])), [DUPLICATE]);
}

// Verifies: OPS-31
#[test]
fn a_new_epoch_keeps_the_log_or_empties_it() {
    let log = filled(3);
    let sql = log.sql();
    begin_epoch(&sql, "1111111111111111", EpochPolicy::Repush).unwrap();
    let meta_now = || meta::read(&sql).unwrap().unwrap();
    assert_eq!((&*meta_now().epoch, meta_now().head, log.ops(0).len()), ("1111111111111111", OpSeq(3), 3));
    begin_epoch(&sql, "2222222222222222", EpochPolicy::Discard).unwrap();
    assert_eq!((meta_now().head, log.ops(0).len(), log.count("_ferry_op_entities")), (OpSeq(0), 0, 0));
    let claim = CursorClaim { epoch: Some(EPOCH), ..CursorClaim::default() };
    let refused = prove_cursor(&sql, &meta_now(), &claim).unwrap();
    assert_eq!(refused, Err(LogRefusal::EpochChanged { policy: EpochPolicy::Discard }));
    assert_eq!(log.push(&[&set("op-000001", NOW)]).head, OpSeq(1));
}
