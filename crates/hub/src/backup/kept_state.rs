//! What of the schedule outlives the hub: whether the operator paused it, and which targets another hub has taken. It lies in a
//! file of its own, `backup/schedule.json`: a backup must not bring it along.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

const FILE: &str = "schedule.json";

/// Which run was found at a target, and when, in Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TakenBy {
    pub(super) run: String,
    pub(super) found_unix: i64,
    /// The tenure of the target that this hub had then, from which it goes on if it takes the target back.
    #[serde(default)]
    pub(super) tenure: Option<u64>,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeptState {
    /// Since when nothing is done by schedule, in Unix seconds.
    pub(super) paused_unix: Option<i64>,
    /// Targets that another hub ships to, by their addresses.
    pub(super) taken: BTreeMap<String, TakenBy>,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("backup").join(FILE)
}

impl KeptState {
    /// That of a data directory. One that cannot be read is told, and counts as none.
    pub(crate) fn read(data_dir: &Path) -> Self {
        let path = path(data_dir);
        let read = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(error) => Err(error.to_string()),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
        };
        read.unwrap_or_else(|error| {
            let path = path.display();
            tracing::warn!(%path, error, "whether backups were paused, or their targets taken, cannot be read: they go on");
            Self::default()
        })
    }

    /// Writes it, onto the disk.
    pub(super) fn write(&self, data_dir: &Path) -> ferry_sqlite::Result<()> {
        let path = path(data_dir);
        let new = path.with_extension("new");
        let folder = path.parent().expect("BUG: the file lies in a folder");
        ferry_sqlite::folder::create(folder)?;
        let bytes = serde_json::to_vec(self).expect("BUG: text and numbers are JSON");
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        Ok(ferry_sqlite::folder::sync(folder)?)
    }
}
