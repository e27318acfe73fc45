//! The settings of the control plane, already validated by the hub's configuration.

use std::{path::PathBuf, sync::Arc};

use ferry_auth::jwt::JwtSettingsText;

use crate::config::{OAuthConfig, Signup};

/// What the control plane needs to know.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Folder of all data; it exists, and this process holds its lock.
    pub data_dir: PathBuf,
    /// Development mode (CFG-04): public signing key, seeded user and database.
    pub dev: bool,
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
}
