//! The hub's side, without its shell: an SQLite database, a clock that the test moves.

use std::cell::Cell;

use ferry_core::{
    records::{
        ChangeResult, Changes, ChangesPage, Dialect, Note, Page, PageBounds, PullRequest, PushCaller,
        ReachedTables, changes, delta,
        maintenance::{self, Keep},
        pull, push,
        sqlite::SqliteRecords,
    },
    sql::{Row, Sql as _},
};
use ferry_protocol::records::{UnixNanos, decode_push, ferry::RecordsCursor};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::NativeSql;

pub(super) const OWNER: &str = "ada";
pub(super) const APP: &str = "todo";
/// 2026-01-01T10:00:00Z.
pub(super) const BEGIN: UnixNanos = UnixNanos(1_767_261_600_000_000_000);
pub(super) const INCOMPLETE_MS: i64 = 10_000;
pub(super) const KEEP: Keep = Keep { tombstone_days: 90, history_days: 30 };

pub(super) struct Hub {
    pub(super) connection: Connection,
    pub(super) now: Cell<UnixNanos>,
    /// Records of a page, changes of a delta: small, so that pages are cut.
    pub(super) page: usize,
}

/// The answer to a push.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) changes: Vec<Value>,
    pub(super) conflicts: usize,
    pub(super) results: Vec<ChangeResult>,
    /// What Ferry's client must take over, change by change.
    pub(super) answers: Vec<Option<String>>,
    pub(super) until: UnixNanos,
    pub(super) has_more: bool,
    pub(super) touched: usize,
}

pub(super) fn parse_changes(changes: &[u8]) -> Vec<Value> {
    serde_json::from_str(&format!("[{}]", std::str::from_utf8(changes).unwrap())).unwrap()
}

impl Hub {
    pub(super) fn new(page: usize) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE _ferry_meta(key TEXT PRIMARY KEY, value ANY)").unwrap();
        SqliteRecords::create(&NativeSql(&connection)).unwrap();
        Self { connection, now: Cell::new(BEGIN), page }
    }

    pub(super) fn sleep_ms(&self, ms: i64) {
        self.now.set(self.now.get().plus_ms(ms));
    }

    pub(super) fn push(&self, client: &str, since: UnixNanos, dialect: Dialect, changes: &[Value]) -> Answer {
        self.push_of(OWNER, client, since, dialect, changes)
    }

    pub(super) fn push_of(
        &self,
        owner: &str,
        client: &str,
        since: UnixNanos,
        dialect: Dialect,
        changes: &[Value],
    ) -> Answer {
        let body = json!({"changes": changes}).to_string();
        let read = decode_push(body.as_bytes()).unwrap();
        let caller = PushCaller {
            owner,
            app: APP,
            client,
            now: self.now.get(),
            since,
            dialect,
            max_changes: self.page + 3,
            tables: ReachedTables::default(),
        };
        let sql = NativeSql(&self.connection);
        let store = SqliteRecords::new(&sql);
        let (pushed, page) = match dialect {
            Dialect::Old => {
                let answer = delta(&store, &caller, &read.changes).unwrap();
                (answer.pushed, answer.page)
            }
            Dialect::Ferry => (push(&store, &caller, &read.changes).unwrap(), Page::default()),
        };
        Answer {
            changes: parse_changes(&page.changes),
            conflicts: pushed.conflicts.len(),
            answers: pushed.results.iter().map(|outcome| outcome.fields.clone()).collect(),
            results: pushed.results.iter().map(|outcome| outcome.result).collect(),
            until: page.until,
            has_more: page.has_more,
            touched: pushed.collections.len(),
        }
    }

    /// A push that is killed before its commit.
    pub(super) fn killed_push(&self, client: &str, since: UnixNanos, dialect: Dialect, changes: &[Value]) {
        self.connection.execute_batch("BEGIN").unwrap();
        self.push(client, since, dialect, changes);
        self.connection.execute_batch("ROLLBACK").unwrap();
    }

    pub(super) fn pull(&self, client: Option<&str>, coll: &str, since: UnixNanos) -> Page {
        let sql = NativeSql(&self.connection);
        let store = SqliteRecords::new(&sql);
        let asked = PullRequest {
            owner: OWNER,
            app: APP,
            coll,
            client,
            since,
            now: self.now.get(),
            bounds: PageBounds { records: self.page, ..PageBounds::PAGE },
        };
        let mut page = pull(&store, &asked).unwrap();
        if let Some(note) = page.note.take() {
            Note::store(&note, &store, OWNER).unwrap();
        }
        page
    }

    /// A page for Ferry's client.
    pub(super) fn changes(
        &self,
        cursor: RecordsCursor,
        skips: Option<&str>,
        page: usize,
    ) -> (Vec<Value>, RecordsCursor, bool) {
        let sql = NativeSql(&self.connection);
        let asked = Changes {
            owner: OWNER,
            app: Some(APP),
            cursor,
            skips,
            bounds: PageBounds { records: page, ..PageBounds::PAGE },
        };
        match changes(&SqliteRecords::new(&sql), &asked, |_| true).unwrap() {
            ChangesPage::Page { changes, cursor, has_more, .. } => {
                (parse_changes(&changes), cursor, has_more)
            }
            ChangesPage::BeyondHorizon => panic!("beyond the horizon"),
        }
    }

    pub(super) fn maintain(&self) {
        let (sql, now) = (NativeSql(&self.connection), self.now.get());
        let store = SqliteRecords::new(&sql);
        maintenance::complete_waiting(&store, now.plus_ms(-INCOMPLETE_MS), now).unwrap();
        maintenance::run(&store, now, KEEP).unwrap();
    }

    pub(super) fn count(&self, sql: &str) -> i64 {
        self.first(sql, |row| Ok(row.integer(0)?)).unwrap_or_default()
    }

    pub(super) fn text(&self, sql: &str) -> Option<String> {
        self.first(sql, |row| Ok(row.optional_text(0)?.map(str::to_owned))).flatten()
    }

    /// The first row of an answer; none, too, from a table that had no row yet and was not made.
    fn first<T>(&self, sql: &str, read: impl FnOnce(&dyn Row) -> crate::Result<T>) -> Option<T> {
        match NativeSql(&self.connection).first(sql, &[], read) {
            Err(error) if error.to_string().contains("no such table") => None,
            found => found.unwrap(),
        }
    }

    /// What the hub holds of a record, and of a device, for the messages of failures.
    pub(super) fn explain(&self, coll: &str, id: &str, client: &str) -> String {
        let entries = self.changes(RecordsCursor::default(), None, usize::MAX).0;
        let entry = entries.into_iter().find(|entry| entry["collection"] == coll && entry["id"] == id);
        let history = self.text(&format!(
            "SELECT group_concat(entry, char(10)) FROM _ferry_record_history WHERE coll = '{coll}' AND id = '{id}'"
        ));
        let cursors = self.text(&format!(
            "SELECT group_concat(coll || ' ' || delivered || ' ' || pass, char(10))
             FROM _ferry_record_devices WHERE client = '{client}'"
        ));
        let history = history.unwrap_or_default();
        format!("{:#}\n{history}\n{}", entry.unwrap_or_default(), cursors.unwrap_or_default())
    }

    /// What is kept beside the records.
    pub(super) fn notes(&self) -> String {
        let all = [
            "SELECT group_concat(client || coll || delivered || ' ' || pass || ' ' || seen, ';')
             FROM _ferry_record_devices",
            "SELECT group_concat(client || id || field || sent_at, ';') FROM _ferry_record_skew",
            "SELECT group_concat(id || field || digest || ' ' || at, ';') FROM _ferry_record_stamps",
        ];
        all.map(|sql| self.text(sql).unwrap_or_default()).join("/")
    }

    /// Everything that is stored of records, so that two states can be compared.
    pub(super) fn state(&self) -> String {
        self.text(
            "SELECT group_concat(coll || id || data || hex(meta) || created || ' ' || cts || state, char(10))
             FROM (SELECT * FROM _ferry_records ORDER BY owner, app, coll, id)",
        )
        .unwrap_or_default()
    }
}
