//! Settings of page sync.

use std::time::Duration;

use ferry_database::CaptureSettings;
use ferry_sqlite::pages::ReplicaConfig;
use ferry_types::limits::PAGES_CAPTURE_INTERVAL_MS;

use super::{ConfigError, Key, Values, keys::key};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
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
    key("pages.history_days", "DAYS", "For how many days old pages are kept at most [default: 30]"),
    key(
        "pages.capture_interval_ms",
        "MS",
        "Shortest time between two versions of a followed database that the hub writes [default: 50]",
    ),
    key(
        "pages.body_cache_bytes",
        "BYTES",
        "Changes between versions kept in memory for further readers, of all databases [default: 67108864]",
    ),
];

/// What page sync may take, and keeps.
#[derive(Clone, Copy, Debug)]
pub struct PagesConfig {
    /// Largest pushed database, bytes.
    pub max_database_bytes: u64,
    /// Largest pushed image that is also checked for torn pages, bytes.
    pub check_max_bytes: u64,
    /// How long staged pages are kept, hours.
    pub stage_hours: u64,
    /// Before-images kept, as a multiple of the database (at least 16 MiB).
    pub history_ratio: f64,
    /// For how many days at most.
    pub history_days: u64,
    /// Shortest time between two captures of a database that is followed, milliseconds.
    pub capture_interval_ms: u64,
    /// Bodies of pages kept for further readers, of all databases, bytes.
    pub body_cache_bytes: usize,
}

impl PagesConfig {
    /// What goes for the page files of a database.
    pub(crate) fn files(&self) -> ReplicaConfig {
        ReplicaConfig {
            max_database_bytes: self.max_database_bytes,
            check_max_bytes: self.check_max_bytes,
            history_ratio: self.history_ratio,
            history_days: u32::try_from(self.history_days).unwrap_or(u32::MAX),
            stage_hours: u32::try_from(self.stage_hours).unwrap_or(u32::MAX),
        }
    }

    /// What captures of databases that the hub writes go by.
    pub(crate) fn capture(&self) -> CaptureSettings {
        CaptureSettings { files: self.files(), interval: Duration::from_millis(self.capture_interval_ms) }
    }

    pub(super) fn read(values: &Values, _dev: bool) -> Result<Self, ConfigError> {
        Ok(Self {
            max_database_bytes: values.number("pages.max_database_bytes", 16 << 30, 512, 1 << 46)?,
            check_max_bytes: values.number("pages.check_max_bytes", 256 << 20, 0, 1 << 46)?,
            stage_hours: values.number("pages.stage_hours", 24, 1, 24 * 365)?,
            history_ratio: values.number("pages.history_ratio", 1.0, 0.0, 1000.0)?,
            history_days: values.number("pages.history_days", 30, 0, 365 * 100)?,
            capture_interval_ms: values.number(
                "pages.capture_interval_ms",
                PAGES_CAPTURE_INTERVAL_MS,
                1,
                60_000,
            )?,
            body_cache_bytes: values.number("pages.body_cache_bytes", 64 << 20, 0, 1 << 40)?,
        })
    }
}
