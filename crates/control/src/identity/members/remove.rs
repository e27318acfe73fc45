//! A member leaves (ORG-10).

use ferry_types::Result;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    credentials::{
        recheck::{refuse_ended, refuse_non_admin},
        resolve::resolve_org,
    },
    directory::effects::ControlEffect,
    identity::members::{StoredMember, member_not_found},
    origin::Origin,
};

/// Removes a member, named by id or e-mail, for admins; anybody may leave. The sync tokens that it minted
/// for databases of the organisation are revoked (TOK-12).
pub struct RemoveMember<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id or name of the organisation; empty: the session's.
    pub org: &'a str,
    /// Id or e-mail of the user.
    pub user: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RemoveMember<'_> {
    /// # Errors
    /// Role below admin, `member not found`, `SOLE_ADMIN`, the owner of a personal organisation.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, org, user, origin } = self;
        let (org_id, _) = resolve_org(db, caller, org)?;
        let (by, user, origin, now) = (caller.clone(), user.to_owned(), origin.clone(), db.now());
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            let member = StoredMember::find(connection, org_id, &user)?;
            if member.as_ref().is_some_and(|member| member.user_id == by.user_id) {
                refuse_ended(connection, by.session_id, by.user_epoch)?;
            } else {
                // Before it is told whether there is such a member.
                refuse_non_admin(connection, &by, org_id)?;
            }
            let member = member.ok_or_else(member_not_found)?;
            member.refuse_if_needed(connection)?;
            let user_id = member.user_id;
            connection
                .prepare_cached("DELETE FROM memberships WHERE user_id = ?1 AND org_id = ?2")?
                .execute([user_id.to_string(), org_id.to_string()])?;
            let tokens = member.revoke_tokens(transaction, now)?;
            let target = user_id.to_string();
            let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "member.remove", &target);
            row.org_id = Some(org_id);
            row.detail = json!({ "role": member.role.as_str(), "tokens": tokens });
            row.insert(transaction.connection())?;
            transaction.effect(ControlEffect::MembershipChanged { user_id, org_id, role: None });
            Ok(())
        })
        .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "membership").increment(1);
        Ok(())
    }
}
