//! All sync tokens of a database are revoked (TOK-12).

use ferry_auth::Role;
use ferry_types::Result;
use rusqlite::OptionalExtension as _;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::{Caller, database_not_found, require_role},
    control_db::ControlDb,
    credentials::{recheck::refuse_non_admin_of, resolve::resolve_database},
    directory::effects::ControlEffect,
    origin::Origin,
};

/// Revokes every sync token of a database (TOK-12).
pub struct RevokeDatabaseTokens<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id of the database, or its name in the session's organisation.
    pub database: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RevokeDatabaseTokens<'_> {
    /// # Errors
    /// `database not found`, role below admin.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, database, origin } = self;
        let (entry, role) = resolve_database(db, caller, database)?;
        require_role(role, Role::Admin)?;
        let (by, origin, now) = (caller.clone(), origin.clone(), db.now());
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            refuse_non_admin_of(connection, &by, entry.org_id, database_not_found)?;
            let id = entry.id.to_string();
            let epoch = connection
                .prepare_cached(
                    "UPDATE databases SET epoch = epoch + 1, jwt_not_before = ?2
                     WHERE id = ?1 AND deleted IS NULL RETURNING epoch",
                )?
                .query_row(rusqlite::params![id, now.0], |row| row.get(0))
                .optional()?
                .ok_or_else(database_not_found)?;
            let count = connection
                .prepare_cached(
                    "UPDATE issued_tokens SET revoked = ?2
                     WHERE database_id = ?1 AND revoked IS NULL AND expires > ?2",
                )?
                .execute(rusqlite::params![id, now.0])?;
            let mut row =
                AuditRow::ok(now, &origin, Who::User(by.user_id), "database.revoke_tokens", &entry.name);
            (row.org_id, row.database_id) = (Some(entry.org_id), Some(entry.id));
            row.detail = json!({ "tokens": count });
            row.insert(connection)?;
            transaction.effect(ControlEffect::DatabaseEpoch { id: entry.id, epoch, jwt_not_before: now });
            Ok(())
        })
        .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "database").increment(1);
        Ok(())
    }
}
