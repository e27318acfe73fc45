//! An organisation gets another name.

use ferry_types::Result;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    credentials::{recheck::refuse_non_admin, resolve::resolve_org},
    directory::effects::ControlEffect,
    identity::orgs::{check_name, refuse_taken},
    origin::Origin,
};

/// Gives an organisation another name.
pub struct RenameOrg<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id or name of the organisation; empty: the session's.
    pub org: &'a str,
    /// The new name.
    pub name: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RenameOrg<'_> {
    /// # Errors
    /// Bad or taken name, unknown organisation, role below admin.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, org, name, origin } = self;
        let (id, _) = resolve_org(db, caller, org)?;
        let name = check_name(name)?.to_owned();
        let (by, origin, now) = (caller.clone(), origin.clone(), db.now());
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            refuse_non_admin(connection, &by, id)?;
            let old_name: String = connection
                .prepare_cached("SELECT name FROM organizations WHERE id = ?1")?
                .query_row([id.to_string()], |row| row.get(0))?;
            if old_name == name {
                return Ok(());
            }
            refuse_taken(connection, &by, id, &name)?;
            connection
                .prepare_cached("UPDATE organizations SET name = ?2 WHERE id = ?1")?
                .execute([id.to_string().as_str(), &name])?;
            let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "org.rename", &name);
            row.org_id = Some(id);
            row.detail = json!({ "old_name": old_name });
            row.insert(connection)?;
            transaction.effect(ControlEffect::OrgRenamed { id, name });
            Ok(())
        })
        .await
    }
}
