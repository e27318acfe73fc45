//! The event engine on real SQLite files.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

use ferry_core::events::{
    Append, AppendOutcome, Appended, OnRollback, StoreKey, StoreRow, StoreState, Watermark, append,
    check_batch,
    identity::{self, IdentityChange, Opened},
    page::{self, Range},
    read_page, store,
};
use ferry_protocol::events::{ErrorCode, Event, RpcError};
use ferry_sqlite::NativeSql;
use rusqlite::Connection;

const NOW: &str = "2026-11-20T10:00:00.000Z";

fn event(seq_num: i64, parent_seq_num: i64) -> Event {
    Event {
        seq_num,
        parent_seq_num,
        name: "v1.Made".into(),
        args: Some(format!("{{\"n\":{seq_num}}}").into()),
        client_id: "client".into(),
        session_id: "session".into(),
    }
}

fn chain(first: i64, count: i64) -> Vec<Event> {
    (first..first + count).map(|seq| event(seq, seq - 1)).collect()
}

fn key(id: &str, number: i64) -> StoreKey {
    StoreKey { id: id.into(), number }
}

struct Log {
    connection: Connection,
}

impl Log {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        store::create(&NativeSql(&connection), key("app", 1), "first-id", StoreState::Ok, NOW).unwrap();
        Self { connection }
    }

    fn sql(&self) -> NativeSql<'_> {
        NativeSql(&self.connection)
    }

    fn push_at(&self, batch: &[Event], now: &str) -> AppendOutcome {
        let wanted = Append {
            store_id: "app",
            backend_id: Some("first-id"),
            now,
            commit_seq: 7,
            principal: "u_1",
            is_suspect: false,
        };
        append(&self.sql(), &wanted, batch).unwrap()
    }

    fn push(&self, batch: &[Event]) -> AppendOutcome {
        self.push_at(batch, NOW)
    }

    fn row(&self) -> StoreRow {
        store::find(&self.sql(), "app").unwrap().unwrap()
    }

    fn check(&self, watermark: Option<(&str, i64)>, on_rollback: OnRollback) -> (Opened, StoreRow) {
        let mut row = self.row();
        let watermark = watermark.map(|(id, head)| Watermark { backend_id: id.into(), head });
        let change = IdentityChange {
            commit_seq: 9,
            new_id: "second-id",
            actor: "hub",
            reason: "older file",
            at: NOW,
        };
        let opened = identity::check(&self.sql(), &mut row, watermark.as_ref(), on_rollback, &change);
        (opened.unwrap(), row)
    }
}

fn appended(outcome: AppendOutcome) -> Appended {
    match outcome {
        AppendOutcome::Appended(appended) => appended,
        other => panic!("{other:?}"),
    }
}

// Verifies: EVT-01, EVT-02, EVT-09, EVT-12, EVT-41
#[test]
fn a_batch_is_accepted_at_the_head_and_nowhere_else() {
    let log = Log::new();
    assert_eq!(appended(log.push(&[event(100, 0), event(20_000, 100)])).head, 20_000);
    let again = log.push(&[event(100, 0), event(20_000, 100)]);
    assert_eq!(again, AppendOutcome::Refused(RpcError::ServerAhead { head: 20_000, provided: 0 }));
    match log.push(&[event(20_002, 20_001)]) {
        AppendOutcome::Refused(RpcError::Unknown { code: ErrorCode::ClientAhead, .. }) => {}
        other => panic!("{other:?}"),
    }
    let row = log.row();
    assert_eq!((row.head, row.event_count, row.is_dense()), (20_000, 2, false));
    let other = Append {
        store_id: "app",
        backend_id: Some("other"),
        now: NOW,
        commit_seq: 8,
        principal: "u_1",
        is_suspect: false,
    };
    let refused = append(&log.sql(), &other, &[event(20_001, 20_000)]).unwrap();
    let expected = RpcError::BackendIdMismatch { expected: "first-id".into(), received: "other".into() };
    assert_eq!(refused, AppendOutcome::Refused(expected));
    assert_eq!(page::count(&log.sql(), &key("app", 1), 0, 20_000).unwrap(), 2);
}

// Verifies: EVT-04
#[test]
fn batches_that_break_a_rule_are_named() {
    let long = |length: usize| "x".repeat(length).into_boxed_str();
    let deep = format!("{}{}", "[".repeat(600), "]".repeat(600));
    let bad: Vec<(Vec<Event>, &str)> = vec![
        (vec![event(5, 1), event(4, 77)], "batch[1].seqNum"),
        (vec![event(5, 1), event(6, 4)], "batch[1].parentSeqNum"),
        (vec![event(0, -1)], "batch[0].parentSeqNum"),
        (vec![event(3, 3)], "batch[0].seqNum"),
        (vec![event(1 << 53, 3)], "batch[0].seqNum"),
        (vec![Event { name: long(513), ..event(1, 0) }], "batch[0].name"),
        (vec![Event { client_id: long(257), ..event(1, 0) }], "batch[0].clientId"),
        (vec![Event { session_id: long(257), ..event(1, 0) }], "batch[0].sessionId"),
        (vec![Event { args: Some(deep.into()), ..event(1, 0) }], "batch[0].args"),
        (chain(1, 11), "batch: 11 events"),
    ];
    for (batch, told) in bad {
        match check_batch(&batch, 10) {
            Err(RpcError::Unknown { code: ErrorCode::InvalidBatch, message, .. }) => {
                assert!(message.starts_with(told), "{message}");
            }
            other => panic!("{told}: {other:?}"),
        }
    }
    assert_eq!(check_batch(&[], 10), Ok(()));
    let largest = [event((1 << 53) - 1, 0), event(1, 0)];
    assert_eq!(check_batch(&largest[..1], 10), Ok(()));
}

// Verifies: EVT-10
#[test]
fn time_never_runs_backwards_within_a_store() {
    let log = Log::new();
    assert_eq!(
        &*appended(log.push_at(&chain(1, 1), "2026-11-20T10:00:05.000Z")).created_at,
        "2026-11-20T10:00:05.000Z"
    );
    assert_eq!(
        &*appended(log.push_at(&chain(2, 1), "2026-11-20T09:00:00.000Z")).created_at,
        "2026-11-20T10:00:05.000Z"
    );
    assert_eq!(
        &*appended(log.push_at(&chain(3, 1), "2026-11-20T10:00:06.000Z")).created_at,
        "2026-11-20T10:00:06.000Z"
    );
}

// Verifies: EVT-20
#[test]
fn pages_are_cut_at_their_limits_and_tell_exactly_what_remains() {
    for gap in [1, 7] {
        let log = Log::new();
        let number = |place: i64| if place == 0 { 0 } else { place * gap };
        let small: Vec<Event> = (1..=250).map(|place| event(number(place), number(place - 1))).collect();
        appended(log.push(&small));
        let big: Vec<Event> = (251..=260)
            .map(|place| Event {
                args: Some(format!("\"{}\"", "x".repeat(150_000)).into()),
                ..event(number(place), number(place - 1))
            })
            .collect();
        appended(log.push(&big));
        let huge = Event {
            args: Some(format!("\"{}\"", "x".repeat(899_000)).into()),
            ..event(number(261), number(260))
        };
        appended(log.push(&[huge]));
        let mut range = Range { after: 0, upto: number(261), count: None, tells_remaining: true };
        let (mut seen, mut sizes) = (0, Vec::new());
        loop {
            let page = read_page(&log.sql(), &key("app", 1), "first-id", range).unwrap().unwrap();
            let text = std::str::from_utf8(&page.body).unwrap();
            let count = text.matches("\"eventEncoded\"").count() as u64;
            assert!(
                count <= 100 && (page.body.len() <= 900_000 || count == 1),
                "{count} {}",
                page.body.len()
            );
            seen += count;
            sizes.push(count);
            assert_eq!(page.remaining, 261 - seen);
            if page.remaining == 0 {
                assert!(text.contains("\"NoMore\""));
                break;
            }
            assert!(text.contains(&format!("\"MoreKnown\",\"remaining\":{}", page.remaining)));
            range = Range { after: page.last, count: Some(page.remaining), ..range };
        }
        assert_eq!(sizes, [100, 100, 55, 5, 1], "gap {gap}");
    }
}

// Verifies: EVT-42
#[test]
fn a_log_above_its_head_raises_it_and_one_below_is_held() {
    let log = Log::new();
    appended(log.push(&chain(1, 3)));
    log.connection.execute_batch("UPDATE _ferry_event_logs SET head = 1, event_count = 1").unwrap();
    let (opened, row) = log.check(None, OnRollback::Hold);
    assert_eq!((opened, row.head, row.event_count), (Opened::Sound, 3, 3));
    assert_eq!(log.row(), row);
    log.connection.execute_batch("UPDATE _ferry_event_logs SET head = 9").unwrap();
    let (opened, row) = log.check(None, OnRollback::Remint);
    assert_eq!((opened, row.state), (Opened::Held, StoreState::Hold));
    assert_eq!(log.push(&chain(10, 1)), AppendOutcome::Unserved(StoreState::Hold));
}

// Verifies: EVT-43, EVT-44, EVT-45
#[test]
fn a_file_older_than_the_watermark_is_held_or_reminted() {
    let log = Log::new();
    appended(log.push(&chain(1, 3)));
    assert_eq!(log.check(Some(("first-id", 3)), OnRollback::Hold).0, Opened::Sound);
    assert_eq!(log.check(Some(("first-id", 2)), OnRollback::Hold).0, Opened::Sound);
    let (opened, row) = log.check(Some(("first-id", 4)), OnRollback::Remint);
    assert_eq!((opened, &*row.backend_id, row.head), (Opened::Reminted, "second-id", 3));
    // The identity is recorded as the successor of the old one.
    assert_eq!(log.check(Some(("first-id", 4)), OnRollback::Hold).0, Opened::Sound);
    let recorded: (String, String, i64, String) = log
        .connection
        .query_row("SELECT old_id, new_id, head, actor FROM _ferry_event_identities", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    assert_eq!(recorded, ("first-id".into(), "second-id".into(), 3, "hub".into()));
    // One that it does not know as a predecessor: another history.
    let (opened, row) = log.check(Some(("foreign-id", 0)), OnRollback::Hold);
    assert_eq!((opened, row.state), (Opened::Held, StoreState::Hold));
    assert_eq!(
        log.check(None, OnRollback::Remint).0,
        Opened::Held,
        "a hold lasts until the operator ends it"
    );
}

// Verifies: EVT-40, EVT-80
#[test]
fn stores_of_one_database_are_apart() {
    let connection = Connection::open_in_memory().unwrap();
    let sql = NativeSql(&connection);
    let long = "ü".repeat(128);
    let ids = ["a-b", "a_b", "a.b", "A-b", "a-B", "a b", &long];
    assert_eq!(store::find(&sql, "a-b").unwrap(), None);
    for (number, id) in (1..).zip(ids) {
        store::create(&sql, key(id, number), &format!("id of {id}"), StoreState::Ok, NOW).unwrap();
    }
    for (place, id) in ids.iter().enumerate() {
        let wanted = Append {
            store_id: id,
            backend_id: None,
            now: NOW,
            commit_seq: 1,
            principal: "u",
            is_suspect: false,
        };
        appended(append(&sql, &wanted, &chain(1, place as i64 + 1)).unwrap());
    }
    let mut heads: Vec<i64> = store::list(&sql).unwrap().into_iter().map(|row| row.head).collect();
    heads.sort_unstable();
    assert_eq!(heads, [1, 2, 3, 4, 5, 6, 7]);
    for (place, id) in ids.iter().enumerate() {
        let row = store::find(&sql, id).unwrap().unwrap();
        assert_eq!((row.head, &*row.backend_id), (place as i64 + 1, format!("id of {id}").as_str()));
    }
}
