//! Compaction and snapshots change nothing that anybody can see (scenario 10).

use std::collections::BTreeSet;

use ferry_core::ops::{
    StoreRole,
    compact::{Compaction, compact_step, purge_step},
    conflict, entity,
    merge::{Integrated, Rules, integrate},
    row::{self, Arrival},
    snapshot::snapshot,
};
use ferry_protocol::ops::{
    ConflictsListParams, EntityListParams, OpBody, OpConflict, SnapshotLine, SnapshotReader, parse_op,
};

use super::{schedules::Dice, *};

/// Updates of example E7: x, then y and z concurrently on x.
const TEXTS: [&str; 3] = ["AQEBAAQBAXQIQnV5IG1pbGsA", "AQEBCEQBAAMxLiAA", "AQECAIQBBwggYW5kIHRlYQA="];
const ORIGINS: [&str; 3] = [A, B, "c0c0c0c0c0c0c0c0"];
const DAY_MS: i64 = 86_400_000;

#[derive(Clone)]
struct Op {
    id: String,
    ms: i64,
    origin: usize,
    kind: &'static str,
    entity: String,
    field: &'static str,
    base: Vec<String>,
    raw: String,
}

/// A device: what it has seen, and what of its own waits to be pushed.
#[derive(Default)]
struct Device {
    seen: Vec<Op>,
    pending: Vec<Op>,
    cursor: usize,
}

impl Device {
    /// Heads, adds or fields as the device sees them.
    fn heads(&self, entity: &str, field: Option<&str>) -> Vec<String> {
        let concerns = |op: &&Op| op.entity == entity && field.is_none_or(|field| op.field == field);
        let writes = |op: &&Op| matches!(op.kind, "set" | "text");
        let covers = |by: &Op, op: &Op| {
            by.base.contains(&op.id)
                || (by.origin == op.origin
                    && by.ms > op.ms
                    && by.entity == op.entity
                    && (by.field == op.field || by.kind == "tombstone"))
        };
        let all = || self.seen.iter().filter(concerns).filter(writes);
        all().filter(|op| !self.seen.iter().any(|by| covers(by, op))).map(|op| op.id.clone()).collect()
    }

    fn adds(&self, entity: &str) -> Vec<String> {
        let adds = self.seen.iter().filter(|op| op.kind == "link.add" && op.entity == entity);
        adds.map(|op| op.id.clone()).collect()
    }
}

fn list(ids: &[String]) -> String {
    serde_json::to_string(ids).unwrap()
}

fn write(dice: &mut Dice, device: &mut Device, origin: usize, number: u64, now: i64) {
    let entity = format!("e{}", dice.below(2));
    let ms = device.seen.iter().map(|op| op.ms + 1).max().unwrap_or(0).max(now);
    let (kind, field) = match dice.below(16) {
        0..7 => ("set", ["f", "g"][usize::try_from(dice.below(2)).unwrap()]),
        7..11 => ("text", "t"),
        11..13 => ("link.add", "l"),
        13..15 => ("link.remove", "l"),
        _ => ("tombstone", ""),
    };
    let base = match kind {
        "set" | "text" => device.heads(&entity, Some(field)),
        "tombstone" => device.heads(&entity, None),
        _ => Vec::new(),
    };
    let id = format!("op-{origin}-{number:04}");
    let rest = match kind {
        "set" => format!(r#","field":"{field}","value":{},"base":{}"#, dice.below(3), list(&base)),
        "text" => {
            let value = TEXTS[usize::try_from(dice.below(3)).unwrap()];
            format!(r#","field":"t","value":"{value}","base":{}"#, list(&base))
        }
        "link.add" => format!(r#","field":"l","value":{{"to":"n{}"}}"#, dice.below(2)),
        "link.remove" => {
            let adds = device.adds(&entity);
            format!(r#","field":"l","removes":{}"#, list(&adds))
        }
        _ => format!(r#","base":{}"#, list(&base)),
    };
    let hlc = at(ms, 0, ORIGINS[origin]);
    let origin_id = ORIGINS[origin];
    let raw = format!(
        r#"{{"v":1,"id":"{id}","hlc":"{hlc}","origin":"{origin_id}","kind":"{kind}","entity":"{entity}"{rest}}}"#
    );
    let op = Op { id, ms, origin, kind, entity, field, base, raw };
    device.seen.push(op.clone());
    device.pending.push(op);
}

/// All that can be seen of a log.
fn shown(log: &Log) -> String {
    let asked = EntityListParams { deleted: true, ..EntityListParams::default() };
    let page = entity::list(&log.sql(), &asked, Prefixes(&[])).unwrap();
    let mut shown = String::new();
    for entry in page.entities {
        let mut view = entity::get(&log.sql(), &entry.entity).unwrap().unwrap();
        view.conflicts.clear();
        shown += &serde_json::to_string(&view).unwrap();
        shown.push('\n');
    }
    let open = conflict::list(&log.sql(), &ConflictsListParams::default(), Prefixes(&[])).unwrap();
    // A merged text stands for the heads in it.
    let name = |conflict: &OpConflict| match &*conflict.field {
        "t" => format!("{} {:?} t", conflict.entity, conflict.reason),
        _ => format!("{} {:?} {}", conflict.entity, conflict.reason, conflict.id),
    };
    let open: BTreeSet<String> = open.conflicts.iter().map(name).collect();
    format!("{shown}{open:?}")
}

fn compact(log: &Log, most: usize) -> u64 {
    let wanted = Compaction { now: UnixMillis(log.now), days: 1, most };
    let mut dropped = 0;
    loop {
        let step = compact_step(&log.sql(), &wanted).unwrap();
        dropped += step.dropped;
        if !step.has_more {
            return dropped;
        }
    }
}

fn take(spoke: &Log, seq: u64, raw: &str) {
    let received = parse_op(raw).unwrap();
    let arrival = Arrival {
        via_shim: false,
        principal: None,
        commit: Seq(1),
        received: UnixMillis(spoke.now),
        hub_seq: Some(OpSeq(seq)),
    };
    if let OpBody::Ferry(op) = &received.body {
        let rules = Rules { role: StoreRole::Spoke, is_own: false, text_max_bytes: u64::MAX };
        assert!(!matches!(
            integrate(&spoke.sql(), op, OpSeq(seq), &rules).unwrap(),
            Integrated::Refused { .. }
        ));
    }
    row::insert(&spoke.sql(), OpSeq(seq), &received, &arrival).unwrap();
}

fn text_of_snapshot(log: &Log) -> String {
    let meta = meta::read(&log.sql()).unwrap().unwrap();
    let mut text = Vec::new();
    snapshot(&log.sql(), &meta, Prefixes(&[]), &mut |piece| {
        text.extend_from_slice(piece);
        Ok(())
    })
    .unwrap();
    String::from_utf8(text).unwrap()
}

/// A fresh spoke that has read the snapshot; its cursor.
fn bootstrapped(log: &Log) -> (Log, u64, usize) {
    let spoke = Log { now: log.now, ..Log::new() };
    let (mut reader, mut cursor, mut count) = (SnapshotReader::default(), 0, 0);
    for line in text_of_snapshot(log).lines() {
        match reader.line(line).unwrap() {
            SnapshotLine::Header(header) => cursor = header.seq.0,
            SnapshotLine::Op { seq, raw } => {
                take(&spoke, seq.0, raw);
                count += 1;
            }
            SnapshotLine::End => {}
        }
    }
    assert!(reader.is_whole());
    (spoke, cursor, count)
}

fn catch_up(spoke: &Log, hub: &Log, cursor: u64) {
    for (seq, raw) in hub.ops(cursor) {
        take(spoke, seq, &raw);
    }
}

// Verifies: OPS-40, OPS-41
#[test]
fn random_histories_compacted_anywhere_show_the_same() {
    let (mut dropped, mut left_out) = (0, 0);
    for seed in 1..=80_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (mut plain, mut compacted) = (Log::new(), Log::new());
        let mut devices: [Device; 3] = Default::default();
        let mut log_of_ops: Vec<Op> = Vec::new();
        let mut spokes: Vec<(Log, u64)> = Vec::new();
        for step in 0..60 {
            plain.now += DAY_MS / 4;
            compacted.now = plain.now;
            let who = usize::try_from(dice.below(3)).unwrap();
            match dice.below(10) {
                0..5 => write(&mut dice, &mut devices[who], who, step, plain.now),
                5..8 => {
                    let device = &mut devices[who];
                    for op in &log_of_ops[device.cursor..] {
                        if !device.seen.iter().any(|seen| seen.id == op.id) {
                            device.seen.push(op.clone());
                        }
                    }
                    device.cursor = log_of_ops.len();
                    let pending = std::mem::take(&mut device.pending);
                    let raws: Vec<&str> = pending.iter().map(|op| &*op.raw).collect();
                    let (one, other) = (plain.push(&raws), compacted.push(&raws));
                    assert_eq!(statuses(&one), statuses(&other), "seed {seed}");
                    assert!(one.is_whole, "seed {seed}: {:?}", one.results);
                    log_of_ops.extend(pending);
                }
                8 => dropped += compact(&compacted, 1 + usize::try_from(dice.below(20)).unwrap()),
                _ => {
                    let (spoke, cursor, count) = bootstrapped(&compacted);
                    left_out += log_of_ops.len().saturating_sub(count);
                    assert_eq!(shown(&spoke), shown(&plain), "seed {seed}, step {step}: a fresh spoke");
                    spokes.push((spoke, cursor));
                }
            }
            assert_eq!(shown(&compacted), shown(&plain), "seed {seed}, step {step}");
        }
        let floor = meta::read(&compacted.sql()).unwrap().unwrap().floor;
        // Below the floor a spoke reads another snapshot.
        for (spoke, cursor) in spokes.iter().filter(|(_, cursor)| *cursor >= floor.0) {
            catch_up(spoke, &compacted, *cursor);
            assert_eq!(shown(spoke), shown(&plain), "seed {seed}: a spoke that read a snapshot earlier");
        }
    }
    assert!(dropped > 300 && left_out > 300, "dropped {dropped}, left out {left_out}");
}

// Verifies: OPS-41
#[test]
fn a_log_of_covered_writes_shrinks_to_what_is_needed() {
    let mut log = Log::new();
    let mut before = Vec::new();
    for n in 0..300 {
        let op = set_at(&format!("op-{n:06}"), NOW + n, ORIGINS[usize::try_from(n % 3).unwrap()], "e", "1");
        let op = op.replace("\"base\":[]", &format!("\"base\":{}", list(&before)));
        before = vec![format!("op-{n:06}")];
        log.push(&[&op]);
    }
    log.push(&[&foreign("a", "1"), &set("op-other", NOW + 300)]);
    let text = text_of_snapshot(&log);
    assert_eq!(text.lines().count(), 2 + 3, "{text}");
    log.now += 2 * DAY_MS;
    assert_eq!(compact(&log, 7), 299);
    let meta = meta::read(&log.sql()).unwrap().unwrap();
    assert_eq!((meta.floor, meta.head, log.count("_ferry_ops")), (OpSeq(299), OpSeq(302), 3));
    assert_eq!(compact(&log, 1_000), 0);
    assert_eq!(statuses(&log.push(&[&set("op-000007", NOW)])), [DUPLICATE], "dropped ids stay known");
}

// Verifies: OPS-22, OPS-40, OPS-41
#[test]
fn a_link_that_came_and_went_leaves_the_time_of_its_entity() {
    let mut log = Log::new();
    let link = |id: &str, ms: i64, kind: &str, rest: &str| {
        let hlc = at(ms, 0, A);
        format!(
            r#"{{"v":1,"id":"{id}","hlc":"{hlc}","origin":"{A}","kind":"{kind}","entity":"e","field":"l",{rest}}}"#
        )
    };
    log.push(&[
        &set_at("op-written", NOW, A, "e", "1"),
        &link("op-added", NOW + 1, "link.add", r#""value":{"to":"n"}"#),
        &link("op-removed", NOW + 2, "link.remove", r#""removes":["op-added"]"#),
    ]);
    let time = |log: &Log| entity::get(&log.sql(), "e").unwrap().unwrap().hlc;
    assert_eq!(time(&bootstrapped(&log).0), at(NOW + 2, 0, A), "a spoke that begins with a snapshot");
    log.now += 2 * DAY_MS;
    assert_eq!(compact(&log, 1_000), 0, "nothing else tells the time");
    log.push(&[&set_at("op-later", NOW + 3, A, "e", "2").replace("[]", r#"["op-written"]"#)]);
    log.now += 2 * DAY_MS;
    assert_eq!(compact(&log, 1_000), 3);
    assert_eq!((time(&log), time(&bootstrapped(&log).0)), (at(NOW + 3, 0, A), at(NOW + 3, 0, A)));
}

// Verifies: OPS-20, OPS-26, OPS-41
#[test]
fn an_op_that_comes_late_shows_the_same_to_who_begins_with_a_snapshot_before_or_behind_it() {
    // What it names in its base: nothing, or an op that nobody knows, so that it cannot be dropped either.
    for base in ["[]", r#"["op-unknown"]"#] {
        let mut log = Log::new();
        let seen = set_at("op-seen-1", NOW + 2_000, A, "e", "1");
        let winner = set_at("op-winner", NOW + 3_000, B, "e", "2").replace("[]", r#"["op-seen-1"]"#);
        log.push(&[&seen, &winner]);
        log.now += 2 * DAY_MS;
        assert_eq!(compact(&log, 100), 1, "what the late op's writer wrote after it is dropped");
        let (early, cursor, _) = bootstrapped(&log);
        log.push(&[&set_at("op-late-1", NOW + 1_000, A, "e", "3").replace("[]", base)]);
        catch_up(&early, &log, cursor);
        let (behind, ..) = bootstrapped(&log);
        let expected = shown(&log);
        assert!(expected.ends_with("{}"), "the hub knows that its writer has seen it: {expected}");
        assert_eq!((shown(&early), shown(&behind)), (expected.clone(), expected), "{base}");
        // Only a hub that is begun anew from such a spoke alone cannot know it (README, limits).
        let anew = Log { now: log.now, ..Log::new() };
        early.ops(0).iter().for_each(|(_, raw)| assert!(anew.push(&[raw]).is_whole));
        assert!(shown(&anew).contains("e Value cf-"), "{}", shown(&anew));
        // A deletion that named what its writer saw, without the late op.
        let hlc = at(NOW + 4_000, 0, B);
        let deleted = format!(
            r#"{{"v":1,"id":"op-deleted","hlc":"{hlc}","origin":"{B}","kind":"tombstone","entity":"e","base":["op-winner"]}}"#
        );
        log.push(&[&deleted]);
        for spoke in [&early, &behind] {
            take(spoke, 100, &deleted);
            assert_eq!(shown(spoke), shown(&log), "{base}");
        }
    }
}

// Verifies: OPS-43
#[test]
fn what_lies_behind_the_horizon_is_forgotten_and_does_not_come_back() {
    let mut log = Log::new();
    let tombstone = format!(
        r#"{{"v":1,"id":"op-delete","hlc":"{}","origin":"{A}","kind":"tombstone","entity":"gone","base":["op-000001"]}}"#,
        at(NOW + 2, 0, A)
    );
    let old = set_at("op-000001", NOW, A, "gone", "1");
    log.push(&[&old, &tombstone, &set("op-alive", NOW + 3)]);
    let stamp = ferry_core::ops::stamp::at(&log.sql(), OpSeq(2)).unwrap().unwrap();
    log.now += 200 * DAY_MS;
    log.push(&[&set("op-young", log.now)]);
    let wanted = Compaction { now: UnixMillis(log.now), days: 180, most: 1 };
    let ids = BTreeSet::from(["gone".to_owned()]);
    let mut steps = 0;
    while purge_step(&log.sql(), &wanted).unwrap().has_more {
        steps += 1;
        assert!(steps < 20);
    }
    let asked = EntityListParams { deleted: true, ..EntityListParams::default() };
    let left = entity::list(&log.sql(), &asked, Prefixes(&[])).unwrap().entities;
    assert!(left.iter().all(|entry| !ids.contains(&entry.entity)));
    let seqs: Vec<u64> = log.ops(0).into_iter().map(|(seq, _)| seq).collect();
    let meta = meta::read(&log.sql()).unwrap().unwrap();
    assert_eq!((seqs, meta.floor), (vec![3, 4], OpSeq(2)));
    let waits = quarantined(OpCode::BeforeHorizon);
    assert_eq!(statuses(&log.push(&[&old, &set("op-late1", NOW + 4)])), [waits, waits]);
    let claim = ferry_core::ops::epoch::CursorClaim {
        after: OpSeq(2),
        after_id: Some("op-delete"),
        after_stamp: Some(&stamp),
        ..Default::default()
    };
    let prove = |claim| ferry_core::ops::epoch::prove_cursor(&log.sql(), &meta, &claim).unwrap();
    assert_eq!(prove(claim), Ok(()), "a cursor at the floor is proven");
    let anew = ferry_core::ops::epoch::CursorClaim { after_stamp: Some("1-1"), ..claim };
    assert_eq!(prove(anew), Err(ferry_core::ops::epoch::LogRefusal::Diverged));
}
