//! A database is made (ORG-06).

use std::sync::Arc;

use ferry_auth::Role;
use ferry_sqlite::Transaction;
use ferry_types::{DatabaseId, DatabaseKind, OrgId, Result, UserId};
use serde_json::json;

use crate::{
    caller::{Caller, org_not_found, require_role},
    control_db::ControlDb,
    credentials::resolve::resolve_org,
    databases::{DatabaseChange, check_kind, check_name, insert_row},
    directory::{effects::ControlEffect, entries::DatabaseEntry},
    origin::Origin,
};

/// Creates a database; empty `org`: in the session's organisation, empty `kind`: fixed by the first write.
pub struct CreateDatabase<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The new name.
    pub name: &'a str,
    /// Id or name of the organisation; empty: the session's.
    pub org: &'a str,
    /// `hub`, `replica`, or empty: fixed by the first write.
    pub kind: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl CreateDatabase<'_> {
    /// # Errors
    /// Bad name or kind, name taken, too many databases, role below admin.
    pub async fn run(self, db: &ControlDb, max_per_org: u64) -> Result<DatabaseEntry> {
        let Self { caller, name, org, kind, origin } = self;
        let (org_id, role) = resolve_org(db, caller, org)?;
        require_role(role, Role::Admin)?;
        let (name, kind): (Arc<str>, _) = (check_name(name)?.into(), check_kind(kind)?);
        insert_database(db, max_per_org, (caller.user_id, Some(caller)), org_id, name, kind, origin).await
    }
}

/// The same for validated arguments; without a caller the hub itself makes it.
pub(crate) async fn insert_database(
    db: &ControlDb,
    max_per_org: u64,
    (user_id, caller): (UserId, Option<&Caller>),
    org_id: OrgId,
    name: Arc<str>,
    kind: Option<DatabaseKind>,
    origin: &Origin,
) -> Result<DatabaseEntry> {
    let now = db.now();
    let id = DatabaseId::from_uuid(db.next_id(now));
    let entry = DatabaseEntry { id, org_id, name, kind, epoch: 0, jwt_not_before: None, created: now };
    let change = DatabaseChange { at: now, origin: origin.clone(), user_id, org_id, database_id: id };
    let (max, stored) = (max_per_org, entry.clone());
    let work = move |transaction: &mut Transaction<'_, ControlEffect>| {
        let connection = transaction.connection();
        change.refuse_non_admin(connection, org_not_found)?;
        change.refuse_taken(connection, &stored.name)?;
        insert_row(connection, &stored, Some(user_id), max)?;
        let detail = json!({ "kind": kind.map(DatabaseKind::as_str) });
        change.audit(connection, "database.create", &stored.name, detail)?;
        transaction.effect(ControlEffect::DatabaseCreated(stored));
        Ok(())
    };
    match caller {
        Some(caller) => db.write_by(caller, work).await?,
        None => db.write(work).await?,
    }
    Ok(entry)
}
