//! The control plane: accounts, organisations, databases, credentials (control.md). `control.db` is written by
//! one actor with group commit; everything that a request needs to be let in stands in memory.

mod audit;
mod config;
mod credentials;
mod databases;
mod directory;
mod host;
mod identity;
mod random;
mod start;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use ferry_auth::Verified;
use ferry_sqlite::Transaction;
use ferry_types::{Clock, Code, DatabaseId, Error, Reason, Result, UnixMillis};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

pub use audit::{Origin, list::AuditEvent};
pub use config::ControlConfig;
pub use credentials::{
    api_keys::{ApiKeySpec, NewApiKey},
    budgets::Meter,
    caller::{Access, Caller},
    carried::{BEARER_PROTOCOL, ClientInfo, Credentials},
    jwt_settings::JwtTrial,
    requester::Requester,
    token_list::TokenInfo,
    tokens::{IssueToken, IssuedToken},
    watch::{RightsEnd, RightsWatch},
};
pub use databases::kinds::{KindClaim, wrong_kind};
pub use directory::{
    api_key_rows::{ApiKeyInfo, ApiKeyLimits},
    entries::DatabaseEntry,
};
pub use host::{DatabaseHost, DatabaseStats};
pub use identity::{
    invitations::Invitation,
    members::Member,
    oauth::{CompleteOAuth, Return, StartOAuth},
    session_list::SessionInfo,
    whoami::{OrgMembership, Session, Whoami},
};
pub use sweep::DeletedDatabase;

use credentials::{
    api_keys::UsedKeys, bearer, budgets::Budgets, jwks::Jwks, jwt::ProvenJwt, key_ring::Keys, recent::Recent,
    throttling::Limiter,
};
use databases::kinds::TentativeKinds;
use directory::{effects::ControlEffect, shared::State};
use identity::{oauth::Discovered, passwords::PasswordPool};
use random::Ids;

use ferry_http_client::HttpClient;

use ferry_database::Actor;

/// The control plane of one hub.
pub struct Control {
    config: ControlConfig,
    clock: Arc<dyn Clock>,
    ids: Ids,
    hub_id: String,
    /// Held while the key ring changes, so that changes follow one another.
    keys: tokio::sync::Mutex<Keys>,
    /// SHA-256 of the operator token.
    operator_digest: [u8; 32],
    db: Actor<ControlEffect>,
    state: Arc<State>,
    /// Macaroons whose signature was checked a moment ago.
    tokens: Recent<Verified>,
    /// JWTs likewise.
    jwts: Recent<ProvenJwt>,
    jwks: Jwks,
    http_client: Arc<HttpClient>,
    passwords: PasswordPool,
    /// Rate limits (WEB-06).
    rates: Limiter,
    /// Failed logins (PWD-05).
    failures: Limiter,
    tentative_kinds: TentativeKinds,
    used_keys: UsedKeys,
    budgets: Budgets,
    discovered: Discovered,
    host: OnceLock<Arc<dyn DatabaseHost>>,
    /// Whether the last change of `control.db` reached the disk.
    healthy: AtomicBool,
    /// Whether somebody is finding out whether it can be written again.
    probing: AtomicBool,
}

impl Control {
    /// Names who holds the open databases. Only the first call counts.
    pub fn set_host(&self, host: Arc<impl DatabaseHost + 'static>) {
        if self.host.set(host).is_err() {
            tracing::error!("BUG: the control plane was given a second database host");
        }
    }

    /// The client with which the hub asks others.
    #[must_use]
    pub const fn http_client(&self) -> &Arc<HttpClient> {
        &self.http_client
    }

    /// A database that exists.
    #[must_use]
    pub fn database(&self, id: DatabaseId) -> Option<DatabaseEntry> {
        self.state.read().database(id).cloned()
    }

    /// How many users there are.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.state.read().user_count()
    }

    /// How many databases there are.
    #[must_use]
    pub fn database_count(&self) -> usize {
        self.state.read().database_count()
    }

    /// Whether the last change of `control.db` reached the disk. While it is false, existing tokens still
    /// verify, and asking starts an attempt to write, so that the answer follows once the disk is well.
    #[must_use]
    pub fn is_healthy(self: &Arc<Self>) -> bool {
        let healthy = self.healthy.load(Ordering::Relaxed);
        if !healthy && !self.probing.swap(true, Ordering::Relaxed) {
            let control = Arc::clone(self);
            tokio::spawn(async move { control.probe().await });
        }
        healthy
    }

    async fn probe(&self) {
        let now = self.now();
        let probed = self
            .write(move |transaction| {
                let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES ('probed', ?1)";
                Ok(transaction.connection().execute(sql, [now.0.to_string()])?)
            })
            .await;
        self.probing.store(false, Ordering::Relaxed);
        match probed {
            Ok(_) => tracing::info!("control.db can be written again"),
            Err(error) => tracing::warn!(%error, "control.db still cannot be written"),
        }
    }

    /// Whether the request carries the operator token.
    #[must_use]
    pub fn is_operator(&self, headers: &HeaderMap) -> bool {
        matches!(bearer::bearer(headers), Ok(Some(token)) if self.is_operator_token(token))
    }

    fn is_operator_token(&self, token: &str) -> bool {
        // Digests are compared, so that the time it takes tells nothing of the token.
        Sha256::digest(token).as_slice() == self.operator_digest
    }

    /// Finishes accepted writes and closes `control.db`.
    pub async fn stop(&self) {
        let refusal = Error::new(Reason::ShuttingDown, "the hub is stopping: try again in a few seconds");
        self.db.retire(refusal.retry_after_ms(2000)).await;
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// [`Self::write`] for `caller`, whose session must still stand when its transaction begins (TOK-17).
    async fn write_by<T, F>(&self, caller: &Caller, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, ControlEffect>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        let (caller, state, clock) = (caller.clone(), Arc::clone(&self.state), Arc::clone(&self.clock));
        self.write(move |transaction| {
            caller.recheck(&state.read(), clock.now())?;
            work(transaction)
        })
        .await
    }

    /// Runs `work` in the next group of `control.db` and returns once it is on disk and in the directory.
    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, ControlEffect>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        let started = tokio::time::Instant::now();
        let outcome = self.db.submit(work).await;
        metrics::histogram!("ferry_control_commit_seconds").record(started.elapsed().as_secs_f64());
        match &outcome {
            Ok(committed) if committed.seq.is_some() => self.healthy.store(true, Ordering::Relaxed),
            // What changed nothing says nothing about the disk.
            Ok(_) => {}
            Err(error) if error.reason == Reason::StorageFull || error.code() == Code::Internal => {
                self.healthy.store(false, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        outcome.map(|committed| committed.value)
    }
}
