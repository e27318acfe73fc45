//! How many collections there may be: each is a view with triggers in the schema, which every connection reads whole
//! (REC-35).

use std::collections::BTreeSet;

use ferry_types::{
    Error, Reason,
    limits::{
        RECORDS_COLLECTIONS_PER_APP, RECORDS_COLLECTIONS_PER_DATABASE, RECORDS_PUSH_MAX_NEW_COLLECTIONS,
    },
};

use super::{
    super::store::RowOut,
    Rare, SqliteRecords,
    owners::with_records,
    view_columns::{self, ViewColumns},
};
use crate::sql::Sql;

/// A collection that a push may be the first to write to, or brings new fields to.
pub(super) struct ObservedCollection<'a> {
    /// Its name.
    pub(super) coll: &'a str,
    /// The columns of its view; `None` if there is no view yet.
    pub(super) columns: Option<ViewColumns>,
    has_records: bool,
}

/// The collections of those rows that are new or have new fields.
pub(super) fn touched<'a, S: Sql>(
    sql: &S,
    owner: &str,
    app: &str,
    rows: &[RowOut<'a>],
) -> Result<Vec<ObservedCollection<'a>>, S::Error> {
    let is_touched = |row: &&RowOut<'a>| !row.is_stored || !row.new_keys.is_empty();
    let names: BTreeSet<&'a str> = rows.iter().filter(is_touched).map(|row| row.key.coll).collect();
    let mut touched = Vec::with_capacity(names.len());
    for coll in names {
        let key = view_columns::key(app, coll);
        let found = sql.first(
            "SELECT EXISTS (SELECT 1 FROM _ferry_records WHERE owner = ?1 AND app = ?2 AND coll = ?3),
               (SELECT value FROM _ferry_meta WHERE key = ?4)",
            &[owner.into(), app.into(), coll.into(), (&*key).into()],
            |row| Ok((row.integer(0)? != 0, row.optional_text(1)?.map(ViewColumns::read))),
        )?;
        let (has_records, columns) = found.unwrap_or((false, None));
        touched.push(ObservedCollection { coll, columns, has_records });
    }
    Ok(touched)
}

/// Refuses rows with which there would be too many collections. Those that are there already stay in use.
pub(super) fn admit<S: Sql>(
    sql: &S,
    owner: &str,
    app: &str,
    touched: &[ObservedCollection<'_>],
) -> Result<(), S::Error> {
    let new_to_owner: Vec<_> = touched.iter().filter(|one| !one.has_records).collect();
    let Some(first) = new_to_owner.first() else { return Ok(()) };
    let new_here = new_to_owner.iter().filter(|one| one.columns.is_none()).count();
    if new_here > RECORDS_PUSH_MAX_NEW_COLLECTIONS {
        return Err(too_many(format!(
            "{new_here} collections of this push are new, and at most {RECORDS_PUSH_MAX_NEW_COLLECTIONS} may be: send \
             them in several pushes"
        )));
    }
    let here = view_columns::count(sql)?;
    // An owner has no more than there are.
    if here + new_to_owner.len() > RECORDS_COLLECTIONS_PER_APP
        && count_of_owner(sql, owner, app)? + new_to_owner.len() > RECORDS_COLLECTIONS_PER_APP
    {
        return Err(too_many(format!(
            "an app has at most {RECORDS_COLLECTIONS_PER_APP} collections of one user, and {} is not among them: keep \
             what tells records apart in a field, and not in the names of collections",
            first.coll
        )));
    }
    if new_here > 0 && here + new_here > RECORDS_COLLECTIONS_PER_DATABASE {
        return Err(too_many(format!(
            "a database has at most {RECORDS_COLLECTIONS_PER_DATABASE} collections, and {} is not among them: keep what \
             tells records apart in a field, give other apps databases of their own, or remove owners that are not needed \
             (DELETE …/records/owners/{{owner}})",
            first.coll
        )));
    }
    Ok(())
}

fn too_many<E: From<Error>>(message: String) -> E {
    Error::new(Reason::TooManyCollections, message).into()
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

/// Notes the collections of an owner that is about to be removed: nobody else may have records in them.
pub(super) fn may_be_unused<S: Sql>(store: &SqliteRecords<'_, S>, owner: &str) -> Result<(), S::Error> {
    let any = "SELECT 1 FROM _ferry_records WHERE owner = ?1 LIMIT 1";
    if store.sql.first(any, &[owner.into()], |_| Ok(()))?.is_none() {
        return Ok(());
    }
    store.make(Rare::ViewsDue)?;
    store.sql.execute(
        "INSERT OR IGNORE INTO _ferry_record_views_due
         SELECT DISTINCT app, coll, 1 FROM _ferry_records WHERE owner = ?1",
        &[owner.into()],
    )?;
    Ok(())
}

/// Whether anybody has records in a collection.
pub(super) fn is_used<S: Sql>(sql: &S, app: &str, coll: &str) -> Result<bool, S::Error> {
    let found = sql.first(
        concat!(
            with_records!(""),
            "SELECT 1 FROM named WHERE owner IS NOT NULL AND EXISTS (
               SELECT 1 FROM _ferry_records WHERE owner = named.owner AND app = ?1 AND coll = ?2) LIMIT 1"
        ),
        &[app.into(), coll.into()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
