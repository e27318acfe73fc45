//! Tables of event sync inside the database's own file (section 4).

use std::fmt::Write as _;

use crate::sql::Sql;

/// Version of LiveStore's storage format, part of every log's name.
const PERSISTENCE_FORMAT_VERSION: u32 = 7;

/// The table that all stores of a database share.
const STORES: &str = "CREATE TABLE IF NOT EXISTS _ferry_event_stores(
        store_id TEXT PRIMARY KEY, table_name TEXT NOT NULL,
        backend_id TEXT NOT NULL, head INTEGER NOT NULL, base INTEGER NOT NULL,
        event_count INTEGER NOT NULL, bytes INTEGER NOT NULL,
        state TEXT NOT NULL, created_at TEXT NOT NULL, last_created_at TEXT) STRICT, WITHOUT ROWID";

/// A table that most databases never need, made at its first write: each would take a page of every database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Later {
    /// Changes of identities.
    Identities,
    /// Positions of hooks.
    Hooks,
    /// Answers under idempotency keys.
    Keys,
}

impl Later {
    const fn name(self) -> &'static str {
        match self {
            Self::Identities => "_ferry_event_identities",
            Self::Hooks => "_ferry_event_hooks",
            Self::Keys => "_ferry_event_idem",
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

/// Makes the shared table if it is missing.
///
/// # Errors
/// What storage reports.
pub fn create_tables<S: Sql>(sql: &S) -> Result<(), S::Error> {
    sql.execute(STORES, &[]).map(drop)
}

/// Whether the shared table is there.
///
/// # Errors
/// What storage reports.
pub fn has_tables<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    has_table(sql, "_ferry_event_stores")
}

/// Whether the table `name` is there.
///
/// # Errors
/// What storage reports.
pub(super) fn has_table<S: Sql>(sql: &S, name: &str) -> Result<bool, S::Error> {
    let text = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
    Ok(sql.first(text, &[name.into()], |_| Ok(()))?.is_some())
}

/// A store's log: its name, and the statements on it, written once per store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTable {
    /// Name of the table, without quotes.
    pub name: Box<str>,
    pub(super) store_id: Box<str>,
    pub(super) insert: Box<str>,
    pub(super) page: Box<str>,
    pub(super) count: Box<str>,
    pub(super) newest: Box<str>,
}

impl LogTable {
    /// The log of `store_id`.
    #[must_use]
    pub fn of(store_id: &str) -> Self {
        let name = table_name(store_id);
        let columns =
            "seqNum, parentSeqNum, name, args, createdAt, clientId, sessionId, commitSeq, principal";
        Self {
            insert: format!("INSERT INTO \"{name}\"({columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
                .into(),
            page: format!(
                "SELECT {columns} FROM \"{name}\" WHERE seqNum > ?1 AND seqNum <= ?2 ORDER BY seqNum LIMIT ?3"
            )
            .into(),
            count: format!("SELECT count(*) FROM \"{name}\" WHERE seqNum > ?1 AND seqNum <= ?2").into(),
            newest: format!("SELECT seqNum, createdAt FROM \"{name}\" ORDER BY seqNum DESC LIMIT 1").into(),
            name: name.into(),
            store_id: store_id.into(),
        }
    }

    /// Number of the commit that appended the newest event; 0: there is none.
    ///
    /// # Errors
    /// What storage reports.
    pub fn newest_commit<S: Sql>(&self, sql: &S) -> Result<i64, S::Error> {
        let text = format!("SELECT commitSeq FROM \"{}\" ORDER BY seqNum DESC LIMIT 1", self.name);
        Ok(sql.first(&text, &[], |row| Ok(row.integer(0)?))?.unwrap_or(0))
    }

    /// Makes the table. Its first seven columns are the reference's, so that its logs import as they are.
    ///
    /// # Errors
    /// What storage reports.
    pub fn create<S: Sql>(&self, sql: &S) -> Result<(), S::Error> {
        let statement = format!(
            "CREATE TABLE \"{}\"(
                seqNum INTEGER PRIMARY KEY, parentSeqNum INTEGER NOT NULL, name TEXT NOT NULL,
                args TEXT, createdAt TEXT NOT NULL, clientId TEXT NOT NULL, sessionId TEXT NOT NULL,
                commitSeq INTEGER NOT NULL, principal TEXT) STRICT",
            self.name
        );
        sql.execute(&statement, &[]).map(drop)
    }
}

/// `eventlog_7_` and the store's id, in which every byte but `a–z 0–9 - _ .` is written `%hh` (EVT-80): injective,
/// and safe under SQLite's case-insensitive names. It holds no quote, so quoting it is enough.
fn table_name(store_id: &str) -> String {
    let mut name = format!("eventlog_{PERSISTENCE_FORMAT_VERSION}_");
    for byte in store_id.bytes() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.') {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02x}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Verifies: EVT-80
    #[test]
    fn documented_names() {
        assert_eq!(table_name("sword-app-global"), "eventlog_7_sword-app-global");
        assert_eq!(table_name("Team A"), "eventlog_7_%54eam%20%41");
        assert_eq!(table_name("a\"b%é"), "eventlog_7_a%22b%25%c3%a9");
    }

    proptest! {
        // Verifies: EVT-80
        #[test]
        fn different_stores_never_share_a_table(one in ".{0,20}", other in ".{0,20}") {
            let (a, b) = (table_name(&one).to_ascii_lowercase(), table_name(&other).to_ascii_lowercase());
            prop_assert_eq!(a == b, one == other);
        }
    }
}
