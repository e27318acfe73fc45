//! What a provider's word is good for: a login, a new account, or another way into an account (OAU-10, OAU-11).

use ferry_auth::oauth::{Identity, Provider};
use ferry_types::{Error, OrgId, Reason, Result, UserId, id::IdentityId};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    config::Signup,
    control_db::ControlDb,
    credentials::recheck::refuse_ended,
    directory::{columns::parsed, effects::ControlEffect},
    identity::{
        accounts::Accounts,
        email::email_key,
        new_user::{NewUser, new_user},
        owner_mail::OwnerMail,
        password_proof::prove_password,
        passwords::has_password,
        sessions::{new_session, opened, refresh::RefreshSession},
        users::email_of,
        whoami::Session,
    },
    origin::Origin,
};

/// Whose identity it is.
struct KnownIdentity {
    user_id: UserId,
    org_id: OrgId,
    epoch: u32,
    disabled: bool,
}

fn known(
    connection: &Connection,
    provider: Provider,
    subject: &str,
) -> ferry_sqlite::Result<Option<KnownIdentity>> {
    let sql = "SELECT users.id, organizations.id, epoch, disabled
               FROM identities
               JOIN users ON users.id = user_id
               JOIN organizations ON owner_user_id = users.id AND personal
               WHERE provider = ?1 AND provider_user_id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([provider.as_str(), subject])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(KnownIdentity {
        user_id: parsed(row, 0)?,
        org_id: parsed(row, 1)?,
        epoch: row.get(2)?,
        disabled: row.get(3)?,
    }))
}

fn refuse_taken(connection: &Connection, provider: Provider, email: &str) -> ferry_sqlite::Result<()> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM users WHERE email_key = ?1")?
        .query_row([email_key(email)], |_| Ok(()))
        .optional()?;
    match taken {
        None => Ok(()),
        Some(()) => {
            let message = format!(
                "an account with your e-mail address exists: log in to it, and add {provider} with ferry oauth link \
                 {provider}"
            );
            Err(Error::new(Reason::AccountExists, message).into())
        }
    }
}

/// Logs the owner of the identity in; nobody's identity becomes an account, if its e-mail is nobody's either.
pub(super) async fn enter(
    accounts: &Accounts,
    provider: Provider,
    identity: Identity,
    origin: &Origin,
) -> Result<Session> {
    let now = accounts.db.now();
    let user =
        new_provider_user(&accounts.db, identity.email, provider.as_str(), identity.subject.clone(), now);
    let session =
        new_session(&accounts.db, accounts.session_ttl_seconds, user.user_id, provider.as_str(), origin, now);
    let (origin, is_open) = (origin.clone(), accounts.signup == Signup::Open);
    let (session, epoch, org_id) = accounts
        .db
        .write(move |transaction| {
            let (mut session, mut epoch, mut org_id) = (session, 0, user.org_id);
            let mut action = "user.signup";
            match known(transaction.connection(), provider, &identity.subject)? {
                Some(known) if known.disabled => {
                    return Err(Error::new(Reason::Unauthenticated, "invalid credentials").into());
                }
                Some(known) => {
                    (session.user_id, epoch, org_id) = (known.user_id, known.epoch, known.org_id);
                    action = "user.login";
                }
                None => {
                    refuse_taken(transaction.connection(), provider, &user.email)?;
                    if !is_open {
                        let message =
                            "this hub does not accept new accounts: ask its operator for an invitation";
                        return Err(Error::new(Reason::SignupClosed, message).into());
                    }
                    user.insert(transaction)?;
                }
            }
            session.insert(transaction.connection())?;
            let row = AuditRow {
                org_id: Some(org_id),
                detail: json!({
                    "provider": provider.as_str(),
                    "session_id": session.session_id.to_string(),
                }),
                ..AuditRow::ok(now, &origin, Who::User(session.user_id), action, &user.email)
            };
            row.insert(transaction.connection())?;
            Ok((session, epoch, org_id))
        })
        .await?;
    opened(&accounts.db, &session, epoch, org_id)
}

/// Adds the identity to the caller's account, whose e-mail it must prove. The answer refreshes the session.
pub(super) async fn link_identity(
    accounts: &Accounts,
    provider: Provider,
    identity: Identity,
    caller: &Caller,
    origin: &Origin,
) -> Result<Session> {
    let (now, email) = (accounts.db.now(), email_of(&accounts.db, caller)?);
    if email_key(&identity.email) != email_key(&email) {
        let message = format!("the e-mail address that {provider} vouches for is not this account's");
        return Err(Error::new(Reason::FailedPrecondition, message));
    }
    let id = IdentityId::from_uuid(accounts.db.next_id(now));
    let (by, from, owner) = (caller.clone(), origin.clone(), OwnerMail::new(accounts));
    accounts
        .db
        .write_by(caller, move |transaction| {
            let connection = transaction.connection();
            refuse_ended(connection, by.session_id, by.user_epoch)?;
            let user_id = by.user_id;
            match known(connection, provider, &identity.subject)? {
                Some(known) if known.user_id != user_id => {
                    let message = format!("this {provider} account belongs to another account of the hub");
                    return Err(Error::new(Reason::AlreadyExists, message).into());
                }
                Some(_) => return Ok(()),
                None => {}
            }
            connection
                .prepare_cached(
                    "INSERT INTO identities(id, user_id, provider, provider_user_id) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute([
                    id.to_string().as_str(),
                    &user_id.to_string(),
                    provider.as_str(),
                    &identity.subject,
                ])?;
            connection
                .prepare_cached("UPDATE users SET email_verified = 1 WHERE id = ?1")?
                .execute([user_id.to_string()])?;
            let target = user_id.to_string();
            let mut row = AuditRow::ok(now, &from, Who::User(user_id), "user.link", &target);
            row.org_id = Some(by.org_id);
            row.detail = json!({ "provider": provider.as_str() });
            row.insert(connection)?;
            let what = format!("Another way to sign in ({})", provider.as_str());
            owner.tell(connection, now, user_id, &what, &from)?;
            transaction.effect(ControlEffect::EmailVerified { user_id });
            Ok(())
        })
        .await?;
    accounts.db.outbox().wake();
    RefreshSession { caller, origin }.run(accounts).await
}

/// Refuses unless `password` is the caller's, if the caller has one.
pub(super) async fn prove_own_password(
    accounts: &Accounts,
    caller: &Caller,
    password: &str,
    origin: &Origin,
) -> Result<()> {
    let user_id = caller.user_id;
    let has_one = accounts.db.read(move |connection| has_password(connection, user_id)).await?;
    if has_one {
        prove_password(accounts, &email_of(&accounts.db, caller)?, password, origin).await
    } else {
        Ok(())
    }
}

/// A user whom a provider vouches for, about to be created without a password.
fn new_provider_user(
    db: &ControlDb,
    email: String,
    provider: &'static str,
    subject: String,
    now: ferry_types::UnixMillis,
) -> NewUser {
    NewUser {
        vouched: Some((provider, subject)),
        is_verified: true,
        ..new_user(db, email, String::new(), now)
    }
}
