//! Owners. There is no row per owner that each push would have to write: the newest commit is found at the end of its
//! records, and only what that does not tell is kept.

use ferry_protocol::records::UnixNanos;

use super::{super::store::Owner, Rare, SqliteRecords, history::chain};
use crate::sql::Sql;

/// SQL of the newest commit of the records of an owner, NULL where there are none.
macro_rules! newest_of {
    ($owner:literal) => {
        concat!(
            "(SELECT cts FROM _ferry_records INDEXED BY _ferry_records_by_cts WHERE owner = ",
            $owner,
            " ORDER BY cts DESC LIMIT 1)"
        )
    };
}
pub(super) use newest_of;

/// SQL of those who have records, in the order of names, one step in the index each.
macro_rules! with_records {
    ($from:literal) => {
        concat!(
            "WITH RECURSIVE named(owner) AS (
               SELECT min(owner) FROM _ferry_records",
            $from,
            " UNION ALL
               SELECT (SELECT min(owner) FROM _ferry_records WHERE owner > named.owner) FROM named
               WHERE owner IS NOT NULL)"
        )
    };
}
pub(super) use with_records;

pub(super) fn owner<S: Sql>(store: &SqliteRecords<'_, S>, owner: &str) -> Result<Owner, S::Error> {
    let newest = store.sql.first(concat!("SELECT ", newest_of!("?1")), &[owner.into()], |row| {
        Ok(row.optional_integer(0)?.unwrap_or(0))
    })?;
    with_horizon(store, owner, UnixNanos(newest.unwrap_or(0)))
}

/// An owner whose newest record is of the commit `newest`.
pub(super) fn with_horizon<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    newest: UnixNanos,
) -> Result<Owner, S::Error> {
    let mut state = Owner { last_cts: newest, ..Owner::default() };
    if store.has(Rare::Horizons)? {
        let text = "SELECT horizon, generation FROM _ferry_record_horizons WHERE owner = ?1";
        let found = store.sql.first(text, &[owner.into()], |row| Ok((row.integer(0)?, row.integer(1)?)))?;
        if let Some((horizon, generation)) = found {
            state =
                Owner { last_cts: newest.max(UnixNanos(horizon)), horizon: UnixNanos(horizon), generation };
        }
    }
    Ok(state)
}

pub(super) fn set_horizon<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    horizon: UnixNanos,
    generation: i64,
) -> Result<(), S::Error> {
    store.make(Rare::Horizons)?;
    store.sql.execute(
        "INSERT OR REPLACE INTO _ferry_record_horizons VALUES (?1, ?2, ?3)",
        &[owner.into(), horizon.0.into(), generation.into()],
    )?;
    Ok(())
}

/// Moves a horizon, but never back.
pub(super) fn raise_horizon<S: Sql>(
    store: &SqliteRecords<'_, S>,
    owner: &str,
    horizon: UnixNanos,
) -> Result<(), S::Error> {
    store.make(Rare::Horizons)?;
    store.sql.execute(
        "INSERT INTO _ferry_record_horizons VALUES (?1, ?2, 0)
         ON CONFLICT(owner) DO UPDATE SET horizon = max(horizon, excluded.horizon)",
        &[owner.into(), horizon.0.into()],
    )?;
    Ok(())
}

/// Moves the horizon of every owner to `horizon`, or to its newest commit if that is later.
pub(super) fn raise_all<S: Sql>(store: &SqliteRecords<'_, S>, horizon: UnixNanos) -> Result<(), S::Error> {
    if newest_commit(store)?.is_none() {
        return Ok(());
    }
    store.make(Rare::Horizons)?;
    store.sql.execute("UPDATE _ferry_record_horizons SET horizon = max(horizon, ?1)", &[horizon.0.into()])?;
    store.sql.execute(
        concat!(
            with_records!(""),
            "INSERT INTO _ferry_record_horizons SELECT owner, max(?1, ",
            newest_of!("named.owner"),
            "), 0 FROM named WHERE owner IS NOT NULL
             ON CONFLICT(owner) DO UPDATE SET horizon = max(horizon, excluded.horizon)"
        ),
        &[horizon.0.into()],
    )?;
    Ok(())
}

pub(super) fn newest_commit<S: Sql>(store: &SqliteRecords<'_, S>) -> Result<Option<UnixNanos>, S::Error> {
    let text = concat!(
        with_records!(""),
        "SELECT max(",
        newest_of!("named.owner"),
        ") FROM named WHERE owner IS NOT NULL"
    );
    let of_records = store.sql.first(text, &[], |row| Ok(row.optional_integer(0)?))?.flatten();
    let mut of_horizons = None;
    if store.has(Rare::Horizons)? {
        let text = "SELECT max(horizon) FROM _ferry_record_horizons";
        of_horizons = store.sql.first(text, &[], |row| Ok(row.optional_integer(0)?))?.flatten();
    }
    Ok(of_records.max(of_horizons).map(UnixNanos))
}

pub(super) fn remove<S: Sql>(store: &SqliteRecords<'_, S>, owner: &str) -> Result<bool, S::Error> {
    let entries = concat!(
        "DELETE FROM _ferry_record_history WHERE number IN (",
        chain!(""),
        "SELECT number FROM past)"
    );
    let mut removed = store.sql.execute(entries, &[owner.into()])?;
    for (table, rare) in Rare::OWNED {
        if rare.map_or(Ok(true), |rare| store.has(rare))? {
            removed +=
                store.sql.execute(&format!("DELETE FROM {table} WHERE owner = ?1"), &[owner.into()])?;
        }
    }
    Ok(removed > 0)
}

pub(super) fn rename<S: Sql>(store: &SqliteRecords<'_, S>, owner: &str, name: &str) -> Result<(), S::Error> {
    let values = [owner.into(), name.into()];
    let entries = concat!(
        "UPDATE _ferry_record_history SET owner = ?2 WHERE number IN (",
        chain!(""),
        "SELECT number FROM past)"
    );
    store.sql.execute(entries, &values)?;
    store.sql.execute("UPDATE _ferry_record_intents SET owner = ?2 WHERE owner = ?1", &values)?;
    for (table, rare) in Rare::OWNED {
        if rare.map_or(Ok(true), |rare| store.has(rare))? {
            store.sql.execute(&format!("UPDATE {table} SET owner = ?2 WHERE owner = ?1"), &values)?;
        }
    }
    Ok(())
}
