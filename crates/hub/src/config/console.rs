//! Settings of what members see: queries, and how long they are signed in to the dashboard.

use super::{ConfigError, Key, Values, keys::key};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key(
        "query_seconds",
        "N",
        "How long a statement of a member may run, in the dashboard or by RPC [default: 5]",
    ),
    key("query_rows", "N", "Most rows that such a statement answers [default: 1000]"),
    key(
        "dashboard_session_seconds",
        "N",
        "How long a sign-in to the dashboard lasts, at the hub and in the browser [default: 43200]",
    ),
];

/// Limits of a member's statement, and of a sign-in.
#[derive(Clone, Copy, Debug)]
pub struct ConsoleConfig {
    /// How long it may run.
    pub query_seconds: u64,
    /// How many rows it may answer.
    pub query_rows: u32,
    /// How long a sign-in to the dashboard lasts.
    pub dashboard_session_seconds: u64,
}

impl ConsoleConfig {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            // An RPC may take 30 s.
            query_seconds: values.number("query_seconds", 5, 1, 25)?,
            query_rows: values.number("query_rows", 1000, 1, 100_000)?,
            dashboard_session_seconds: values.number("dashboard_session_seconds", 43_200, 60, 7_776_000)?,
        })
    }
}
