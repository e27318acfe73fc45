//! Databases: create, list, rename, delete. Their files belong to the [`DatabaseHost`](super::DatabaseHost);
//! here they are names, kinds and owners.

pub(crate) mod kinds;
pub(crate) mod tenants;
pub(crate) mod watermarks;

use std::sync::Arc;

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::{
        caller::{Caller, database_not_found, org_not_found, require_role},
        recheck::stored_role,
    },
    directory::{effects::ControlEffect, entries::DatabaseEntry, listing::Listing},
    host::DatabaseStats,
    origin::Origin,
};
use ferry_auth::Role;
use ferry_sqlite::Transaction;
use ferry_types::{
    DatabaseId, DatabaseKind, Error, OrgId, Reason, Result, UnixMillis, UserId,
    limits::DATABASE_NAME_MAX_BYTES,
};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

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
fn check_kind(kind: &str) -> Result<Option<DatabaseKind>> {
    if kind.is_empty() {
        return Ok(None);
    }
    kind.parse().map(Some).map_err(|error: ferry_types::kind::UnknownDatabaseKind| {
        Error::new(Reason::InvalidArgument, error.to_string())
    })
}

/// Who acts on which database, for the audit trail.
struct Act {
    at: UnixMillis,
    origin: Origin,
    user_id: UserId,
    org_id: OrgId,
    database_id: DatabaseId,
}

impl Act {
    fn audit(
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
    fn refuse_non_admin(&self, connection: &Connection, gone: fn() -> Error) -> ferry_sqlite::Result<()> {
        let role = stored_role(connection, self.user_id, self.org_id)?.ok_or_else(gone)?;
        Ok(require_role(role, Role::Admin)?)
    }

    /// The database's name, as stored; not found if it was deleted in this moment.
    fn name(&self, connection: &Connection) -> ferry_sqlite::Result<String> {
        let sql = "SELECT name FROM databases WHERE id = ?1 AND deleted IS NULL";
        let name =
            connection.prepare_cached(sql)?.query_row([self.database_id.to_string()], |row| row.get(0));
        name.optional()?.ok_or_else(|| database_not_found().into())
    }

    fn refuse_taken(&self, connection: &Connection, name: &str) -> ferry_sqlite::Result<()> {
        let sql = "SELECT 1 FROM databases WHERE org_id = ?1 AND name = ?2 AND deleted IS NULL AND id <> ?3";
        let taken = connection
            .prepare_cached(sql)?
            .query_row([&self.org_id.to_string(), name, &self.database_id.to_string()], |_| Ok(()))
            .optional()?;
        match taken {
            Some(()) => {
                let message = format!("a database named {name} exists: choose another name");
                Err(Error::new(Reason::AlreadyExists, message).into())
            }
            None => Ok(()),
        }
    }
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

impl Control {
    /// Creates a database; empty `org`: in the session's organisation, empty `kind`: fixed by the first write.
    ///
    /// # Errors
    /// Bad name or kind, name taken, too many databases, role below admin.
    pub async fn create_database(
        &self,
        caller: &Caller,
        name: &str,
        org: &str,
        kind: &str,
        origin: &Origin,
    ) -> Result<DatabaseEntry> {
        let (org_id, role) = self.resolve_org(caller, org)?;
        require_role(role, Role::Admin)?;
        let (name, kind): (Arc<str>, _) = (check_name(name)?.into(), check_kind(kind)?);
        self.insert_database((caller.user_id, Some(caller)), org_id, name, kind, origin).await
    }

    /// The same for validated arguments; without a caller the hub itself makes it.
    pub(crate) async fn insert_database(
        &self,
        (user_id, caller): (UserId, Option<&Caller>),
        org_id: OrgId,
        name: Arc<str>,
        kind: Option<DatabaseKind>,
        origin: &Origin,
    ) -> Result<DatabaseEntry> {
        let now = self.now();
        let id = DatabaseId::from_uuid(self.db.next_id(now));
        let entry = DatabaseEntry { id, org_id, name, kind, epoch: 0, jwt_not_before: None, created: now };
        let act = Act { at: now, origin: origin.clone(), user_id, org_id, database_id: id };
        let (max, stored) = (self.config.max_databases_per_org, entry.clone());
        let work = move |transaction: &mut Transaction<'_, ControlEffect>| {
            let connection = transaction.connection();
            act.refuse_non_admin(connection, org_not_found)?;
            act.refuse_taken(connection, &stored.name)?;
            insert_row(connection, &stored, Some(user_id), max)?;
            let detail = json!({ "kind": kind.map(DatabaseKind::as_str) });
            act.audit(connection, "database.create", &stored.name, detail)?;
            transaction.effect(ControlEffect::DatabaseCreated(stored));
            Ok(())
        };
        match caller {
            Some(caller) => self.db.write_by(caller, work).await?,
            None => self.db.write(work).await?,
        }
        Ok(entry)
    }

    /// A database and its present state.
    ///
    /// # Errors
    /// `database not found`, or what the database itself answers.
    pub async fn get_database(
        &self,
        caller: &Caller,
        database: &str,
    ) -> Result<(DatabaseEntry, DatabaseStats)> {
        let (entry, _) = self.resolve_database(caller, database)?;
        let stats = match self.host.get() {
            Some(host) => host.stats(entry.id).await?,
            None => DatabaseStats::default(),
        };
        Ok((entry, stats))
    }

    /// All databases of the session's organisation, oldest first.
    ///
    /// # Errors
    /// When the caller no longer belongs to it.
    pub fn list_all_databases(&self, caller: &Caller) -> Result<Vec<DatabaseEntry>> {
        let (org_id, _) = self.resolve_org(caller, "")?;
        Ok(self.db.directory().databases_after(org_id, None).cloned().collect())
    }

    /// A page of an organisation's databases, oldest first, and the token of the next one (empty: the end).
    ///
    /// # Errors
    /// Unknown organisation, bad page size or token.
    pub fn list_databases(
        &self,
        caller: &Caller,
        org: &str,
        name_prefix: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<DatabaseEntry>, String)> {
        let (org_id, _) = self.resolve_org(caller, org)?;
        let filter = [org_id.to_string(), name_prefix.to_owned()];
        let listing = Listing::new("ListDatabases", &[&filter[0], &filter[1]], page_size, page_token)?;
        let directory = self.db.directory();
        let found = directory
            .databases_after(org_id, listing.after.parse().ok())
            .filter(|entry| entry.name.starts_with(name_prefix));
        let (page, next) = listing.page(found, |entry| entry.id.to_string());
        Ok((page.into_iter().cloned().collect(), next))
    }

    /// Bytes on disk of each of these databases.
    pub async fn database_sizes(&self, entries: &[DatabaseEntry]) -> Vec<u64> {
        match self.host.get() {
            Some(host) => host.sizes(entries.iter().map(|entry| entry.id).collect()).await,
            None => vec![0; entries.len()],
        }
    }

    /// Gives a database another name; its id, tokens and connections stay (ORG-09).
    ///
    /// # Errors
    /// `database not found`, bad or taken name, role below admin.
    pub async fn rename_database(
        &self,
        caller: &Caller,
        database: &str,
        name: &str,
        origin: &Origin,
    ) -> Result<DatabaseEntry> {
        let (mut entry, role) = self.resolve_database(caller, database)?;
        require_role(role, Role::Admin)?;
        let name: Arc<str> = check_name(name)?.into();
        let act = self.act(caller, &entry, origin);
        let (id, new_name) = (entry.id, Arc::clone(&name));
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                act.refuse_non_admin(connection, database_not_found)?;
                let old_name = act.name(connection)?;
                if old_name == *new_name {
                    return Ok(());
                }
                act.refuse_taken(connection, &new_name)?;
                connection
                    .prepare_cached("UPDATE databases SET name = ?2 WHERE id = ?1")?
                    .execute(rusqlite::params![id.to_string(), new_name])?;
                act.audit(connection, "database.rename", &new_name, json!({ "old_name": old_name }))?;
                transaction.effect(ControlEffect::DatabaseRenamed { id, name: new_name });
                Ok(())
            })
            .await?;
        entry.name = name;
        Ok(entry)
    }

    /// Deletes a database (ORG-08): once the tombstone is on disk it is gone for everybody, then its
    /// connections are closed and its files moved to the trash. An interrupted move is finished at start.
    ///
    /// # Errors
    /// `database not found`, a wrong `confirm_name`, role below admin.
    pub async fn delete_database(
        self: &Arc<Self>,
        caller: &Caller,
        database: &str,
        confirm_name: &str,
        origin: &Origin,
    ) -> Result<()> {
        let (entry, role) = self.resolve_database(caller, database)?;
        require_role(role, Role::Admin)?;
        if !confirm_name.is_empty() && *confirm_name != *entry.name {
            let message = format!("confirm_name must be the database's name, {}", entry.name);
            return Err(Error::new(Reason::InvalidArgument, message));
        }
        let (control, act, id) = (Arc::clone(self), self.act(caller, &entry, origin), entry.id);
        let caller = caller.clone();
        // A task of its own: a caller that goes away must not leave the files behind.
        let deletion = tokio::spawn(async move {
            control.bury(&caller, act).await?;
            metrics::counter!("ferry_revocations_total", "kind" => "database").increment(1);
            control.trash(id).await;
            Ok(())
        });
        deletion.await.unwrap_or_else(|error| {
            tracing::error!(%error, "deleting a database panicked");
            Err(Error::internal())
        })
    }

    /// Commits the tombstone: the name is free and nobody finds the database any more.
    async fn bury(&self, caller: &Caller, act: Act) -> Result<()> {
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                act.refuse_non_admin(connection, database_not_found)?;
                let (id, name) = (act.database_id, act.name(connection)?);
                connection
                    .prepare_cached("UPDATE databases SET deleted = ?2 WHERE id = ?1")?
                    .execute(rusqlite::params![id.to_string(), act.at.0])?;
                act.audit(connection, "database.delete", &name, json!({}))?;
                transaction.effect(ControlEffect::DatabaseDeleted { id });
                Ok(())
            })
            .await
    }

    fn act(&self, caller: &Caller, entry: &DatabaseEntry, origin: &Origin) -> Act {
        Act {
            at: self.now(),
            origin: origin.clone(),
            user_id: caller.user_id,
            org_id: entry.org_id,
            database_id: entry.id,
        }
    }
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
