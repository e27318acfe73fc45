//! Sessions: what a login opens, and ending one before its time.

use ferry_auth::{Caveat, Claims, Grant, macaroon};
use ferry_types::{Error, OrgId, Reason, Result, SessionId, TokenId, UnixMillis, UserId};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use crate::control::origin::ClientIp;
use crate::control::{
    Control,
    audit::{AuditRow, Who},
    credentials::{caller::Caller, throttling::Client},
    directory::{effects::ControlEffect, entries::RevokedSession},
    origin::Origin,
    random,
};

/// Addresses that are remembered of an account, the newest.
const LOGIN_CLIENTS_MAX: usize = 32;

/// A session that is about to be stored.
#[derive(Clone)]
pub(crate) struct NewSession {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) label: String,
    pub(crate) ip: ClientIp,
    pub(crate) now: UnixMillis,
    pub(crate) expires_unix: i64,
}

impl NewSession {
    pub(crate) fn insert(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        let sql = "INSERT INTO sessions(id, user_id, label, ip, created, last_seen, expires)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)";
        connection.prepare_cached(sql)?.execute(rusqlite::params![
            self.session_id.to_string(),
            self.user_id.to_string(),
            self.label,
            self.ip.to_string(),
            self.now.0,
            self.expires_unix * 1000,
        ])?;
        self.remember_client(connection)
    }

    /// Keeps from where the account was entered: there it stays open while it is attacked from elsewhere (PWD-05).
    fn remember_client(&self, connection: &Connection) -> ferry_sqlite::Result<()> {
        let Some(client) = Client::from(self.ip).known() else { return Ok(()) };
        let user = self.user_id.to_string();
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO login_clients(user_id, client, last) VALUES (?1, ?2, ?3)",
            )?
            .execute(rusqlite::params![user, client, self.now.0])?;
        connection
            .prepare_cached(
                "DELETE FROM login_clients WHERE user_id = ?1 AND client NOT IN
                     (SELECT client FROM login_clients WHERE user_id = ?1 ORDER BY last DESC LIMIT ?2)",
            )?
            .execute(rusqlite::params![user, LOGIN_CLIENTS_MAX])?;
        Ok(())
    }
}

impl Control {
    /// A session of `user_id` from now on.
    pub(crate) fn new_session(
        &self,
        user_id: UserId,
        label: &str,
        origin: &Origin,
        now: UnixMillis,
    ) -> NewSession {
        NewSession {
            session_id: SessionId::from_uuid(self.db.next_id(now)),
            user_id,
            label: label.to_owned(),
            ip: origin.ip,
            now,
            expires_unix: now.as_secs().saturating_add(self.config.session_ttl_seconds),
        }
    }

    /// The token of a stored session.
    pub(crate) fn mint_session(
        &self,
        session: &NewSession,
        user_epoch: u32,
        org_id: OrgId,
        caveats: &[Caveat],
    ) -> Result<String> {
        let ring = self.db.keys();
        let key = ring.signing();
        let claims = Claims {
            kid: key.kid(),
            token_id: TokenId(random::bytes()?),
            issued_unix: session.now.as_secs(),
            expires_unix: session.expires_unix,
            user_id: session.user_id,
            user_epoch,
            org_id,
            session_id: session.session_id,
            grant: Grant::Session,
        };
        metrics::counter!("ferry_tokens_issued_total", "kind" => "session").increment(1);
        macaroon::mint(key, &claims, caveats).map_err(|error| {
            tracing::error!(%error, "BUG: a fresh session token does not fit");
            Error::internal()
        })
    }

    /// Ends a session of the caller; empty `session_id`: its own. Sync tokens minted from it end too, unless
    /// `keep_sync_tokens` (TOK-12).
    ///
    /// # Errors
    /// Not found when the caller has no such session.
    pub async fn revoke_session(
        &self,
        caller: &Caller,
        session_id: &str,
        keep_sync_tokens: bool,
        origin: &Origin,
    ) -> Result<()> {
        let not_found = || Error::new(Reason::NotFound, "session not found");
        let session_id: SessionId = match session_id {
            "" => caller.session_id,
            text => text.parse().map_err(|_| not_found())?,
        };
        let (user_id, org_id, now) = (caller.user_id, caller.org_id, self.now());
        let origin = origin.clone();
        self.db
            .write_by(caller, move |transaction| {
                let connection = transaction.connection();
                let expires_ms: i64 = connection
                    .prepare_cached("SELECT expires FROM sessions WHERE id = ?1 AND user_id = ?2")?
                    .query_row([session_id.to_string(), user_id.to_string()], |row| row.get(0))
                    .optional()?
                    .ok_or_else(not_found)?;
                // What one call revoked, a later one does not bring back.
                let keeps_tokens: bool = connection
                    .prepare_cached(
                        "UPDATE sessions SET keeps_tokens = ?2 AND (revoked IS NULL OR keeps_tokens),
                                         revoked = coalesce(revoked, ?3)
                     WHERE id = ?1 RETURNING keeps_tokens",
                    )?
                    .query_row(rusqlite::params![session_id.to_string(), keep_sync_tokens, now.0], |row| {
                        row.get(0)
                    })?;
                let row = AuditRow {
                    at: now,
                    origin: &origin,
                    actor: Who::User(user_id),
                    org_id: Some(org_id),
                    database_id: None,
                    action: "session.revoke",
                    target: &session_id.to_string(),
                    outcome: "ok",
                    detail: json!({ "keep_sync_tokens": keep_sync_tokens }),
                };
                row.insert(connection)?;
                let revoked = RevokedSession { expires_unix: UnixMillis(expires_ms).as_secs(), keeps_tokens };
                transaction.effect(ControlEffect::SessionRevoked { session_id, user_id, revoked });
                Ok(())
            })
            .await?;
        metrics::counter!("ferry_revocations_total", "kind" => "session").increment(1);
        Ok(())
    }
}
