//! New passwords for accounts that exist: by whoever knows the old one, or with a code of the operator.

use ferry_auth::password;
use ferry_types::{Error, Reason, Result, UserId, id::IdentityId};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::{caller::Caller, recheck::refuse_ended, throttling::Counted},
    identity::{
        codes::code_hash,
        email::email_key,
        users::{end_credentials, forget_resets},
    },
    origin::Origin,
};

fn bad_code() -> Error {
    Error::new(Reason::PermissionDenied, "invalid or expired code")
}

/// The user for whom the code was made, if it still counts and `key` is the user's e-mail.
fn code_owner(
    connection: &Connection,
    hash: &[u8; 32],
    key: &str,
    now_ms: i64,
) -> ferry_sqlite::Result<UserId> {
    let sql = "SELECT users.id FROM password_resets
               JOIN users ON users.id = json_extract(payload, '$.user_id')
               WHERE secret_hash = ?1 AND expires > ?2 AND email_key = ?3 AND NOT disabled";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params![hash, now_ms, key])?;
    match rows.next()? {
        Some(row) => crate::control::directory::columns::parsed(row, 0),
        None => Err(bad_code().into()),
    }
}

/// Stores the password; a user who had none now has one.
fn store(
    connection: &Connection,
    identity_id: IdentityId,
    user_id: UserId,
    secret: &str,
) -> ferry_sqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO identities(id, user_id, provider, provider_user_id, secret)
             VALUES (?1, ?2, 'password', ?2, ?3)
             ON CONFLICT(provider, provider_user_id) DO UPDATE SET secret = excluded.secret",
        )?
        .execute([identity_id.to_string().as_str(), &user_id.to_string(), secret])?;
    forget_resets(connection, &user_id.to_string())
}

impl Control {
    /// Gives the caller another password. Every session and sync token of the caller ends, this session too,
    /// unless `keep_other_sessions`.
    ///
    /// # Errors
    /// `invalid credentials` for a wrong `current`; a bad new password; rate limit; `BUSY`.
    pub async fn change_password(
        &self,
        caller: &Caller,
        current: &str,
        new: &str,
        keep_other_sessions: bool,
        origin: &Origin,
    ) -> Result<()> {
        password::check_new(new)?;
        self.prove_password(&self.email_of(caller)?, current, origin).await?;
        let secret = self.hash_password(new).await?;
        let (by, origin, now) = (caller.clone(), origin.clone(), self.now());
        let identity_id = IdentityId::from_uuid(self.db.next_id(now));
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_ended(connection, by.session_id, by.user_epoch)?;
                store(connection, identity_id, by.user_id, &secret)?;
                let target = by.user_id.to_string();
                let mut row = AuditRow::ok(now, &origin, Who::User(by.user_id), "password.change", &target);
                row.org_id = Some(by.org_id);
                row.detail = json!({ "keep_other_sessions": keep_other_sessions });
                row.insert(connection)?;
                if !keep_other_sessions {
                    end_credentials(transaction, by.user_id, now, None)?;
                }
                Ok(())
            })
            .await
    }

    /// Sets a new password with a code of the operator (PWD-06), which is spent by it. Every session and sync
    /// token of the user ends.
    ///
    /// # Errors
    /// `invalid or expired code`, whatever is wrong with it; a bad new password; rate limit; `BUSY`.
    pub async fn reset_password(
        &self,
        email: &str,
        code: &str,
        new_password: &str,
        origin: &Origin,
    ) -> Result<()> {
        self.rates.charge(Counted::Public(origin.ip.into()), self.now())?;
        password::check_new(new_password)?;
        let (hash, key) = (code_hash(code), email_key(email));
        let now = self.now();
        // Hashing costs much: only who holds a code gets so far.
        let asked = key.clone();
        self.db.read(move |connection| code_owner(connection, &hash, &asked, now.0)).await?;
        let secret = self.hash_password(new_password).await?;
        let (origin, now) = (origin.clone(), self.now());
        let identity_id = IdentityId::from_uuid(self.db.next_id(now));
        self.db
            .write(move |transaction| {
                let connection = transaction.connection();
                let user_id = code_owner(connection, &hash, &key, now.0)?;
                store(connection, identity_id, user_id, &secret)?;
                let target = user_id.to_string();
                AuditRow::ok(now, &origin, Who::User(user_id), "password.reset", &target)
                    .insert(connection)?;
                end_credentials(transaction, user_id, now, None)
            })
            .await
    }

    /// The caller's e-mail.
    pub(crate) fn email_of(&self, caller: &Caller) -> Result<String> {
        let directory = self.db.directory();
        let user = directory.user(caller.user_id);
        let gone = || Error::new(Reason::TokenRevoked, "session token required");
        user.map(|user| user.email.to_string()).ok_or_else(gone)
    }
}

/// Whether the user has a password.
pub(crate) fn has_password(connection: &Connection, user_id: UserId) -> ferry_sqlite::Result<bool> {
    let sql = "SELECT 1 FROM identities WHERE user_id = ?1 AND provider = 'password' AND secret IS NOT NULL";
    let found = connection.prepare_cached(sql)?.query_row([user_id.to_string()], |_| Ok(())).optional()?;
    Ok(found.is_some())
}
