//! Settings of record sync.

use ferry_core::records::maintenance::Keep;

use super::{ConfigError, Key, Values, keys::key, public_url};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
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
];

/// What becomes of syncing while the billing service does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillingFail {
    /// It goes on.
    Open,
    /// It is refused.
    Closed,
}

/// The section `[records]`, checked.
#[derive(Clone, Debug)]
pub struct RecordsConfig {
    /// The billing service that knows who may sync; none: everyone.
    pub billing_url: Option<String>,
    /// The hub's key there.
    pub billing_key: Option<String>,
    /// What becomes of syncing while it does not answer.
    pub billing_fail: BillingFail,
    /// Whether each user of a JWT that names no database has a database.
    pub database_per_user: bool,
    /// How long the account that it called active stays so, and how often a stream asks again.
    pub billing_seconds: u64,
    /// How long an edit of an unknown record waits for its insert, milliseconds (REC-07).
    pub incomplete_ms: i64,
    /// How long things are kept.
    pub keep: Keep,
    /// How often a silent stream or socket shows that it lives, milliseconds.
    pub ping_ms: u64,
}

impl RecordsConfig {
    pub(super) fn read(values: &Values, dev: bool) -> Result<Self, ConfigError> {
        Ok(Self {
            billing_url: values.read("records.billing_url", public_url::base)?,
            billing_key: values.text("records.billing_key").map(str::to_owned),
            billing_fail: values.read("records.billing_fail", billing_fail)?.unwrap_or(BillingFail::Open),
            database_per_user: values.tenants("records.database_per_user", dev)?,
            billing_seconds: values.number("records.billing_seconds", 300, 1, 86_400)?,
            incomplete_ms: values.number("records.incomplete_seconds", 10, 0, 86_400)? * 1000,
            keep: Keep {
                tombstone_days: values.number("records.tombstone_days", 90, 1, 36_500)?,
                history_days: values.number("records.history_days", 30, 0, 36_500)?,
            },
            ping_ms: values.number("records.ping_seconds", 30, 1, 3600)? * 1000,
        })
    }
}

fn billing_fail(text: &str) -> Result<BillingFail, String> {
    match text {
        "open" => Ok(BillingFail::Open),
        "closed" => Ok(BillingFail::Closed),
        _ => Err("expected open or closed".to_owned()),
    }
}
