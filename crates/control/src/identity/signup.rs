//! Signing up (ORG-01, ORG-03).

use ferry_auth::password;
use ferry_types::{Error, Reason, Result};

use crate::{
    audit::{AuditRow, Who},
    config::Signup,
    credentials::throttling::ThrottleKey,
    identity::{
        accounts::Accounts,
        codes::code_hash,
        email::check_email,
        invitations,
        invitations::is_invited,
        new_user::new_user,
        sessions::{new_session, opened},
        verification::VerificationMail,
        whoami::Session,
    },
    origin::Origin,
};

fn signup_closed() -> Error {
    let message = "this hub does not accept new accounts without a valid invitation: ask its operator or an \
                   admin of an organisation for one";
    Error::new(Reason::SignupClosed, message)
}

/// Creates an account and logs it in (ORG-01). An invitation joins the new user to its organisation in the same transaction and
/// opens a hub whose `signup` is `invite`. An empty `invite_code`: none.
pub struct SignUp<'a> {
    /// The e-mail address.
    pub email: &'a str,
    /// The password.
    pub password: &'a str,
    /// An invitation; empty: none.
    pub invite_code: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl SignUp<'_> {
    /// # Errors
    /// Signup closed, bad e-mail or password, e-mail taken, an invitation that does not count, rate limit, `BUSY`.
    pub async fn run(self, accounts: &Accounts) -> Result<Session> {
        let Self { email, password, invite_code, origin } = self;
        let now = accounts.db.now();
        accounts.rates.charge(ThrottleKey::Signup(origin.ip.into()), now)?;
        // Before anything else is looked at, and before the password is hashed, which costs much.
        let (invitation, refusal) = admit(accounts, email, invite_code).await?;
        let email = check_email(email)?.to_owned();
        password::check_new(password)?;
        // Hashed before anybody looks whether the e-mail is taken, so that the time tells nothing (ORG-03).
        let secret = accounts.hash_password(password).await?;
        let user = new_user(&accounts.db, email, secret, now);
        let session = new_session(&accounts.db, accounts.session_ttl_seconds, user.user_id, "", origin, now);
        let (user_id, org_id) = (user.user_id, user.org_id);
        let (stored, origin) = (session.clone(), origin.clone());
        let asking = VerificationMail::new(accounts)?;
        accounts
            .db
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
                asking.queue_unless_many(transaction.connection(), now, user_id, &user.email)
            })
            .await?;
        accounts.db.outbox().wake();
        opened(&accounts.db, &session, 0, org_id)
    }
}

/// Whether a stranger may sign up (ORG-03): the hash of the invitation that is to be spent, if there is one,
/// and how a bad one is refused.
async fn admit(
    accounts: &Accounts,
    email: &str,
    invite_code: &str,
) -> Result<(Option<[u8; 32]>, fn() -> Error)> {
    let refusal = match accounts.signup {
        Signup::Open if invite_code.is_empty() => return Ok((None, invitations::bad_code)),
        Signup::Open => invitations::bad_code,
        Signup::Invite => signup_closed,
        Signup::Closed => return Err(signup_closed()),
    };
    let hash = code_hash(invite_code);
    if is_invited(&accounts.db, hash, email).await? { Ok((Some(hash), refusal)) } else { Err(refusal()) }
}
