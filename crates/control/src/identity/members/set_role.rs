//! A member gets another role (ORG-10).

use ferry_types::Result;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    credentials::{recheck::refuse_non_admin, resolve::resolve_org},
    directory::effects::ControlEffect,
    identity::members::{StoredMember, check_role, member_not_found},
    origin::Origin,
};

/// Gives a member, named by id or e-mail, another role.
pub struct SetMemberRole<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id or name of the organisation; empty: the session's.
    pub org: &'a str,
    /// Id or e-mail of the user.
    pub user: &'a str,
    /// The role.
    pub role: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl SetMemberRole<'_> {
    /// # Errors
    /// Role below admin, `member not found`, `SOLE_ADMIN`, the owner of a personal organisation.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, org, user, role, origin } = self;
        let (org_id, _) = resolve_org(db, caller, org)?;
        let role = check_role(role)?;
        let (by, user, origin, now) = (caller.clone(), user.to_owned(), origin.clone(), db.now());
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            refuse_non_admin(connection, &by, org_id)?;
            let member = StoredMember::find(connection, org_id, &user)?.ok_or_else(member_not_found)?;
            if member.role == role {
                return Ok(());
            }
            member.refuse_if_needed(connection)?;
            let user_id = member.user_id;
            connection
                .prepare_cached("UPDATE memberships SET role = ?3 WHERE user_id = ?1 AND org_id = ?2")?
                .execute([user_id.to_string().as_str(), &org_id.to_string(), role.as_str()])?;
            let target = user_id.to_string();
            let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "member.role", &target);
            row.org_id = Some(org_id);
            row.detail = json!({ "role": role.as_str(), "old_role": member.role.as_str() });
            row.insert(connection)?;
            transaction.effect(ControlEffect::MembershipChanged { user_id, org_id, role: Some(role) });
            Ok(())
        })
        .await
    }
}
