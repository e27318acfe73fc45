//! The control plane: accounts, organisations, databases, credentials (control.md). `control.db` is written by
//! one actor with group commit; everything that a request needs to be let in stands in memory.

mod audit;
mod config;
mod control_db;
mod credentials;
mod databases;
mod directory;
mod host;
mod identity;
mod origin;
mod private_files;
mod random;
mod reads;
mod start;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use ferry_auth::Verified;
use ferry_types::{DatabaseId, UnixMillis};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

pub use audit::list::AuditEvent;
pub use config::{ControlConfig, GitHubUrls, OAuthClient, OAuthConfig, Signup, StartError};
pub use credentials::{
    api_keys::{ApiKeySpec, NewApiKey},
    budgets::Meter,
    caller::{Access, Caller},
    carried::{BEARER_PROTOCOL, ClientInfo, Credentials},
    jwt_settings::JwtTrial,
    requester::Requester,
    right::{ADMINISTRATION, DATA, DATA_WITH_CREDENTIAL, Right, SYNC_BEARERS},
    token_list::TokenInfo,
    tokens::{IssueToken, IssuedToken},
    watch::{RightsEnd, RightsWatch},
    web_origins::{origin_matches, parse_origin},
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
pub use origin::{ClientIp, Origin};
pub use private_files::{refuse_wider, shell_word};
pub use sweep::DeletedDatabase;

use control_db::ControlDb;
use credentials::{
    api_keys::UsedKeys, bearer, budgets::Budgets, jwks::Jwks, jwt::ProvenJwt, key_ring::Keys, recent::Recent,
    throttling::Limiter,
};
use databases::kinds::TentativeKinds;
use ferry_http_client::HttpClient;
use identity::{oauth::Discovered, passwords::PasswordPool};

/// The control plane of one hub.
pub struct Control {
    config: ControlConfig,
    hub_id: String,
    /// Held while the key ring changes, so that changes follow one another.
    keys: tokio::sync::Mutex<Keys>,
    /// SHA-256 of the operator token.
    operator_digest: [u8; 32],
    db: Arc<ControlDb>,
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
        self.db.directory().database(id).cloned()
    }

    /// How many users there are.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.db.directory().user_count()
    }

    /// How many databases there are.
    #[must_use]
    pub fn database_count(&self) -> usize {
        self.db.directory().database_count()
    }

    /// Whether the last change of `control.db` reached the disk. While it is false, existing tokens still
    /// verify, and asking starts an attempt to write, so that the answer follows once the disk is well.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.db.is_healthy()
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
        self.db.stop().await;
    }

    fn now(&self) -> UnixMillis {
        self.db.now()
    }
}
