//! Somebody is invited (ORG-12).

use std::sync::Arc;

use ferry_auth::Role;
use ferry_types::{OrgId, Result, id::InvitationId};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    credentials::{recheck::refuse_non_admin, resolve::resolve_org, throttling::ThrottleKey},
    identity::{
        accounts::Accounts,
        codes::{code_hash, new_code},
        email::{check_email, email_hash, email_key},
        invitations::{INVITATION_TTL_SECONDS, Invitation, make_room},
        members::check_role,
        users::email_of,
    },
    mail::{MailKind, MailTo},
    origin::Origin,
};

/// An invitation that was made.
#[derive(Clone, Debug)]
pub struct MadeInvitation {
    /// What it is.
    pub invitation: Invitation,
    /// Its code: a secret.
    pub code: String,
    /// Whether the code is mailed to whom it is for.
    pub is_mailed: bool,
}

/// Invites whoever owns `email`; also gives the code, a secret, and whether it is mailed there. It replaces an earlier invitation of the
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
    pub async fn run(self, accounts: &Accounts) -> Result<MadeInvitation> {
        let Self { caller, org, email, role, origin } = self;
        let db = &accounts.db;
        let (org_id, _) = resolve_org(db, caller, org)?;
        let (email, role) = (check_email(email)?.to_owned(), check_role(role)?);
        let (code, now) = (new_code()?, db.now());
        let id = InvitationId::from_uuid(db.next_id(now));
        let exp_unix = now.as_secs() + INVITATION_TTL_SECONDS;
        let invitation = Invitation { id, email: email.clone(), role, exp_unix };
        let (hash, by, origin) = (code_hash(&code), caller.clone(), origin.clone());
        let words = words_of(db, caller, org_id, role)?;
        let (outbox, rates, mailed) = (db.outbox().clone(), Arc::clone(&accounts.rates), code.clone());
        let is_mailed = db
            .write_by(caller, move |transaction| {
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
                    .prepare_cached(
                        "INSERT INTO invitations(secret_hash, payload, expires) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(rusqlite::params![hash, payload.to_string(), exp_unix * 1000])?;
                let target = id.to_string();
                let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "invitation.create", &target);
                row.org_id = Some(org_id);
                row.detail = json!({ "email": email, "role": role.as_str() });
                row.insert(connection)?;
                let Some(words) = &words else { return Ok(false) };
                // Only here: who may not invite uses up nobody's mails.
                let mail_to = ThrottleKey::MailTo(email_hash(&email), MailKind::Invite);
                if rates.charge(ThrottleKey::InvitesOf(by.user_id), now).is_err()
                    || rates.charge(mail_to, now).is_err()
                {
                    return Ok(false);
                }
                let mail = MailTo {
                    kind: MailKind::Invite,
                    address: &email,
                    address_key: &key,
                    user_id: None,
                    code: Some(&mailed),
                    words,
                };
                outbox.queue(connection, now, &mail)
            })
            .await?;
        db.outbox().wake();
        Ok(MadeInvitation { invitation, code, is_mailed })
    }
}

/// What the mail says beside the code; `None` where none is sent: the hub sends none, or the inviter has not proven the address
/// that the mail would name. The invitation stands without it, as it does where so many were sent that it would be a nuisance.
fn words_of(
    db: &ControlDb,
    caller: &Caller,
    org_id: OrgId,
    role: Role,
) -> Result<Option<[(&'static str, String); 3]>> {
    let inviter = email_of(db, caller)?;
    let directory = db.directory();
    let is_proven = directory.user(caller.user_id).is_some_and(|user| user.email_verified);
    if !(db.outbox().is_on() && is_proven) {
        return Ok(None);
    }
    let org = directory.org(org_id).map(|org| org.name.to_string()).unwrap_or_default();
    Ok(Some([("org", org), ("inviter", inviter), ("role", role.as_str().to_owned())]))
}
