//! The operator's code that resets a password (PWD-06).

use ferry_types::Result;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    control_db::ControlDb,
    credentials::recheck::refuse_demoted,
    identity::{
        codes::{RESET_TTL_SECONDS, code_hash, new_code},
        users::{find_user, forget_resets, user_not_found},
    },
    origin::Origin,
};

/// A code that resets a password.
#[derive(Clone, Debug)]
pub struct ResetCode {
    /// The code: a secret.
    pub code: String,
    /// From this Unix second on it is dead.
    pub exp_unix: i64,
}

/// Makes a code with which the user may set a new password (PWD-06). It replaces an earlier one.
pub struct IssuePasswordReset<'a> {
    /// The e-mail address.
    pub email: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl IssuePasswordReset<'_> {
    /// # Errors
    /// `user not found`; a caller who operates the hub no longer.
    pub async fn run(self, db: &ControlDb) -> Result<ResetCode> {
        let Self { email, origin } = self;
        let (email, origin, now) = (email.to_owned(), origin.clone(), db.now());
        let code = new_code()?;
        let (hash, exp_unix) = (code_hash(&code), now.as_secs() + RESET_TTL_SECONDS);
        db.write(move |transaction| {
            let connection = transaction.connection();
            refuse_demoted(connection, &origin)?;
            let user_id = find_user(connection, &email)?.ok_or_else(user_not_found)?.to_string();
            forget_resets(connection, &user_id)?;
            connection
                .prepare_cached(
                    "INSERT INTO password_resets(secret_hash, payload, expires) VALUES (?1, ?2, ?3)",
                )?
                .execute(rusqlite::params![
                    hash,
                    json!({ "user_id": user_id }).to_string(),
                    exp_unix * 1000
                ])?;
            AuditRow::ok(now, &origin, Who::Operator, "password.reset_code", &user_id).insert(connection)
        })
        .await?;
        Ok(ResetCode { code, exp_unix })
    }
}
