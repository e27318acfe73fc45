//! The history of records. It has no index: the row of a record names its newest entry, each entry the one before. So an
//! accepted write touches the end of one table, which all writes of a group share. The oldest entries go first, so that a
//! chain ends where an entry is missing. A number may be given again once it is free: an entry belongs to a chain if it is
//! of the same record and older than the one that leads to it.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
};

use super::super::{
    history,
    store::{PastWrite, RecordKey, RowOut},
};
use crate::sql::{Sql, Value};

/// Entries of the records of an owner that a condition on the row `r` names, each chain from the newest on.
macro_rules! chain {
    ($which:literal) => {
        concat!(
            "WITH RECURSIVE past(number, app, coll, id, previous) AS (
               SELECT h.number, h.app, h.coll, h.id, h.previous FROM _ferry_records AS r
               JOIN _ferry_record_history AS h ON h.number = r.history AND h.owner = r.owner AND h.app = r.app
                 AND h.coll = r.coll AND h.id = r.id
               WHERE r.owner = ?1",
            $which,
            " UNION ALL
               SELECT h.number, h.app, h.coll, h.id, h.previous FROM past
               JOIN _ferry_record_history AS h ON h.number = past.previous AND h.number < past.number
                 AND h.owner = ?1 AND h.app = past.app AND h.coll = past.coll AND h.id = past.id)"
        )
    };
}
pub(super) use chain;

const COLUMNS: usize = 6;
const FIRST: &str = "INSERT INTO _ferry_record_history(owner, app, coll, id, cts, entry)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const NEXT: &str = "INSERT INTO _ferry_record_history(owner, app, coll, id, cts, entry, previous)
VALUES (?1, ?2, ?3, ?4, ?5, ?6,
(SELECT history FROM _ferry_records WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4))";

/// Adds the entries of these records, one after the other, and tells how many there are.
pub(super) fn add<'r, S: Sql>(
    sql: &S,
    owner: &str,
    app: &str,
    are_stored: bool,
    rows: impl Iterator<Item = &'r RowOut<'r>>,
) -> Result<i64, S::Error> {
    let mut values: Vec<Value<'_>> = Vec::new();
    for out in rows {
        if let Some(entry) = &out.entry {
            values.extend([owner, app, out.key.coll, out.key.id].map(Value::from));
            values.extend([out.row.cts.0.into(), Value::from(&**entry)]);
        }
    }
    if !values.is_empty() {
        sql.execute_rows(if are_stored { NEXT } else { FIRST }, COLUMNS, &values)?;
    }
    Ok(i64::try_from(values.len() / COLUMNS).unwrap_or(i64::MAX))
}

/// The history of each record is read once, however many writes are looked for in it.
pub(super) fn were_merged<S: Sql>(
    sql: &S,
    owner: &str,
    app: &str,
    writes: &[PastWrite<'_>],
) -> Result<Vec<bool>, S::Error> {
    let mut by_record: BTreeMap<(RecordKey<'_>, &str), Vec<usize>> = BTreeMap::new();
    for (index, write) in writes.iter().enumerate() {
        by_record.entry((write.key, &write.client)).or_default().push(index);
    }
    let mut merged = vec![false; writes.len()];
    for ((key, client), indexes) in by_record {
        let fragments: HashMap<&str, usize> =
            indexes.iter().map(|index| (&*writes[*index].fragment, *index)).collect();
        sql.query(
            concat!(
                chain!(" AND r.app = ?2 AND r.coll = ?3 AND r.id = ?4"),
                "SELECT entry FROM past JOIN _ferry_record_history AS h USING (number) WHERE instr(h.entry, ?5)"
            ),
            &[owner.into(), app.into(), key.coll.into(), key.id.into(), client.into()],
            &mut |row| {
                for fragment in history::accepted(row.text(0)?) {
                    if let Some(index) = fragments.get(&*fragment) {
                        merged[*index] = true;
                    }
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        // Equal writes of one push stand in the history together.
        for index in indexes {
            merged[index] = merged[fragments[&*writes[index].fragment]];
        }
    }
    Ok(merged)
}
