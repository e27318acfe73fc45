//! The first account of a hub, by a link that the hub prints when it starts: its owner may operate it (OPR-51).

use ferry_auth::password;
use ferry_types::{Error, Reason, Result};
use rusqlite::Connection;

use crate::{
    audit::{AuditRow, Who},
    credentials::throttling::ThrottleKey,
    identity::{
        accounts::Accounts,
        email::check_email,
        new_user::{NewUser, new_user},
        sessions::{new_session, opened},
        whoami::Session,
    },
    origin::Origin,
};

fn refusal() -> Error {
    let message = "this link no longer counts: it makes the first account of a hub, once, within an hour of its start. \
                   Start the hub again for another, or sign in";
    Error::new(Reason::PermissionDenied, message)
}

/// Creates the first account, whatever `signup` says, and logs it in: as one that may operate the hub.
pub struct SignUpOperator<'a> {
    /// The e-mail address.
    pub email: &'a str,
    /// The password.
    pub password: &'a str,
    /// What the link has.
    pub code: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl SignUpOperator<'_> {
    /// # Errors
    /// A code that does not count, an account that exists, bad e-mail or password, rate limit, `BUSY`.
    pub async fn run(self, accounts: &Accounts) -> Result<Session> {
        let Self { email, password, code, origin } = self;
        let now = accounts.db.now();
        accounts.rates.charge(ThrottleKey::Signup(origin.ip.into()), now)?;
        if !accounts.operator_code.is(code, now) {
            return Err(refusal());
        }
        let email = check_email(email)?.to_owned();
        password::check_new(password)?;
        let secret = accounts.hash_password(password).await?;
        let user =
            NewUser { operator: true, is_verified: true, ..new_user(&accounts.db, email, secret, now) };
        let session = new_session(&accounts.db, accounts.session_ttl_seconds, user.user_id, "", origin, now);
        let org_id = user.org_id;
        let (stored, origin) = (session.clone(), origin.clone());
        accounts
            .db
            .write(move |transaction| {
                refuse_second(transaction.connection())?;
                user.insert(transaction)?;
                let connection = transaction.connection();
                stored.insert(connection)?;
                let target = user.user_id.to_string();
                let mut row =
                    AuditRow::ok(now, &origin, Who::User(user.user_id), "user.signup_operator", &target);
                row.org_id = Some(org_id);
                row.insert(connection)
            })
            .await?;
        accounts.operator_code.spend();
        opened(&accounts.db, &session, 0, org_id)
    }
}

fn refuse_second(connection: &Connection) -> ferry_sqlite::Result<()> {
    let some = connection.query_row("SELECT EXISTS(SELECT 1 FROM users)", [], |row| row.get(0))?;
    if some { Err(refusal().into()) } else { Ok(()) }
}
