//! Logging in with a password.

use ferry_types::{OrgId, Result, UnixMillis, UserId};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    credentials::{label::check_label, throttling::ThrottleKey},
    identity::{
        accounts::Accounts,
        password_proof::{Account, Attempt, login_failed, verified},
        sessions::{NewSession, new_session, opened},
        whoami::Session,
    },
    origin::Origin,
};

/// Logs in. `label` names the device.
pub struct LogIn<'a> {
    /// The e-mail address.
    pub email: &'a str,
    /// The password.
    pub password: &'a str,
    /// Name of the device.
    pub label: &'a str,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl LogIn<'_> {
    /// # Errors
    /// `invalid credentials`, whatever was wrong; rate limit; `BUSY`.
    pub async fn run(self, accounts: &Accounts) -> Result<Session> {
        let Self { email, password, label, origin } = self;
        accounts.rates.charge(ThrottleKey::Public(origin.ip.into()), accounts.db.now())?;
        check_label(label)?;
        let attempt = Attempt::new(email, origin);
        let outcome = match verified(accounts, &attempt, password).await? {
            Some((account, new_secret)) => {
                open_session(accounts, &account, label, new_secret, &attempt).await?
            }
            None => None,
        };
        match outcome {
            Some(session) => {
                metrics::counter!("ferry_login_attempts_total", "result" => "ok").increment(1);
                Ok(session)
            }
            None => Err(login_failed(accounts, &attempt).await),
        }
    }
}

/// Stores the session, and the new hash if there is one. `None` if the account has gone meanwhile.
async fn open_session(
    accounts: &Accounts,
    account: &Account,
    label: &str,
    new_secret: Option<String>,
    attempt: &Attempt<'_>,
) -> Result<Option<Session>> {
    let now = accounts.db.now();
    let session =
        new_session(&accounts.db, accounts.session_ttl_seconds, account.user_id, label, attempt.origin, now);
    let (stored, origin, org_id) = (session.clone(), attempt.origin.clone(), account.org_id);
    let epoch = accounts
        .db
        .write(move |transaction| {
            let connection = transaction.connection();
            let Some(epoch) = standing_epoch(connection, stored.user_id)? else { return Ok(None) };
            stored.insert(connection)?;
            if let Some(secret) = new_secret {
                connection
                    .prepare_cached(
                        "UPDATE identities SET secret = ?2 WHERE user_id = ?1 AND provider = 'password'",
                    )?
                    .execute([stored.user_id.to_string(), secret])?;
            }
            login_row(&stored, &origin, org_id).insert(connection)?;
            Ok(Some(epoch))
        })
        .await?;
    epoch.map(|epoch| opened(&accounts.db, &session, epoch, org_id)).transpose()
}

/// The epoch of a user that exists and is not disabled.
fn standing_epoch(connection: &Connection, user_id: UserId) -> ferry_sqlite::Result<Option<u32>> {
    let sql = "SELECT epoch FROM users WHERE id = ?1 AND NOT disabled";
    let epoch = connection.prepare_cached(sql)?.query_row([user_id.to_string()], |row| row.get(0));
    Ok(epoch.optional()?)
}

fn login_row<'a>(session: &NewSession, origin: &'a Origin, org_id: OrgId) -> AuditRow<'a> {
    let at: UnixMillis = session.now;
    AuditRow {
        at,
        origin,
        actor: Who::User(session.user_id),
        org_id: Some(org_id),
        database_id: None,
        action: "user.login",
        target: "",
        outcome: "ok",
        detail: json!({ "session_id": session.session_id.to_string() }),
    }
}
