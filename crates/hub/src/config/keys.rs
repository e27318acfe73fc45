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
    key(
        "tls_cert",
        "FILE",
        "Certificate chain (PEM); with tls_key the hub serves HTTPS; both are read again at SIGHUP and every 10 s",
    ),
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
    key("oauth_redirect_base", "URL", "URL to which providers send browsers back [default: public_url]")
        .or(&["OAUTH_REDIRECT_BASE"]),
    key("oauth_state_ttl_seconds", "N", "How long a login at a provider may take [default: 600]")
        .or(&["OAUTH_STATE_TTL_SECONDS"]),
    key("github_client_id", "ID", "Client id of the hub at GitHub").or(&["GITHUB_CLIENT_ID"]),
    key("github_client_secret", "SECRET", "Client secret of the hub at GitHub")
        .or(&["GITHUB_CLIENT_SECRET"])
        .secret(),
    key("google_client_id", "ID", "Client id of the hub at Google").or(&["GOOGLE_CLIENT_ID"]),
    key("google_client_secret", "SECRET", "Client secret of the hub at Google")
        .or(&["GOOGLE_CLIENT_SECRET"])
        .secret(),
    key("github_authorize_url", "URL", "Where GitHub asks the user [default: GitHub's]"),
    key("github_token_url", "URL", "Where GitHub exchanges codes [default: GitHub's]"),
    key("github_user_url", "URL", "Where GitHub's API names the user [default: GitHub's]"),
    key("github_emails_url", "URL", "Where GitHub's API lists e-mail addresses [default: GitHub's]"),
    key("google_issuer", "URL", "Issuer of OpenID Connect [default: https://accounts.google.com]"),
    key(
        "oauth_legacy",
        "BOOL",
        "Let clients log in at a provider that prove nothing, as EdgeReplica's [default: true]",
    ),
    key("oauth_legacy_bind_ip", "BOOL", "Have those finish from the address they began from [default: true]"),
    key("auto_migrate", "BOOL", "Migrate older data at start [default: true]").or(&["AUTO_MIGRATE"]),
    key(
        "signup",
        "open|invite|closed",
        "Who may sign up [default: invite; open if only this machine is served: listen and public_url on loopback, no trusted_proxies]",
    ),
    key("cors_origins", "LIST", "Origins whose web pages may call the hub, comma-separated")
        .or(&["CORS_ORIGINS"]),
    key(
        "trusted_proxies",
        "LIST",
        "Addresses or CIDR ranges whose X-Forwarded-For is believed, comma-separated",
    ),
    key("max_connections", "N", "Open connections; fewer if the limit of open files is low [default: 20000]"),
    key(
        "max_connections_per_ip",
        "N",
        "Open connections of one address; trusted proxies and loopback are not counted [default: 1000]",
    ),
    key(
        "header_timeout_seconds",
        "N",
        "How long a connection may take for its first request, and each later one for its headers [default: 10]",
    ),
    key(
        "body_memory_bytes",
        "BYTES",
        "Memory of request bodies that have not arrived whole; a quarter of it for each connection or principal [default: 268435456]",
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
        "hsts_include_subdomains",
        "true|false",
        "Over https, tell browsers to ask subdomains by https too [default: false]",
    ),
    key(
        "metrics_public",
        "BOOL",
        "Show /metrics to everyone, not only to the operator and, where only this machine is served, to it [default: false]",
    ),
    key(
        "max_open_databases",
        "N",
        "Databases open at once; the least recently used is closed for the next [default: what the limit of open files and a quarter of the memory allow]",
    ),
    key("idle_close_seconds", "N", "Close a database's files after this long without use [default: 60]"),
    key("static_dir", "DIR", "With --dev: serve the files of this folder where no route answers"),
    key(
        "log_format",
        "text|json",
        "Form of log lines, and of the first lines on stdout if json is asked for [default: text on a terminal, else json]",
    ),
    key("log_level", "LEVEL", "error, warn, info, debug or trace [default: info]"),
    key("pages.max_database_bytes", "BYTES", "Largest pushed database [default: 17179869184]"),
    key(
        "pages.check_max_bytes",
        "BYTES",
        "Largest pushed database that is also checked for torn pages [default: 268435456]",
    ),
    key("pages.stage_hours", "HOURS", "How long pages of a broken push wait for the retry [default: 24]"),
    key(
        "pages.history_ratio",
        "FACTOR",
        "Old pages kept, as a multiple of the database, at least 16 MiB [default: 1.0]",
    ),
    key(
        "records.billing_url",
        "URL",
        "Service that says whose account may sync records [default: none, everyone may]",
    )
    .or(&["MANA_CREDITS_URL"]),
    key("records.billing_key", "KEY", "The hub's key at the billing service")
        .or(&["MANA_SERVICE_KEY"])
        .secret(),
    key(
        "records.billing_fail",
        "open|closed",
        "Whether records sync while the billing service does not answer [default: open]",
    ),
    key(
        "records.billing_seconds",
        "SECONDS",
        "How long the billing service's answers hold, and how often streams ask again [default: 300]",
    ),
    key(
        "records.database_per_user",
        "BOOL",
        "Give each user of a JWT that names no database a database of records [default: false]",
    ),
    key(
        "records.tombstone_days",
        "DAYS",
        "Days that a deleted record waits for devices, twice that for those that do not come [default: 90]",
    ),
    key(
        "records.incomplete_seconds",
        "SECONDS",
        "How long an edit of an unknown record waits for its insert before it is delivered [default: 10]",
    ),
    key("records.history_days", "DAYS", "Days of the history of records [default: 30]"),
    key(
        "records.ping_seconds",
        "SECONDS",
        "How often a silent record stream or socket shows that it lives [default: 30]",
    ),
    key("events.cors_origins", "LIST", "Origins whose web pages may use event sync [default: *]"),
    key(
        "events.auth_refusal",
        "upgrade|fail",
        "Refuse a WebSocket before its upgrade, or let every call fail so that the app sees why [default: upgrade]",
    ),
    key("events.auth_cookie", "NAME", "Cookie that carries a credential, for pages of a listed origin"),
    key("events.auto_create", "BOOL", "Make a missing store for a connection that may write [default: true]"),
    key(
        "events.store_map",
        "LIST",
        "Databases of stores at the hub's root: REGEX=DATABASE, comma-separated [default: the credential's]",
    ),
    key(
        "events.database_per_store",
        "BOOL",
        "At the hub's root, give each store a database for callers whose credential names none [default: false]",
    ),
    key(
        "events.jwt_stores_claim",
        "NAME",
        "Claim in which JWTs must name the stores that they open: REGEX, or a list [default: none, all stores]",
    ),
    key("events.store_id_pattern", "REGEX", "What a storeId must match as a whole"),
    key(
        "events.on_rollback",
        "hold|remint",
        "What becomes of a store whose file is older than what was acknowledged [default: hold]",
    ),
    key(
        "events.on_cursor_ahead",
        "auto|hold|refuse",
        "What becomes of a store of which a client proves that acknowledged events are missing: it goes on until it \
         would reach them, is held at once, or goes on for ever [default: auto]",
    ),
    key("events.default_store", "ID", "Store that /v1 means when none is named [default: the only one]"),
    key("events.on_push_url", "URL", "Hook that decides on every push before it is committed"),
    key("events.on_pull_url", "URL", "Hook that decides who may read a store"),
    key("events.on_pushed_url", "URL", "Hook that is told of every commit, at least once and in order"),
    key("events.hook_secret", "TEXT", "Secret that signs what hooks are sent").secret(),
    key("events.hook_timeout_ms", "N", "How long a hook may take [default: 5000]"),
    key(
        "events.hook_fail_mode",
        "closed|open",
        "Refuse or accept pushes while their hook does not answer [default: closed]",
    ),
    key("events.max_frame_bytes", "BYTES", "Largest frame or body from a client [default: 1048576]"),
    key("events.max_push_events", "N", "Events of one push [default: 1000]"),
    key(
        "events.ack_timeout_seconds",
        "N",
        "How long events may wait for a client to take them before it is closed [default: 60]",
    ),
    key("events.ping_seconds", "N", "How often a silent socket is asked whether it is alive [default: 30]"),
    key(
        "events.expiry_grace_seconds",
        "N",
        "How long a connection outlives its credential's expiry [default: 60]",
    ),
    key("events.connections_per_store", "N", "Open connections of one store [default: 10000]"),
    key(
        "events.connection_rate",
        "RATE",
        "Pushes of a connection: count/period:burst, or none [default: 50/1s:200]",
    ),
    key("events.client_rate", "RATE", "Pushes of a clientId [default: none]"),
    key("events.store_rate", "RATE", "Events of a store [default: 1000/1s:10000]"),
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
