//! The settings of the control plane, already validated by the hub's configuration.

use std::{fmt, path::PathBuf, sync::Arc};

use ferry_auth::jwt::JwtSettingsText;
use ferry_types::{Model, ModelSet};

/// What the control plane needs to know.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Folder of all data; it exists, and this process holds its lock.
    pub data_dir: PathBuf,
    /// Development mode (CFG-04): public signing key, seeded user and database.
    pub dev: bool,
    /// A hub over the one store of a spoke, and who may reach it; `None`: a hub for many.
    pub store_access: Option<StoreAccess>,
    /// URL of the hub, as tokens of databases name it in their `iss` (FUN-53).
    pub public_url: String,
    /// The database that credentials mean which name none: an id, or a name unique on the hub.
    pub default_database: Option<String>,
    /// What JWTs of the default database must be, unless it has settings of its own.
    pub jwt: Option<JwtSettingsText>,
    /// The claim by which JWTs say which event stores they open.
    pub jwt_stores_claim: Option<Arc<str>>,
    /// Signing keys in front of the key ring's, base64, comma-separated.
    pub session_key: Option<String>,
    /// Life of a session, seconds.
    pub session_ttl_seconds: i64,
    /// Life of a sync token that asks for none, seconds.
    pub sync_token_ttl_seconds: i64,
    /// Longest life of a sync token, seconds.
    pub max_sync_token_ttl_seconds: i64,
    /// Login at a provider.
    pub oauth: OAuthConfig,
    /// Who may sign up.
    pub signup: Signup,
    /// Argon2id memory, KiB.
    pub argon2_memory_kib: u32,
    /// Argon2id passes.
    pub argon2_iterations: u32,
    /// Argon2id lanes.
    pub argon2_parallelism: u32,
    /// Password hashes computed at once.
    pub password_concurrency: usize,
    /// Multiplies every rate limit; 0: none.
    pub rate_limit_scale: f64,
    /// Databases of one organisation.
    pub max_databases_per_org: u64,
    /// Whether pending migrations of an existing control.db run at start.
    pub auto_migrate: bool,
    /// Days that a deleted database stays in the trash.
    pub trash_retention_days: u64,
    /// Days of audit rows.
    pub audit_retention_days: u64,
    /// Mail, if the hub sends any.
    pub mail: Option<MailPolicy>,
}

/// What mail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailPolicy {
    /// Whether an account whose address is not proven may only sign in and prove it.
    pub require_verified: bool,
}

/// Who may reach the store of a spoke that is a hub itself.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreAccess {
    /// Whoever is on this machine, without a credential.
    ThisMachine,
    /// Whoever shows this token.
    Token(String),
}

/// The token is not shown.
impl fmt::Debug for StoreAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThisMachine => "ThisMachine",
            Self::Token(_) => "Token",
        })
    }
}

impl ControlConfig {
    /// What callers without a credential reach; `None`: nothing.
    #[must_use]
    pub fn anonymous_models(&self) -> Option<ModelSet> {
        match self.store_access {
            Some(StoreAccess::ThisMachine) => Some(ModelSet::of(&[Model::Ops])),
            _ if self.dev => Some(ModelSet::ALL),
            _ => None,
        }
    }
}

/// Who may sign up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signup {
    /// Everyone.
    Open,
    /// Holders of an invitation.
    Invite,
    /// Nobody.
    Closed,
}

/// What a provider knows this hub by.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuthClient {
    /// Client id: public.
    pub id: String,
    /// Client secret.
    pub secret: String,
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where GitHub is asked.
#[derive(Clone, Debug)]
pub struct GitHubUrls {
    /// Where browsers are sent to.
    pub authorize: String,
    /// Where codes are exchanged.
    pub token: String,
    /// Who one is.
    pub user: String,
    /// One's e-mail addresses.
    pub emails: String,
}

/// Login at a provider.
#[derive(Clone, Debug)]
pub struct OAuthConfig {
    /// URL of the hub, as browsers reach it; without it nobody can come back.
    pub redirect_base: Option<String>,
    /// How long a login may take, seconds.
    pub state_ttl_seconds: i64,
    /// Whether clients that send no challenge may log in (OAU-04).
    pub legacy: bool,
    /// Whether those must finish from the address they began from.
    pub legacy_bind_ip: bool,
    /// GitHub, if it is configured.
    pub github: Option<OAuthClient>,
    /// Google, if it is configured.
    pub google: Option<OAuthClient>,
    /// GitHub's endpoints.
    pub github_urls: GitHubUrls,
    /// Whose id_tokens count.
    pub google_issuer: String,
}

impl Default for OAuthConfig {
    /// No provider is configured.
    fn default() -> Self {
        Self {
            redirect_base: None,
            state_ttl_seconds: 600,
            legacy: true,
            legacy_bind_ip: true,
            github: None,
            google: None,
            github_urls: GitHubUrls {
                authorize: "https://github.com/login/oauth/authorize".to_owned(),
                token: "https://github.com/login/oauth/access_token".to_owned(),
                user: "https://api.github.com/user".to_owned(),
                emails: "https://api.github.com/user/emails".to_owned(),
            },
            google_issuer: "https://accounts.google.com".to_owned(),
        }
    }
}

/// Why the control plane does not open: what an operator must mend, with the command or key that mends it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);
