//! How many collections there may be: each is a view with triggers in the schema, which every connection reads whole
//! (REC-35).

use std::collections::BTreeSet;

use ferry_types::{
    Error, Reason,
    limits::{
        RECORDS_COLLECTIONS_PER_APP, RECORDS_COLLECTIONS_PER_DATABASE, RECORDS_PUSH_MAX_NEW_COLLECTIONS,
    },
};

use super::{super::store::RowOut, views};
use crate::sql::Sql;

/// Refuses rows with which there would be too many collections. Those that are there already stay in use.
pub(super) fn admit<S: Sql>(sql: &S, owner: &str, app: &str, rows: &[RowOut<'_>]) -> Result<(), S::Error> {
    let stored: BTreeSet<&str> = rows.iter().filter(|row| row.is_stored).map(|row| row.key.coll).collect();
    let mut new: BTreeSet<&str> = rows.iter().map(|row| row.key.coll).collect();
    new.retain(|coll| !stored.contains(coll));
    let mut new_to_owner = Vec::new();
    for coll in new {
        if !has_records(sql, owner, app, coll)? {
            new_to_owner.push(coll);
        }
    }
    if new_to_owner.is_empty() {
        return Ok(());
    }
    let mut new_here = 0;
    for coll in &new_to_owner {
        new_here += usize::from(views::columns(sql, app, coll)?.is_none());
    }
    if new_here > RECORDS_PUSH_MAX_NEW_COLLECTIONS {
        return Err(too_many(format!(
            "{new_here} collections of this push are new, and at most {RECORDS_PUSH_MAX_NEW_COLLECTIONS} may be: send \
             them in several pushes"
        )));
    }
    if count_of_owner(sql, owner, app)? + new_to_owner.len() > RECORDS_COLLECTIONS_PER_APP {
        return Err(too_many(format!(
            "an app has at most {RECORDS_COLLECTIONS_PER_APP} collections of one user, and {} is not among them: keep \
             what tells records apart in a field, and not in the names of collections",
            new_to_owner[0]
        )));
    }
    if new_here > 0 && count(sql)? + new_here > RECORDS_COLLECTIONS_PER_DATABASE {
        return Err(too_many(format!(
            "a database has at most {RECORDS_COLLECTIONS_PER_DATABASE} collections, and {} is not among them: keep what \
             tells records apart in a field, give other apps databases of their own, or remove owners that are not needed \
             (DELETE …/records/owners/{{owner}})",
            new_to_owner[0]
        )));
    }
    Ok(())
}

fn too_many<E: From<Error>>(message: String) -> E {
    Error::new(Reason::TooManyCollections, message).into()
}

fn has_records<S: Sql>(sql: &S, owner: &str, app: &str, coll: &str) -> Result<bool, S::Error> {
    let found = sql.first(
        "SELECT 1 FROM _ferry_records WHERE owner = ?1 AND app = ?2 AND coll = ?3 LIMIT 1",
        &[owner.into(), app.into(), coll.into()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Collections of an owner's app; each is one step in the index, however many records it has.
fn count_of_owner<S: Sql>(sql: &S, owner: &str, app: &str) -> Result<usize, S::Error> {
    let found = sql.first(
        "WITH RECURSIVE held(coll) AS (
           SELECT min(coll) FROM _ferry_records WHERE owner = ?1 AND app = ?2
           UNION ALL
           SELECT (SELECT min(coll) FROM _ferry_records WHERE owner = ?1 AND app = ?2 AND coll > held.coll)
           FROM held WHERE held.coll IS NOT NULL)
         SELECT count(coll) FROM held",
        &[owner.into(), app.into()],
        |row| Ok(row.integer(0)?),
    )?;
    Ok(usize::try_from(found.unwrap_or(0)).unwrap_or(usize::MAX))
}

fn count<S: Sql>(sql: &S) -> Result<usize, S::Error> {
    let found =
        sql.first("SELECT count(*) FROM _ferry_record_collections", &[], |row| Ok(row.integer(0)?))?;
    Ok(usize::try_from(found.unwrap_or(0)).unwrap_or(usize::MAX))
}

/// Notes the collections of an owner that is about to be removed: nobody else may have records in them.
pub(in super::super) fn may_be_unused<S: Sql>(sql: &S, owner: &str) -> Result<(), S::Error> {
    sql.execute(
        "INSERT OR IGNORE INTO _ferry_record_views_due
         SELECT DISTINCT app, coll, 1 FROM _ferry_records WHERE owner = ?1",
        &[owner.into()],
    )?;
    Ok(())
}

/// Whether anybody has records in a collection.
pub(super) fn is_used<S: Sql>(sql: &S, app: &str, coll: &str) -> Result<bool, S::Error> {
    let found = sql.first(
        "SELECT 1 FROM _ferry_record_owners AS o WHERE EXISTS (
           SELECT 1 FROM _ferry_records WHERE owner = o.owner AND app = ?1 AND coll = ?2) LIMIT 1",
        &[app.into(), coll.into()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
