//! A snapshot of the hub, or of one database: the control plane first, then the databases that it names (OPR-01).

use std::{io, path::Path, sync::Arc};

use ferry_backup::{
    Error, JobProgress, NewSnapshot, Repository, Result, SnapshotWriter, TargetAccess, empty_spool,
    open_target,
};
use ferry_control::{DatabaseEntry, databases_in};
use ferry_core::backup::{
    SnapshotId,
    manifest::{Manifest, Scope, SnapshotDatabase},
};
use ferry_sqlite::pages::dbpage::{Schema, Snapshot};
use ferry_types::{DatabaseId, Reason, Root};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{
    database_snapshot::{UnreadDatabase, add_database, add_or_leave},
    failure::JobFailure,
    jobs::{BackupJob, JobInfo, JobKind, JobResult},
    service::{Backups, KnownTarget, random},
};
use crate::hub::Hub;

/// Databases that a snapshot may lack: where more cannot be read, it is the disk that fails, or the hub that may not read it.
const UNREAD_MAX: usize = 100;

/// A snapshot that is asked for.
#[derive(Clone, Debug)]
struct WantedSnapshot {
    /// `None`: of the whole hub.
    database: Option<DatabaseId>,
    /// On which targets; `None`: on all.
    targets: Option<Vec<usize>>,
    /// Of its name.
    random: u32,
}

impl Backups {
    /// Begins a snapshot of the hub, or of one database.
    ///
    /// # Errors
    /// When no target is set, there is no such database, or one is being taken.
    pub(crate) fn create(self: &Arc<Self>, database: Option<&str>) -> ferry_types::Result<JobInfo> {
        let database = database.map(|name| self.database_named(name)).transpose()?;
        Ok(self.begin_create(database, None)?.info())
    }

    pub(super) fn begin_create(
        self: &Arc<Self>,
        database: Option<DatabaseId>,
        targets: Option<Vec<usize>>,
    ) -> ferry_types::Result<Arc<BackupJob>> {
        let wanted = WantedSnapshot { database, targets, random: random()? };
        let runtime = Handle::current();
        self.begin(JobKind::Create, move |backups, progress| backups.take(&runtime, &wanted, progress))
    }

    /// Takes a snapshot on every target; one that fails keeps none of the others from theirs.
    fn take(&self, runtime: &Handle, wanted: &WantedSnapshot, progress: &JobProgress) -> JobResult {
        let time = self.hub().clock.now();
        let id = SnapshotId::new(time, wanted.random);
        let (mut taken, mut failed): (Vec<Value>, Option<JobFailure>) = (Vec::new(), None);
        let is_wanted = |index: &usize| wanted.targets.as_ref().is_none_or(|only| only.contains(index));
        for (index, target) in self.targets().iter().enumerate().filter(|(index, _)| is_wanted(index)) {
            let new = NewSnapshot {
                id,
                time_ms: time.0,
                scope: wanted.database.map_or(Scope::Hub, Scope::Database),
                log: None,
                shipped: None,
                run: self.hub().lineage.as_ref().map(|lineage| lineage.run()),
                hub_version: env!("CARGO_PKG_VERSION").to_owned(),
                spool: self.folder().join("spool"),
            };
            // Before, since another hub may be there; and after, since what is there now must not be lost unnoticed.
            let taken_on = self.hold(runtime, (index, target), false).and_then(|()| {
                let taken = take_on(self, runtime, (index, target), new, progress)?;
                self.hold(runtime, (index, target), true).map(|()| taken)
            });
            match taken_on {
                Ok((manifest, unread)) => {
                    target.succeeded(&manifest);
                    metrics::counter!("ferry_backup_bytes_total").increment(manifest.new_bytes);
                    taken.push(json!({
                        "id": manifest.id.to_string(), "new_bytes": manifest.new_bytes, "target": target.url(),
                        "databases": manifest.database_count, "bytes": manifest.bytes,
                        "has_keys": manifest.files.iter().any(|file| file.path == "keyring.json"),
                        "unread": unread.iter().map(UnreadDatabase::told).collect::<Vec<_>>(),
                    }));
                }
                Err(failure) => {
                    target.failed(&failure.message);
                    let names_it = failure.message.contains(target.url());
                    let message = if names_it {
                        failure.message.clone()
                    } else {
                        format!("{}: {}", target.url(), failure.message)
                    };
                    failed.get_or_insert(JobFailure { message, ..failure });
                }
            }
        }
        match failed {
            Some(failure) => Err(failure),
            None => Ok(json!({ "snapshots": taken })),
        }
    }
}

fn take_on(
    backups: &Backups,
    runtime: &Handle,
    (index, target): (usize, &KnownTarget),
    mut new: NewSnapshot,
    progress: &JobProgress,
) -> Result<(Manifest, Vec<UnreadDatabase>), JobFailure> {
    let Some(log) = backups.log().filter(|_| new.scope == Scope::Hub) else {
        let taken = take_writing(backups, runtime, target, &new, progress)?;
        return Ok((taken.manifest, taken.unread));
    };
    // Before anything is read: what is committed from now on is in the snapshot, or in the log behind it.
    let (start, shipped) = log.base_begins(index);
    (new.log, new.shipped) = (Some(start), shipped);
    match take_writing(backups, runtime, target, &new, progress) {
        Ok(Taken { manifest, target_id, states, unread }) => {
            let moment_ms = manifest.read_ms.unwrap_or(manifest.time_ms);
            log.base_made(index, (&target_id, moment_ms), states.into_iter());
            unread.iter().for_each(|one| log.goes_back(one.id(), one.stands_as()));
            Ok((manifest, unread))
        }
        Err(failure) => {
            log.base_failed(index);
            Err(failure)
        }
    }
}

/// What was taken.
struct Taken {
    manifest: Manifest,
    /// What the target is called.
    target_id: String,
    /// By which version each database is known.
    states: Vec<(SnapshotDatabase, u64, Root)>,
    unread: Vec<UnreadDatabase>,
}

fn take_writing(
    backups: &Backups,
    runtime: &Handle,
    target: &KnownTarget,
    new: &NewSnapshot,
    progress: &JobProgress,
) -> Result<Taken, JobFailure> {
    let hub = backups.hub();
    empty_spool(&new.spool).map_err(ferry_sqlite::Error::from).map_err(Error::from)?;
    let mut repository = backups.repository(target)?;
    let target_id = repository.identity().target_id.clone();
    let is_encrypted = repository.is_encrypted();
    let mut writer = SnapshotWriter::begin(&mut repository, new)?;
    let mut unread = Vec::new();
    let databases = match new.scope {
        Scope::Hub => {
            let databases = add_control(hub, &mut writer, progress)?;
            writer.add_file("ferry.toml", hub.config.backup.settings.as_bytes())?;
            if is_encrypted {
                add_secrets(&hub.config.process.data_dir, &mut writer)?;
            }
            databases
        }
        Scope::Database(id) => {
            let gone = || ferry_types::Error::new(Reason::NotFound, "database not found");
            vec![hub.control.database(id).ok_or_else(gone)?]
        }
    };
    progress.begin(databases.len() as u64);
    let mut again = Vec::new();
    for database in &databases {
        progress.check()?;
        match add_database(hub, runtime, &mut writer, database, progress) {
            Err(Error::Sqlite(error)) if new.scope == Scope::Hub && error.is_of_the_file() => {
                again.push(database);
                if again.len() > UNREAD_MAX {
                    return Err(Error::Sqlite(error).into());
                }
            }
            added => added?,
        }
        progress.step();
    }
    // Once more, and then without them.
    for database in again {
        unread.extend(add_or_leave(hub, runtime, &mut writer, database, progress)?);
    }
    if new.log.is_some() {
        writer.read_until(hub.clock.now().0);
    }
    let states = writer.states().collect();
    if !unread.is_empty() {
        metrics::counter!("ferry_backup_errors_total", "reason" => "DATABASE_FAILED").increment(1);
    }
    Ok(Taken { manifest: writer.finish()?, target_id, states, unread })
}

/// Adds the signing keys and the operator's token, as far as the hub has files of them.
fn add_secrets(data_dir: &Path, writer: &mut SnapshotWriter<'_>) -> Result<()> {
    for name in ["keyring.json", "operator.token"] {
        match std::fs::read(data_dir.join(name)) {
            Ok(content) => writer.add_file(name, &content)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::Sqlite(error.into())),
        }
    }
    Ok(())
}

/// Adds control.db. Returns the databases of its moment.
fn add_control(
    hub: &Arc<Hub>,
    writer: &mut SnapshotWriter<'_>,
    progress: &JobProgress,
) -> Result<Vec<DatabaseEntry>> {
    let last = writer.last_map(SnapshotDatabase::Control)?;
    let snapshot = Snapshot::open(&hub.config.process.data_dir.join("control.db"), Schema::Read)?;
    let databases = databases_in(&snapshot)?;
    let image = writer.take(&snapshot, &last, progress)?;
    drop(snapshot);
    let mut entry = writer.entry(SnapshotDatabase::Control, &image)?;
    "control".clone_into(&mut entry.kind);
    writer.add(entry, None)?;
    Ok(databases)
}

impl Backups {
    /// What lies on a target, which is made this hub's if nobody's backups lie there.
    pub(super) fn repository(&self, target: &KnownTarget) -> Result<Repository> {
        let new_id = self.new_target_id();
        ferry_sqlite::folder::create(self.folder()).map_err(ferry_sqlite::Error::from)?;
        let access =
            TargetAccess { stopping: self.hub().stopping.clone(), ..self.hub().config.backup.access.clone() };
        let opened = open_target(target.url(), &access)?;
        Repository::open_of_hub(
            opened,
            access.key.as_ref(),
            self.folder(),
            self.hub().control.hub_id(),
            &new_id,
        )
    }
}
