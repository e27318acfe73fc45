//! One database is put back: as a new one beside those that live, or in place of itself (OPR-22). All of it is fetched and
//! compared beside what lives; what follows is one rename.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_backup::{
    JobProgress, RestoreStamp, RestoredDatabase, StampedDatabase, WantedDatabase, newest_commit, stamp_copy,
    stamp_database,
};
use ferry_control::{DatabaseEntry, ForkDatabase, Requester};
use ferry_core::backup::{
    SnapshotId,
    manifest::{BackedUpDatabase, SnapshotDatabase},
};
use ferry_database::main_of;
use ferry_sqlite::{fault, folder};
use ferry_types::{DatabaseId, DatabaseKind, Error, Model, OrgId, Reason, Result, Seq, UnixMillis, UserId};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{
    failure::JobFailure,
    jobs::{JobInfo, JobKind, JobResult},
    service::{Backups, random},
};
use crate::{
    clock, functions,
    hub::Hub,
    pages::{self, Forked},
};

/// What is put back, and where to.
#[derive(Clone, Debug)]
pub(crate) struct WantedRestore {
    /// Id, or name, as the backup has it.
    pub(crate) database: String,
    /// `None`: the newest backup that has it.
    pub(crate) backup: Option<SnapshotId>,
    /// Of which moment; `None`: the newest, or that of the backup that is named.
    pub(crate) at: Option<UnixMillis>,
    /// Where to.
    pub(crate) place: RestorePlace,
    /// Who wants it, and must have the right to it to the end.
    pub(crate) by: RestoreBy,
}

/// Who has a database put back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RestoreBy {
    /// Whoever holds the operator token.
    Operator,
    /// A user who operates the hub.
    OperatingUser(UserId),
    /// An admin of the database, beside it.
    Admin { user: UserId, org: OrgId },
}

impl RestoreBy {
    /// The user whose job it is alone.
    const fn owner(self) -> Option<UserId> {
        match self {
            Self::Admin { user, .. } => Some(user),
            Self::Operator | Self::OperatingUser(_) => None,
        }
    }

    /// As the audit trail names actors.
    fn actor(self) -> String {
        match self {
            Self::Operator => "operator".to_owned(),
            Self::OperatingUser(user) | Self::Admin { user, .. } => user.to_string(),
        }
    }
}

/// Where a database is put back.
#[derive(Clone, Debug)]
pub(crate) enum RestorePlace {
    /// As a new one of this name.
    New(String),
    /// In place of the living one, whose name was given once more.
    Instead(String),
}

/// Refuses who is no admin of the organisation that the backup names, or is no longer; and who operates the hub no longer.
fn refuse_others(hub: &Hub, wanted: &WantedRestore, org: OrgId) -> Result<(), JobFailure> {
    let (may, needed) = match wanted.by {
        RestoreBy::Operator => return Ok(()),
        RestoreBy::OperatingUser(user) => {
            (hub.control.operates(user), "whoever wanted this operates the hub no longer")
        }
        RestoreBy::Admin { user, org: own } => (
            own == org && hub.control.is_admin(user, org),
            "only an admin of its organisation may put this database back",
        ),
    };
    if may { Ok(()) } else { Err(JobFailure::new("PERMISSION_DENIED", needed)) }
}

/// A database of a backup, on this hub's disk in a folder of its own.
struct Fetched {
    restored: RestoredDatabase,
    kind: DatabaseKind,
}

impl Backups {
    /// Begins to put a database back.
    ///
    /// # Errors
    /// When no target is set, there is no such database, its name is another one, or one is being put back.
    pub(crate) fn restore(self: &Arc<Self>, wanted: WantedRestore) -> Result<JobInfo> {
        let runtime = Handle::current();
        let owner = wanted.by.owner();
        let begun = match wanted.place.clone() {
            RestorePlace::New(name) => self.begin_of(owner, JobKind::Restore, move |backups, progress| {
                backups.restore_new(&runtime, &wanted, &name, progress)
            }),
            RestorePlace::Instead(name) => {
                let now = self.living(&wanted.database, &name)?;
                self.begin(JobKind::Restore, move |backups, progress| {
                    backups.restore_instead(&runtime, &wanted, &now, progress)
                })
            }
        };
        Ok(begun?.info())
    }

    /// The database of this id or name, if it lives.
    pub(crate) fn living_named(&self, database: &str) -> Option<DatabaseEntry> {
        self.hub().control.database(self.database_named(database).ok()?)
    }

    /// The database that is to be replaced.
    fn living(&self, database: &str, confirmed: &str) -> Result<DatabaseEntry> {
        let id = self.database_named(database)?;
        let gone = || Error::new(Reason::NotFound, "database not found");
        let entry = self.hub().control.database(id).ok_or_else(gone)?;
        if *confirmed != *entry.name && confirmed != id.to_string() {
            let message = format!("confirm_name must be the database's name, {}, or its id", entry.name);
            return Err(Error::new(Reason::InvalidArgument, message));
        }
        if self.hub().config.store.is_some() && self.hub().control.default_database() == Some(id) {
            let message = "the file of this database is the store of a spoke: it is not replaced under it; restore it \
                           to a file with --out";
            return Err(Error::new(Reason::FailedPrecondition, message));
        }
        Ok(entry)
    }

    /// Writes the database to `main.db` in `dir`, from the target that reaches furthest; another one stands in if that fails
    /// (OPR-21).
    fn fetch(
        &self,
        wanted: &WantedRestore,
        dir: &Path,
        progress: &JobProgress,
    ) -> Result<Fetched, JobFailure> {
        let one = WantedDatabase { database: wanted.database.clone(), backup: wanted.backup, at: wanted.at };
        let (mut found, mut failed) = (Vec::new(), None);
        for target in self.targets() {
            let looked = self.repository(target).and_then(|repository| {
                let found = one.find(&repository)?;
                Ok((repository, found))
            });
            match looked {
                Ok(one) => found.push(one),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        found.sort_by_key(|(_, found)| std::cmp::Reverse(found.reached_ms()));
        progress.begin(1);
        for (repository, found) in found {
            let to = (&*main_of(dir), &*dir.join("log"));
            match found.restore(&repository, &one, to, true, progress) {
                Ok(restored) => {
                    let kind = kind_of(&restored)?;
                    return Ok(Fetched { restored, kind });
                }
                Err(ferry_backup::Error::Cancelled) => return Err(ferry_backup::Error::Cancelled.into()),
                Err(error) => {
                    tracing::warn!(backup_target = repository.url(), %error, "a backup cannot be read there");
                    failed = Some(error);
                }
            }
        }
        Err(failed.map_or_else(|| JobFailure::new("NOT_FOUND", "no backup has it"), JobFailure::from))
    }

    fn restore_new(
        &self,
        runtime: &Handle,
        wanted: &WantedRestore,
        name: &str,
        progress: &JobProgress,
    ) -> JobResult {
        let hub = self.hub();
        let id = DatabaseId::from_uuid(clock::new_id());
        let dir = hub.databases.dir_of(id);
        pages::begin_database(&dir)?;
        let made = self.make_new(runtime, wanted, (id, name, &dir), progress);
        if made.is_err() {
            // What cannot be removed is at the next start.
            let _ = fs::remove_dir_all(&dir);
        }
        made
    }

    fn make_new(
        &self,
        runtime: &Handle,
        wanted: &WantedRestore,
        (id, name, dir): (DatabaseId, &str, &Path),
        progress: &JobProgress,
    ) -> JobResult {
        let hub = self.hub();
        // In a folder of its own: a pushed file becomes the first version of the new database.
        let fetched = Beside(dir.join("fetched"));
        folder::create(&fetched.0)?;
        let Fetched { restored, kind } = self.fetch(wanted, &fetched.0, progress)?;
        let entry = &restored.entry;
        let SnapshotDatabase::Main(of) = entry.id else { return Err(control_is_no_database().into()) };
        let org_id = entry.org.parse().map_err(|_| {
            JobFailure::new(
                "DAMAGED",
                format!("the backup {} names no organisation of {of}", restored.backup),
            )
        })?;
        refuse_others(hub, wanted, org_id)?;
        let (by, backup) = (Requester::hub(), restored.backup.to_string());
        let row = ForkDatabase { by: &by, of, org_id, backup: Some(&backup), id, name, kind };
        row.check(&hub.control.db)?;
        match kind {
            DatabaseKind::Hub => {
                let forked = Forked {
                    reason: format!("{of} as the backup {backup} has it"),
                    by: wanted.by.actor(),
                    at: hub.clock.now().to_string(),
                };
                let main = main_of(&fetched.0);
                stamp_copy(&main, &stamp(hub, Seq(0))?, |sql, seq| forked.remint(sql, seq))?;
                fs::rename(&main, main_of(dir))?;
            }
            DatabaseKind::Replica => {
                pages::make_pushed(hub, &fetched.0, dir)?;
            }
        }
        drop(fetched);
        folder::sync(dir)?;
        fault::point("restore.made").map_err(ferry_sqlite::Error::into_refusal)?;
        refuse_others(hub, wanted, org_id)?;
        let made = runtime.block_on(row.run(&hub.control.db, hub.control.max_databases_per_org))?;
        hub.databases.file_changed(id);
        fault::point("restore.named").map_err(ferry_sqlite::Error::into_refusal)?;
        if let Err(error) = pages::finish_database(dir) {
            tracing::warn!(database = %id, %error, "a restored database stays marked as unfinished until the next start");
        }
        progress.step();
        Ok(json!({ "restored": [told(&made, &restored)] }))
    }

    fn restore_instead(
        &self,
        runtime: &Handle,
        wanted: &WantedRestore,
        now: &DatabaseEntry,
        progress: &JobProgress,
    ) -> JobResult {
        let hub = self.hub();
        // Already where the old file goes to: the two change places.
        let trash = hub.config.process.data_dir.join("trash");
        let beside = Beside(trash.join(format!("{}-{}-{:08x}", now.id, hub.clock.now().0, random()?)));
        folder::create(&beside.0)?;
        // By its id: a name may be another database's in an older backup.
        let wanted = WantedRestore { database: now.id.to_string(), ..wanted.clone() };
        let Fetched { restored, kind } = self.fetch(&wanted, &beside.0, progress)?;
        if now.kind != Some(kind) {
            let is = now.kind.map_or("no", DatabaseKind::as_str);
            return Err(JobFailure::new(
                "FAILED_PRECONDITION",
                format!(
                    "the backup is of kind {kind}, and the database is of {is} kind: restore it as a new one"
                ),
            ));
        }
        progress.check()?;
        fault::point("restore.fetched").map_err(ferry_sqlite::Error::into_refusal)?;
        refuse_others(hub, &wanted, now.org_id)?;
        let mut result = told(now, &restored);
        match kind {
            DatabaseKind::Replica => {
                let database = hub.databases.get(now.id)?;
                let info = runtime.block_on(pages::put_back(hub, &database, beside.0.clone()))?;
                result["seq"] = info.version.into();
            }
            DatabaseKind::Hub => {
                let (stamped, before) = runtime.block_on(exchange(hub, now.id, beside.0.clone()))?;
                result["seq"] = stamped.seq.0.into();
                result["lost"] = before.0.saturating_sub(restored.entry.seq).into();
                result["held_stores"] = stamped.held_stores.into();
                result["kept_as"] =
                    beside.0.file_name().map(|name| name.to_string_lossy().into_owned()).into();
                if let Some(lineage) = &hub.lineage {
                    runtime.block_on(lineage.replaced(now.id, (Seq(restored.entry.seq), before)));
                }
                tracing::warn!(
                    database = %now.id, backup = %restored.backup, before = before.0, seq = stamped.seq.0,
                    held_stores = stamped.held_stores, kept_as = %beside.0.display(),
                    "a backup is put back in place of a database: its clients are told as they come"
                );
                beside.keep();
            }
        }
        progress.step();
        Ok(json!({ "restored": [result] }))
    }
}

/// A folder that goes unless it is kept.
struct Beside(PathBuf);

impl Beside {
    /// Leaves it.
    fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Puts the database in `beside` in place of the living one, whose folder is `beside` from then on. Returns what the new file was
/// given, and the newest commit of the old one.
async fn exchange(hub: &Arc<Hub>, id: DatabaseId, beside: PathBuf) -> Result<(StampedDatabase, Seq)> {
    // A file that cannot be read does not say how far it was.
    let known = hub.control.watermarks.get(id, Model::Records, "").await?;
    let known = Seq(known.map_or(0, |mark| u64::try_from(mark.head).unwrap_or(0)));
    let stamp = stamp(hub, known)?;
    let refusal = Error::new(Reason::Busy, "a backup of the database is being put back: try again")
        .retry_after_ms(1_000);
    let seq = |(stamped, _): &(StampedDatabase, Seq)| stamped.seq;
    functions::replace_file(hub, id, refusal, seq, move |dir| {
        let before = newest_commit(&main_of(dir)).unwrap_or_else(|error| {
            tracing::warn!(database = %id, %error, "the file that is replaced cannot be read");
            Seq(0)
        });
        let before = before.max(stamp.above);
        let stamp = RestoreStamp { above: before, ..stamp };
        let stamped = stamp_database(&main_of(&beside), &stamp).map_err(|error| match error {
            ferry_backup::Error::Sqlite(error) => error,
            error => ferry_sqlite::Error::Damaged(error.to_string()),
        })?;
        folder::sync(&beside)?;
        fault::point("restore.ready")?;
        change_places(&beside, dir)?;
        fault::point("restore.exchanged")?;
        keep_copies(&beside, dir);
        Ok((stamped, before))
    })
    .await
}

/// Both folders change their names, in one step.
fn change_places(beside: &Path, dir: &Path) -> ferry_sqlite::Result<()> {
    use rustix::{
        fs::{CWD, RenameFlags, renameat_with},
        io::Errno,
    };
    let moved = if dir.exists() {
        renameat_with(CWD, beside, CWD, dir, RenameFlags::EXCHANGE)
    } else {
        renameat_with(CWD, beside, CWD, dir, RenameFlags::NOREPLACE)
    };
    match moved {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV) => {
            let message = "the file system of the data directory cannot have two folders change places: restore the \
                           database as a new one (--as), or to a file (--out)";
            return Err(Error::new(Reason::FailedPrecondition, message).into());
        }
        moved => moved.map_err(io::Error::from)?,
    }
    for folder in [beside, dir].iter().filter_map(|folder| folder.parent()) {
        folder::sync(folder)?;
    }
    Ok(())
}

/// The copies that deployments made stay with the database.
fn keep_copies(old: &Path, dir: &Path) {
    let (from, to) = (ferry_sqlite::backups::folder_of(old), ferry_sqlite::backups::folder_of(dir));
    match fs::rename(&from, &to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, from = %from.display(), "copies that deployments made stay in the trash");
        }
        _ => {}
    }
}

/// What the file is given.
fn stamp(hub: &Hub, above: Seq) -> Result<RestoreStamp> {
    match &hub.lineage {
        Some(lineage) => lineage.stamp(above),
        // A hub over a spoke's store names no runs.
        None => Ok(RestoreStamp {
            epoch: format!("{:08x}{:08x}", random()?, random()?),
            now: hub.clock.now(),
            above,
            break_number: hub.clock.now().0,
            run: None,
            new_identity: None,
        }),
    }
}

/// The kind of what the backup has; only what was ever written has one.
fn kind_of(restored: &RestoredDatabase) -> Result<DatabaseKind, JobFailure> {
    let entry: &BackedUpDatabase = &restored.entry;
    if entry.id == SnapshotDatabase::Control {
        return Err(control_is_no_database().into());
    }
    match entry.kind.parse() {
        Ok(kind) if entry.shown_seq().is_some() => Ok(kind),
        _ => Err(JobFailure::new(
            "FAILED_PRECONDITION",
            format!("nothing had been written to the database when the backup {} was taken", restored.backup),
        )),
    }
}

fn control_is_no_database() -> Error {
    let message = "control.db is no database of anybody: it is restored with the whole hub (--to)";
    Error::new(Reason::InvalidArgument, message)
}

fn told(database: &DatabaseEntry, restored: &RestoredDatabase) -> Value {
    json!({
        "id": database.id.to_string(), "name": &*database.name, "backup": restored.backup.to_string(),
        "time_unix_ms": restored.time_ms, "backup_seq": restored.entry.seq,
    })
}
