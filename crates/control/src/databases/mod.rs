//! Databases: create, list, rename, delete. Their files belong to the [`DatabaseHost`](super::DatabaseHost);
//! here they are names, kinds and owners.

pub(crate) mod connections;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod fork;
pub(crate) mod get;
pub(crate) mod jwt_issuer;
pub(crate) mod kinds;
pub(crate) mod list;
pub(crate) mod query;
pub(crate) mod rename;
pub(crate) mod restore;
pub(crate) mod storage;
pub(crate) mod tenants;
pub(crate) mod watermarks;

use ferry_auth::Role;
use ferry_types::{
    DatabaseId, DatabaseKind, Error, OrgId, Reason, Result, UnixMillis, UserId,
    limits::DATABASE_NAME_MAX_BYTES,
};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    audit::{AuditRow, Who},
    caller::{Caller, database_not_found, require_role},
    control_db::ControlDb,
    credentials::recheck::stored_role,
    directory::entries::DatabaseEntry,
    origin::Origin,
};

/// A name for a database (ORG-06).
pub(crate) fn check_name(name: &str) -> Result<&str> {
    let shaped = (1..=DATABASE_NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !shaped {
        let message = "name must have 1 to 64 characters of A-Z, a-z, 0-9, _ and -";
        return Err(Error::new(Reason::InvalidArgument, message));
    }
    if name == "-" {
        let message = "name must not be -, which stands for a credential's own database";
        return Err(Error::new(Reason::InvalidArgument, message));
    }
    if name.parse::<DatabaseId>().is_ok() {
        return Err(Error::new(Reason::InvalidArgument, "name must not look like a database id"));
    }
    Ok(name)
}

/// The kind that a caller names; empty: none.
pub(super) fn check_kind(kind: &str) -> Result<Option<DatabaseKind>> {
    if kind.is_empty() {
        return Ok(None);
    }
    kind.parse().map(Some).map_err(|error: ferry_types::kind::UnknownDatabaseKind| {
        Error::new(Reason::InvalidArgument, error.to_string())
    })
}

/// Who acts on which database, for the audit trail.
pub(super) struct DatabaseChange {
    pub(super) at: UnixMillis,
    pub(super) origin: Origin,
    pub(super) user_id: UserId,
    pub(super) org_id: OrgId,
    pub(super) database_id: DatabaseId,
}

impl DatabaseChange {
    pub(super) fn audit(
        &self,
        connection: &Connection,
        action: &'static str,
        name: &str,
        detail: serde_json::Value,
    ) -> ferry_sqlite::Result<()> {
        let row = AuditRow {
            at: self.at,
            origin: &self.origin,
            actor: Who::User(self.user_id),
            org_id: Some(self.org_id),
            database_id: Some(self.database_id),
            action,
            target: name,
            outcome: "ok",
            detail,
        };
        row.insert(connection)
    }

    /// Refuses whoever is no admin any more: the order of the actor decides. `gone` tells that the membership is.
    pub(super) fn refuse_non_admin(
        &self,
        connection: &Connection,
        gone: fn() -> Error,
    ) -> ferry_sqlite::Result<()> {
        let role = stored_role(connection, self.user_id, self.org_id)?.ok_or_else(gone)?;
        Ok(require_role(role, Role::Admin)?)
    }

    /// The database's name, as stored; not found if it was deleted in this moment.
    pub(super) fn name(&self, connection: &Connection) -> ferry_sqlite::Result<String> {
        let sql = "SELECT name FROM databases WHERE id = ?1 AND deleted IS NULL";
        let name =
            connection.prepare_cached(sql)?.query_row([self.database_id.to_string()], |row| row.get(0));
        name.optional()?.ok_or_else(|| database_not_found().into())
    }

    pub(super) fn refuse_taken(&self, connection: &Connection, name: &str) -> ferry_sqlite::Result<()> {
        let sql = "SELECT 1 FROM databases WHERE org_id = ?1 AND name = ?2 AND deleted IS NULL AND id <> ?3";
        let taken = connection
            .prepare_cached(sql)?
            .query_row([&self.org_id.to_string(), name, &self.database_id.to_string()], |_| Ok(()))
            .optional()?;
        match taken {
            Some(()) => Err(name_is_taken(name).into()),
            None => Ok(()),
        }
    }
}

pub(super) fn name_is_taken(name: &str) -> Error {
    let message = format!("a database named {name} exists: choose another name");
    Error::new(Reason::AlreadyExists, message)
}

/// Stores a database whose name is free, unless its organisation has `max` already.
pub(crate) fn insert_row(
    connection: &Connection,
    entry: &DatabaseEntry,
    created_by: Option<UserId>,
    max: u64,
) -> ferry_sqlite::Result<()> {
    let count: u64 = connection
        .prepare_cached("SELECT database_count FROM organizations WHERE id = ?1")?
        .query_row([entry.org_id.to_string()], |row| row.get(0))?;
    if count >= max {
        let message = format!("the organisation has {max} databases, the most it may have: delete one");
        return Err(Error::new(Reason::DatabaseLimit, message).into());
    }
    let sql =
        "INSERT INTO databases(id, org_id, name, kind, created_by, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(rusqlite::params![
        entry.id.to_string(),
        entry.org_id.to_string(),
        entry.name,
        entry.kind.map(DatabaseKind::as_str),
        created_by.map(|id| id.to_string()),
        entry.created.0
    ])?;
    Ok(())
}

pub(super) fn change(
    db: &ControlDb,
    caller: &Caller,
    entry: &DatabaseEntry,
    origin: &Origin,
) -> DatabaseChange {
    DatabaseChange {
        at: db.now(),
        origin: origin.clone(),
        user_id: caller.user_id,
        org_id: entry.org_id,
        database_id: entry.id,
    }
}

/// All databases of this kind, in order of their ids.
pub(crate) fn of_kind(db: &ControlDb, kind: DatabaseKind) -> Vec<DatabaseId> {
    let mut ids: Vec<_> = {
        let directory = db.directory();
        directory.databases().filter(|entry| entry.kind == Some(kind)).map(|entry| entry.id).collect()
    };
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: ORG-06
    #[test]
    fn names_of_databases() {
        for good in ["a", "Main-2_x", &"x".repeat(64), "db_", "db_3f2b9c1e"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let id_like = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
        for bad in ["", "a b", "ä", "a/b", "a.b", "a\n", &"x".repeat(65), id_like] {
            assert_eq!(check_name(bad).unwrap_err().reason, Reason::InvalidArgument, "{bad}");
        }
        assert_eq!(check_kind(""), Ok(None));
        assert_eq!(check_kind("hub"), Ok(Some(DatabaseKind::Hub)));
        assert_eq!(check_kind("file").unwrap_err().reason, Reason::InvalidArgument);
    }
}
