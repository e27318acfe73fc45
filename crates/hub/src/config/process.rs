//! Settings of the process: where its data lies, what it may hold open, what it logs and shows.

use std::path::PathBuf;

use ferry_core::lineage::LineageAnswer;

use super::{ConfigError, Key, Values, keys::key};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key(
        "data_dir",
        "DIR",
        "Folder of all data; made on first start [default: ./ferry-data, with --dev ./.ferry-dev]",
    ),
    key(
        "max_open_databases",
        "N",
        "Databases open at once; the least recently used is closed for the next [default: what the limit of open files and a quarter of the memory allow]",
    ),
    key(
        "on_copied",
        "ask|moved|restored",
        "What a data directory that was copied is, which nothing in it tells: the hub in another place, an older state whose clients are told, or a question that ends the start (docs/backup.md) [default: ask, with --dev moved]",
    ),
    key("idle_close_seconds", "N", "Close a database's files after this long without use [default: 60]"),
    key(
        "metrics_public",
        "BOOL",
        "Show /metrics to everyone, not only to the operator and, where only this machine is served, to it [default: false]",
    ),
    key(
        "log_format",
        "text|json",
        "Form of log lines, and of the first lines on stdout if json is asked for [default: text on a terminal, else json]",
    ),
    key("log_level", "LEVEL", "error, warn, info, debug or trace [default: info]"),
];

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one object per line.
    Json,
}

/// What the process keeps, holds open, logs and shows.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// Folder of all data.
    pub data_dir: PathBuf,
    /// Databases that may be open at once; `None`: as many as descriptors and memory allow.
    pub max_open_databases: Option<u64>,
    /// What a data directory that was copied is; `None`: the operator is asked.
    pub on_copied: Option<LineageAnswer>,
    /// Seconds without use after which a database's files are closed.
    pub idle_close_seconds: u64,
    /// Whether everyone may read `/metrics`.
    pub metrics_public: bool,
    /// Form of log lines; `None`: by the kind of stderr.
    pub log_format: Option<LogFormat>,
    /// Least severe level that is logged.
    pub log_level: tracing::Level,
}

impl ProcessConfig {
    pub(super) fn read(values: &Values, dev: bool) -> Result<Self, ConfigError> {
        let default_dir = if dev { "./.ferry-dev" } else { "./ferry-data" };
        Ok(Self {
            data_dir: values.text("data_dir").unwrap_or(default_dir).into(),
            max_open_databases: values.optional_number("max_open_databases", 1, 1_000_000)?,
            // Who develops copies projects, and has nobody who asks again.
            on_copied: match values.read("on_copied", on_copied)? {
                None => dev.then_some(LineageAnswer::Moved),
                Some(given) => given,
            },
            idle_close_seconds: values.number("idle_close_seconds", 60, 1, 86_400)?,
            metrics_public: values.truth("metrics_public", false)?,
            log_format: values.read("log_format", log_format)?,
            log_level: values.read("log_level", log_level)?.unwrap_or(tracing::Level::INFO),
        })
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected text or json".to_owned()),
    }
}

fn on_copied(text: &str) -> Result<Option<LineageAnswer>, String> {
    match text {
        "ask" => Ok(None),
        "moved" => Ok(Some(LineageAnswer::Moved)),
        "restored" => Ok(Some(LineageAnswer::Restored)),
        _ => Err("expected ask, moved or restored".to_owned()),
    }
}

fn log_level(text: &str) -> Result<tracing::Level, String> {
    text.parse().map_err(|_| "expected error, warn, info, debug or trace".to_owned())
}
