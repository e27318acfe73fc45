//! Whose records there are, of which apps, in which collections.

use std::ops::ControlFlow;

use ferry_protocol::records::UnixNanos;

use crate::sql::Sql;

/// An owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerShown {
    /// Its name.
    pub owner: String,
    /// Apps that it has records of.
    pub apps: i64,
    /// Live records.
    pub records: i64,
    /// The newest commit.
    pub last_commit: UnixNanos,
}

/// Owners behind the name `after`, in the order of names.
///
/// # Errors
/// What storage reports.
pub fn owners<S: Sql>(sql: &S, after: &str, limit: usize) -> Result<Vec<OwnerShown>, S::Error> {
    let mut found = Vec::new();
    sql.query(
        "SELECT owner, last_cts,
           (SELECT count(DISTINCT app) FROM _ferry_records AS r WHERE r.owner = o.owner),
           (SELECT count(*) FROM _ferry_records AS r
              WHERE r.owner = o.owner AND state = 0 AND deleted_at IS NULL)
         FROM _ferry_record_owners AS o WHERE owner > ?1 ORDER BY owner LIMIT ?2",
        &[after.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()],
        &mut |row| {
            let owner = row.text(0)?.to_owned();
            let last_commit = UnixNanos(row.integer(1)?);
            found.push(OwnerShown { owner, apps: row.integer(2)?, records: row.integer(3)?, last_commit });
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(found)
}

/// Names of owners, in their order.
///
/// # Errors
/// What storage reports.
pub fn owner_names<S: Sql>(sql: &S, limit: usize) -> Result<Vec<String>, S::Error> {
    let mut found = Vec::new();
    sql.query(
        "SELECT owner FROM _ferry_record_owners ORDER BY owner LIMIT ?1",
        &[i64::try_from(limit).unwrap_or(i64::MAX).into()],
        &mut |row| {
            found.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(found)
}

/// Whether there is such an owner.
///
/// # Errors
/// What storage reports.
pub fn has_owner<S: Sql>(sql: &S, owner: &str) -> Result<bool, S::Error> {
    let found =
        sql.first("SELECT 1 FROM _ferry_record_owners WHERE owner = ?1", &[owner.into()], |_| Ok(()))?;
    Ok(found.is_some())
}

/// What all records of a database come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Live records.
    pub records: i64,
    /// Bytes of their fields and of what is known of them, tombstones included.
    pub bytes: i64,
    /// The newest commit; the epoch while there is none.
    pub last_commit: UnixNanos,
}

/// The sums over all owners.
///
/// # Errors
/// What storage reports.
pub fn totals<S: Sql>(sql: &S) -> Result<Totals, S::Error> {
    let found = sql.first(
        "SELECT count(*) FILTER (WHERE state = 0 AND deleted_at IS NULL),
           ifnull(sum(octet_length(data) + octet_length(meta)), 0),
           (SELECT ifnull(max(last_cts), 0) FROM _ferry_record_owners)
         FROM _ferry_records",
        &[],
        |row| {
            Ok(Totals {
                records: row.integer(0)?,
                bytes: row.integer(1)?,
                last_commit: UnixNanos(row.integer(2)?),
            })
        },
    )?;
    Ok(found.unwrap_or(Totals { records: 0, bytes: 0, last_commit: UnixNanos::EPOCH }))
}

/// A collection of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionShown {
    /// The app.
    pub app: String,
    /// The collection.
    pub coll: String,
    /// Live records.
    pub records: i64,
    /// Deleted ones that are still known.
    pub deleted: i64,
}

/// The collections of an owner, of one app if named, by app and name.
///
/// # Errors
/// What storage reports.
pub fn collections<S: Sql>(
    sql: &S,
    owner: &str,
    app: Option<&str>,
) -> Result<Vec<CollectionShown>, S::Error> {
    let mut found = Vec::new();
    sql.query(
        "SELECT app, coll, count(*) FILTER (WHERE deleted_at IS NULL AND state = 0), count(deleted_at)
         FROM _ferry_records WHERE owner = ?1 AND app = ifnull(?2, app) GROUP BY app, coll ORDER BY app, coll",
        &[owner.into(), app.into()],
        &mut |row| {
            let (app, coll) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
            found.push(CollectionShown { app, coll, records: row.integer(2)?, deleted: row.integer(3)? });
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(found)
}

/// Whether an owner's name begins so.
///
/// # Errors
/// What storage reports.
pub fn has_prefix<S: Sql>(sql: &S, prefix: &str) -> Result<bool, S::Error> {
    let found = sql.first(
        "SELECT 1 FROM _ferry_record_owners WHERE owner >= ?1 AND substr(owner, 1, length(?1)) = ?1 LIMIT 1",
        &[prefix.into()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
