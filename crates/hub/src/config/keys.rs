//! Every setting of `ferry serve`: one row per key. Flags, environment variables, the configuration file and
//! the help text all follow from this table.

/// A setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name in `ferry.toml`; a model's settings stand in its section: `pages.stage_hours`.
    pub name: &'static str,
    /// Environment variables of compatible systems that mean the same.
    pub legacy: &'static [&'static str],
    /// Whether it holds a secret: such a key has no flag, since command lines are visible to others.
    pub secret: bool,
    /// What to write in place of the value in the help text.
    pub value_name: &'static str,
    /// One line for the help text, ending in the default.
    pub help: &'static str,
}

impl Key {
    /// `--pages-stage-hours`, without the dashes in front.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// `FERRY_PAGES_STAGE_HOURS`.
    #[must_use]
    pub fn env(&self) -> String {
        format!("FERRY_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The setting called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, value_name: &'static str, help: &'static str) -> Key {
    Key { name, legacy: &[], secret: false, value_name, help }
}

impl Key {
    const fn or(mut self, legacy: &'static [&'static str]) -> Self {
        self.legacy = legacy;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// All settings, in the order of the help text.
pub const KEYS: &[Key] = &[
    key("listen", "ADDR", "Address to listen on [default: 127.0.0.1:8787]"),
    key(
        "data_dir",
        "DIR",
        "Folder of all data; made on first start [default: ./ferry-data, with --dev ./.ferry-dev]",
    ),
    key("public_url", "URL", "URL under which clients reach the hub, if a proxy stands in front"),
    key("tls_cert", "FILE", "Certificate chain (PEM); with tls_key the hub serves HTTPS"),
    key("tls_key", "FILE", "Private key (PEM) of tls_cert"),
    key(
        "default_database",
        "DB",
        "Database meant by JWTs that name none: an id, or a name unique on the hub [default with --dev: main]",
    ),
    key("jwks_url", "URL", "Key set that proves JWTs for default_database")
        .or(&["JWKS_URL", "EDGEPOD_JWKS_URL"]),
    key("jwt_issuer", "ISS", "What JWTs for default_database must have in iss; *: any"),
    key("jwt_audience", "LIST", "Of these, JWTs for default_database must have one in aud; *: any"),
    key("session_key", "BASE64", "Signing keys instead of the key ring, comma-separated; the first signs")
        .or(&["SESSION_KEY"])
        .secret(),
    key("session_ttl_seconds", "N", "Life of a session [default: 86400]").or(&["SESSION_TTL_SECONDS"]),
    key("sync_token_ttl_seconds", "N", "Life of a sync token that asks for none [default: 3600]")
        .or(&["SYNC_TOKEN_TTL_SECONDS"]),
    key("max_sync_token_ttl_seconds", "N", "Longest life of a sync token [default: 86400]")
        .or(&["MAX_SYNC_TOKEN_TTL_SECONDS"]),
    key("auto_migrate", "BOOL", "Migrate older data at start [default: true]").or(&["AUTO_MIGRATE"]),
    key("signup", "open|invite|closed", "Who may sign up [default: open on a loopback address, else invite]"),
    key("cors_origins", "LIST", "Origins whose web pages may call the hub, comma-separated")
        .or(&["CORS_ORIGINS"]),
    key(
        "trusted_proxies",
        "LIST",
        "Addresses or CIDR ranges whose X-Forwarded-For is believed, comma-separated",
    ),
    key("argon2_memory_kib", "KIB", "Memory of a password hash [default: 19456]"),
    key("argon2_iterations", "N", "Passes of a password hash [default: 2]"),
    key("argon2_parallelism", "N", "Lanes of a password hash [default: 1]"),
    key("password_concurrency", "N", "Password hashes computed at once [default: half the cores]"),
    key("rate_limit_scale", "FACTOR", "Multiplies every rate limit; 0 turns them off [default: 1]"),
    key("max_databases_per_org", "N", "Databases of one organisation [default: 10000]"),
    key("trash_retention_days", "DAYS", "How long deleted databases stay in the trash [default: 7]"),
    key("audit_retention_days", "DAYS", "How long audit rows are kept [default: 400]"),
    key(
        "metrics_public",
        "BOOL",
        "Show /metrics to everyone, not only to loopback and the operator [default: false]",
    ),
    key("idle_close_seconds", "N", "Close a database's files after this long without use [default: 60]"),
    key("static_dir", "DIR", "With --dev: serve the files of this folder where no route answers"),
    key("log_format", "text|json", "Form of log lines [default: text on a terminal, else json]"),
    key("log_level", "LEVEL", "error, warn, info, debug or trace [default: info]"),
    key("pages.max_database_bytes", "BYTES", "Largest pushed database [default: 17179869184]"),
    key(
        "pages.check_max_bytes",
        "BYTES",
        "Largest pushed database that is also checked by quick_check [default: 268435456]",
    ),
    key("pages.stage_hours", "HOURS", "How long pages of a broken push wait for the retry [default: 24]"),
    key(
        "pages.history_ratio",
        "FACTOR",
        "Old pages kept, as a multiple of the database, at least 16 MiB [default: 1.0]",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_variables_follow_from_the_name() {
        let key = Key::find("pages.stage_hours").unwrap();
        assert_eq!(
            (key.flag().as_str(), key.env().as_str()),
            ("pages-stage-hours", "FERRY_PAGES_STAGE_HOURS")
        );
        let mut flags: Vec<_> = KEYS.iter().map(Key::flag).collect();
        flags.sort();
        flags.dedup();
        assert_eq!(flags.len(), KEYS.len());
    }
}
