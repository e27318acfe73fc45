//! Accounts: signing up, and who one is.

use ferry_auth::{Role, password};
use ferry_sqlite::Transaction;
use ferry_types::{
    Error, OrgId, Reason, Result, SessionId, UnixMillis, UserId, id::IdentityId, limits::EMAIL_MAX_BYTES,
};
use rusqlite::OptionalExtension as _;


use crate::config::Signup;
use crate::control::{Control, audit::{AuditRow, Origin, Who}, credentials::{caller::Caller, throttling::Counted}, directory::{ControlEffect, Directory}, identity::{invitations, operator::code_hash, orgs::membership, sessions::NewSession}};

/// What a user is told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whoami {
    /// The user.
    pub user_id: UserId,
    /// The e-mail, as given at signup.
    pub email: String,
    /// Whether its owner proved it.
    pub email_verified: bool,
    /// The organisation the session starts in.
    pub org_id: OrgId,
    /// The role there; `None` once the membership is gone.
    pub role: Option<Role>,
    /// Every organisation the user belongs to.
    pub orgs: Vec<OrgMembership>,
    /// The login.
    pub session_id: SessionId,
    /// When it ends, Unix seconds.
    pub session_exp_unix: i64,
}

/// An organisation, as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgMembership {
    /// Its id.
    pub id: OrgId,
    /// Its name.
    pub name: String,
    /// The member's role.
    pub role: Role,
    /// Whether it came with the user and goes with it.
    pub personal: bool,
}

/// A login that succeeded.
#[derive(Clone, Debug)]
pub struct Session {
    /// The token: a secret.
    pub token: String,
    /// Whose it is.
    pub whoami: Whoami,
}

/// A user that is about to be created.
pub(crate) struct NewUser {
    pub(crate) user_id: UserId,
    pub(crate) org_id: OrgId,
    pub(crate) identity_id: IdentityId,
    pub(crate) email: String,
    /// PHC string of the password.
    pub(crate) secret: String,
    /// The provider that vouches for the user in place of a password, and what it calls the user.
    pub(crate) vouched: Option<(&'static str, String)>,
    pub(crate) now: UnixMillis,
}

/// The e-mail as accounts are told apart: trimmed, Unicode lower case (ORG-02).
pub(crate) fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The e-mail of a new account, trimmed (ORG-02).
pub(crate) fn check_email(email: &str) -> Result<&str> {
    let email = email.trim();
    let wrong = |what: &str| Err(Error::new(Reason::InvalidArgument, format!("email {what}")));
    if email.len() > EMAIL_MAX_BYTES {
        return wrong("is too long: at most 254 bytes");
    }
    if email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return wrong("must not contain spaces or control characters");
    }
    let mut parts = email.split('@');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(local), Some(domain), None) if !local.is_empty() && !domain.is_empty() => Ok(email),
        _ => wrong("must look like name@example.com"),
    }
}

impl NewUser {
    /// Creates user, identity, personal organisation and membership (ORG-01).
    pub(crate) fn insert(
        &self,
        transaction: &mut Transaction<'_, ControlEffect>,
    ) -> ferry_sqlite::Result<()> {
        let connection = transaction.connection();
        let (user, org, key) = (self.user_id.to_string(), self.org_id.to_string(), email_key(&self.email));
        let taken = connection
            .prepare_cached("SELECT 1 FROM users WHERE email_key = ?1")?
            .query_row([&key], |_| Ok(()))
            .optional()?;
        if taken.is_some() {
            let message = "an account with this e-mail exists: log in instead";
            return Err(Error::new(Reason::AlreadyExists, message).into());
        }
        connection
            .prepare_cached(
                "INSERT INTO users(id, email, email_key, email_verified, created) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(rusqlite::params![user, self.email, key, self.vouched.is_some(), self.now.0])?;
        let (provider, subject, secret) = match &self.vouched {
            Some((provider, subject)) => (*provider, subject, None),
            None => ("password", &user, Some(&self.secret)),
        };
        connection
            .prepare_cached(
                "INSERT INTO identities(id, user_id, provider, provider_user_id, secret)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(rusqlite::params![self.identity_id.to_string(), user, provider, subject, secret])?;
        let org_name = format!("{} (personal)", self.email);
        connection
            .prepare_cached(
                "INSERT INTO organizations(id, name, personal, owner_user_id, created) VALUES (?1, ?2, 1, ?3, ?4)",
            )?
            .execute(rusqlite::params![org, org_name, user, self.now.0])?;
        connection
            .prepare_cached(
                "INSERT INTO memberships(user_id, org_id, role, created) VALUES (?1, ?2, 'admin', ?3)",
            )?
            .execute(rusqlite::params![user, org, self.now.0])?;
        transaction.effect(ControlEffect::UserCreated {
            user_id: self.user_id,
            email: self.email.clone(),
            email_verified: self.vouched.is_some(),
            org_id: self.org_id,
            org_name,
        });
        Ok(())
    }
}

fn signup_closed() -> Error {
    let message = "this hub does not accept new accounts without a valid invitation: ask its operator or an \
                   admin of an organisation for one";
    Error::new(Reason::SignupClosed, message)
}

impl Control {
    /// Creates an account and logs it in (ORG-01).
    ///
    /// # Errors
    /// Signup closed, bad e-mail or password, e-mail taken, rate limit, `BUSY`.
    pub async fn signup(&self, email: &str, password: &str, origin: &Origin) -> Result<Session> {
        self.signup_invited(email, password, "", origin).await
    }

    /// The same with an invitation, which joins the new user to its organisation in the same transaction and
    /// opens a hub whose `signup` is `invite`. An empty `invite_code`: none.
    ///
    /// # Errors
    /// As [`Self::signup`]; an invitation that does not count.
    pub async fn signup_invited(
        &self,
        email: &str,
        password: &str,
        invite_code: &str,
        origin: &Origin,
    ) -> Result<Session> {
        let now = self.now();
        self.rates.charge(Counted::Signup(origin.ip.into()), now)?;
        // Before anything else is looked at, and before the dear hashing.
        let (invitation, refusal) = self.admit(email, invite_code).await?;
        let email = check_email(email)?.to_owned();
        password::check_new(password)?;
        // Hashed before anybody looks whether the e-mail is taken, so that the time tells nothing (ORG-03).
        let secret = self.hash_password(password).await?;
        let user = self.new_user(email, secret, now);
        let session = self.new_session(user.user_id, "", origin, now);
        let (user_id, org_id) = (user.user_id, user.org_id);
        let (stored, origin) = (session.clone(), origin.clone());
        self.write(move |transaction| {
            user.insert(transaction)?;
            stored.insert(transaction.connection())?;
            let row = AuditRow {
                at: now,
                origin: &origin,
                actor: Who::User(user_id),
                org_id: Some(org_id),
                database_id: None,
                action: "user.signup",
                target: &user_id.to_string(),
                outcome: "ok",
                detail: serde_json::json!({}),
            };
            row.insert(transaction.connection())?;
            if let Some(hash) = invitation {
                let joined = invitations::spend(transaction, &hash, user_id, &user.email, &origin, now)?;
                joined.ok_or_else(refusal)?;
            }
            Ok(())
        })
        .await?;
        self.opened(&session, 0, org_id)
    }

    /// Whether a stranger may sign up (ORG-03): the hash of the invitation that is to be spent, if there is one,
    /// and how a bad one is refused.
    async fn admit(&self, email: &str, invite_code: &str) -> Result<(Option<[u8; 32]>, fn() -> Error)> {
        let refusal = match self.config.signup {
            Signup::Open if invite_code.is_empty() => return Ok((None, invitations::bad_code)),
            Signup::Open => invitations::bad_code,
            Signup::Invite => signup_closed,
            Signup::Closed => return Err(signup_closed()),
        };
        let hash = code_hash(invite_code);
        if self.is_invited(hash, email).await? { Ok((Some(hash), refusal)) } else { Err(refusal()) }
    }

    /// The answer to a login: the token, and whose it is.
    pub(crate) fn opened(&self, session: &NewSession, user_epoch: u32, org_id: OrgId) -> Result<Session> {
        let token = self.mint_session(session, user_epoch, org_id, &[])?;
        let directory = self.state.read();
        let whoami =
            whoami_of(&directory, session.user_id, org_id, session.session_id, session.expires_unix)?;
        Ok(Session { token, whoami })
    }

    /// Who the caller is.
    ///
    /// # Errors
    /// When the user has gone in this moment.
    pub fn whoami(&self, caller: &Caller) -> Result<Whoami> {
        let directory = self.state.read();
        whoami_of(&directory, caller.user_id, caller.org_id, caller.session_id, caller.deadline_unix)
    }
}

pub(crate) fn whoami_of(
    directory: &Directory,
    user_id: UserId,
    org_id: OrgId,
    session_id: SessionId,
    session_exp_unix: i64,
) -> Result<Whoami> {
    let user =
        directory.user(user_id).ok_or_else(|| Error::new(Reason::TokenRevoked, "session token required"))?;
    let orgs = user.memberships.iter().filter_map(|(id, role)| membership(directory, *id, *role));
    Ok(Whoami {
        user_id,
        email: user.email.to_string(),
        email_verified: user.email_verified,
        org_id,
        role: directory.role(user_id, org_id),
        orgs: orgs.collect(),
        session_id,
        session_exp_unix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: ORG-02
    #[test]
    fn emails() {
        assert_eq!(check_email("  Ada@Example.com "), Ok("Ada@Example.com"));
        assert_eq!(email_key("  ÄDA@Example.com "), "äda@example.com");
        let longest = format!("{}@x", "a".repeat(252));
        assert!(check_email(&longest).is_ok());
        let too_long = format!("a{longest}");
        for bad in ["", "@", "a@", "@b", "ab", "a@b@c", "a b@c", "a\u{0}@b", "a\u{a0}b@c", &too_long] {
            assert_eq!(check_email(bad).unwrap_err().reason, Reason::InvalidArgument, "{bad:?}");
        }
    }
}
