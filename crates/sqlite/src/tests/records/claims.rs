//! Times that a device claims and the hub replaces: their order stays the order in which they count. A failure names its
//! seed, which replays it.

use ferry_core::records::Dialect;
use ferry_protocol::records::UnixNanos;
use ferry_testkit::rng::Rng;
use ferry_types::limits::RECORDS_STAMPS_PER_RECORD;
use serde_json::{Value, json};

use super::hub::{BEGIN, Hub};

const SEEDS: u64 = 200;
const MINUTE_MS: i64 = 60_000;

fn edit(value: &str, at: UnixNanos) -> Value {
    json!({"table": "tasks", "id": "t1", "op": "update", "fields": {"title": {"value": value, "at": at.text()}}})
}

fn insert(data: &Value) -> Value {
    json!({"table": "tasks", "id": "t1", "op": "insert", "data": data})
}

fn push(hub: &Hub, client: &str, changes: &[Value]) {
    hub.push(client, UnixNanos::EPOCH, Dialect::Old, changes);
}

fn title(hub: &Hub) -> String {
    hub.text("SELECT data ->> '$.title' FROM _ferry_records").unwrap()
}

fn shuffled<T: Clone>(rng: &mut Rng, all: &[T]) -> Vec<T> {
    let mut left = all.to_vec();
    let mut out = Vec::new();
    while !left.is_empty() {
        out.push(left.remove(rng.below(left.len() as u64) as usize));
    }
    out
}

fn permutations<T: Clone>(all: &[T]) -> Vec<Vec<T>> {
    if all.is_empty() {
        return vec![Vec::new()];
    }
    let heads = all.iter().enumerate().flat_map(|(index, head)| {
        let mut rest = all.to_vec();
        rest.remove(index);
        permutations(&rest).into_iter().map(move |tail| [vec![head.clone()], tail].concat())
    });
    heads.collect()
}

// All times far ahead became one instant, and the digest chose between a device's own edits: the older one held half
// of the time.
// Verifies: REC-04, REC-18
#[test]
fn of_one_devices_edits_the_one_with_the_latest_claim_holds_in_whatever_order_they_come() {
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let mut claims: Vec<i64> = Vec::new();
        while claims.len() < 4 {
            let spread_ms = 1 << [4, 20, 38][rng.below(3) as usize];
            let ahead_ms = 20 * MINUTE_MS + rng.below(spread_ms) as i64;
            if !claims.contains(&ahead_ms) {
                claims.push(ahead_ms);
            }
        }
        let latest = claims.iter().max().unwrap().to_string();
        for order in permutations(&claims) {
            let hub = Hub::new(100);
            let edits: Vec<Value> =
                order.iter().map(|ms| edit(&ms.to_string(), BEGIN.plus_ms(*ms))).collect();
            let mut left = &edits[..];
            while !left.is_empty() {
                let (now, later) = left.split_at(1 + rng.below(left.len() as u64) as usize);
                push(&hub, "skewed", now);
                hub.sleep_ms(rng.below(3) as i64 * 500);
                left = later;
            }
            assert_eq!(title(&hub), latest, "seed {seed}, {order:?}");
            // Another device writes over all of it; whatever comes again changes nothing, also when the hub's clock
            // has passed the claims.
            hub.sleep_ms(10);
            push(&hub, "right", &[edit("by another", hub.now.get())]);
            let state = hub.state();
            for pause_ms in [1_000, 30 * MINUTE_MS] {
                hub.sleep_ms(pause_ms);
                for again in shuffled(&mut rng, &edits) {
                    push(&hub, "skewed", &[again]);
                }
                assert_eq!(hub.state(), state, "seed {seed}, {order:?}: a retry changed something");
            }
        }
    }
}

// A clock that was a little ahead, so that its time was taken as sent, and then far ahead: the later edit was dated back
// to the hub's time, before the earlier one.
// Verifies: REC-04
#[test]
fn the_last_edit_of_a_device_holds_whatever_its_clock_did_since_the_one_before() {
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let (hub, mut outbox, mut sent) = (Hub::new(100), Vec::new(), Vec::new());
        // Devices count milliseconds, and the hub nanoseconds.
        hub.now.set(UnixNanos(BEGIN.0 + 123));
        let (mut last, mut number) = (BEGIN, 0);
        for _ in 0..30 {
            hub.sleep_ms(rng.below(5) as i64 * 20_000);
            let jump_ms = [0, 1, 60_000, 299_000, 301_000, 7_200_000][rng.below(6) as usize];
            // Its clock never gives out a time twice, nor an earlier one.
            last = hub.now.get().floor_ms().plus_ms(jump_ms).max(last.plus_ms(1));
            number += 1;
            let text = number.to_string();
            outbox.push(match rng.below(4) {
                0 => insert(&json!({"id": "t1", "title": text, "updatedAt": last.text()})),
                _ => edit(&text, last),
            });
            // What does not write the title has no part in its order, whatever its time.
            if rng.below(3) == 0 {
                let ahead_ms = [-60_000, 0, 290_000, 7_200_000, 90_000_000][rng.below(5) as usize];
                let at = hub.now.get().floor_ms().plus_ms(ahead_ms + rng.below(1_000) as i64).text();
                outbox.push(insert(&json!({"id": "t1", "note": text, "updatedAt": at})));
            }
            if rng.below(3) > 0 {
                // The order within one push is not the order of the edits.
                let batch = if rng.below(2) == 0 { shuffled(&mut rng, &outbox) } else { outbox.clone() };
                push(&hub, "jumping", &batch);
                outbox.clear();
                sent.push(batch);
                assert_eq!(title(&hub), number.to_string(), "seed {seed}");
            }
            if !sent.is_empty() && rng.below(4) == 0 {
                let again = sent[rng.below(sent.len() as u64) as usize].clone();
                let (state, held) = (hub.state(), title(&hub));
                push(&hub, "jumping", &again);
                assert_eq!(
                    (hub.state(), title(&hub)),
                    (state, held),
                    "seed {seed}: a retry changed something"
                );
            }
        }
    }
}

// An insert far ahead that did not hold the field counted as a later write of it: the edit was put before that, and so
// before the older one that it followed, which held for ever.
// Verifies: REC-04
#[test]
fn an_insert_without_a_field_is_no_later_write_of_it() {
    for at_once in [true, false] {
        let hub = Hub::new(100);
        let at = |seconds: i64| BEGIN.plus_ms(seconds * 1_000);
        push(
            &hub,
            "jumping",
            &[insert(&json!({"id": "t1", "createdAt": at(-60).text()})), edit("old", at(290))],
        );
        let far = insert(&json!({"id": "t1", "note": "x", "updatedAt": at(3 * 3_600).text()}));
        let new = edit("new", at(3_600));
        if at_once {
            push(&hub, "jumping", &[far, new]);
        } else {
            push(&hub, "jumping", &[far]);
            push(&hub, "jumping", &[new]);
        }
        assert_eq!(title(&hub), "new", "{at_once}");
    }
}

// Times chosen for a device whose clock was ahead were kept without end, and every push read them all.
// Verifies: REC-04
#[test]
fn only_so_many_chosen_times_of_a_record_are_kept() {
    let hub = Hub::new(100);
    for round in 0..4_i64 {
        let claims = (0..4_000).map(|number| BEGIN.plus_ms(3_600_000 + round * 4_000 + number));
        let edits: Vec<Value> = claims.map(|at| edit(&at.text(), at)).collect();
        push(&hub, "ahead", &edits);
        hub.sleep_ms(10);
    }
    let last = BEGIN.plus_ms(3_600_000 + 15_999);
    assert_eq!(title(&hub), last.text());
    let kept = hub.count("SELECT count(*) FROM _ferry_record_stamps");
    assert_eq!(kept, RECORDS_STAMPS_PER_RECORD as i64);
    // What was forgotten, and what was not, changes nothing when it comes again.
    push(&hub, "ahead", &[BEGIN.plus_ms(3_600_000), last].map(|at| edit(&at.text(), at)));
    assert_eq!(title(&hub), last.text());
}

// A whole record has one time, and its fields and its end have others.
// Verifies: REC-04, REC-05, REC-06
#[test]
fn inserts_edits_and_deletes_of_a_clock_far_ahead_keep_their_order() {
    let at = |seconds: i64| BEGIN.plus_ms(600_000 + seconds * 1_000).text();
    let insert = json!({"table": "tasks", "id": "t1", "op": "insert",
        "data": {"id": "t1", "title": "made", "done": false, "createdAt": at(0)}});
    let update = json!({"table": "tasks", "id": "t1", "op": "update",
        "fields": {"title": {"value": "edited", "at": at(5)}}});
    let delete = json!({"table": "tasks", "id": "t1", "op": "delete", "deletedAt": at(7)});
    for order in permutations(&[insert, update, delete]) {
        for at_once in [true, false] {
            let hub = Hub::new(100);
            if at_once {
                push(&hub, "skewed", &order);
            } else {
                for change in &order {
                    push(&hub, "skewed", std::slice::from_ref(change));
                    hub.sleep_ms(50);
                }
            }
            assert_eq!(title(&hub), "edited", "{at_once} {order:?}");
            assert_eq!(hub.count("SELECT count(*) FROM _ferry_records WHERE deleted_at IS NOT NULL"), 1);
            let state = hub.state();
            hub.sleep_ms(3_600_000);
            push(&hub, "skewed", &order);
            assert_eq!(hub.state(), state, "{at_once} {order:?}");
        }
    }
    // Without times the order is the one in which they come.
    let hub = Hub::new(100);
    let untimed =
        |value: &str| json!({"table": "tasks", "id": "t1", "op": "update", "data": {"title": value}});
    for number in 0..40 {
        let pair = [untimed(&format!("old{number}")), untimed(&format!("new{number}"))];
        push(&hub, "untimed", &pair);
        assert_eq!(title(&hub), format!("new{number}"));
    }
}
