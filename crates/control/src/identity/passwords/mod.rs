//! New passwords for accounts that exist: by whoever knows the old one, or with a code of the operator or of a mail.

pub(crate) mod change;
pub(crate) mod issue_reset;
pub(crate) mod pool;
pub(crate) mod request_reset;
pub(crate) mod reset;

use ferry_types::{UserId, id::IdentityId};
use rusqlite::{Connection, OptionalExtension as _};

use crate::identity::users::forget_resets;

/// What was changed, as a mail says it.
pub(crate) const PASSWORD: &str = "The password";

/// Stores the password; a user who had none now has one.
pub(super) fn store(
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

/// Whether the user has a password.
pub(crate) fn has_password(connection: &Connection, user_id: UserId) -> ferry_sqlite::Result<bool> {
    let sql = "SELECT 1 FROM identities WHERE user_id = ?1 AND provider = 'password' AND secret IS NOT NULL";
    let found = connection.prepare_cached(sql)?.query_row([user_id.to_string()], |_| Ok(())).optional()?;
    Ok(found.is_some())
}
