//! A shared organisation is made.

use ferry_auth::Role;
use ferry_types::{OrgId, Result};

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    credentials::recheck::refuse_ended,
    directory::effects::ControlEffect,
    identity::{
        members,
        orgs::{check_name, refuse_taken},
        whoami::OrgMembership,
    },
    origin::Origin,
};

/// Creates a shared organisation, whose admin the caller is.
pub struct CreateOrg<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The new name.
    pub name: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl CreateOrg<'_> {
    /// # Errors
    /// Bad name, one that the caller knows another organisation by, too many organisations.
    pub async fn run(self, db: &ControlDb) -> Result<OrgMembership> {
        let Self { caller, name, origin } = self;
        let name = check_name(name)?.to_owned();
        let now = db.now();
        let id = OrgId::from_uuid(db.next_id(now));
        let created = OrgMembership { id, name: name.clone(), role: Role::Admin, personal: false };
        let (by, origin) = (caller.clone(), origin.clone());
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            refuse_ended(connection, by.session_id, by.user_epoch)?;
            refuse_taken(connection, &by, id, &name)?;
            connection
                .prepare_cached(
                    "INSERT INTO organizations(id, name, personal, owner_user_id, created)
                     VALUES (?1, ?2, 0, ?3, ?4)",
                )?
                .execute(rusqlite::params![id.to_string(), name, by.user_id.to_string(), now.0])?;
            let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "org.create", &name);
            row.org_id = Some(id);
            row.insert(connection)?;
            transaction.effect(ControlEffect::OrgCreated { id, name: name.clone() });
            members::join(transaction, by.user_id, id, Role::Admin, now)
        })
        .await?;
        Ok(created)
    }
}
