//! Settings of event sync.

use std::time::Duration;

use ferry_core::events::{Limits, OnCursorAhead, OnRollback, Rate};
use ferry_http_client::RemoteUrl;
use regex_lite::Regex;

use super::{ConfigError, Key, Values, keys::key};

use ferry_control::parse_origin;

/// Its settings.
pub(super) const KEYS: &[Key] = &[
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

/// How a refused WebSocket learns of it (EVT-52).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthRefusal {
    /// The upgrade is refused; clients retry silently.
    Upgrade,
    /// The upgrade succeeds and every call fails, which the app sees.
    Fail,
}

/// What becomes of a push while its hook does not answer (EVT-56).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailMode {
    /// It is refused.
    Closed,
    /// It is accepted.
    Open,
}

/// Hooks of event sync.
#[derive(Clone)]
pub struct HooksConfig {
    /// Who decides on pushes.
    pub on_push: Option<RemoteUrl>,
    /// Who decides on pulls.
    pub on_pull: Option<RemoteUrl>,
    /// Who is told of commits.
    pub on_pushed: Option<RemoteUrl>,
    /// Signs what they are sent.
    pub secret: Option<String>,
    /// How long they may take.
    pub timeout: Duration,
    /// What becomes of pushes meanwhile.
    pub fail_mode: FailMode,
}

/// The secret is not shown.
impl std::fmt::Debug for HooksConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HooksConfig").field("on_push", &self.on_push).finish_non_exhaustive()
    }
}

impl HooksConfig {
    fn read(values: &Values) -> Result<Self, ConfigError> {
        let url = |name| values.read(name, |text| RemoteUrl::any(text).map_err(str::to_owned));
        Ok(Self {
            on_push: url("events.on_push_url")?,
            on_pull: url("events.on_pull_url")?,
            on_pushed: url("events.on_pushed_url")?,
            secret: values.text("events.hook_secret").map(str::to_owned),
            timeout: Duration::from_millis(values.number("events.hook_timeout_ms", 5_000, 1, 60_000)?),
            fail_mode: values.read("events.hook_fail_mode", fail_mode)?.unwrap_or(FailMode::Closed),
        })
    }
}

fn fail_mode(text: &str) -> Result<FailMode, String> {
    match text {
        "closed" => Ok(FailMode::Closed),
        "open" => Ok(FailMode::Open),
        _ => Err("expected closed or open".to_owned()),
    }
}

/// The section `[events]`, checked.
#[derive(Clone, Debug)]
pub struct EventsConfig {
    /// Origins whose pages may call; `*`: all.
    pub cors_origins: Vec<String>,
    /// How a refused WebSocket learns of it.
    pub auth_refusal: AuthRefusal,
    /// Cookie that carries a credential, for pages of a listed origin.
    pub auth_cookie: Option<String>,
    /// Whether a store that does not exist is made by the first connection that may write.
    pub auto_create: bool,
    /// In which database the stores of hub-wide paths are whose id the pattern matches; the first match counts.
    pub store_map: Vec<(Regex, String)>,
    /// Whether each store of a hub-wide path has a database, for callers whose credential names none.
    pub database_per_store: bool,
    /// What ids of stores must match.
    pub store_id_pattern: Option<Regex>,
    /// What becomes of a store whose file is older than the hub remembers.
    pub on_rollback: OnRollback,
    /// What becomes of a store of which a client proves that events are missing.
    pub on_cursor_ahead: OnCursorAhead,
    /// The store that `/v1` means when none is named.
    pub default_store: Option<String>,
    /// The hooks.
    pub hooks: HooksConfig,
    /// Largest inbound frame or body, bytes.
    pub max_frame_bytes: usize,
    /// Events of one push, and how long events may wait for a client's Ack.
    pub limits: Limits,
    /// How often a silent peer is asked whether it is alive, milliseconds.
    pub ping_ms: u64,
    /// How long a connection outlives its credential's expiry, milliseconds.
    pub expiry_grace_ms: u64,
    /// Connections of one store.
    pub connections_per_store: u32,
    /// Pushes of a connection.
    pub connection_rate: Option<Rate>,
    /// Pushes of a client id.
    pub client_rate: Option<Rate>,
    /// Events of a store.
    pub store_rate: Option<Rate>,
}

impl EventsConfig {
    /// The database in which the map puts a store of a hub-wide path: an id or a name (EVT-50).
    #[must_use]
    pub fn mapped(&self, store_id: &str) -> Option<&str> {
        self.store_map.iter().find(|(ids, _)| ids.is_match(store_id)).map(|(_, database)| database.as_str())
    }

    pub(super) fn read(values: &Values, dev: bool) -> Result<Self, ConfigError> {
        let scale = values.number("rate_limit_scale", 1.0, 0.0, 1e6)?;
        let rate = |name, default: &str| {
            let read = values.read(name, optional_rate)?;
            let given = read.unwrap_or_else(|| optional_rate(default).unwrap_or_default());
            Ok::<_, ConfigError>(given.filter(|_| scale > 0.0).map(|rate| rate.scaled(scale)))
        };
        let mut cors_origins = values.list("events.cors_origins", parse_origin)?;
        if cors_origins.is_empty() {
            cors_origins.push("*".to_owned());
        }
        Ok(Self {
            cors_origins,
            auth_refusal: values.read("events.auth_refusal", auth_refusal)?.unwrap_or(AuthRefusal::Upgrade),
            auth_cookie: values.text("events.auth_cookie").map(str::to_owned),
            auto_create: values.truth("events.auto_create", true)?,
            store_map: values.list("events.store_map", mapping)?,
            database_per_store: values.tenants("events.database_per_store", dev)?,
            store_id_pattern: values.read("events.store_id_pattern", pattern)?,
            on_rollback: values.read("events.on_rollback", on_rollback)?.unwrap_or(OnRollback::Hold),
            on_cursor_ahead: values
                .read("events.on_cursor_ahead", on_cursor_ahead)?
                .unwrap_or(OnCursorAhead::Auto),
            default_store: values.text("events.default_store").map(str::to_owned),
            hooks: HooksConfig::read(values)?,
            max_frame_bytes: values.number("events.max_frame_bytes", 1 << 20, 1 << 10, 64 << 20)?,
            limits: Limits {
                push_events: values.number("events.max_push_events", 1000, 1, 100_000)?,
                ack_ms: values.number("events.ack_timeout_seconds", 60, 1, 3600)? * 1000,
            },
            ping_ms: values.number("events.ping_seconds", 30, 1, 3600)? * 1000,
            expiry_grace_ms: values.number("events.expiry_grace_seconds", 60, 0, 3600)? * 1000,
            connections_per_store: values.number("events.connections_per_store", 10_000, 1, 1_000_000)?,
            connection_rate: rate("events.connection_rate", "50/1s:200")?,
            client_rate: rate("events.client_rate", "none")?,
            store_rate: rate("events.store_rate", "1000/1s:10000")?,
        })
    }
}

fn optional_rate(text: &str) -> Result<Option<Rate>, String> {
    match text {
        "none" => Ok(None),
        _ => text.parse().map(Some).map_err(|error: ferry_core::events::rate::BadRate| error.to_string()),
    }
}

fn auth_refusal(text: &str) -> Result<AuthRefusal, String> {
    match text {
        "upgrade" => Ok(AuthRefusal::Upgrade),
        "fail" => Ok(AuthRefusal::Fail),
        _ => Err("expected upgrade or fail".to_owned()),
    }
}

fn on_rollback(text: &str) -> Result<OnRollback, String> {
    match text {
        "hold" => Ok(OnRollback::Hold),
        "remint" => Ok(OnRollback::Remint),
        _ => Err("expected hold or remint".to_owned()),
    }
}

fn on_cursor_ahead(text: &str) -> Result<OnCursorAhead, String> {
    match text {
        "auto" => Ok(OnCursorAhead::Auto),
        "hold" => Ok(OnCursorAhead::Hold),
        "refuse" => Ok(OnCursorAhead::Refuse),
        _ => Err("expected auto, hold or refuse".to_owned()),
    }
}

/// `pattern=database`.
fn mapping(text: &str) -> Result<(Regex, String), String> {
    match text.rsplit_once('=') {
        Some((matched, database)) if !database.is_empty() => Ok((pattern(matched)?, database.to_owned())),
        _ => Err("expected patterns and databases such as team-.*=teams".to_owned()),
    }
}

/// A pattern that the whole id must match.
fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{text})$")).map_err(|error| format!("expected a regular expression: {error}"))
}
