//! Backups on the wire; for the operator alone.

use std::sync::Arc;

use ferry_control::OperatorAction;
use ferry_core::backup::log::RestorableRange;
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Reason, UnixMillis};
use serde_json::json;

use crate::{
    backup::{BackupSummary, Backups, JobInfo, RestorePlace, TargetStatus, WantedRestore, WantedVerify},
    rpc::Call,
};

/// The hub's backups, for the operator.
fn of_operator<'a>(call: &Call<'a>) -> Result<&'a Arc<Backups>, Error> {
    call.operator()?;
    call.backups.ok_or_else(|| Error::new(Reason::NotYet, "this hub keeps no backups"))
}

fn named(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Writes down what the operator has begun.
async fn note(call: &Call<'_>, action: &'static str, target: &str, job: &JobInfo) -> Result<(), Error> {
    let detail = json!({ "job": job.id });
    OperatorAction { origin: Some(&call.origin), action, target, detail }.run(&call.control.db).await
}

pub(super) async fn create_backup(
    call: &Call<'_>,
    request: wire::CreateBackupRequest,
) -> Result<wire::Job, Error> {
    let begun = of_operator(call)?.create(named(&request.database))?;
    note(call, "backup.create", &request.database, &begun).await?;
    Ok(job(begun))
}

pub(super) async fn verify_backup(
    call: &Call<'_>,
    request: wire::VerifyBackupRequest,
) -> Result<wire::Job, Error> {
    let backups = of_operator(call)?;
    let begun = backups.verify(WantedVerify::new(&request.id, &request.mode, request.sample)?)?;
    note(call, "backup.verify", &request.id, &begun).await?;
    Ok(job(begun))
}

pub(super) async fn prune_backups(
    call: &Call<'_>,
    request: wire::PruneBackupsRequest,
) -> Result<wire::Job, Error> {
    let begun = of_operator(call)?.prune(request.dry_run)?;
    if !request.dry_run {
        note(call, "backup.prune", "", &begun).await?;
    }
    Ok(job(begun))
}

pub(super) async fn restore_database(
    call: &Call<'_>,
    request: wire::RestoreDatabaseRequest,
) -> Result<wire::Job, Error> {
    let backups = of_operator(call)?;
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
    let is_replaced = matches!(place, RestorePlace::Instead(_));
    let wanted = WantedRestore {
        database: request.database.clone(),
        at: at.flatten(),
        backup: backup.map_err(|error| Error::new(Reason::InvalidArgument, format!("backup_id: {error}")))?,
        place,
    };
    let begun = backups.restore(wanted)?;
    let action = if is_replaced { "backup.replace" } else { "backup.restore" };
    note(call, action, &request.database, &begun).await?;
    Ok(job(begun))
}

pub(super) async fn get_job(call: &Call<'_>, request: wire::GetJobRequest) -> Result<wire::Job, Error> {
    Ok(job(of_operator(call)?.job(&request.id)?))
}

pub(super) async fn cancel_job(call: &Call<'_>, request: wire::CancelJobRequest) -> Result<wire::Job, Error> {
    let cancelled = of_operator(call)?.cancel(&request.id)?;
    note(call, "backup.cancel", cancelled.kind, &cancelled).await?;
    Ok(job(cancelled))
}

pub(super) async fn list_backups(
    call: &Call<'_>,
    request: wire::ListBackupsRequest,
) -> Result<wire::ListBackupsResponse, Error> {
    let listed = of_operator(call)?.list(named(&request.database)).await?;
    let range = |range: RestorableRange| wire::Range {
        from_unix_ms: range.from_ms,
        to_unix_ms: range.to_ms,
        ..Default::default()
    };
    let ranges = listed.ranges.into_iter().map(range).collect();
    let backups = listed.snapshots.into_iter().map(backup).collect();
    Ok(wire::ListBackupsResponse { backups, ranges, ..Default::default() })
}

pub(super) async fn get_backup_status(
    call: &Call<'_>,
    _request: wire::GetBackupStatusRequest,
) -> Result<wire::GetBackupStatusResponse, Error> {
    let targets = of_operator(call)?.status().into_iter().map(target).collect();
    Ok(wire::GetBackupStatusResponse { targets, ..Default::default() })
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
    let (id, target) = (info.snapshot.id, info.target);
    let verified_unix = info.verdict.map_or(0, |verdict| verdict.at);
    let is_damaged = info.verdict.is_some_and(|verdict| !verdict.is_whole);
    let common = wire::Backup { id: id.to_string(), target, verified_unix, ..Default::default() };
    match info.snapshot.manifest {
        Ok(manifest) => wire::Backup {
            time_unix_ms: manifest.time_ms,
            scope: manifest.scope.to_string(),
            databases: manifest.database_count,
            bytes: manifest.bytes,
            new_bytes: manifest.new_bytes,
            state: if is_damaged { "damaged" } else { "complete" }.to_owned(),
            ..common
        },
        Err(_) => wire::Backup { time_unix_ms: id.seconds() * 1000, state: "damaged".to_owned(), ..common },
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
