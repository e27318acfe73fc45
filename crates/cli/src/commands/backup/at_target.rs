//! Backups without a hub: what lies at a target.

use std::path::Path;

use ferry_backup::{
    BackupKey, JobProgress, ListedSnapshot, NewestSnapshot, Repository, TargetAccess, TargetCheck,
    TargetCheckOutcome, VerifiedDatabase, VerifyMode, check_target, open_target,
};
use ferry_core::backup::{
    SnapshotId,
    log::RestorableRange,
    manifest::{Manifest, Scope},
    retention::Retention,
};
use ferry_types::UnixMillis;
use serde_json::json;

use super::failure;
use crate::{
    context::Context,
    failure::Failure,
    output, system,
    table::{Cell, Column, Table},
};

/// How targets are reached, by the variables that a hub reads too.
fn access() -> Result<TargetAccess, Failure> {
    ferry_hub::config::target_access(&system::variables()).map_err(|error| Failure::Usage(error.to_string()))
}

/// Opens what lies there. To be called where waiting is allowed, as is all that reads it.
pub(super) fn open(url: &str) -> Result<Repository, Failure> {
    let access = access()?;
    let open = || Repository::open(open_target(url, &access)?, access.key.as_ref(), None);
    open().map_err(|error| failure::of(&error))
}

/// Runs what waits for files on a thread that may wait, so that an interrupt is seen meanwhile.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Failure::other(error.to_string())))
}

/// The snapshot that an argument names.
pub(super) fn snapshot_id(text: &str) -> Result<SnapshotId, Failure> {
    text.parse::<SnapshotId>().map_err(|error| Failure::Usage(format!("{text}: {error}")))
}

/// The snapshot that is meant: the one that is named, else the newest of a hub.
pub(super) fn find(repository: &Repository, id: Option<&str>) -> Result<Manifest, Failure> {
    let found = match id {
        Some(text) => repository.manifest(snapshot_id(text)?),
        None => repository.newest_hub().and_then(NewestSnapshot::meant).and_then(|newest| {
            let none = || format!("{} has no backup of a whole hub: name one that it has", repository.url());
            newest.ok_or_else(|| ferry_backup::Error::NotFound(none()))
        }),
    };
    found.map_err(|error| failure::of(&error))
}

pub(super) async fn list(context: &Context, url: String, database: String) -> Result<(), Failure> {
    let (rows, ranges, note) = blocking(move || rows(&url, &database)).await?;
    print(context, &rows, &ranges)?;
    note.into_iter().for_each(|note| output::note(format_args!("# {note}")));
    Ok(())
}

/// Backups, moments that can be restored, and what is to be known of whose history lies there.
type Listed = (Vec<ListedBackup>, Vec<RestorableRange>, Option<String>);

fn rows(url: &str, database: &str) -> Result<Listed, Failure> {
    let repository = open(url)?;
    let history = repository.history().map_err(|error| failure::of(&error))?;
    let note = repository.history_note().map_err(|error| failure::of(&error))?;
    let mut listed = repository.snapshots().map_err(|error| failure::of(&error))?;
    let ranges = repository.ranges(&listed).map_err(|error| failure::of(&error))?;
    if !database.is_empty() {
        let scope: Scope = database.parse().map_err(|_| {
            Failure::Usage(format!("{database}: without a hub a database is named by its id"))
        })?;
        listed.retain(|one| one.manifest.as_ref().is_ok_and(|manifest| manifest.scope == scope));
    }
    let verdicts = repository.verdicts().map_err(|error| failure::of(&error))?;
    let row = |one: &ListedSnapshot| {
        ListedBackup::of(one, one.state(verdicts.get(&one.id).copied(), &history), url)
    };
    Ok((listed.iter().map(row).collect(), ranges, note))
}

/// Writes a new key. What names it is for people; the file is for the hub.
pub(super) fn create_key(context: &Context, file: &Path) -> Result<(), Failure> {
    let key = BackupKey::create_file(file).map_err(|error| failure::of(&error))?;
    if context.json {
        return output::json(
            &json!({ "file": file.display().to_string(), "fingerprint": key.fingerprint() }),
        );
    }
    output::line(file.display())?;
    output::note(format_args!("# key {}", key.fingerprint()));
    output::note(
        "# copy it to a safe place that is not this machine: without it no backup that it encrypted restores",
    );
    Ok(())
}

/// Tries what a hub needs of a target.
pub(super) async fn check(context: &Context, url: String) -> Result<(), Failure> {
    let checks = blocking(move || {
        let target = open_target(&url, &access()?).map_err(|error| failure::of(&error))?;
        check_target(&*target).map_err(|error| failure::of(&error))
    })
    .await?;
    let fields = |check: &TargetCheck| match &check.outcome {
        TargetCheckOutcome::Ok => ("ok", String::new()),
        TargetCheckOutcome::Lacking(what) => ("warn", what.clone()),
        TargetCheckOutcome::Failed(error) => ("fail", error.to_string()),
    };
    if context.json {
        let row = |check: &TargetCheck| {
            let (state, what) = fields(check);
            json!({ "check": check.name, "state": state, "what": what })
        };
        output::json(&json!({ "checks": checks.iter().map(row).collect::<Vec<_>>() }))?;
    } else {
        for check in &checks {
            let (state, what) = fields(check);
            output::row(&[state, check.name, &what])?;
        }
    }
    let failed = checks.into_iter().find_map(|check| match check.outcome {
        TargetCheckOutcome::Failed(error) => Some(failure::of(&error)),
        _ => None,
    });
    failed.map_or(Ok(()), Err)
}

/// A row of a list, from wherever it comes.
#[derive(serde::Serialize)]
pub(super) struct ListedBackup {
    pub(super) id: String,
    pub(super) time_unix_ms: i64,
    pub(super) scope: String,
    pub(super) databases: u64,
    pub(super) bytes: u64,
    pub(super) new_bytes: u64,
    pub(super) state: String,
    pub(super) target: String,
}

impl ListedBackup {
    fn of(listed: &ListedSnapshot, state: &str, url: &str) -> Self {
        let manifest = listed.manifest.as_ref().ok();
        Self {
            id: listed.id.to_string(),
            time_unix_ms: manifest.map_or(listed.id.seconds() * 1000, |manifest| manifest.time_ms),
            scope: manifest.map(|manifest| manifest.scope.to_string()).unwrap_or_default(),
            databases: manifest.map_or(0, |manifest| manifest.database_count),
            bytes: manifest.map_or(0, |manifest| manifest.bytes),
            new_bytes: manifest.map_or(0, |manifest| manifest.new_bytes),
            state: state.to_owned(),
            target: url.to_owned(),
        }
    }
}

/// Prints backups, and the moments that can be restored.
pub(super) fn print(
    context: &Context,
    rows: &[ListedBackup],
    ranges: &[RestorableRange],
) -> Result<(), Failure> {
    if context.json {
        let range =
            |range: &RestorableRange| json!({ "from_unix_ms": range.from_ms, "to_unix_ms": range.to_ms });
        let ranges: Vec<_> = ranges.iter().map(range).collect();
        return output::json(&json!({ "backups": rows, "ranges": ranges }));
    }
    if rows.is_empty() {
        output::note("(nothing)");
    }
    let mut table = Table::new([
        Column::whole("ID"),
        Column::whole("TIME"),
        Column::text("OF"),
        Column::whole("BYTES"),
        Column::text("STATE"),
        Column::extra("TARGET"),
    ]);
    for row in rows {
        let bytes = row.bytes.to_string();
        let (time, of) = (Cell::moment(row.time_unix_ms), (&row.scope).into());
        table.row([(&row.id).into(), time, of, (&bytes).into(), (&row.state).into(), (&row.target).into()]);
    }
    table.print()?;
    for ListedBackup { id, target, .. } in rows.iter().filter(|row| row.state == "damaged") {
        output::note(format_args!(
            "# {id} in {target} is damaged: ferry backup verify {id} --target {target} tells what of it"
        ));
    }
    for ListedBackup { id, .. } in rows.iter().filter(|row| row.state == "partial") {
        output::note(format_args!(
            "# {id} has some databases as an earlier backup does, or not at all: their files could not be read"
        ));
    }
    for ListedBackup { id, target, .. } in rows.iter().filter(|row| row.state == "other") {
        output::note(format_args!(
            "# {id} in {target} was taken by another hub that shipped there as this one, before or after it had the target: it leads to \
             nothing of this one's, no range has it, and only naming it restores it"
        ));
    }
    // A backup without what follows it is a moment, which its row tells.
    let spans = ranges.iter().filter(|range| range.from_ms < range.to_ms);
    spans.into_iter().try_for_each(|range| {
        let (from, to) = (UnixMillis(range.from_ms).to_string(), UnixMillis(range.to_ms).to_string());
        output::row(&["range", &from, &to])
    })
}

pub(super) async fn verify(
    context: &Context,
    url: String,
    id: Option<String>,
    (quick, sample): (bool, Option<u8>),
) -> Result<(), Failure> {
    let seed = u64::from_le_bytes(system::random_bytes()?);
    let mode = match (quick, sample) {
        (true, _) => VerifyMode::Quick,
        (false, Some(percent)) => VerifyMode::Sample(percent, seed),
        (false, None) => VerifyMode::Full,
    };
    let (whole, damaged) = blocking(move || look(&url, id.as_deref(), mode)).await?;
    print_verified(context, &whole)?;
    if damaged.is_empty() { Ok(()) } else { Err(failure::of_reason("DAMAGED", damaged.join("\n"))) }
}

/// The databases that are whole, and what is wrong with the others.
type Looked = (Vec<(String, String)>, Vec<String>);

fn look(url: &str, id: Option<&str>, mode: VerifyMode) -> Result<Looked, Failure> {
    let repository = open(url)?;
    let id = find(&repository, id)?.id;
    let scratch =
        tempfile::tempdir().map_err(|error| Failure::other(format!("a scratch folder: {error}")))?;
    let now = system::unix_seconds();
    let (mut whole, mut damaged) = (Vec::new(), Vec::new());
    let each = |found: VerifiedDatabase| match found.found {
        Ok(root) => whole.push((found.id.to_string(), root)),
        Err(error) => damaged.push(format!("database {}: {error}", found.id)),
    };
    let verified =
        ferry_backup::verify(&repository, id, (mode, scratch.path()), now, &JobProgress::default(), each);
    verified.map_err(|error| failure::of(&error))?;
    Ok((whole, damaged))
}

/// Prints each database that was found whole.
pub(super) fn print_verified(context: &Context, whole: &[(String, String)]) -> Result<(), Failure> {
    if context.json {
        let rows: Vec<_> = whole.iter().map(|(id, root)| json!({ "id": id, "root": root })).collect();
        return output::json(&json!({ "databases": rows }));
    }
    whole.iter().try_for_each(|(id, root)| output::row(&["ok", id, root]))
}

pub(super) async fn prune(
    context: &Context,
    url: String,
    (keep, log_days): (Option<Retention>, u32),
    dry_run: bool,
) -> Result<(), Failure> {
    let now = system::unix_seconds();
    let keep = keep.ok_or_else(|| {
        Failure::Usage(
            "say which are kept: --keep last=3,daily=7, as the hub's setting backup.keep does".to_owned(),
        )
    })?;
    let pruned = blocking(move || {
        let pruned =
            ferry_backup::prune(&mut open(&url)?, (&keep, log_days), (now, dry_run), &JobProgress::default());
        pruned.map_err(|error| failure::of(&error))
    });
    let report = pruned.await?;
    let removed: Vec<String> = report.removed.iter().map(ToString::to_string).collect();
    print_pruned(context, &removed, report.freed_bytes)
}

/// Prints what was removed.
pub(super) fn print_pruned(context: &Context, removed: &[String], freed_bytes: u64) -> Result<(), Failure> {
    if context.json {
        return output::json(&json!({ "removed": removed, "freed_bytes": freed_bytes }));
    }
    removed.iter().try_for_each(|id| output::line(format_args!("removed {id}")))?;
    output::line(format_args!("freed {freed_bytes}"))
}
