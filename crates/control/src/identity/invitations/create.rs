//! Somebody is invited (ORG-12).

use ferry_types::{Result, id::InvitationId};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    credentials::{recheck::refuse_non_admin, resolve::resolve_org},
    identity::{
        codes::{code_hash, new_code},
        email::{check_email, email_key},
        invitations::{INVITATION_TTL_SECONDS, Invitation, make_room},
        members::check_role,
    },
    origin::Origin,
};

/// Invites whoever owns `email`; also gives the code, a secret. It replaces an earlier invitation of the
/// organisation for this e-mail.
pub struct CreateInvitation<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Id or name of the organisation; empty: the session's.
    pub org: &'a str,
    /// The e-mail address.
    pub email: &'a str,
    /// The role.
    pub role: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl CreateInvitation<'_> {
    /// # Errors
    /// Bad e-mail or role, unknown organisation, role below admin, a member's e-mail, too many invitations.
    pub async fn run(self, db: &ControlDb) -> Result<(Invitation, String)> {
        let Self { caller, org, email, role, origin } = self;
        let (org_id, _) = resolve_org(db, caller, org)?;
        let (email, role) = (check_email(email)?.to_owned(), check_role(role)?);
        let (code, now) = (new_code()?, db.now());
        let id = InvitationId::from_uuid(db.next_id(now));
        let exp_unix = now.as_secs() + INVITATION_TTL_SECONDS;
        let invitation = Invitation { id, email: email.clone(), role, exp_unix };
        let (hash, by, origin) = (code_hash(&code), caller.clone(), origin.clone());
        db.write_by(caller, move |transaction| {
            let connection = transaction.connection();
            refuse_non_admin(connection, &by, org_id)?;
            let key = email_key(&email);
            make_room(connection, org_id, &key, now)?;
            let payload = json!({
                "id": id.to_string(),
                "org_id": org_id.to_string(),
                "email": email,
                "email_key": key,
                "role": role.as_str(),
            });
            connection
                .prepare_cached("INSERT INTO invitations(secret_hash, payload, expires) VALUES (?1, ?2, ?3)")?
                .execute(rusqlite::params![hash, payload.to_string(), exp_unix * 1000])?;
            let target = id.to_string();
            let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "invitation.create", &target);
            row.org_id = Some(org_id);
            row.detail = json!({ "email": email, "role": role.as_str() });
            row.insert(connection)
        })
        .await?;
        Ok((invitation, code))
    }
}
