//! A whole hub is restored into a new folder: beside it first, and given its name when all of it is on disk.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ferry_core::backup::{
    SnapshotId,
    manifest::{BackedUpDatabase, SnapshotDatabase},
};
use ferry_sqlite::{NativeSql, connection, fault, folder, meta::seq_of};

use crate::{
    Error, JobProgress, Repository, RestoreStamp, Result,
    error::AtPath as _,
    restore::{check_integrity, restore_file},
    stamp::{close, stamp_database},
};

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
    /// From which snapshot.
    pub id: SnapshotId,
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
    /// API keys and JWT settings that are valid again, for review: `<database id>\t<kind>\t<label>`.
    pub review: Vec<String>,
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
    let manifest = repository.manifest(restore.id)?;
    let mut report =
        RestoreReport { time_ms: manifest.time_ms, bytes: manifest.bytes, ..RestoreReport::default() };
    progress.begin(manifest.database_count);
    let databases = part.join("databases");
    DirBuilder::new().mode(0o700).create(&databases).at("cannot make the folder", &databases)?;
    let mut has_control = false;
    repository.databases(&manifest, |repository, entry| {
        restore_entry(repository, restore, part, &entry, progress)?;
        match entry.id {
            SnapshotDatabase::Control => has_control = true,
            SnapshotDatabase::Main(_) => report.databases += 1,
        }
        progress.step();
        fault::point("restore.database")?;
        Ok(())
    })?;
    if !has_control {
        return Err(Error::Invalid(format!(
            "the snapshot {} is of {}, not of a whole hub: restore it with --database",
            restore.id, manifest.scope
        )));
    }
    folder::sync(&databases).at("cannot sync", &databases)?;
    for file in &manifest.files {
        // The configuration is for people to look at: where a hub looks for it is theirs to say.
        write_file(&part.join(&file.path), &repository.content(file.chunk)?)?;
        report.has_keys |= file.path == "keyring.json";
    }
    report.review = stamp_control(&part.join("control.db"), restore)?;
    fault::point("restore.stamped")?;
    Ok(report)
}

fn restore_entry(
    repository: &Repository,
    restore: &HubRestore,
    part: &Path,
    entry: &BackedUpDatabase,
    progress: &JobProgress,
) -> Result<()> {
    let path = match entry.id {
        SnapshotDatabase::Control => part.join("control.db"),
        SnapshotDatabase::Main(id) => {
            // Looking must not make a file: one that was never written has none.
            if entry.image().page_size.is_none() {
                return Ok(());
            }
            let dir = part.join("databases").join(id.to_string());
            DirBuilder::new().mode(0o700).create(&dir).at("cannot make the folder", &dir)?;
            dir.join("main.db")
        }
    };
    restore_file(repository, entry, &path, progress)?;
    let is_replica = entry.kind == "replica";
    if restore.check && !is_replica {
        check_integrity(&path, &entry.id.to_string())?;
    }
    if matches!(entry.id, SnapshotDatabase::Main(_)) && !is_replica {
        stamp_database(&path, &restore.stamp)?;
    }
    let dir = path.parent().unwrap_or(part);
    folder::sync(dir).at("cannot sync", dir)
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
                format!("restored from the backup {}", restore.id),
                known,
                restore.id.seconds() * 1000,
            ),
        )?;
    }
    connection.execute(
        "INSERT INTO audit(at, request_id, actor, org_id, database_id, action, target, outcome, ip, detail)
         VALUES (?1, '', 'hub', NULL, NULL, 'hub.restore', ?2, 'ok', '', '{}')",
        (restore.stamp.now.0, restore.id.to_string()),
    )?;
    connection.execute_batch("COMMIT")?;
    let review = {
        let sql = "SELECT database_id || char(9) || 'api key' || char(9) || label FROM api_keys WHERE revoked IS NULL
                   UNION ALL SELECT database_id || char(9) || 'jwt settings' || char(9) FROM jwt_settings ORDER BY 1";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    close(connection)?;
    Ok(review)
}

fn publish(part: &Path, to: &Path) -> Result<()> {
    folder::sync(part).at("cannot sync", part)?;
    fault::point("restore.publish")?;
    // Onto a folder only if that is empty.
    fs::rename(part, to).at("cannot give its name to", to)?;
    let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder::sync(above).at("cannot sync", above)
}
