//! An invitation is taken back.

use ferry_auth::Role;
use ferry_types::{OrgId, Result, id::InvitationId};

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    credentials::recheck::{refuse_ended, stored_role},
    directory::columns::parsed,
    identity::invitations::invitation_not_found,
    origin::Origin,
};

/// Takes an invitation back.
pub struct RevokeInvitation<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Its id.
    pub id: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RevokeInvitation<'_> {
    /// # Errors
    /// `invitation not found`, also for one of an organisation that the caller is no admin of.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, id, origin } = self;
        let id: InvitationId = id.parse().map_err(|_| invitation_not_found())?;
        let (by, origin, now) = (caller.clone(), origin.clone(), db.now());
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            refuse_ended(connection, by.session_id, by.user_epoch)?;
            let target = id.to_string();
            let sql = "SELECT json_extract(payload, '$.org_id') FROM invitations
                       WHERE json_extract(payload, '$.id') = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([&target])?;
            let org_id: OrgId = parsed(rows.next()?.ok_or_else(invitation_not_found)?, 0)?;
            if stored_role(connection, by.user_id, org_id)? != Some(Role::Admin) {
                return Err(invitation_not_found().into());
            }
            connection
                .prepare_cached("DELETE FROM invitations WHERE json_extract(payload, '$.id') = ?1")?
                .execute([&target])?;
            let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "invitation.revoke", &target);
            row.org_id = Some(org_id);
            row.insert(connection)
        })
        .await
    }
}
