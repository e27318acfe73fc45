//! One change of what functions of a database have: its right, its rows, its audit row, and what the directory is told.

use std::sync::Arc;

use ferry_auth::KeyRing;
use ferry_sqlite::Transaction;
use ferry_types::{DatabaseId, Result};
use rusqlite::Connection;

use crate::{
    audit::{AuditRow, Who},
    caller::database_not_found,
    control_db::ControlDb,
    credentials::requester::Requester,
    directory::{
        effects::ControlEffect,
        function_rows::{self, FunctionRows},
    },
};

/// What a change works on.
pub(super) struct FunctionsChange<'t, 's> {
    pub(super) transaction: &'t mut Transaction<'s, ControlEffect>,
    pub(super) database_id: DatabaseId,
    /// What is stored.
    pub(super) rows: FunctionRows,
    /// The hub's keys, which seal.
    pub(super) ring: Arc<KeyRing>,
    pub(super) now_unix: i64,
}

impl FunctionsChange<'_, '_> {
    pub(super) fn connection(&self) -> &Connection {
        self.transaction.connection()
    }
}

/// What the audit trail is told.
pub(super) struct AuditNote {
    pub(super) action: &'static str,
    pub(super) detail: serde_json::Value,
}

/// Runs `work` for `by`, whose right must still stand when the transaction begins (TOK-17).
///
/// # Errors
/// What `work` refuses; `database not found`; a failure of `control.db`.
pub(super) async fn change<T, F>(
    db: &ControlDb,
    by: &Requester,
    database_id: DatabaseId,
    work: F,
) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&mut FunctionsChange<'_, '_>) -> ferry_sqlite::Result<(T, Option<AuditNote>)> + Send + 'static,
{
    let entry = db.database(database_id).ok_or_else(database_not_found)?;
    let (by, now, state) = (by.clone(), db.now(), Arc::clone(db.state()));
    db.write(move |transaction| {
        by.recheck()?;
        let id = database_id.to_string();
        let exists = "SELECT 1 FROM databases WHERE id = ?1 AND deleted IS NULL";
        if !transaction.connection().prepare_cached(exists)?.exists([&id])? {
            return Err(database_not_found().into());
        }
        let rows = function_rows::load(transaction.connection(), database_id)?;
        let mut change =
            FunctionsChange { transaction, database_id, rows, ring: state.keys(), now_unix: now.as_secs() };
        let (value, note) = work(&mut change)?;
        let Some(AuditNote { action, detail }) = note else { return Ok(value) };
        let actor = Who::Principal(&by.principal);
        let mut row = AuditRow::ok(now, &by.origin, actor, action, &entry.name);
        (row.org_id, row.database_id, row.detail) = (Some(entry.org_id), Some(entry.id), detail);
        row.insert(transaction.connection())?;
        tell(transaction, database_id)?;
        Ok(value)
    })
    .await
}

/// Tells the directory what is stored now.
pub(crate) fn tell(
    transaction: &mut Transaction<'_, ControlEffect>,
    id: DatabaseId,
) -> ferry_sqlite::Result<()> {
    let rows = Arc::new(function_rows::load(transaction.connection(), id)?);
    transaction.effect(ControlEffect::FunctionsChanged { id, rows });
    Ok(())
}
