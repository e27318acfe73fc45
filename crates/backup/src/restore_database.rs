//! One database of a target, as it was at a moment.

use std::path::Path;

use ferry_core::backup::{
    SnapshotId,
    log::LogPlan,
    manifest::{BackedUpDatabase, SnapshotDatabase},
    segment::SegmentPiece,
};
use ferry_types::UnixMillis;

use crate::{
    Error, JobProgress, LogReplay, Repository, Result, log, replay::restore_replayed,
    restore::check_integrity,
};

/// A database that is wanted.
#[derive(Clone, Debug)]
pub struct WantedDatabase {
    /// Id, or name, as the backup has it.
    pub database: String,
    /// From which snapshot; `None`: from that which leads there.
    pub backup: Option<SnapshotId>,
    /// Of which moment; `None`: the newest, or that of the snapshot that is named.
    pub at: Option<UnixMillis>,
}

/// Where it was found.
#[derive(Debug)]
pub struct FoundDatabase {
    plan: LogPlan<SnapshotId>,
    /// As the snapshot has it; `None`: it was made later.
    entry: Option<BackedUpDatabase>,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct RestoredDatabase {
    /// From which snapshot.
    pub backup: SnapshotId,
    /// The moment that is reached, in Unix milliseconds.
    pub time_ms: i64,
    /// What it is; without a map where the log was played upon it.
    pub entry: BackedUpDatabase,
}

impl WantedDatabase {
    /// Finds it.
    ///
    /// # Errors
    /// When there is none, or several have the name.
    pub fn find(&self, repository: &Repository) -> Result<FoundDatabase> {
        let alone = || {
            let (manifest, entry) = repository.find_database(self.backup, &self.database)?;
            Ok(FoundDatabase { plan: log::alone(&manifest), entry: Some(entry) })
        };
        if self.backup.is_some() && self.at.is_none() {
            return alone();
        }
        let plan = match repository.plan(self.backup, self.at) {
            // Backups of the database alone may be there, and newer than one that is damaged.
            Err(Error::NotFound(_) | Error::Damaged { .. }) if self.at.is_none() => return alone(),
            plan => plan?,
        };
        let manifest = repository.manifest(plan.base.name)?;
        let entry = repository.database_in(&manifest, &self.database)?;
        let found = FoundDatabase { plan, entry };
        if self.at.is_some() {
            return Ok(found);
        }
        // The newest of all: a backup of the database alone may be newer, and one that is gone is in older ones.
        match alone() {
            Ok(newer) if newer.reached_ms() > found.reached_ms() => Ok(newer),
            Ok(older) if found.entry.is_none() && found.plan.intervals.is_empty() => Ok(older),
            Err(error) if found.entry.is_none() && found.plan.intervals.is_empty() => Err(error),
            _ => Ok(found),
        }
    }
}

impl FoundDatabase {
    /// The moment that is reached, in Unix milliseconds.
    #[must_use]
    pub fn reached_ms(&self) -> i64 {
        self.plan.reached_ms()
    }

    /// Writes it to `to`, which must not exist, compared with its root; with `check` SQLite is asked whether it is sound, unless it is a
    /// pushed file, whose schema is somebody else's. `scratch` is made meanwhile.
    ///
    /// # Errors
    /// When an object is missing or damaged, or the disk does not take it: then there is no file.
    pub fn restore(
        &self,
        repository: &Repository,
        wanted: &WantedDatabase,
        (to, scratch): (&Path, &Path),
        check: bool,
        progress: &JobProgress,
    ) -> Result<RestoredDatabase> {
        let named: Option<SnapshotDatabase> = wanted.database.parse().ok();
        let known = self.entry.as_ref().map(|entry| entry.id).or(named);
        let is_wanted = |piece: &SegmentPiece| match known {
            Some(id) => piece.id == id,
            None => piece.name == wanted.database,
        };
        let has_log = !self.plan.intervals.is_empty();
        let replay =
            has_log.then(|| LogReplay::collect(repository, &self.plan, scratch, &is_wanted, progress));
        let replay = replay.transpose()?;
        let mut ids: Vec<SnapshotDatabase> =
            replay.iter().flat_map(LogReplay::databases).map(|piece| piece.id).collect();
        ids.extend(known.filter(|_| self.entry.is_some()));
        ids.dedup();
        let id = match ids[..] {
            [id] => id,
            [] => {
                let (backup, at) = (self.plan.base.name, UnixMillis(self.reached_ms()));
                return Err(Error::NotFound(format!(
                    "the backup {backup} and what follows it until {at} have no database {}",
                    wanted.database
                )));
            }
            _ => {
                let what = format!("several databases are called {}: give the id of one", wanted.database);
                return Err(Error::Invalid(what));
            }
        };
        let restored =
            restore_replayed(repository, (id, self.entry.as_ref()), replay.as_ref(), to, progress)?;
        let unread = restored.as_ref().and_then(|entry| entry.unread);
        if unread == Some(0) {
            let _ = std::fs::remove_file(to);
            return Err(Error::NotFound(format!(
                "the backup {} was taken when the database {} could not be read, and has nothing of it: name an older one, as \
                 `ferry backup list` shows them",
                self.plan.base.name, wanted.database
            )));
        }
        let entry = restored.ok_or_else(|| {
            Error::NotFound(format!("nothing had been written to the database {} then", wanted.database))
        })?;
        if check
            && entry.kind != "replica"
            && let Err(error) = check_integrity(to, &id.to_string())
        {
            let _ = std::fs::remove_file(to);
            return Err(error);
        }
        Ok(RestoredDatabase {
            backup: self.plan.base.name,
            time_ms: unread.unwrap_or_else(|| self.reached_ms()),
            entry,
        })
    }
}
