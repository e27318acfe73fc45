//! The registry of stores: a row per log, and what opening one has to check.

use std::{fmt, str::FromStr};

use super::{
    arrivals, first_layout,
    log::{self, Newest},
    schema::{create_tables, has_tables},
    store_key::StoreKey,
};
use crate::sql::{Damaged, Row, Sql, Value};

/// Whether a store serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreState {
    /// It serves.
    Ok,
    /// Its file may have lost acknowledged events: the operator must decide first (EVT-43).
    Hold,
    /// It was deleted; the row stays against being made again by accident.
    Deleted,
}

impl StoreState {
    /// The word in storage and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Hold => "hold",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for StoreState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StoreState {
    type Err = Damaged;

    fn from_str(text: &str) -> Result<Self, Damaged> {
        match text {
            "ok" => Ok(Self::Ok),
            "hold" => Ok(Self::Hold),
            "deleted" => Ok(Self::Deleted),
            _ => Err(Damaged { column: STATE, expected: "a state of a store" }),
        }
    }
}

/// A store as its row tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRow {
    /// Its id, and where its events are filed.
    pub key: StoreKey,
    /// Its identity, which clients compare (EVT-40).
    pub backend_id: Box<str>,
    /// Number of the newest event; 0: none yet.
    pub head: i64,
    /// Events up to here were removed by compaction; 0 until there is any.
    pub base: i64,
    /// How many events there are.
    pub event_count: i64,
    /// Bytes of their names, arguments and ids.
    pub bytes: i64,
    /// Whether it serves.
    pub state: StoreState,
    /// When it was made: RFC 3339, UTC.
    pub created_at: Box<str>,
    /// When the newest event was committed.
    pub last_created_at: Option<Box<str>>,
}

const COLUMNS: &str =
    "store_id, number, backend_id, head, base, event_count, bytes, state, created_at, last_created_at";
/// The same in a database of the first layout, whose stores have no numbers yet.
const FIRST_COLUMNS: &str =
    "store_id, 0, backend_id, head, base, event_count, bytes, state, created_at, last_created_at";
const STATE: usize = 7;

/// What the hub remembers of a store outside its file, to notice an older file (EVT-43).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The store's identity then.
    pub backend_id: Box<str>,
    /// Its head then.
    pub head: i64,
}

/// What becomes of a store whose file is older than the hub remembers (EVT-44).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRollback {
    /// It waits for the operator.
    Hold,
    /// It gets a new identity: clients wipe their copy and pull again.
    Remint,
}

impl StoreRow {
    fn read(row: &dyn Row) -> Result<Self, Damaged> {
        Ok(Self {
            key: StoreKey { id: row.text(0)?.into(), number: row.integer(1)? },
            backend_id: row.text(2)?.into(),
            head: row.integer(3)?,
            base: row.integer(4)?,
            event_count: row.integer(5)?,
            bytes: row.integer(6)?,
            state: row.text(STATE)?.parse()?,
            created_at: row.text(8)?.into(),
            last_created_at: row.optional_text(9)?.map(Into::into),
        })
    }

    /// Whether numbers follow one another without a gap, so that counting needs no look at the log.
    #[must_use]
    pub const fn is_dense(&self) -> bool {
        self.head - self.base == self.event_count
    }
}

/// The registry, as the beginning of a query; `None`: there is none yet.
fn registry<S: Sql>(sql: &S) -> Result<Option<String>, S::Error> {
    if arrivals::exist(sql)? {
        return Ok(Some(arrivals::REGISTRY.to_owned()));
    }
    if has_tables(sql)? {
        return Ok(Some(format!("SELECT {COLUMNS} FROM _ferry_event_logs")));
    }
    let is_first = first_layout::is_first(sql)?;
    Ok(is_first.then(|| format!("SELECT {FIRST_COLUMNS} FROM _ferry_event_stores")))
}

/// The row of `store_id`, if it has one.
///
/// # Errors
/// What storage reports.
pub fn find<S: Sql>(sql: &S, store_id: &str) -> Result<Option<StoreRow>, S::Error> {
    let Some(registry) = registry(sql)? else { return Ok(None) };
    let text = registry + " WHERE store_id = ?1";
    sql.first(&text, &[store_id.into()], |row| Ok(StoreRow::read(row)?))
}

/// All rows, deleted ones too, in order of their ids.
///
/// # Errors
/// What storage reports.
pub fn list<S: Sql>(sql: &S) -> Result<Vec<StoreRow>, S::Error> {
    let mut rows = Vec::new();
    if let Some(registry) = registry(sql)? {
        let text = registry + " ORDER BY store_id";
        sql.query(&text, &[], &mut |row| {
            rows.push(StoreRow::read(row)?);
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
    }
    Ok(rows)
}

/// Makes an empty store with its identity, in one transaction with whatever else the request does (EVT-40). The number
/// in `key` is that of the commit.
///
/// # Errors
/// What storage reports.
pub fn create<S: Sql>(
    sql: &S,
    key: StoreKey,
    backend_id: &str,
    state: StoreState,
    now: &str,
) -> Result<StoreRow, S::Error> {
    first_layout::take_over(sql)?;
    if !has_tables(sql)? {
        create_tables(sql)?;
    }
    let text =
        "INSERT INTO _ferry_event_logs(store_id, number, backend_id, head, base, event_count, bytes, state,
                    created_at) VALUES (?1, ?2, ?3, 0, 0, 0, 0, ?4, ?5)";
    let row = [(*key.id).into(), key.number.into(), backend_id.into(), state.as_str().into(), now.into()];
    sql.execute(text, &row)?;
    arrivals::make_if_many(sql)?;
    Ok(StoreRow {
        key,
        backend_id: backend_id.into(),
        head: 0,
        base: 0,
        event_count: 0,
        bytes: 0,
        state,
        created_at: now.into(),
        last_created_at: None,
    })
}

/// Sets the state of a store.
///
/// # Errors
/// What storage reports.
pub fn set_state<S: Sql>(sql: &S, store_id: &str, state: StoreState) -> Result<(), S::Error> {
    let text = "UPDATE _ferry_event_logs SET state = ?2 WHERE store_id = ?1";
    sql.execute(text, &[store_id.into(), state.as_str().into()]).map(drop)
}

/// Whether row and log agree (EVT-42): neither has anything that the other lacks.
///
/// # Errors
/// What storage reports.
pub fn agrees<S: Sql>(sql: &S, row: &StoreRow) -> Result<bool, S::Error> {
    let filed = arrivals::first_parent(sql, row.key.number)?.unwrap_or(row.head);
    Ok(log::newest_filed(sql, &row.key)?.map_or(row.base, |newest| newest.seq_num) == filed)
}

/// Compares row and log at open (EVT-42): a log above the head raises the head; one below it means lost events.
/// Returns false in that case, in which the caller puts the store on hold.
///
/// # Errors
/// What storage reports.
pub fn reconcile<S: Sql>(sql: &S, row: &mut StoreRow) -> Result<bool, S::Error> {
    if arrivals::first_parent(sql, row.key.number)?.is_some() {
        return agrees(sql, row);
    }
    let newest = log::newest_filed(sql, &row.key)?;
    let (newest, created_at) = match newest {
        None => (row.base, None),
        Some(Newest { seq_num, created_at, .. }) => (seq_num, Some(created_at)),
    };
    if newest < row.head {
        return Ok(false);
    }
    if newest > row.head {
        row.head = newest;
        row.event_count = log::count(sql, &row.key, 0, newest)?;
        row.last_created_at = created_at;
        let text = "UPDATE _ferry_event_logs SET head = ?2, event_count = ?3, last_created_at = ?4
                    WHERE store_id = ?1";
        let last: Value<'_> = row.last_created_at.as_deref().into();
        sql.execute(text, &[(*row.key.id).into(), row.head.into(), row.event_count.into(), last])?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_one_word_each() {
        for state in [StoreState::Ok, StoreState::Hold, StoreState::Deleted] {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("held".parse::<StoreState>().is_err());
    }
}
