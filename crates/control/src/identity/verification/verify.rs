//! An address is proven.

use ferry_types::{Error, Reason, Result, UserId};

use crate::{
    audit::{AuditRow, Who},
    credentials::throttling::ThrottleKey,
    directory::{columns::parsed, effects::ControlEffect},
    identity::{accounts::Accounts, codes::code_hash, verification::note_verified},
    origin::Origin,
};

/// Proves the address of the account to which the code was mailed. The code is spent by it.
pub struct VerifyEmail<'a> {
    /// The code.
    pub code: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl VerifyEmail<'_> {
    /// # Errors
    /// `invalid or expired code`, whatever is wrong with it; rate limit.
    pub async fn run(self, accounts: &Accounts) -> Result<()> {
        let Self { code, origin } = self;
        let now = accounts.db.now();
        accounts.rates.charge(ThrottleKey::Public(origin.ip.into()), now)?;
        let (hash, origin) = (code_hash(code), origin.clone());
        accounts
            .db
            .write(move |transaction| {
                let connection = transaction.connection();
                let sql = "SELECT users.id FROM email_verifications
                           JOIN users ON users.id = json_extract(payload, '$.user_id')
                           WHERE secret_hash = ?1 AND expires > ?2 AND NOT disabled";
                let user_id: UserId = {
                    let mut statement = connection.prepare_cached(sql)?;
                    let mut rows = statement.query(rusqlite::params![hash, now.0])?;
                    match rows.next()? {
                        Some(row) => parsed(row, 0)?,
                        None => return Err(bad_code().into()),
                    }
                };
                note_verified(connection, user_id)?;
                let target = user_id.to_string();
                AuditRow::ok(now, &origin, Who::User(user_id), "email.verify", &target).insert(connection)?;
                transaction.effect(ControlEffect::EmailVerified { user_id });
                Ok(())
            })
            .await
    }
}

fn bad_code() -> Error {
    let message = "invalid or expired code: each works once, for 24 hours, and only until the address is confirmed; sign in to see \
                   whether it is, and to ask for another mail";
    Error::new(Reason::PermissionDenied, message)
}
