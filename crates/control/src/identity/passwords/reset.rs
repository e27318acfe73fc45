//! A new password with a code of the operator or of a mail (PWD-06, OPR-92).

use ferry_auth::password;
use ferry_types::{Error, Reason, Result, UserId, id::IdentityId};
use rusqlite::Connection;

use crate::{
    audit::{AuditRow, Who},
    credentials::throttling::ThrottleKey,
    directory::{columns::parsed, effects::ControlEffect},
    identity::{
        accounts::Accounts,
        codes::code_hash,
        email::email_key,
        owner_mail::OwnerMail,
        passwords::{PASSWORD, store},
        users::end_credentials,
        verification::note_verified,
    },
    origin::Origin,
};

fn bad_code() -> Error {
    Error::new(Reason::PermissionDenied, "invalid or expired code")
}

/// The user for whom the code was made, if it still counts and `key` is the user's e-mail or empty; and whether the code
/// was mailed to that.
fn code_owner(
    connection: &Connection,
    hash: &[u8; 32],
    key: &str,
    now_ms: i64,
) -> ferry_sqlite::Result<(UserId, bool)> {
    let sql = "SELECT users.id, coalesce(json_extract(payload, '$.mailed'), 0) FROM password_resets
               JOIN users ON users.id = json_extract(payload, '$.user_id')
               WHERE secret_hash = ?1 AND expires > ?2 AND (?3 = '' OR email_key = ?3) AND NOT disabled";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params![hash, now_ms, key])?;
    match rows.next()? {
        Some(row) => Ok((parsed(row, 0)?, row.get(1)?)),
        None => Err(bad_code().into()),
    }
}

/// Sets a new password with a code of the operator or of a mail (PWD-06), which is spent by it; one of a mail proves the address. Every session and sync
/// token of the user ends.
pub struct ResetPassword<'a> {
    /// The e-mail address; empty: whosever the code is.
    pub email: &'a str,
    /// The code.
    pub code: &'a str,
    /// The new password.
    pub new_password: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl ResetPassword<'_> {
    /// # Errors
    /// `invalid or expired code`, whatever is wrong with it; a bad new password; rate limit; `BUSY`.
    pub async fn run(self, accounts: &Accounts) -> Result<()> {
        let Self { email, code, new_password, origin } = self;
        accounts.rates.charge(ThrottleKey::Public(origin.ip.into()), accounts.db.now())?;
        password::check_new(new_password)?;
        let (hash, key) = (code_hash(code), email_key(email));
        let now = accounts.db.now();
        // Hashing costs much: only who holds a code gets so far.
        let asked = key.clone();
        accounts.db.read(move |connection| code_owner(connection, &hash, &asked, now.0)).await?;
        let secret = accounts.hash_password(new_password).await?;
        let (origin, now) = (origin.clone(), accounts.db.now());
        let owner = OwnerMail::new(accounts);
        let identity_id = IdentityId::from_uuid(accounts.db.next_id(now));
        accounts
            .db
            .write(move |transaction| {
                let connection = transaction.connection();
                let (user_id, was_mailed) = code_owner(connection, &hash, &key, now.0)?;
                store(connection, identity_id, user_id, &secret)?;
                let target = user_id.to_string();
                AuditRow::ok(now, &origin, Who::User(user_id), "password.reset", &target)
                    .insert(connection)?;
                owner.tell(connection, now, user_id, PASSWORD, &origin)?;
                if was_mailed {
                    note_verified(connection, user_id)?;
                    transaction.effect(ControlEffect::EmailVerified { user_id });
                }
                end_credentials(transaction, user_id, now, None)
            })
            .await?;
        accounts.db.outbox().wake();
        Ok(())
    }
}
