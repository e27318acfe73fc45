//! Housekeeping of `control.db` (control.md, 4): what has expired long ago goes; deleted databases reach the
//! trash.

use ferry_types::{Result, UnixMillis};

use crate::Control;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// Days that the rows of expired sessions, tokens and keys stay.
const EXPIRED_KEPT_DAYS: i64 = 30;
/// Days that byte counts stay.
const USAGE_KEPT_DAYS: i64 = 2;
/// Days that mails wait.
const OUTBOX_KEPT_DAYS: i64 = 2;
/// Rows removed by one request, so that others need not wait long.
const ROWS_PER_REQUEST: usize = 1000;

/// `DELETE` statements of the sweep; `?1` is a time or day, `?2` the number of rows.
fn deletions(now: UnixMillis, audit_days: i64, trash_days: i64) -> [(&'static str, i64); 12] {
    let ago = |days: i64| now.0 - days * DAY_MS;
    [
        (
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires < ?1 LIMIT ?2)",
            ago(EXPIRED_KEPT_DAYS),
        ),
        (
            "DELETE FROM issued_tokens WHERE token_id IN
                 (SELECT token_id FROM issued_tokens WHERE expires < ?1 LIMIT ?2)",
            ago(EXPIRED_KEPT_DAYS),
        ),
        (
            "DELETE FROM api_keys WHERE id IN
                 (SELECT id FROM api_keys WHERE coalesce(revoked, expires) < ?1 LIMIT ?2)",
            ago(EXPIRED_KEPT_DAYS),
        ),
        (
            "DELETE FROM invitations WHERE secret_hash IN
                 (SELECT secret_hash FROM invitations WHERE expires < ?1 LIMIT ?2)",
            now.0,
        ),
        (
            "DELETE FROM password_resets WHERE secret_hash IN
                 (SELECT secret_hash FROM password_resets WHERE expires < ?1 LIMIT ?2)",
            now.0,
        ),
        (
            "DELETE FROM email_verifications WHERE secret_hash IN
                 (SELECT secret_hash FROM email_verifications WHERE expires < ?1 LIMIT ?2)",
            now.0,
        ),
        // Of a hub that no longer sends mail: whoever sends gives up earlier.
        (
            "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE created < ?1 LIMIT ?2)",
            ago(OUTBOX_KEPT_DAYS),
        ),
        (
            "DELETE FROM oauth_states WHERE secret_hash IN
                 (SELECT secret_hash FROM oauth_states WHERE expires < ?1 LIMIT ?2)",
            now.0,
        ),
        (
            "DELETE FROM token_usage WHERE (bucket, day) IN
                 (SELECT bucket, day FROM token_usage WHERE day < ?1 LIMIT ?2)",
            now.0.div_euclid(DAY_MS) - USAGE_KEPT_DAYS,
        ),
        ("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 LIMIT ?2)", ago(audit_days)),
        (
            "DELETE FROM databases WHERE id IN
                 (SELECT id FROM databases WHERE deleted IS NOT NULL AND trashed < ?1 LIMIT ?2)",
            ago(trash_days),
        ),
        (
            "DELETE FROM organizations WHERE id IN
                 (SELECT id FROM organizations WHERE deleted <= ?1
                      AND NOT EXISTS(SELECT 1 FROM databases WHERE org_id = organizations.id) LIMIT ?2)",
            now.0,
        ),
    ]
}

impl Control {
    /// Removes what has expired, and retries what could not be moved to the trash. The hub calls it hourly.
    pub async fn sweep(&self) {
        let now = self.db.now();
        self.db.directory_mut().prune(now);
        self.accounts.rates.prune(now);
        self.authenticator.macaroons.prune(now);
        self.authenticator.jwts.prune(now);
        self.accounts.failures.prune(now);
        let days = |days: u64| i64::try_from(days).unwrap_or(i64::MAX / DAY_MS).min(i64::MAX / DAY_MS);
        let (audit_days, trash_days) =
            (days(self.config.audit_retention_days), days(self.config.trash_retention_days));
        for (sql, bound) in deletions(now, audit_days.min(36_500), trash_days.min(36_500)) {
            if let Err(error) = self.delete_all(sql, bound).await {
                tracing::warn!(%error, "sweeping control.db failed; the next sweep tries again");
                return;
            }
        }
        self.storage.finish_deletions().await;
        self.signing_keys.prune().await;
    }

    async fn delete_all(&self, sql: &'static str, bound: i64) -> Result<()> {
        loop {
            let params = (bound, i64::try_from(ROWS_PER_REQUEST).unwrap_or(i64::MAX));
            let removed = self
                .db
                .write(move |transaction| {
                    Ok(transaction.connection().prepare_cached(sql)?.execute(params)?)
                })
                .await?;
            if removed < ROWS_PER_REQUEST {
                return Ok(());
            }
        }
    }
}
