//! A whole hub is restored into a new folder: beside it first, and given its name when all of it is on disk.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ferry_core::backup::{
    SnapshotId,
    log::LogPlan,
    manifest::{BackedUpDatabase, SnapshotDatabase},
};
use ferry_sqlite::{NativeSql, connection, fault, folder, meta::seq_of};
use ferry_types::{DatabaseId, UnixMillis};
use rusqlite::Connection;

use crate::{
    Error, JobProgress, LogReplay, Repository, RestoreStamp, Result,
    error::AtPath as _,
    known_targets::KnownTargets,
    replay::restore_replayed,
    restore::check_integrity,
    stamp::{close, stamp_database},
};

/// Where a hub keeps what it knows of its backups.
const HUBS_OWN: &str = "backup";
/// What the folder is called until all of it is on disk: its name and this.
const UNFINISHED: &str = ".part";
/// And a file beside it, by which one that a killed restore left is known.
const MARK: &str = ".part-of-ferry-restore";

/// What becomes of credentials (OPR-25): a restore revives what was revoked since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoredCredentials {
    /// Sessions and their tokens end; invitations and resets are dropped.
    End,
    /// All stay.
    Keep,
}

/// How a hub is restored.
#[derive(Clone, Debug)]
pub struct HubRestore {
    /// From which snapshot, and what of the log is played upon it.
    pub plan: LogPlan<SnapshotId>,
    /// To which folder, which is missing or empty.
    pub to: PathBuf,
    /// What becomes of credentials.
    pub credentials: RestoredCredentials,
    /// Whether SQLite is asked if each file is sound.
    pub check: bool,
    /// What each file is given.
    pub stamp: RestoreStamp,
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Databases, control.db not counted.
    pub databases: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The moment that they show, in Unix milliseconds.
    pub time_ms: i64,
    /// Whether the signing keys and the operator's token were in the backup.
    pub has_keys: bool,
    /// What is valid again, for review: API keys and JWT settings, `<database id>\t<kind>\t<label>`, and users who may operate the
    /// hub, `<user id>\toperator\t<e-mail>`.
    pub review: Vec<String>,
    /// Databases whose files could not be read when the backup was taken, and of which moment they are: `<name>\t<id>\t<time>`;
    /// without a time nothing of it was there.
    pub unread: Vec<String>,
}

/// Restores a hub.
///
/// # Errors
/// When something stands in `to`, an object is missing or damaged, or the disk does not take it: then there is no `to`.
pub fn restore_hub(
    repository: &Repository,
    restore: &HubRestore,
    progress: &JobProgress,
) -> Result<RestoreReport> {
    let unfinished = Unfinished::begin(&restore.to)?;
    let restored = fill(repository, restore, &unfinished.folder, progress).and_then(|report| {
        publish(&unfinished.folder, &restore.to)?;
        Ok(report)
    });
    unfinished.end();
    restored
}

/// The folder that is being written.
struct Unfinished {
    folder: PathBuf,
    mark: PathBuf,
}

impl Unfinished {
    fn begin(to: &Path) -> Result<Self> {
        let is_free = match fs::read_dir(to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            read => read.at("cannot look into", to)?.next().is_none(),
        };
        let occupied =
            |path: &Path| Error::Occupied(format!("{} is not empty: name a new folder", path.display()));
        let name = to.file_name().filter(|_| is_free).ok_or_else(|| occupied(to))?;
        let beside = |suffix: &str| {
            let mut beside = name.to_owned();
            beside.push(suffix);
            to.with_file_name(beside)
        };
        let (folder, mark) = (beside(UNFINISHED), beside(MARK));
        if folder.symlink_metadata().is_ok() {
            // Only what a restore has begun is its own to remove.
            if !mark.exists() {
                return Err(occupied(&folder));
            }
            fs::remove_dir_all(&folder).at("cannot remove", &folder)?;
        }
        if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
            folder::create(above).at("cannot make the folder", above)?;
        }
        fs::write(&mark, b"").at("cannot write", &mark)?;
        DirBuilder::new().mode(0o700).create(&folder).at("cannot make the folder", &folder)?;
        Ok(Self { folder, mark })
    }

    /// Removes what has not got its name.
    fn end(self) {
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.mark);
    }
}

fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.at("cannot write", path)?;
    file.write_all(content).and_then(|()| file.sync_all()).at("cannot write", path)
}

fn fill(
    repository: &Repository,
    restore: &HubRestore,
    part: &Path,
    progress: &JobProgress,
) -> Result<RestoreReport> {
    let id = restore.plan.base.name;
    let manifest = repository.manifest(id)?;
    let mut report = RestoreReport { time_ms: restore.plan.reached_ms(), ..RestoreReport::default() };
    progress.begin(manifest.database_count);
    let databases = part.join("databases");
    DirBuilder::new().mode(0o700).create(&databases).at("cannot make the folder", &databases)?;
    let has_log = !restore.plan.intervals.is_empty();
    let log = part.join(".log");
    let replay = has_log.then(|| LogReplay::collect(repository, &restore.plan, &log, &|_| true, progress));
    let replay = replay.transpose()?;
    let mut filling = Filling { repository, restore, part, replay: replay.as_ref(), living: None, progress };
    let mut lacking: BTreeSet<SnapshotDatabase> =
        replay.iter().flat_map(LogReplay::databases).map(|piece| piece.id).collect();
    let mut has_control = false;
    // control.db is the first.
    repository.databases(&manifest, |_, entry| {
        has_control |= entry.id == SnapshotDatabase::Control;
        lacking.remove(&entry.id);
        filling.restore((entry.id, Some(&entry)), &mut report)
    })?;
    if !has_control {
        return Err(Error::Invalid(format!(
            "the backup {id} is of {}, not of a whole hub: restore it with --database",
            manifest.scope
        )));
    }
    lacking.into_iter().try_for_each(|id| filling.restore((id, None), &mut report))?;
    drop(replay);
    folder::sync(&databases).at("cannot sync", &databases)?;
    for file in &manifest.files {
        // The configuration is for people to look at: where a hub looks for it is theirs to say.
        write_file(&part.join(&file.path), &repository.content(file.chunk)?)?;
        report.has_keys |= file.path == "keyring.json";
    }
    // The hub that starts here goes on shipping where it comes from: if that is gone then, it is not made anew.
    let known = part.join(HUBS_OWN);
    folder::create(&known).at("cannot make the folder", &known)?;
    KnownTargets::read(&known)?.note(repository.url(), &repository.identity().target_id)?;
    report.review = stamp_control(&part.join("control.db"), restore)?;
    fault::point("restore.stamped")?;
    Ok(report)
}

/// A folder that is filled.
struct Filling<'a> {
    repository: &'a Repository,
    restore: &'a HubRestore,
    part: &'a Path,
    /// What is played upon the snapshot.
    replay: Option<&'a LogReplay>,
    /// The databases that the hub had at that moment and that were written, once control.db is there; `None`: those of the snapshot.
    living: Option<BTreeSet<DatabaseId>>,
    progress: &'a JobProgress,
}

impl Filling<'_> {
    /// Restores a database, as far as the hub had it at that moment.
    fn restore(
        &mut self,
        (id, entry): (SnapshotDatabase, Option<&BackedUpDatabase>),
        report: &mut RestoreReport,
    ) -> Result<()> {
        let path = match id {
            SnapshotDatabase::Control => self.part.join("control.db"),
            SnapshotDatabase::Main(main) => {
                if self.living.as_ref().is_some_and(|living| !living.contains(&main)) {
                    return Ok(());
                }
                report.databases += 1;
                // Looking must not make a file: one that was never written has none.
                let is_empty = entry.and_then(BackedUpDatabase::shown_seq).is_none();
                if is_empty && !self.replay.is_some_and(|replay| replay.has(id)) {
                    report.unread.extend(entry.and_then(unread_line));
                    return Ok(());
                }
                let dir = self.part.join("databases").join(main.to_string());
                DirBuilder::new().mode(0o700).create(&dir).at("cannot make the folder", &dir)?;
                dir.join("main.db")
            }
        };
        let restored = restore_replayed(self.repository, (id, entry), self.replay, &path, self.progress)?;
        report.unread.extend(restored.as_ref().and_then(unread_line));
        if let Some(restored) = restored.filter(|_| path.exists()) {
            report.bytes += restored.bytes();
            let is_replica = restored.kind == "replica";
            if self.restore.check && !is_replica {
                check_integrity(&path, &id.to_string())?;
            }
            if matches!(id, SnapshotDatabase::Main(_)) && !is_replica {
                stamp_database(&path, &self.restore.stamp)?;
            }
        }
        if id == SnapshotDatabase::Control && self.replay.is_some() {
            self.living = Some(living(&path)?);
        }
        let dir = path.parent().unwrap_or(self.part);
        folder::sync(dir).at("cannot sync", dir)?;
        self.progress.step();
        fault::point("restore.database")?;
        Ok(())
    }
}

/// What is told of a database that stands as an earlier backup had it; `None`: it does not.
fn unread_line(entry: &BackedUpDatabase) -> Option<String> {
    let time = match entry.unread? {
        0 => String::new(),
        of_ms => UnixMillis(of_ms).to_string(),
    };
    Some(format!("{}\t{}\t{time}", entry.name, entry.id))
}

/// The databases that a control.db names and that were written. Nobody else has it open.
fn living(control: &Path) -> Result<BTreeSet<DatabaseId>> {
    let connection = connection::open_immutable(control)?;
    let sql = "SELECT id FROM databases WHERE deleted IS NULL AND kind IS NOT NULL";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let bad = |id: &str| Error::damaged("log", format!("control.db: {id} is no id of a database"));
    rows.map(|id| id.map_err(Error::from).and_then(|id| id.parse().map_err(|_| bad(&id)))).collect()
}

/// Ends credentials, and forgets positions that were remembered of what comes after.
fn stamp_control(path: &Path, restore: &HubRestore) -> Result<Vec<String>> {
    let connection = connection::open_writer(path)?;
    let mut statements = vec!["BEGIN IMMEDIATE", "DELETE FROM watermarks"];
    if restore.credentials == RestoredCredentials::End {
        statements.extend([
            "UPDATE users SET epoch = epoch + 1",
            "DELETE FROM invitations",
            "DELETE FROM password_resets",
            "DELETE FROM oauth_states",
        ]);
        // An older program has none.
        for (table, statement) in
            [("outbox", "DELETE FROM outbox"), ("email_verifications", "DELETE FROM email_verifications")]
        {
            if connection.table_exists(None, table)? {
                statements.push(statement);
            }
        }
    }
    connection.execute_batch(&statements.join(";"))?;
    // A break of all databases, which no run has begun with: the hub that starts here knows by it what it is (OPR-31). An
    // older program names neither.
    if connection.table_exists(None, "breaks")? {
        let known = i64::try_from(seq_of(&NativeSql(&connection))?.0).unwrap_or(i64::MAX);
        connection.execute(
            "INSERT INTO breaks(n, at, scope, reason, known_seq, since, applies) VALUES (max(?1, (SELECT coalesce(max(n), 0) + 1 FROM breaks)), ?2, 'hub', ?3, ?4, ?5, 1)",
            (
                restore.stamp.break_number,
                restore.stamp.now.0,
                format!("restored from the backup {}", restore.plan.base.name),
                known,
                restore.plan.reached_ms(),
            ),
        )?;
    }
    connection.execute(
        "INSERT INTO audit(at, request_id, actor, org_id, database_id, action, target, outcome, ip, detail)
         VALUES (?1, '', 'hub', NULL, NULL, 'hub.restore', ?2, 'ok', '', '{}')",
        (restore.stamp.now.0, restore.plan.base.name.to_string()),
    )?;
    connection.execute_batch("COMMIT")?;
    let review = review(&connection)?;
    close(connection)?;
    Ok(review)
}

/// What may have been taken back since the backup, and is valid again.
fn review(connection: &Connection) -> Result<Vec<String>> {
    let mut sql =
        "SELECT database_id || char(9) || 'api key' || char(9) || label FROM api_keys WHERE revoked IS NULL
         UNION ALL SELECT database_id || char(9) || 'jwt settings' || char(9) FROM jwt_settings"
            .to_owned();
    // Users of an older program operate nothing.
    if connection.column_exists(None, "users", "operator")? {
        sql += " UNION ALL SELECT id || char(9) || 'operator' || char(9) || email FROM users WHERE operator AND NOT disabled";
    }
    let mut statement = connection.prepare(&format!("{sql} ORDER BY 1"))?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn publish(part: &Path, to: &Path) -> Result<()> {
    folder::sync(part).at("cannot sync", part)?;
    fault::point("restore.publish")?;
    // Onto a folder only if that is empty.
    fs::rename(part, to).at("cannot give its name to", to)?;
    let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder::sync(above).at("cannot sync", above)
}
