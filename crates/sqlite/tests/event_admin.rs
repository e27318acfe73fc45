//! Export, import, reset, keys and positions of event stores on real SQLite.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

use ferry_core::events::{
    Append, AppendOutcome, StoreKey, StoreRow, StoreState, admin, append,
    export::export,
    hook_position,
    hook_position::HookPosition,
    idempotency::{self, Keyed, Known},
    identity::IdentityChange,
    import::{self, Check, ImportRequest, Mode, Refused},
    store,
};
use ferry_protocol::events::{Event, ExportHeader};
use ferry_sqlite::{Error, NativeSql};
use rusqlite::Connection;

const NOW: &str = "2026-11-20T10:00:00.000Z";
const CHANGE: IdentityChange<'static> =
    IdentityChange { commit_seq: 9, new_id: "minted", actor: "u_1", reason: "test", at: NOW };

struct Log {
    connection: Connection,
}

impl Log {
    fn empty() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        ferry_core::events::schema::create_tables(&NativeSql(&connection)).unwrap();
        Self { connection }
    }

    fn of(events: i64) -> Self {
        let log = Self::empty();
        store::create(&log.sql(), StoreKey { id: "app".into(), number: 1 }, "first-id", StoreState::Ok, NOW)
            .unwrap();
        if events > 0 {
            log.push(0, events);
        }
        log
    }

    fn push(&self, parent: i64, count: i64) {
        let batch: Vec<Event> = (parent + 1..=parent + count)
            .map(|seq_num| Event {
                seq_num,
                parent_seq_num: seq_num - 1,
                name: "v1.Made".into(),
                args: (seq_num % 3 > 0).then(|| format!("{{\"n\":\n{seq_num}}}").into()),
                client_id: "client".into(),
                session_id: "session".into(),
            })
            .collect();
        let wanted = Append {
            store_id: "app",
            backend_id: None,
            now: NOW,
            is_suspect: false,
            commit_seq: 7,
            principal: "u_1",
        };
        let outcome = append(&self.sql(), &wanted, &batch).unwrap();
        assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
    }

    fn sql(&self) -> NativeSql<'_> {
        NativeSql(&self.connection)
    }

    fn row(&self) -> StoreRow {
        store::find(&self.sql(), "app").unwrap().unwrap()
    }

    fn exported(&self, after: i64) -> String {
        let mut text = String::new();
        let mut write = |piece: &str| {
            text.push_str(piece);
            Ok::<_, Error>(())
        };
        export(&self.sql(), &self.row(), after, &mut write).unwrap();
        text
    }

    fn import(&self, text: &str, mode: Mode, keep: bool) -> Result<StoreRow, Refused> {
        let mut check = Check::default();
        let events: Vec<_> = text.lines().filter_map(|line| check.line(line).unwrap()).collect();
        let header = check.finish().unwrap();
        let wanted = ImportRequest { mode, keep, change: CHANGE };
        let row = import::admit(&self.sql(), "app", &header, &wanted).unwrap()?;
        let old_head = row.head;
        let mut writer = import::ImportWriter::new(row, 9, "u_2");
        events.into_iter().for_each(|event| writer.push(&self.sql(), event).unwrap());
        Ok(writer.finish(&self.sql(), &["onPushed"], old_head).unwrap())
    }
}

/// Line of the first mistake, and what it is.
fn mistake(text: &str) -> (u64, String) {
    let mut check = Check::default();
    for line in text.lines() {
        if let Err(bad) = check.line(line) {
            return (bad.line, bad.why);
        }
    }
    let bad = check.finish().unwrap_err();
    (bad.line, bad.why)
}

// Verifies: EVT-46
#[test]
fn what_is_exported_is_imported_as_it_was() {
    let from = Log::of(700);
    let text = from.exported(0);
    assert_eq!(text.lines().count(), 702);
    let kept = Log::empty();
    let row = kept.import(&text, Mode::Create, true).unwrap();
    assert_eq!((&*row.backend_id, row.head, row.event_count), ("first-id", 700, 700));
    assert_eq!(row, StoreRow { created_at: row.created_at.clone(), ..kept.row() });
    assert_eq!(row.bytes, from.row().bytes);
    let lines = |text: &str| {
        let seq = text.replace("\"seq\":9}", "\"seq\":7}");
        seq.lines().skip(1).take(700).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&kept.exported(0)), lines(&text));
    let minted = Log::empty();
    assert_eq!(&*minted.import(&text, Mode::Create, false).unwrap().backend_id, "minted");
}

// Verifies: EVT-46
#[test]
fn an_import_goes_to_an_empty_store_or_behind_the_newest_event() {
    let from = Log::of(5);
    let whole = from.exported(0);
    let to = Log::of(3);
    assert_eq!(to.import(&whole, Mode::Create, true), Err(Refused::NotEmpty));
    assert_eq!(to.import(&whole, Mode::Append, true), Err(Refused::Head(3)));
    let rest = from.exported(3);
    assert!(rest.starts_with("{\"ferry\":\"events\",\"version\":1,\"storeId\":\"app\""), "{rest}");
    assert_eq!(Log::empty().import(&rest, Mode::Create, true), Err(Refused::Head(0)));
    assert_eq!(Log::empty().import(&rest, Mode::Append, true), Err(Refused::NoStore));
    assert_eq!(to.import(&rest, Mode::Append, true).map(|row| row.head), Ok(5));
    let mut other = to.row();
    admin::remint(&to.sql(), &mut other, &IdentityChange { new_id: "other", ..CHANGE }).unwrap();
    from.push(5, 1);
    assert_eq!(to.import(&from.exported(5), Mode::Append, true), Err(Refused::Identity));
    assert_eq!(&*to.import(&from.exported(5), Mode::Append, false).unwrap().backend_id, "minted");
    store::set_state(&to.sql(), "app", StoreState::Hold).unwrap();
    assert_eq!(to.import(&from.exported(5), Mode::Append, false), Err(Refused::OnHold));
}

// Verifies: EVT-46
#[test]
fn a_broken_file_is_refused_with_its_line() {
    let text = Log::of(3).exported(0);
    let lines: Vec<&str> = text.lines().collect();
    let with = |place: usize, line: &str| {
        let mut changed = lines.clone();
        changed[place] = line;
        changed.join("\n")
    };
    assert_eq!(mistake(&with(0, "{}")), (1, "ferry: expected a string".into()));
    assert_eq!(mistake(&lines[1..].join("\n")).0, 1);
    assert_eq!(mistake(&with(2, lines[1])).0, 3);
    assert_eq!(mistake(&with(2, "")).0, 3);
    assert_eq!(mistake(&with(2, &lines[2].replace(NOW, "yesterday"))).0, 3);
    let (line, why) = mistake(&with(2, &lines[2].replace("Made", "Faked")));
    assert!(line == 5 && why.starts_with("sha256"), "{line} {why}");
    assert_eq!(mistake(&lines[..3].join("\n")).0, 4);
    assert_eq!(mistake(&lines[..4].join("\n")).0, 5);
    assert_eq!(mistake(&(text.clone() + "{}")).0, 6);
    assert_eq!(mistake(&with(0, &lines[0].replace("\"count\":3", "\"count\":2"))).0, 4);
    assert_eq!(mistake(&with(0, &lines[0].replace("\"head\":3", "\"head\":4"))).0, 5);
    assert_eq!(mistake(""), (1, "the file ends here, before its last line".into()));
}

// Verifies: EVT-44, EVT-45
#[test]
fn a_reset_store_is_empty_and_a_deleted_one_can_be_made_again() {
    let log = Log::of(4);
    let mut row = log.row();
    hook_position::save(&log.sql(), "onPushed", ("app", "first-id"), &at(3), None).unwrap();
    admin::reset(&log.sql(), &mut row, &CHANGE).unwrap();
    assert_eq!(row, log.row());
    assert_eq!((&*row.backend_id, row.head, row.event_count, row.bytes), ("minted", 0, 0, 0));
    assert_eq!(position(&log), at(0));
    assert_eq!(row.last_created_at.as_deref(), Some(NOW), "times never go back");
    log.push(0, 2);

    admin::delete(&log.sql(), &mut row, &CHANGE).unwrap();
    assert_eq!(log.row().state, StoreState::Deleted);
    admin::revive(&log.sql(), &mut row, &IdentityChange { new_id: "third", ..CHANGE }).unwrap();
    assert_eq!((log.row().state, &*log.row().backend_id), (StoreState::Ok, "third"));
    log.push(0, 1);
    let changes: i64 = log
        .connection
        .query_row("SELECT count(*) FROM _ferry_event_identities WHERE actor = 'u_1'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(changes, 2);
}

// Verifies: EVT-44
#[test]
fn a_hold_ends_where_the_log_ends() {
    let log = Log::of(5);
    log.connection.execute("DELETE FROM _ferry_events WHERE seq_num > 3", []).unwrap();
    store::set_state(&log.sql(), "app", StoreState::Hold).unwrap();
    hook_position::save(&log.sql(), "onPushed", ("app", "first-id"), &at(5), None).unwrap();
    let mut row = log.row();
    admin::resume(&log.sql(), &mut row).unwrap();
    assert_eq!((row.head, row.event_count, row.state, &*row.backend_id), (3, 3, StoreState::Ok, "first-id"));
    assert_eq!(position(&log), at(3), "what is appended anew is told");
    log.push(3, 1);
}

fn at(position: i64) -> HookPosition {
    HookPosition { position, tries: 0 }
}

fn position(log: &Log) -> HookPosition {
    hook_position::find(&log.sql(), "onPushed", "app").unwrap()
}

// Verifies: EVT-58
#[test]
fn a_position_belongs_to_the_identity_it_was_reached_under() {
    let log = Log::of(4);
    assert_eq!(position(&log), at(0));
    hook_position::save(&log.sql(), "onPushed", ("app", "first-id"), &at(2), Some(NOW)).unwrap();
    hook_position::save(&log.sql(), "onPushed", ("app", "another"), &at(4), None).unwrap();
    assert_eq!(position(&log), at(2));
    // An import moves hooks that were told everything, and no others.
    hook_position::skip(&log.sql(), "onPushed", "app", (4, 9)).unwrap();
    assert_eq!(position(&log), at(2));
    hook_position::skip(&log.sql(), "onPushed", "app", (2, 9)).unwrap();
    assert_eq!(position(&log), at(9));
}

// Verifies: EVT-12
#[test]
fn a_key_is_remembered_for_its_time() {
    let log = Log::of(0);
    let keyed = |byte| Keyed { key: "k".into(), body_hash: [byte; 32] };
    let find = |byte, now| idempotency::find(&log.sql(), "app", &keyed(byte), now).unwrap();
    assert_eq!(find(1, NOW), Known::New);
    let later = "2026-11-21T10:00:00.000Z";
    idempotency::remember(&log.sql(), "app", &keyed(1), "{}", (NOW, later)).unwrap();
    assert_eq!(find(1, NOW), Known::Answered("{}".into()));
    assert_eq!(find(2, NOW), Known::Reused);
    assert_eq!(find(1, later), Known::New);
    assert_eq!(idempotency::find(&log.sql(), "other", &keyed(1), NOW).unwrap(), Known::New);
    idempotency::remember(&log.sql(), "app", &keyed(2), "2", (later, "2026-11-22T10:00:00.000Z")).unwrap();
    assert_eq!(find(2, later), Known::Answered("2".into()));
}

#[test]
fn an_empty_store_has_an_export_of_two_lines() {
    let log = Log::of(0);
    let text = log.exported(0);
    let header = ExportHeader::decode(text.lines().next().unwrap()).unwrap();
    assert_eq!((header.head, header.base, header.count), (0, 0, 0));
    assert_eq!(Log::empty().import(&text, Mode::Create, true).unwrap().head, 0);
}
