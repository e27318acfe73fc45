//! Backups that a hub takes, verifies and prunes: jobs, whose end is waited for.

use std::time::Duration;

use ferry_client::admin::{AdminClient, rpc};
use ferry_core::backup::log::RestorableRange;
use ferry_types::UnixMillis;
use serde::Deserialize;

use super::{
    at_target::{self, ListedBackup},
    failure,
};
use crate::{
    context::Context,
    failure::Failure,
    output, prompt,
    table::{Cell, Column, Table},
};

/// How often a job is asked for.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What a job that is done found: what it is about, and nothing of the others.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Found {
    reason: String,
    snapshots: Vec<Snapshot>,
    databases: Vec<Database>,
    pruned: Vec<Pruned>,
    restored: Vec<Restored>,
}

#[derive(Deserialize)]
struct Snapshot {
    id: String,
    new_bytes: u64,
    target: String,
    #[serde(default)]
    has_keys: bool,
    #[serde(default)]
    unread: Vec<Unread>,
}

/// A database whose file could not be read.
#[derive(Deserialize)]
struct Unread {
    id: String,
    name: String,
    why: String,
    of_unix_ms: i64,
}

impl Unread {
    fn told(&self) -> String {
        let instead = match self.of_unix_ms {
            0 => "nothing of it is in the backup".to_owned(),
            of => format!("it is in the backup as the target had it, of {} at the latest", UnixMillis(of)),
        };
        format!("the database {} ({}) cannot be read: {}; {instead}", self.name, self.id, self.why)
    }
}

#[derive(Deserialize)]
struct Database {
    id: String,
    root: String,
}

#[derive(Deserialize)]
struct Pruned {
    removed: Vec<String>,
    freed_bytes: u64,
}

/// A database that was put back.
#[derive(Deserialize)]
struct Restored {
    id: String,
    name: String,
    backup: String,
    time_unix_ms: i64,
    #[serde(default)]
    lost: u64,
    #[serde(default)]
    held_stores: u64,
}

/// Which database is put back, and where to.
pub(super) struct Restore {
    /// Which backup; empty: the newest that has it.
    pub(super) id: String,
    pub(super) database: String,
    /// Of which moment; empty: the latest, or that of the backup that is named.
    pub(super) at: String,
    /// `None`: in place of itself.
    pub(super) new_name: Option<String>,
    /// Whether the person is asked before the living one is replaced.
    pub(super) is_asked: bool,
}

/// Waits for the end of a job.
async fn wait(hub: &AdminClient, mut job: rpc::Job) -> Result<(rpc::Job, Found), Failure> {
    while job.state == "running" {
        tokio::time::sleep(ASK_EVERY).await;
        job = hub.get_job(rpc::GetJobRequest { id: job.id, ..Default::default() }).await?;
    }
    let found = match job.result_json.as_str() {
        "" => Found::default(),
        text => serde_json::from_str(text).map_err(|error| {
            Failure::other(format!("the hub tells of its job what cannot be read: {error}"))
        })?,
    };
    if job.state == "done" { Ok((job, found)) } else { Err(failure::of_reason(&found.reason, job.error)) }
}

pub(super) async fn create(
    context: &Context,
    hub: &AdminClient,
    database: String,
    no_wait: bool,
) -> Result<(), Failure> {
    let is_of_one = !database.is_empty();
    let job = hub.create_backup(rpc::CreateBackupRequest { database, ..Default::default() }).await?;
    if no_wait {
        return if context.json { output::json(&job) } else { output::line(&job.id) };
    }
    let (job, found) = wait(hub, job).await?;
    let told = |snapshot: &Snapshot| {
        let of = |unread: &Unread| format!("{}: {}", snapshot.target, unread.told());
        snapshot.unread.iter().map(of).collect::<Vec<_>>()
    };
    let unread: Vec<String> = found.snapshots.iter().flat_map(told).collect();
    let outcome =
        if unread.is_empty() { Ok(()) } else { Err(failure::of_reason("DAMAGED", unread.join("\n"))) };
    if context.json {
        output::json(&job)?;
        return outcome;
    }
    let lacks_keys = found.snapshots.iter().any(|snapshot| !snapshot.has_keys);
    for Snapshot { id, new_bytes, target, .. } in &found.snapshots {
        output::row(&[id, &new_bytes.to_string(), target])?;
    }
    if lacks_keys && !is_of_one {
        output::note(
            "# not in it, since it is not encrypted: keyring.json and operator.token; without them a restored hub makes new ones, \
             and what the old ones signed is void",
        );
    }
    outcome
}

pub(super) async fn list(context: &Context, hub: &AdminClient, database: String) -> Result<(), Failure> {
    let answer = hub.list_backups(rpc::ListBackupsRequest { database, ..Default::default() }).await?;
    if context.json {
        return output::json(&answer);
    }
    let row = |backup: rpc::Backup| ListedBackup {
        id: backup.id,
        time_unix_ms: backup.time_unix_ms,
        scope: backup.scope,
        databases: backup.databases,
        bytes: backup.bytes,
        new_bytes: backup.new_bytes,
        state: backup.state,
        target: backup.target,
    };
    let range = |range: &rpc::Range| RestorableRange { from_ms: range.from_unix_ms, to_ms: range.to_unix_ms };
    let ranges: Vec<RestorableRange> = answer.ranges.iter().map(range).collect();
    let rows: Vec<ListedBackup> = answer.backups.into_iter().map(row).collect();
    at_target::print(context, &rows, &ranges)
}

pub(super) async fn verify(
    context: &Context,
    hub: &AdminClient,
    id: Option<String>,
    (quick, sample): (bool, Option<u8>),
) -> Result<(), Failure> {
    let mode = match (quick, sample) {
        (true, _) => "quick",
        (false, Some(_)) => "sample",
        (false, None) => "full",
    };
    let request = rpc::VerifyBackupRequest {
        id: id.unwrap_or_default(),
        mode: mode.to_owned(),
        sample: sample.unwrap_or_default().into(),
        ..Default::default()
    };
    let (_, found) = wait(hub, hub.verify_backup(request).await?).await?;
    let whole: Vec<_> = found.databases.into_iter().map(|Database { id, root }| (id, root)).collect();
    at_target::print_verified(context, &whole)
}

pub(super) async fn prune(context: &Context, hub: &AdminClient, dry_run: bool) -> Result<(), Failure> {
    let begun = hub.prune_backups(rpc::PruneBackupsRequest { dry_run, ..Default::default() }).await?;
    let (_, found) = wait(hub, begun).await?;
    let freed_bytes = found.pruned.iter().map(|pruned| pruned.freed_bytes).sum();
    let removed: Vec<String> = found.pruned.into_iter().flat_map(|pruned| pruned.removed).collect();
    at_target::print_pruned(context, &removed, freed_bytes)
}

pub(super) async fn restore(context: &Context, hub: &AdminClient, wanted: Restore) -> Result<(), Failure> {
    let Restore { id, database, at, new_name, is_asked } = wanted;
    let replace = new_name.is_none();
    if replace && is_asked {
        output::require_terminal("replace the database")?;
        let warning = format!(
            "this puts a backup in place of {database}: what was written since is lost to the hub, and its clients are told"
        );
        prompt::confirm_name(&database, &warning).await?;
    }
    let request = rpc::RestoreDatabaseRequest {
        confirm_name: if replace { database.clone() } else { String::new() },
        database,
        backup_id: id,
        at,
        new_name: new_name.unwrap_or_default(),
        replace,
        ..Default::default()
    };
    let (job, found) = wait(hub, hub.restore_database(request).await?).await?;
    if context.json {
        return output::json(&job);
    }
    for Restored { id, name, backup, time_unix_ms, lost, held_stores } in found.restored {
        output::row(&[&id, &name, &backup, &UnixMillis(time_unix_ms).to_string()])?;
        if lost > 0 {
            output::note(format_args!(
                "# {lost} later commits are not in it; the file that had them is kept in the trash"
            ));
        }
        if held_stores > 0 {
            output::note(format_args!(
                "# {held_stores} event stores wait for you: ferry events resume if no client has events that are lost, \
                 ferry events remint otherwise"
            ));
        }
    }
    Ok(())
}

/// What becomes of the schedule.
pub(super) enum ScheduleChange {
    Pause,
    /// Whether it goes on at targets, too, that another hub has taken.
    Resume(bool),
}

pub(super) async fn schedule(
    context: &Context,
    hub: &AdminClient,
    change: Option<ScheduleChange>,
) -> Result<(), Failure> {
    // That they are paused is what was asked for.
    let is_pausing = matches!(change, Some(ScheduleChange::Pause));
    let status = match change {
        None => hub.get_backup_status(rpc::GetBackupStatusRequest::default()).await?,
        Some(ScheduleChange::Pause) => hub.pause_backups(rpc::PauseBackupsRequest::default()).await?,
        Some(ScheduleChange::Resume(take_over)) => {
            hub.resume_backups(rpc::ResumeBackupsRequest { take_over, ..Default::default() }).await?
        }
    };
    if context.json {
        return output::json(&status);
    }
    if status.targets.is_empty() {
        output::note("(no target is set: start the hub with --backup-target file:///a/folder)");
    }
    let mut table = Table::new([
        Column::whole("TARGET"),
        Column::whole("STATE"),
        Column::whole("LAST"),
        Column::whole("NEXT"),
        Column::text("ERROR"),
        Column::extra("LAG"),
    ]);
    for target in &status.targets {
        let moment = |unix: i64| Cell::moment(unix.saturating_mul(1000));
        let (last, next) = (moment(target.last_snapshot_unix), moment(target.next_snapshot_unix));
        let lag = format!("{}.{:03}s", target.lag_ms / 1000, target.lag_ms % 1000);
        let (state, error) = ((&target.state).into(), (&target.error).into());
        table.row([(&target.target).into(), state, last, next, error, (&lag).into()]);
    }
    table.print()?;
    let is_wanted = |state: &str| state == "ok" || (is_pausing && state == "paused");
    match status.targets.iter().find(|target| !is_wanted(&target.state)) {
        None => Ok(()),
        Some(late) => Err(Failure::Late(format!("the backups in {} are {}", late.target, late.state))),
    }
}
