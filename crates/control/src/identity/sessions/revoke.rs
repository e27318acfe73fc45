//! A session is ended before its time (TOK-12).

use ferry_types::{Error, Reason, Result, SessionId, UnixMillis};
use rusqlite::OptionalExtension as _;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::Caller,
    control_db::ControlDb,
    directory::{effects::ControlEffect, entries::RevokedSession},
    origin::Origin,
};

/// Ends a session of the caller; empty `session_id`: its own. Sync tokens minted from it end too, unless
/// `keep_sync_tokens` (TOK-12).
pub struct RevokeSession<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The session; empty: the caller's own.
    pub session_id: &'a str,
    /// Whether sync tokens minted from it live on.
    pub keep_sync_tokens: bool,
    /// Where the call comes from.
    pub origin: &'a Origin,
}

impl RevokeSession<'_> {
    /// # Errors
    /// Not found when the caller has no such session.
    pub async fn run(self, db: &ControlDb) -> Result<()> {
        let Self { caller, session_id, keep_sync_tokens, origin } = self;
        let not_found = || Error::new(Reason::NotFound, "session not found");
        let session_id: SessionId = match session_id {
            "" => caller.session_id,
            text => text.parse().map_err(|_| not_found())?,
        };
        let (user_id, org_id, now) = (caller.user_id, caller.org_id, db.now());
        let origin = origin.clone();
        db.write_by(caller, move |transaction| {
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
