//! Tables that an earlier program made, brought up to date.

use std::ops::ControlFlow;

use super::{GAPS, VIEWS_DUE};
use crate::sql::{Sql, Value};

/// What the tables of this program are. Those of the first one had no number.
const VERSION: i64 = 2;
/// Key of that number in `_ferry_meta`.
const VERSION_KEY: &str = "records_schema";
/// Every table with an owner's rows.
pub(in super::super) const OWNED: [&str; 8] = [
    "_ferry_records",
    "_ferry_record_owners",
    "_ferry_record_devices",
    "_ferry_record_skew",
    "_ferry_record_stamps",
    "_ferry_record_purged",
    "_ferry_record_history",
    "_ferry_record_conflicts",
];

/// Whether the tables are those of an earlier program.
///
/// # Errors
/// What storage reports.
pub fn is_due<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    let found = sql.first("SELECT value FROM _ferry_meta WHERE key = ?1", &[VERSION_KEY.into()], |row| {
        Ok(row.integer(0)?)
    })?;
    Ok(found.unwrap_or(1) < VERSION)
}

/// Notes that the tables are those of this program.
pub(super) fn note<S: Sql>(sql: &S) -> Result<(), S::Error> {
    sql.execute("INSERT OR REPLACE INTO _ferry_meta VALUES (?1, ?2)", &[VERSION_KEY.into(), VERSION.into()])?;
    Ok(())
}

/// Brings the tables up to date, in the running transaction. `new_name` tells what an owner is called now: owners of
/// different kinds shared their names (REC-34).
///
/// # Errors
/// What storage reports.
pub fn run<S: Sql>(sql: &S, new_name: impl Fn(&str) -> String) -> Result<(), S::Error> {
    if !is_due(sql)? {
        return Ok(());
    }
    sql.execute("ALTER TABLE _ferry_record_owners ADD COLUMN generation INTEGER NOT NULL DEFAULT 0", &[])?;
    for table in [GAPS, VIEWS_DUE] {
        sql.execute(table, &[])?;
    }
    let mut owners = owners(sql)?;
    // New names are longer: one that is also an old one has to be free by then.
    owners.sort_by_key(|owner| std::cmp::Reverse(owner.len()));
    for owner in owners {
        let name = new_name(&owner);
        if name != owner {
            rename(sql, &owner, &name)?;
        }
    }
    // The views of an earlier program are made anew, a few at a time.
    sql.execute(
        "INSERT OR IGNORE INTO _ferry_record_views_due SELECT app, coll, 0 FROM _ferry_record_collections",
        &[],
    )?;
    note(sql)
}

fn owners<S: Sql>(sql: &S) -> Result<Vec<String>, S::Error> {
    let mut owners = Vec::new();
    let all = OWNED.iter().chain(&["_ferry_record_intents"]);
    let all: Vec<String> = all.map(|table| format!("SELECT owner FROM {table}")).collect();
    sql.query(&all.join(" UNION "), &[], &mut |row| {
        owners.push(row.text(0)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(owners)
}

/// Gives what is one owner's to another name, which nobody has.
///
/// # Errors
/// What storage reports.
pub fn rename<S: Sql>(sql: &S, owner: &str, name: &str) -> Result<(), S::Error> {
    for table in OWNED.iter().chain(&["_ferry_record_intents"]) {
        let values: [Value<'_>; 2] = [owner.into(), name.into()];
        sql.execute(&format!("UPDATE {table} SET owner = ?2 WHERE owner = ?1"), &values)?;
    }
    Ok(())
}
