//! Backups on the wire: for the operator; and for an admin of a database, who may have it put back beside what lives.

use std::sync::Arc;

use ferry_control::{Access, AdministerBackups, Caller, DatabaseEntry, NoteRestore, OperatorAction, Origin};
use ferry_core::backup::log::RestorableRange;
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Reason, UnixMillis};
use serde_json::{Value, json};

use crate::{
    backup::{
        BackupSummary, Backups, JobInfo, RestoreBy, RestorePlace, TargetStatus, WantedRestore, WantedVerify,
    },
    rpc::Call,
};

fn backups<'a>(call: &Call<'a>) -> Result<&'a Arc<Backups>, Error> {
    call.backups.ok_or_else(|| Error::new(Reason::NotYet, "this hub keeps no backups"))
}

/// The hub's backups, for the operator, and where the call comes from.
fn of_operator<'a>(call: &Call<'a>) -> Result<(&'a Arc<Backups>, Origin), Error> {
    let origin = call.operator()?;
    Ok((backups(call)?, origin))
}

/// The user who wants to see or do something with a database, and may administer it.
fn of_admin(call: &Call<'_>, database: &str) -> Result<(Caller, DatabaseEntry), Error> {
    let caller = call.session(Access::Full)?;
    let entry = AdministerBackups { caller: &caller, database }.run(&call.control.db)?;
    Ok((caller, entry))
}

fn named(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Writes down what the operator did to the hub's backups as a whole.
async fn note(
    (call, origin): (&Call<'_>, &Origin),
    action: &'static str,
    target: &str,
    detail: Value,
) -> Result<(), Error> {
    OperatorAction { origin, action, target, database: None, detail }.run(&call.control.db).await
}

/// What is written down of a job.
fn of_job(job: &JobInfo) -> Value {
    json!({ "job": job.id })
}

pub(super) async fn create_backup(
    call: &Call<'_>,
    request: wire::CreateBackupRequest,
) -> Result<wire::Job, Error> {
    let (backups, origin) = of_operator(call)?;
    let begun = backups.create(named(&request.database))?;
    note((call, &origin), "backup.create", &request.database, of_job(&begun)).await?;
    Ok(job(begun))
}

pub(super) async fn verify_backup(
    call: &Call<'_>,
    request: wire::VerifyBackupRequest,
) -> Result<wire::Job, Error> {
    let (backups, origin) = of_operator(call)?;
    let begun = backups.verify(WantedVerify::new(&request.id, &request.mode, request.sample)?)?;
    note((call, &origin), "backup.verify", &request.id, of_job(&begun)).await?;
    Ok(job(begun))
}

pub(super) async fn prune_backups(
    call: &Call<'_>,
    request: wire::PruneBackupsRequest,
) -> Result<wire::Job, Error> {
    let (backups, origin) = of_operator(call)?;
    let begun = backups.prune(request.dry_run)?;
    if !request.dry_run {
        note((call, &origin), "backup.prune", "", of_job(&begun)).await?;
    }
    Ok(job(begun))
}

pub(super) async fn restore_database(
    call: &Call<'_>,
    request: wire::RestoreDatabaseRequest,
) -> Result<wire::Job, Error> {
    if call.operates() {
        let (backups, origin) = of_operator(call)?;
        let (database, is_replaced) = (request.database.clone(), request.replace);
        let by = origin.operator.map_or(RestoreBy::Operator, |by| RestoreBy::OperatingUser(by.user_id));
        let begun = backups.restore(wanted_restore(request, by)?)?;
        let action = if is_replaced { "backup.replace" } else { "backup.restore" };
        // Its admins learn of it, if it is one that lives.
        let living = backups.living_named(&database);
        let target = living.as_ref().map_or(&*database, |entry| &entry.name);
        let (database, detail) = (living.as_ref(), of_job(&begun));
        OperatorAction { origin: &origin, action, target, database, detail }.run(&call.control.db).await?;
        return Ok(job(begun));
    }
    let (caller, entry) = of_admin(call, &request.database)?;
    if request.replace {
        let message = "only the operator of the hub puts a backup in the place of what lives: have it put back under a \
                       new_name, or ask the operator";
        return Err(Error::new(Reason::PermissionDenied, message));
    }
    let by = RestoreBy::Admin { user: caller.user_id, org: entry.org_id };
    // By its id: a name may be another database's in an older backup.
    let wanted = WantedRestore { database: entry.id.to_string(), ..wanted_restore(request, by)? };
    let begun = backups(call)?.restore(wanted)?;
    NoteRestore { caller: &caller, entry: &entry, job: &begun.id, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(job_of_admin(begun))
}

fn wanted_restore(request: wire::RestoreDatabaseRequest, by: RestoreBy) -> Result<WantedRestore, Error> {
    let invalid = |message: &'static str| Error::new(Reason::InvalidArgument, message);
    if request.database.is_empty() {
        return Err(invalid("database: name the one that is put back"));
    }
    let at = named(&request.at).map(ferry_backup::moment).transpose();
    let at = at.map_err(|error| Error::new(Reason::InvalidArgument, format!("at: {error}")))?;
    let backup = named(&request.backup_id).map(str::parse).transpose();
    let place = match (request.replace, named(&request.new_name)) {
        (true, None) => RestorePlace::Instead(request.confirm_name),
        (false, Some(name)) => RestorePlace::New(name.to_owned()),
        _ => return Err(invalid("say where to: new_name, or replace")),
    };
    Ok(WantedRestore {
        database: request.database,
        at: at.flatten(),
        backup: backup.map_err(|error| Error::new(Reason::InvalidArgument, format!("backup_id: {error}")))?,
        place,
        by,
    })
}

pub(super) async fn get_job(call: &Call<'_>, request: wire::GetJobRequest) -> Result<wire::Job, Error> {
    if call.operates() {
        return Ok(job(of_operator(call)?.0.job(&request.id)?));
    }
    let caller = call.session(Access::Read)?;
    let found = backups(call)?.job(&request.id).ok();
    let own = found.filter(|found| found.owner == Some(caller.user_id));
    own.map(job_of_admin).ok_or_else(|| Error::new(Reason::NotFound, "job not found among yours"))
}

pub(super) async fn cancel_job(call: &Call<'_>, request: wire::CancelJobRequest) -> Result<wire::Job, Error> {
    let (backups, origin) = of_operator(call)?;
    let cancelled = backups.cancel(&request.id)?;
    note((call, &origin), "backup.cancel", cancelled.kind, of_job(&cancelled)).await?;
    Ok(job(cancelled))
}

pub(super) async fn list_backups(
    call: &Call<'_>,
    request: wire::ListBackupsRequest,
) -> Result<wire::ListBackupsResponse, Error> {
    let range = |range: RestorableRange| wire::Range {
        from_unix_ms: range.from_ms,
        to_unix_ms: range.to_ms,
        ..Default::default()
    };
    let own = named(&request.database).map(|database| of_admin(call, database));
    let (listed, shown): (_, fn(BackupSummary) -> wire::Backup) = match own {
        // Whoever operates the hub besides asks as the admin here: which of them all have it.
        Some(Ok((_, entry))) => (backups(call)?.list_with(&entry).await?, backup_of_admin),
        Some(Err(error)) if !call.operates() => return Err(error),
        _ => (of_operator(call)?.0.list(named(&request.database)).await?, backup),
    };
    let ranges = listed.ranges.into_iter().map(range).collect();
    let backups = listed.snapshots.into_iter().map(shown).collect();
    Ok(wire::ListBackupsResponse { backups, ranges, ..Default::default() })
}

pub(super) async fn get_backup_status(
    call: &Call<'_>,
    _request: wire::GetBackupStatusRequest,
) -> Result<wire::GetBackupStatusResponse, Error> {
    let (backups, _) = of_operator(call)?;
    backups.look_at_verdicts().await;
    Ok(status(backups))
}

fn status(backups: &Backups) -> wire::GetBackupStatusResponse {
    let targets = backups.status().into_iter().map(target).collect();
    wire::GetBackupStatusResponse { targets, ..Default::default() }
}

pub(super) async fn pause_backups(
    call: &Call<'_>,
    _request: wire::PauseBackupsRequest,
) -> Result<wire::GetBackupStatusResponse, Error> {
    let (backups, by) = of_operator(call)?;
    if backups.pause().await? {
        note((call, &by), "backup.pause", "", json!({})).await?;
    }
    Ok(status(backups))
}

pub(super) async fn resume_backups(
    call: &Call<'_>,
    request: wire::ResumeBackupsRequest,
) -> Result<wire::GetBackupStatusResponse, Error> {
    let (backups, by) = of_operator(call)?;
    let resumed = backups.resume(request.take_over).await?;
    if resumed.was_paused || !resumed.taken_over.is_empty() {
        let detail = json!({ "taken_over": resumed.taken_over });
        note((call, &by), "backup.resume", "", detail).await?;
    }
    Ok(status(backups))
}

/// What an admin of a database is told of a job of theirs: where the hub keeps its backups is the operator's.
fn job_of_admin(info: JobInfo) -> wire::Job {
    let told = if info.error.is_empty() {
        String::new()
    } else {
        format!("it could not be put back: the hub's operator finds why in its log, under {}", info.id)
    };
    wire::Job { error: told, ..job(info) }
}

/// The same of a backup.
fn backup_of_admin(info: BackupSummary) -> wire::Backup {
    let shown = backup(info);
    wire::Backup { databases: 0, bytes: 0, new_bytes: 0, target: String::new(), ..shown }
}

fn job(info: JobInfo) -> wire::Job {
    wire::Job {
        id: info.id,
        kind: info.kind.to_owned(),
        state: info.state.to_owned(),
        done: info.done,
        total: info.total,
        error: info.error,
        result_json: info.result.map(|result| result.to_string()).unwrap_or_default(),
        ..Default::default()
    }
}

fn backup(info: BackupSummary) -> wire::Backup {
    let (id, target, state) = (info.snapshot.id, info.target, info.state.to_owned());
    let verified_unix = info.verdict.map_or(0, |verdict| verdict.at);
    let common = wire::Backup { id: id.to_string(), target, state, verified_unix, ..Default::default() };
    match info.snapshot.manifest {
        Ok(manifest) => wire::Backup {
            time_unix_ms: manifest.time_ms,
            scope: manifest.scope.to_string(),
            databases: manifest.database_count,
            bytes: manifest.bytes,
            new_bytes: manifest.new_bytes,
            ..common
        },
        Err(_) => wire::Backup { time_unix_ms: id.seconds() * 1000, ..common },
    }
}

fn target(status: TargetStatus) -> wire::BackupTarget {
    wire::BackupTarget {
        target: status.url,
        state: status.state.to_owned(),
        last_snapshot_unix: status.last.map_or(0, UnixMillis::as_secs),
        next_snapshot_unix: status.next.map_or(0, UnixMillis::as_secs),
        error: status.error,
        lag_ms: status.lag_ms.unwrap_or(0),
        spool_bytes: status.spool_bytes,
        ..Default::default()
    }
}
