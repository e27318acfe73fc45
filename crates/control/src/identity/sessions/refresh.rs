//! A session is made longer (TOK-07).

use ferry_types::{Error, Reason, Result, UnixMillis};

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    credentials::recheck::refuse_ended,
    identity::{
        accounts::Accounts,
        sessions::{NewSession, mint_session, new_session},
        whoami::{Session, whoami_of},
    },
    origin::Origin,
};

/// No refresh reaches further than this behind the login (TOK-07), seconds.
const SESSION_MAX_SECONDS: i64 = 30 * 24 * 3600;

/// Another token of the caller's session, with its caveats, that lives a full session's life from now on,
/// but not past 30 days after the login (TOK-07), nor past the end of one that the dashboard opened (OPR-52). The token it was called with stays good for its time.
pub struct RefreshSession<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RefreshSession<'_> {
    /// # Errors
    /// Failed precondition when those 30 days are over.
    pub async fn run(self, accounts: &Accounts) -> Result<Session> {
        let Self { caller, origin } = self;
        let db = &accounts.db;
        let now = db.now();
        let mut session = new_session(db, accounts.session_ttl_seconds, caller.user_id, "", origin, now);
        session.session_id = caller.session_id;
        let (stored, by, origin) = (session.clone(), caller.clone(), origin.clone());
        session.expires_unix = db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_ended(connection, by.session_id, by.user_epoch)?;
                let id = by.session_id.to_string();
                let (created_ms, ends_ms): (i64, Option<i64>) = connection
                    .prepare_cached("SELECT created, ends FROM sessions WHERE id = ?1")?
                    .query_row([&id], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let expires_unix = extended(&stored, UnixMillis(created_ms))?;
                let expires_unix =
                    expires_unix.min(ends_ms.map_or(i64::MAX, |ends| UnixMillis(ends).as_secs()));
                connection
                    .prepare_cached(
                        "UPDATE sessions SET last_seen = ?2, expires = max(expires, ?3) WHERE id = ?1",
                    )?
                    .execute(rusqlite::params![id, stored.now.0, expires_unix * 1000])?;
                let mut row =
                    AuditRow::ok(stored.now, &origin, Who::User(by.user_id), "session.refresh", &id);
                row.org_id = Some(by.org_id);
                row.insert(connection)?;
                Ok(expires_unix)
            })
            .await?;
        let token = mint_session(db, &session, caller.user_epoch, caller.org_id, &caller.caveats)?;
        let exp =
            caller.restrictions.exp_unix.map_or(session.expires_unix, |exp| exp.min(session.expires_unix));
        let directory = db.directory();
        let whoami = whoami_of(&directory, caller.user_id, caller.org_id, caller.session_id, exp)?;
        Ok(Session { token, whoami })
    }
}

/// When the new token of a session that logged in at `created` expires.
fn extended(session: &NewSession, created: UnixMillis) -> Result<i64> {
    let last = created.as_secs().saturating_add(SESSION_MAX_SECONDS);
    if last <= session.now.as_secs() {
        let message = "this login is 30 days old, the longest a session may be kept: log in again";
        return Err(Error::new(Reason::FailedPrecondition, message));
    }
    Ok(session.expires_unix.min(last))
}
