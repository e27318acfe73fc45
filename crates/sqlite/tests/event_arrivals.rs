//! Logs whose newest events wait to be filed, against a model of them: whatever order appends, whole stores' changes and
//! filing come in, each log reads as what was appended to it.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

use std::{collections::BTreeMap, ops::ControlFlow};

use ferry_core::events::{
    Append, AppendOutcome, StoreKey, StoreRow, StoreState, admin, append,
    append::size_of_event,
    export::export,
    identity::{self, IdentityChange, Opened},
    import::{self, Check, ImportRequest, Mode},
    log, maintenance,
    page::{self, Range},
    read_page, store,
};
use ferry_protocol::events::Event;
use ferry_sqlite::{Error, NativeSql};
use rusqlite::Connection;

const STORES: u64 = 12;

/// Numbers that are random enough, and the same for a seed (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct World {
    connection: Connection,
    random: Random,
    /// What each store holds, and its identity.
    model: BTreeMap<String, (Vec<Event>, String)>,
    commit: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        let mut world = Self { connection, random: Random(seed), model: BTreeMap::new(), commit: 0 };
        for number in 0..STORES {
            let id = format!("store-{number}");
            world.commit += 1;
            let key = StoreKey { id: (*id).into(), number: world.number() };
            store::create(&world.sql(), key, "first", StoreState::Ok, &world.now()).unwrap();
            world.model.insert(id, (Vec::new(), "first".to_owned()));
        }
        world
    }

    fn sql(&self) -> NativeSql<'_> {
        NativeSql(&self.connection)
    }

    fn number(&self) -> i64 {
        self.commit.try_into().unwrap()
    }

    fn now(&self) -> String {
        format!("2026-11-20T10:00:00.{:03}Z", self.commit % 1000)
    }

    fn row(&self, id: &str) -> StoreRow {
        store::find(&self.sql(), id).unwrap().unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        let text = format!("SELECT count(*) FROM {table}");
        self.connection.query_row(&text, [], |row| row.get(0)).unwrap()
    }

    fn batch(&mut self, id: &str, events: u64, args_bytes: usize) -> Vec<Event> {
        let mut parent = self.model[id].0.last().map_or(0, |event| event.seq_num);
        let mut batch = Vec::new();
        for _ in 0..events {
            // Some logs have gaps.
            let seq_num = parent + 1 + i64::from(id.ends_with('3'));
            batch.push(Event {
                seq_num,
                parent_seq_num: parent,
                name: format!("v{}.Made", self.random.below(3)).into(),
                args: (seq_num % 3 > 0)
                    .then(|| format!("\"{id} {seq_num} {}\"", "x".repeat(args_bytes)).into()),
                client_id: format!("client-{}", self.random.below(3)).into(),
                session_id: "session".into(),
            });
            parent = seq_num;
        }
        batch
    }

    fn push(&mut self, id: &str, batch: &[Event]) -> AppendOutcome {
        self.commit += 1;
        let now = self.now();
        let wanted = Append {
            store_id: id,
            backend_id: None,
            now: &now,
            commit_seq: self.commit,
            principal: "u_1",
            is_suspect: false,
        };
        append(&self.sql(), &wanted, batch).unwrap()
    }

    fn step(&mut self) {
        let id = format!("store-{}", self.random.below(STORES));
        let (events, args_bytes) = match self.random.below(400) {
            0..=329 => (1 + self.random.below(3), 5),
            330..=333 => (17 + self.random.below(30), 5),
            334..=335 => (2, 9_000),
            336..=351 => return self.push_in_vain(&id),
            352..=354 => return self.change(&id),
            355 => return self.import(&id),
            _ => (16, 5),
        };
        let batch = self.batch(&id, events, args_bytes);
        let outcome = self.push(&id, &batch);
        assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        self.model.get_mut(&id).unwrap().0.extend(batch);
    }

    /// A push that is rolled back, with all the filing that it did, and one that comes too late.
    fn push_in_vain(&mut self, id: &str) {
        let batch = self.batch(id, 1, 5);
        self.connection.execute_batch("SAVEPOINT request").unwrap();
        assert!(matches!(self.push(id, &batch), AppendOutcome::Appended(_)));
        let again = self.push(id, &batch);
        assert!(matches!(again, AppendOutcome::Refused(_)), "{again:?}");
        self.connection.execute_batch("ROLLBACK TO request; RELEASE request").unwrap();
    }

    /// What an operator does.
    fn change(&mut self, id: &str) {
        self.commit += 1;
        let (mut row, now, new_id) = (self.row(id), self.now(), format!("minted-{}", self.commit));
        let change = IdentityChange {
            commit_seq: self.commit,
            new_id: &new_id,
            actor: "u_1",
            reason: "test",
            at: &now,
        };
        let kind = self.random.below(5);
        let sql = NativeSql(&self.connection);
        match kind {
            0 => admin::reset(&sql, &mut row, &change).unwrap(),
            1 => {
                admin::delete(&sql, &mut row, &change).unwrap();
                admin::revive(&sql, &mut row, &change).unwrap();
            }
            2 => admin::remint(&sql, &mut row, &change).unwrap(),
            3 => admin::resume(&sql, &mut row).unwrap(),
            _ => {
                let opened = identity::check(&sql, &mut row, None, store::OnRollback::Hold, &change);
                assert_eq!(opened.unwrap(), Opened::Sound);
            }
        }
        let mut progress = maintenance::MaintenanceProgress::default();
        while maintenance::is_due(&sql).unwrap() {
            maintenance::step(&sql, &mut progress).unwrap();
        }
        let known = self.model.get_mut(id).unwrap();
        if kind < 2 {
            known.0.clear();
        }
        if kind < 3 {
            known.1 = new_id;
        }
    }

    /// The events that another hub has behind these.
    fn import(&mut self, id: &str) {
        let (batch, row) = (self.batch(id, 3, 5), self.row(id));
        self.connection.execute_batch("SAVEPOINT other").unwrap();
        assert!(matches!(self.push(id, &batch), AppendOutcome::Appended(_)));
        let mut text = String::new();
        let mut write = |piece: &str| {
            text.push_str(piece);
            Ok::<_, Error>(())
        };
        export(&self.sql(), &self.row(id), row.head, &mut write).unwrap();
        self.connection.execute_batch("ROLLBACK TO other; RELEASE other").unwrap();
        let mut check = Check::default();
        let events: Vec<_> = text.lines().filter_map(|line| check.line(line).unwrap()).collect();
        let (header, now) = (check.finish().unwrap(), self.now());
        let change = IdentityChange {
            commit_seq: self.commit,
            new_id: "unused",
            actor: "u_1",
            reason: "test",
            at: &now,
        };
        let wanted = ImportRequest { mode: Mode::Append, keep: true, change };
        let row = import::admit(&self.sql(), id, &header, &wanted).unwrap().unwrap();
        let old_head = row.head;
        let mut writer = import::ImportWriter::new(row, self.commit, "u_2");
        events.into_iter().for_each(|event| writer.push(&self.sql(), event).unwrap());
        writer.finish(&self.sql(), &["onPushed"], old_head).unwrap();
        self.model.get_mut(id).unwrap().0.extend(batch);
    }

    /// Whether each log reads as the model, by every way of reading.
    fn check(&mut self) {
        let listed = store::list(&self.sql()).unwrap();
        assert_eq!(listed.len(), self.model.len());
        for (row, (id, (events, identity))) in listed.iter().zip(&self.model) {
            let sql = self.sql();
            let head = events.last().map_or(0, |event| event.seq_num);
            assert_eq!((&*row.key.id, &*row.backend_id, row.head), (&**id, &**identity, head));
            let bytes: usize = events.iter().map(size_of_event).sum();
            assert_eq!((row.event_count, row.bytes), (events.len() as i64, bytes as i64), "{id}");
            assert_eq!(row, &self.row(id));
            assert!(identity::is_sound(&sql, row, None).unwrap(), "{id}");
            let newest = log::newest(&sql, &row.key).unwrap();
            assert_eq!(newest.as_ref().map_or(0, |newest| newest.seq_num), head);
            assert!(newest.is_none_or(|newest| Some(newest.created_at) == row.last_created_at));
            assert_eq!(append::head(&sql, id).unwrap(), Some(head));
        }
        let ids: Vec<String> = self.model.keys().cloned().collect();
        for id in ids {
            self.check_ranges(&id, &listed);
        }
        let seen: i64 = self.count("events");
        let known: usize = self.model.values().map(|(events, _)| events.len()).sum();
        assert_eq!(seen, known as i64);
    }

    fn check_ranges(&mut self, id: &str, listed: &[StoreRow]) {
        let row = listed.iter().find(|row| *row.key.id == *id).unwrap();
        for _ in 0..4 {
            let bound = u64::try_from(row.head).unwrap() + 2;
            let (one, other) = (self.random.below(bound) as i64, self.random.below(bound) as i64);
            let (after, upto, limit) =
                (one.min(other), one.max(other).min(row.head), self.random.below(60) + 1);
            if upto < after {
                continue;
            }
            let meant: Vec<&Event> = self.model[id]
                .0
                .iter()
                .filter(|event| event.seq_num > after && event.seq_num <= upto)
                .collect();
            let (sql, mut read) = (self.sql(), Vec::new());
            log::each_event(&sql, &row.key, (after, upto), u32::try_from(limit).unwrap(), &mut |event, _| {
                read.push((event.seq_num, event.parent_seq_num, event.args.map(str::to_owned)));
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
            let first: Vec<_> = meant
                .iter()
                .take(limit as usize)
                .map(|event| (event.seq_num, event.parent_seq_num, event.args.as_deref().map(str::to_owned)))
                .collect();
            assert_eq!(read, first, "{id}: {after}..={upto}");
            assert_eq!(log::count(&sql, &row.key, after, upto).unwrap(), meant.len() as i64);
            // A position within a log that has gaps counts as what follows it.
            if after == 0 || self.model[id].0.iter().any(|event| event.seq_num == after) {
                assert_eq!(page::count(&sql, &row.key, after, upto).unwrap(), meant.len() as u64, "{id}");
            }
            let range = Range { after, upto, count: None, tells_remaining: true };
            let page = read_page(&sql, &row.key, "first", range).unwrap();
            assert_eq!(page.map(|page| page.last >= meant[0].seq_num), (!meant.is_empty()).then_some(true));
        }
    }
}

// Verifies: EVT-80, EVT-81
#[test]
fn logs_whose_events_wait_to_be_filed_read_as_the_model() {
    for seed in [1, 7, 42, 2_026, 88_172_645_463_325_252] {
        let mut world = World::new(seed);
        let mut filed = 0;
        for step in 0..3_000 {
            let waiting = world.count("_ferry_event_arrivals");
            world.step();
            let now = world.count("_ferry_event_arrivals");
            assert!(now <= 1_016, "seed {seed}: {now} events wait");
            filed += u32::from(now + 500 < waiting);
            if step % 50 == 0 || now < waiting {
                world.check();
            }
        }
        world.check();
        assert!(filed > 1, "seed {seed}: {filed} times");
    }
}

// Verifies: EVT-42
#[test]
fn events_that_are_lost_before_those_that_wait_put_the_store_on_hold() {
    let mut world = World::new(5);
    let long = world.batch("store-1", 20, 5);
    assert!(matches!(world.push("store-1", &long), AppendOutcome::Appended(_)));
    world.model.get_mut("store-1").unwrap().0.extend(long);
    let short = world.batch("store-1", 2, 5);
    assert!(matches!(world.push("store-1", &short), AppendOutcome::Appended(_)));
    assert_eq!((world.count("_ferry_events"), world.count("_ferry_event_arrivals")), (20, 2));
    assert!(identity::is_sound(&world.sql(), &world.row("store-1"), None).unwrap());
    world.connection.execute_batch("DELETE FROM _ferry_events WHERE seq_num = 20").unwrap();
    let mut row = world.row("store-1");
    assert!(!identity::is_sound(&world.sql(), &row, None).unwrap());
    let change = IdentityChange { commit_seq: 99, new_id: "other", actor: "hub", reason: "test", at: "now" };
    let opened = identity::check(&world.sql(), &mut row, None, store::OnRollback::Hold, &change).unwrap();
    assert_eq!((opened, row.state), (Opened::Held, StoreState::Hold));
}

// Verifies: EVT-81
#[test]
fn the_newest_event_of_a_store_is_found_without_reading_what_others_have_waiting() {
    let world = World::new(3);
    let plan = |text: &str| -> Vec<String> {
        let mut statement = world.connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect()
    };
    let of_store = plan("SELECT * FROM events WHERE store_id = 'a'");
    assert!(of_store.iter().any(|step| step.contains("SEARCH l USING PRIMARY KEY")), "{of_store:?}");
    let newest = plan("SELECT max(n) FROM _ferry_event_arrivals WHERE store = 4");
    assert!(newest[0].contains("USING COVERING INDEX _ferry_event_arrivals_store"), "{newest:?}");
}
