//! Tables of event sync inside the database's own file (section 4). None of them depends on how many stores there are
//! (EVT-81).

use crate::{empty_views, sql::Sql};

/// A row per store, under its exact id (EVT-80). `number` is what its events are filed under: the commit that gave it to
/// the store, so that none is given twice. `moving`: the table of the first layout that still holds a part of its log.
const STORES: &str = "CREATE TABLE IF NOT EXISTS _ferry_event_logs(
        store_id TEXT PRIMARY KEY, number INTEGER NOT NULL,
        backend_id TEXT NOT NULL, head INTEGER NOT NULL, base INTEGER NOT NULL,
        event_count INTEGER NOT NULL, bytes INTEGER NOT NULL,
        state TEXT NOT NULL, created_at TEXT NOT NULL, last_created_at TEXT, moving TEXT) STRICT, WITHOUT ROWID";

/// The events of all stores, those of one store side by side.
const EVENTS: &str = "CREATE TABLE IF NOT EXISTS _ferry_events(
        store INTEGER NOT NULL, seq_num INTEGER NOT NULL, parent_seq_num INTEGER NOT NULL, name TEXT NOT NULL,
        args TEXT, created_at TEXT NOT NULL, client_id TEXT NOT NULL, session_id TEXT NOT NULL,
        commit_seq INTEGER NOT NULL, principal TEXT, PRIMARY KEY(store, seq_num)) STRICT, WITHOUT ROWID";

/// The view in which SQL sees the events of all stores.
pub const VIEW_NAME: &str = "events";
/// Its columns.
pub const VIEW_COLUMNS: &[&str] = &[
    "store_id",
    "seq_num",
    "parent_seq_num",
    "name",
    "args",
    "created_at",
    "client_id",
    "session_id",
    "commit_seq",
];

/// What SQL sees of all logs. Made when no event is left in a table of the first layout, so that none is ever missing.
const VIEW: &str = "CREATE VIEW IF NOT EXISTS events(
        store_id, seq_num, parent_seq_num, name, args, created_at, client_id, session_id, commit_seq) AS
        SELECT l.store_id, e.seq_num, e.parent_seq_num, e.name, e.args, e.created_at, e.client_id, e.session_id,
            e.commit_seq
        FROM _ferry_event_logs AS l CROSS JOIN _ferry_events AS e ON e.store = l.number";
/// What is added to it where events wait to be filed.
const VIEW_OF_ARRIVALS: &str = " UNION ALL
        SELECT store_id, seq_num, parent_seq_num, name, args, created_at, client_id, session_id, commit_seq
        FROM _ferry_event_arrivals";

/// A table that most databases never need, made at its first write: each would take a page of every database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Later {
    /// Changes of identities.
    Identities,
    /// Positions of hooks.
    Hooks,
    /// Answers under idempotency keys.
    Keys,
    /// Numbers whose events belong to no store any more, and are removed in steps.
    Dropped,
}

impl Later {
    const fn name(self) -> &'static str {
        match self {
            Self::Identities => "_ferry_event_identities",
            Self::Hooks => "_ferry_event_hooks",
            Self::Keys => "_ferry_event_idem",
            Self::Dropped => "_ferry_event_dropped",
        }
    }

    const fn statements(self) -> &'static [&'static str] {
        match self {
            Self::Identities => &["CREATE TABLE _ferry_event_identities(
                store_id TEXT, old_id TEXT, new_id TEXT, head INTEGER, actor TEXT, reason TEXT, at TEXT) STRICT"],
            Self::Hooks => &["CREATE TABLE _ferry_event_hooks(
                hook TEXT, store_id TEXT, position INTEGER, tries INTEGER, next_at TEXT,
                PRIMARY KEY(hook, store_id)) STRICT"],
            Self::Keys => &[
                "CREATE TABLE _ferry_event_idem(
                    key TEXT, store_id TEXT, body_hash BLOB, response TEXT, expires_at TEXT,
                    PRIMARY KEY(store_id, key)) STRICT",
                "CREATE INDEX _ferry_event_idem_exp ON _ferry_event_idem(expires_at)",
            ],
            Self::Dropped => &["CREATE TABLE _ferry_event_dropped(number INTEGER PRIMARY KEY) STRICT"],
        }
    }

    /// Whether it is there.
    pub(super) fn exists<S: Sql>(self, sql: &S) -> Result<bool, S::Error> {
        has_table(sql, self.name())
    }

    /// Makes it if it is missing.
    pub(super) fn make<S: Sql>(self, sql: &S) -> Result<(), S::Error> {
        if self.exists(sql)? {
            return Ok(());
        }
        self.statements().iter().try_for_each(|statement| sql.execute(statement, &[]).map(drop))
    }
}

/// Makes what all stores share, where it is missing.
///
/// # Errors
/// What storage reports.
pub fn create_tables<S: Sql>(sql: &S) -> Result<(), S::Error> {
    create_logs(sql)?;
    create_view(sql)
}

/// The same without the view.
pub(super) fn create_logs<S: Sql>(sql: &S) -> Result<(), S::Error> {
    sql.execute(STORES, &[])?;
    sql.execute(EVENTS, &[]).map(drop)
}

/// Makes the view, unless the application has given something that name.
pub(super) fn create_view<S: Sql>(sql: &S) -> Result<(), S::Error> {
    empty_views::make_room(sql, VIEW_NAME)?;
    let arrivals = if has_arrivals(sql)? { VIEW_OF_ARRIVALS } else { "" };
    sql.execute(&format!("{VIEW}{arrivals}"), &[]).map(drop)
}

/// Makes the view anew, if there is one that is ours.
pub(super) fn renew_view<S: Sql>(sql: &S) -> Result<(), S::Error> {
    let ours = "SELECT 1 FROM sqlite_master
                WHERE type = 'view' AND name = 'events' AND instr(sql, '_ferry_event_logs') > 0";
    if sql.first(ours, &[], |_| Ok(()))?.is_none() {
        return Ok(());
    }
    sql.execute("DROP VIEW events", &[])?;
    create_view(sql)
}

/// Whether the tables are there.
///
/// # Errors
/// What storage reports.
pub fn has_tables<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    has_table(sql, "_ferry_event_logs")
}

/// Whether events wait to be filed in this database ([`super::arrivals`]).
pub(super) fn has_arrivals<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    has_table(sql, "_ferry_event_arrivals")
}

/// Whether the table `name` is there.
///
/// # Errors
/// What storage reports.
pub(super) fn has_table<S: Sql>(sql: &S, name: &str) -> Result<bool, S::Error> {
    let text = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
    Ok(sql.first(text, &[name.into()], |_| Ok(()))?.is_some())
}
