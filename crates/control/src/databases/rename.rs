//! A database gets another name (ORG-09).

use std::sync::Arc;

use ferry_auth::Role;
use ferry_types::Result;
use serde_json::json;

use crate::{
    caller::{Caller, database_not_found, require_role},
    control_db::ControlDb,
    credentials::resolve::resolve_database,
    databases::{change, check_name},
    directory::{effects::ControlEffect, entries::DatabaseEntry},
    origin::Origin,
};

/// Gives a database another name; its id, tokens and connections stay (ORG-09).
pub struct RenameDatabase<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
    /// The new name.
    pub name: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RenameDatabase<'_> {
    /// # Errors
    /// `database not found`, bad or taken name, role below admin.
    pub async fn run(self, db: &ControlDb) -> Result<DatabaseEntry> {
        let Self { caller, database, name, origin } = self;
        let (mut entry, role) = resolve_database(db, caller, database)?;
        require_role(role, Role::Admin)?;
        let name: Arc<str> = check_name(name)?.into();
        let change = change(db, caller, &entry, origin);
        let (id, new_name) = (entry.id, Arc::clone(&name));
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            change.refuse_non_admin(connection, database_not_found)?;
            let old_name = change.name(connection)?;
            if old_name == *new_name {
                return Ok(());
            }
            change.refuse_taken(connection, &new_name)?;
            connection
                .prepare_cached("UPDATE databases SET name = ?2 WHERE id = ?1")?
                .execute(rusqlite::params![id.to_string(), new_name])?;
            change.audit(connection, "database.rename", &new_name, json!({ "old_name": old_name }))?;
            transaction.effect(ControlEffect::DatabaseRenamed { id, name: new_name });
            Ok(())
        })
        .await?;
        entry.name = name;
        Ok(entry)
    }
}
