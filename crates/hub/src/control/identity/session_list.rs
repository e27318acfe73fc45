//! A user's sessions: listed, made longer, all ended.

use ferry_types::{Error, Reason, Result, SessionId, UnixMillis};
use rusqlite::OptionalExtension as _;

use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::{caller::Caller, recheck::refuse_ended},
    directory::{columns::parsed, listing::Listing},
    identity::{
        sessions::NewSession,
        users::end_credentials,
        whoami::{Session, whoami_of},
    },
    origin::Origin,
};

/// No refresh reaches further than this behind the login (TOK-07), seconds.
const SESSION_MAX_SECONDS: i64 = 30 * 24 * 3600;

/// A session as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// Name of the device.
    pub label: String,
    /// Where it logged in.
    pub ip: String,
    /// When it logged in.
    pub created: UnixMillis,
    /// Login, or the newest refresh.
    pub last_seen: UnixMillis,
    /// When it ends.
    pub expires: UnixMillis,
}

impl Control {
    /// Another token of the caller's session, with its caveats, that lives a full session's life from now on,
    /// but not past 30 days after the login (TOK-07). The token it was called with stays good for its time.
    ///
    /// # Errors
    /// Failed precondition when those 30 days are over.
    pub async fn refresh_session(&self, caller: &Caller, origin: &Origin) -> Result<Session> {
        let now = self.now();
        let mut session = self.new_session(caller.user_id, "", origin, now);
        session.session_id = caller.session_id;
        let (stored, by, origin) = (session.clone(), caller.clone(), origin.clone());
        session.expires_unix = self
            .db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                refuse_ended(connection, by.session_id, by.user_epoch)?;
                let id = by.session_id.to_string();
                let created_ms: i64 = connection
                    .prepare_cached("SELECT created FROM sessions WHERE id = ?1")?
                    .query_row([&id], |row| row.get(0))?;
                let expires_unix = extended(&stored, UnixMillis(created_ms))?;
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
        let token = self.mint_session(&session, caller.user_epoch, caller.org_id, &caller.caveats)?;
        let exp =
            caller.restrictions.exp_unix.map_or(session.expires_unix, |exp| exp.min(session.expires_unix));
        let directory = self.db.directory();
        let whoami = whoami_of(&directory, caller.user_id, caller.org_id, caller.session_id, exp)?;
        Ok(Session { token, whoami })
    }

    /// A page of the caller's sessions, oldest first, and the token of the next one.
    ///
    /// # Errors
    /// Bad page size or token.
    pub async fn list_sessions(
        &self,
        caller: &Caller,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<SessionInfo>, String)> {
        let user = caller.user_id.to_string();
        let listing = Listing::new("ListSessions", &[&user], page_size, page_token)?;
        let (after, wanted, now) = (listing.after.clone(), listing.wanted(), self.now());
        let rows = self
            .db
            .read(move |connection| {
                let sql = "SELECT id, label, ip, created, last_seen, expires FROM sessions
                           WHERE user_id = ?1 AND id > ?2 AND revoked IS NULL AND expires > ?3
                           ORDER BY id LIMIT ?4";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(rusqlite::params![user, after, now.0, wanted])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(SessionInfo {
                        id: parsed(row, 0)?,
                        label: row.get(1)?,
                        ip: row.get(2)?,
                        created: UnixMillis(row.get(3)?),
                        last_seen: UnixMillis(row.get(4)?),
                        expires: UnixMillis(row.get(5)?),
                    });
                }
                Ok(found)
            })
            .await?;
        Ok(listing.page(rows, |row| row.id.to_string()))
    }

    /// Ends every session of the caller, this one too, and every sync token minted from them (TOK-12).
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub async fn revoke_all_sessions(&self, caller: &Caller, origin: &Origin) -> Result<()> {
        let (by, origin, now) = (caller.clone(), origin.clone(), self.now());
        self.db
            .write_by(caller, move |transaction| {
                end_credentials(transaction, by.user_id, now, None)?;
                let target = by.user_id.to_string();
                let mut row =
                    AuditRow::ok(now, &origin, Who::User(by.user_id), "session.revoke_all", &target);
                row.org_id = Some(by.org_id);
                row.insert(transaction.connection())
            })
            .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "user").increment(1);
        Ok(())
    }

    /// When the caller logged in.
    pub(crate) async fn logged_in_at(&self, caller: &Caller) -> Result<UnixMillis> {
        let id = caller.session_id.to_string();
        self.db
            .read(move |connection| {
                let sql = "SELECT created FROM sessions WHERE id = ?1";
                let created = connection.prepare_cached(sql)?.query_row([id], |row| row.get(0));
                let gone = || Error::new(Reason::TokenRevoked, "session token required");
                Ok(UnixMillis(created.optional()?.ok_or_else(gone)?))
            })
            .await
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
