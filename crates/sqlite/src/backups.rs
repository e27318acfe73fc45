//! Copies of a database that are kept beside it (FUN-67): of one commit, whole, on disk under their name or not at all.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use ferry_types::{Reason, Seq, limits::FUNCTIONS_BACKUPS_KEPT};
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use crate::{Error, NativeSql, Result, connection, fault, folder, meta::seq_of, sidecars};

/// What the names of copies end with.
const SUFFIX: &str = ".db";
/// What the name of one begins with that is not whole.
const UNFINISHED: &str = ".new-";
/// Pages that are copied at once.
const PAGES_AT_ONCE: i32 = 1024;

/// The folder of copies of the database in `dir`.
#[must_use]
pub fn folder_of(dir: &Path) -> PathBuf {
    dir.join("backups")
}

/// Copies what `from` shows to `<folder>/<name>.db`, and removes the oldest copies beyond those that are kept. Returns the
/// name under which it is found again.
///
/// # Errors
/// When it cannot be read or written; then nothing is left of it.
pub(crate) fn make(from: &Connection, folder: &Path, name: &str) -> Result<String> {
    make_folder(folder)?;
    let unfinished = folder.join(format!("{UNFINISHED}{name}{SUFFIX}"));
    let name = format!("{name}{SUFFIX}");
    let made = copy_to(from, &unfinished).and_then(|()| {
        fault::point("backup.written")?;
        fs::rename(&unfinished, folder.join(&name))?;
        Ok(folder::sync(folder)?)
    });
    if made.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    made?;
    prune(folder)?;
    Ok(name)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    folder::create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// Copies what `from` shows to a new file, and brings that onto the disk.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn copy_to(from: &Connection, to: &Path) -> Result<()> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    // Made here for its mode.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut copy = connection::open_file(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // It is synced once, below; until then it has a name under which nobody looks.
    copy.execute_batch("PRAGMA synchronous=OFF")?;
    Backup::new(from, &mut copy)?.run_to_completion(PAGES_AT_ONCE, std::time::Duration::ZERO, None)?;
    copy.close().map_err(|(_, error)| Error::from(error))?;
    file.sync_all()?;
    Ok(())
}

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFile {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

/// The copies in a folder, the newest first: their names begin with the time.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<BackupFile>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && name.ends_with(SUFFIX)
            && !name.starts_with('.')
        {
            all.push(BackupFile { name, bytes: entry.metadata()?.len() });
        }
    }
    all.sort_by(|a, b| b.name.cmp(&a.name));
    Ok(all)
}

fn prune(folder: &Path) -> io::Result<()> {
    for old in list(folder)?.iter().skip(FUNCTIONS_BACKUPS_KEPT) {
        fs::remove_file(folder.join(&old.name))?;
    }
    // What a run that was killed left.
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes a copy that nobody needs.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn remove(folder: &Path, name: &str) -> io::Result<()> {
    fs::remove_file(folder.join(name))
}

/// A file that goes, with what SQLite keeps beside it, when this does.
pub(crate) struct ScratchFile(pub(crate) PathBuf);

impl Drop for ScratchFile {
    fn drop(&mut self) {
        let beside = sidecars::SUFFIXES.iter().map(|suffix| sidecars::beside(&self.0, suffix));
        for file in beside.chain([self.0.clone()]) {
            let _ = fs::remove_file(file);
        }
    }
}

/// Which copy is put back, and how.
pub struct Restoring<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether commits after the deployment that it was made for may be lost.
    pub lose_writes: bool,
}

/// A copy that was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The commit that it was.
    pub seq: Seq,
    /// Commits that are lost.
    pub lost: u64,
}

/// Whether that copy may be put back as the database in `dir`. Returns how many commits are lost.
///
/// # Errors
/// When it is not there, commits would be lost that may not be, or it cannot be read.
pub fn check(dir: &Path, restoring: &Restoring<'_>) -> Result<u64> {
    let source = find(dir, restoring.name)?;
    let seq = |connection: Connection| seq_of(&NativeSql(&connection));
    let then = seq(connection::open_immutable(&source)?)?;
    let now = seq(connection::open_reader(&dir.join("main.db"))?)?;
    lost(then, now, restoring.lose_writes)
}

fn find(dir: &Path, name: &str) -> Result<PathBuf> {
    let folder = folder_of(dir);
    if list(&folder)?.iter().any(|backup| backup.name == name) {
        return Ok(folder.join(name));
    }
    let message = format!("there is no backup {name}: GET info lists those that are kept");
    Err(ferry_types::Error::new(Reason::NotFound, message).into())
}

/// Commits behind the deployment that a copy was made for: that one was the next.
fn lost(then: Seq, now: Seq, may_be: bool) -> Result<u64> {
    let lost = now.0.saturating_sub(then.0 + 1);
    if lost == 0 || may_be {
        return Ok(lost);
    }
    let message = format!(
        "{lost} commits were made after the deployment that this backup was made for, and would be lost: restore with \
         loseWrites (--lose-writes) if they may be"
    );
    Err(ferry_types::Error::new(Reason::VersionConflict, message).into())
}

/// Puts a copy back as the database in `dir`, which nobody else writes meanwhile. `prepare` changes it before anybody sees
/// it. It takes a `seq` behind all that were given (FUN-67). All of it is one commit.
///
/// # Errors
/// As [`check`], or when a step failed: then nothing is changed.
pub fn restore(
    dir: &Path,
    restoring: &Restoring<'_>,
    prepare: impl FnOnce(&NativeSql<'_>, Seq) -> Result<()>,
) -> Result<Restored> {
    let source = find(dir, restoring.name)?;
    let mut main = connection::open_writer(&dir.join("main.db"))?;
    let now = seq_of(&NativeSql(&main))?;
    let draft = ScratchFile(folder_of(dir).join(format!("{UNFINISHED}restore{SUFFIX}")));
    copy_to(&connection::open_immutable(&source)?, &draft.0)?;
    let copy = connection::open_writer(&draft.0)?;
    let then = seq_of(&NativeSql(&copy))?;
    let lost = lost(then, now, restoring.lose_writes)?;
    let seq = Seq(now.0.max(then.0)).next();
    set_seq(&copy, seq, prepare)?;
    fault::point("restore.prepared")?;
    // All pages in one step: one transaction, which is there whole or not at all.
    match Backup::new(&copy, &mut main)?.step(-1)? {
        StepResult::Done => {}
        _ => return Err(Error::busy().into()),
    }
    fault::point("restore.committed")?;
    drop(copy);
    main.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(Restored { seq, lost })
}

fn set_seq(
    copy: &Connection,
    seq: Seq,
    prepare: impl FnOnce(&NativeSql<'_>, Seq) -> Result<()>,
) -> Result<()> {
    copy.execute_batch("BEGIN IMMEDIATE")?;
    prepare(&NativeSql(copy), seq)?;
    let value = i64::try_from(seq.0).map_err(|_| Error::Damaged("seq is over 2^63".into()))?;
    copy.execute("UPDATE _ferry_meta SET value = ?1 WHERE key = 'seq'", [value])?;
    copy.execute_batch("COMMIT")?;
    Ok(())
}
