//! Accounts: signing up, and who one is.

use ferry_auth::password;
use ferry_types::{Error, OrgId, Reason, Result};

use crate::{
    control::config::Signup,
    control::{
        Control,
        audit::{AuditRow, Who},
        credentials::{caller::Caller, throttling::Counted},
        identity::{
            codes::code_hash,
            email::check_email,
            invitations,
            sessions::NewSession,
            whoami::{Session, Whoami, whoami_of},
        },
        origin::Origin,
    },
};

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
        // Before anything else is looked at, and before the password is hashed, which costs much.
        let (invitation, refusal) = self.admit(email, invite_code).await?;
        let email = check_email(email)?.to_owned();
        password::check_new(password)?;
        // Hashed before anybody looks whether the e-mail is taken, so that the time tells nothing (ORG-03).
        let secret = self.hash_password(password).await?;
        let user = self.new_user(email, secret, now);
        let session = self.new_session(user.user_id, "", origin, now);
        let (user_id, org_id) = (user.user_id, user.org_id);
        let (stored, origin) = (session.clone(), origin.clone());
        self.db
            .write(move |transaction| {
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
        let directory = self.db.directory();
        let whoami =
            whoami_of(&directory, session.user_id, org_id, session.session_id, session.expires_unix)?;
        Ok(Session { token, whoami })
    }

    /// Who the caller is.
    ///
    /// # Errors
    /// When the user has gone in this moment.
    pub fn whoami(&self, caller: &Caller) -> Result<Whoami> {
        let directory = self.db.directory();
        whoami_of(&directory, caller.user_id, caller.org_id, caller.session_id, caller.deadline_unix)
    }
}
