//! Settings of the control plane: accounts, credentials, databases.

use std::sync::Arc;

use super::{ConfigError, Key, ListenerConfig, ProcessConfig, Values, jwt, keys::key, oauth};
use ferry_control::{ControlConfig, Signup, StartError};

/// Its settings, beside those of JWTs and of logins at a provider.
pub(super) const KEYS: &[Key] = &[
    key(
        "default_database",
        "DB",
        "Database meant by JWTs that name none: an id, or a name unique on the hub [default with --dev: main]",
    ),
    key(
        "signup",
        "open|invite|closed",
        "Who may sign up [default: invite; open if only this machine is served: listen and public_url on loopback, no trusted_proxies]",
    ),
    key("session_key", "BASE64", "Signing keys instead of the key ring, comma-separated; the first signs")
        .or(&["SESSION_KEY"])
        .secret(),
    key("session_ttl_seconds", "N", "Life of a session [default: 86400]").or(&["SESSION_TTL_SECONDS"]),
    key("sync_token_ttl_seconds", "N", "Life of a sync token that asks for none [default: 3600]")
        .or(&["SYNC_TOKEN_TTL_SECONDS"]),
    key("max_sync_token_ttl_seconds", "N", "Longest life of a sync token [default: 86400]")
        .or(&["MAX_SYNC_TOKEN_TTL_SECONDS"]),
    key("argon2_memory_kib", "KIB", "Memory of a password hash [default: 19456]"),
    key("argon2_iterations", "N", "Passes of a password hash [default: 2]"),
    key("argon2_parallelism", "N", "Lanes of a password hash [default: 1]"),
    key("password_concurrency", "N", "Password hashes computed at once [default: half the cores]"),
    key(
        "rate_limit_scale",
        "FACTOR",
        "Multiplies every rate limit but that of failed logins; 0 turns them off [default: 1]",
    ),
    key("max_databases_per_org", "N", "Databases of one organisation [default: 10000]"),
    key(
        "trash_retention_days",
        "DAYS",
        "How long deleted databases stay in the trash, a day at least [default: 7]",
    ),
    key("audit_retention_days", "DAYS", "How long audit rows are kept [default: 400]"),
    key("auto_migrate", "BOOL", "Migrate older data at start [default: true]").or(&["AUTO_MIGRATE"]),
];

const YEAR_SECONDS: i64 = 366 * 86_400;

/// Reads them, after those of listener and process. What should be mended, but need not, goes to `warnings`.
pub(super) fn read(
    values: &Values,
    dev: bool,
    (listener, process): (&ListenerConfig, &ProcessConfig),
    warnings: &mut Vec<String>,
) -> Result<ControlConfig, ConfigError> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let default_signup = if listener.is_private { Signup::Open } else { Signup::Invite };
    let max_sync_token_ttl_seconds = values.number("max_sync_token_ttl_seconds", 86_400, 1, YEAR_SECONDS)?;
    Ok(ControlConfig {
        data_dir: process.data_dir.clone(),
        dev,
        store_access: None,
        public_url: listener.base_url(),
        default_database: values.text("default_database").map(str::to_owned),
        jwt: jwt::settings(values, dev, warnings)?,
        jwt_stores_claim: values.text("events.jwt_stores_claim").map(Arc::from),
        session_key: values.text("session_key").map(str::to_owned),
        session_ttl_seconds: values.number("session_ttl_seconds", 86_400, 60, YEAR_SECONDS)?,
        sync_token_ttl_seconds: values.number("sync_token_ttl_seconds", 3600, 1, YEAR_SECONDS)?,
        max_sync_token_ttl_seconds,
        oauth: oauth::read(values)?,
        signup: values.read("signup", signup)?.unwrap_or(default_signup),
        argon2_memory_kib: values.number("argon2_memory_kib", 19_456, 8, 4 << 20)?,
        argon2_iterations: values.number("argon2_iterations", 2, 1, 64)?,
        argon2_parallelism: values.number("argon2_parallelism", 1, 1, 64)?,
        password_concurrency: values.number("password_concurrency", (cores / 2).max(1), 1, 1024)?,
        rate_limit_scale: values.number("rate_limit_scale", 1.0, 0.0, 1e6)?,
        max_databases_per_org: values.number("max_databases_per_org", 10_000, 1, 100_000_000)?,
        auto_migrate: values.truth("auto_migrate", true)?,
        trash_retention_days: values.number("trash_retention_days", 7, 0, 36_500)?,
        mail: None,
        audit_retention_days: values.number("audit_retention_days", 400, 1, 36_500)?,
    })
}

fn signup(text: &str) -> Result<Signup, String> {
    match text {
        "open" => Ok(Signup::Open),
        "invite" => Ok(Signup::Invite),
        "closed" => Ok(Signup::Closed),
        _ => Err("expected open, invite or closed".to_owned()),
    }
}

impl From<StartError> for ConfigError {
    fn from(error: StartError) -> Self {
        Self(error.0)
    }
}
