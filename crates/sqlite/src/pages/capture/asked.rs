//! For how long a database is captured whose pages nobody asks for: as long as a version is kept (PAG-40, PAG-49). What it
//! takes of the disk, of each commit, of memory and descriptors ends then, and begins again with the next request.

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
};

use ferry_types::UnixMillis;
use rusqlite::Connection;

use crate::{Result, pages::index};

const KEY: &str = "asked";
const DAY_MS: i64 = 24 * 3_600_000;
/// How far what is noted may be behind.
const NOTED_EVERY_MS: i64 = DAY_MS / 4;

/// When pages were last asked for.
pub(super) struct LastAsked {
    asked_ms: AtomicI64,
    /// As the index has it.
    noted_ms: AtomicI64,
}

impl LastAsked {
    /// As `index` has it; now, if it has nothing.
    pub(super) fn read(index: &Connection, now: UnixMillis) -> Result<Self> {
        let noted = index::meta(index, KEY)?.and_then(|text| text.parse().ok());
        Ok(Self {
            asked_ms: AtomicI64::new(noted.unwrap_or(now.0)),
            noted_ms: AtomicI64::new(noted.unwrap_or(0)),
        })
    }

    /// They are asked for.
    pub(super) fn touch(&self, now: UnixMillis) {
        self.asked_ms.store(now.0, Ordering::Relaxed);
    }

    /// Whether that is longer ago than versions are kept.
    pub(super) fn is_over(&self, now: UnixMillis, history_days: u32) -> bool {
        let kept_ms = i64::from(history_days.max(1)) * DAY_MS;
        now.0.saturating_sub(self.asked_ms.load(Ordering::Relaxed)) > kept_ms
    }

    /// Notes it in `index`, unless that has about the same.
    pub(super) fn note(&self, index: &Connection) -> Result<()> {
        let asked_ms = self.asked_ms.load(Ordering::Relaxed);
        if asked_ms.saturating_sub(self.noted_ms.load(Ordering::Relaxed)) >= NOTED_EVERY_MS {
            index::set_meta(index, KEY, &asked_ms.to_string())?;
            self.noted_ms.store(asked_ms, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Removes the page files of a database; nobody has them open.
pub(super) fn forget(dir: &Path) -> Result<()> {
    tracing::info!(dir = %dir.display(), "nobody has read pages of this database for long: its versions are no longer kept");
    Ok(std::fs::remove_dir_all(dir)?)
}
