//! The end of a database.

use std::sync::Arc;

use ferry_auth::Role;
use ferry_types::{Error, Reason, Result};
use serde_json::json;

use crate::{
    caller::{Caller, database_not_found, require_role},
    control_db::ControlDb,
    credentials::resolve::resolve_database,
    databases::{DatabaseChange, change, storage::DatabaseStorage},
    directory::effects::ControlEffect,
    origin::Origin,
};

/// Deletes a database (ORG-08): once the tombstone is on disk it is gone for everybody, then its
/// connections are closed and its files moved to the trash. An interrupted move is finished at start.
pub struct DeleteDatabase<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
    /// The name once more, against slips; empty: not asked.
    pub confirm_name: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl DeleteDatabase<'_> {
    /// # Errors
    /// `database not found`, a wrong `confirm_name`, role below admin.
    pub async fn run(self, db: &Arc<ControlDb>, storage: &Arc<DatabaseStorage>) -> Result<()> {
        let Self { caller, database, confirm_name, origin } = self;
        let (entry, role) = resolve_database(db, caller, database)?;
        require_role(role, Role::Admin)?;
        if !confirm_name.is_empty() && *confirm_name != *entry.name {
            let message = format!("confirm_name must be the database's name, {}", entry.name);
            return Err(Error::new(Reason::InvalidArgument, message));
        }
        let (change, id, caller) = (change(db, caller, &entry, origin), entry.id, caller.clone());
        let (db, storage) = (Arc::clone(db), Arc::clone(storage));
        // A task of its own: a caller that goes away must not leave the files behind.
        let deletion = tokio::spawn(async move {
            bury(&db, &caller, change).await?;
            metrics::counter!("ferry_revocations_total", "kind" => "database").increment(1);
            storage.trash(id).await;
            Ok(())
        });
        deletion.await.unwrap_or_else(|error| {
            tracing::error!(%error, "deleting a database panicked");
            Err(Error::internal())
        })
    }
}

/// Commits the tombstone: the name is free and nobody finds the database any more.
async fn bury(db: &ControlDb, caller: &Caller, change: DatabaseChange) -> Result<()> {
    db.write_by(caller, move |transaction| {
        let connection = transaction.connection();
        change.refuse_non_admin(connection, database_not_found)?;
        let (id, name) = (change.database_id, change.name(connection)?);
        connection
            .prepare_cached("UPDATE databases SET deleted = ?2 WHERE id = ?1")?
            .execute(rusqlite::params![id.to_string(), change.at.0])?;
        change.audit(connection, "database.delete", &name, json!({}))?;
        transaction.effect(ControlEffect::DatabaseDeleted { id });
        Ok(())
    })
    .await
}
