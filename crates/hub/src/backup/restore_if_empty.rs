//! An empty data directory is filled from the newest backup before the hub begins (OPR-24). All of it is fetched and compared
//! in a folder in it, since the directory itself may be a disk of its own; then each part gets its place, control.db last, so
//! that a start which is cut short goes on.

use std::{fs, io, path::Path};

use ferry_backup::{
    Error, HubPlan, HubRestore, JobProgress, Repository, RestoreStamp, RestoredCredentials, open_target,
    restore_hub,
};
use ferry_sqlite::{fault, folder};
use ferry_types::{Clock, Seq, UnixMillis};

use super::service::random;
use crate::{
    config::{BackupConfig, ConfigError},
    data_dir::{FILLING, first_content},
};

/// Where a target has its snapshots.
const SNAPSHOTS: &str = "snapshots";
/// What was restored, until all of it has its place.
const WHOLE: &str = "hub";
/// What the operator may have put there, and stays.
const KEPT: [&str; 2] = ["keyring.json", "operator.token"];
/// Whose place says that all of it has one.
const LAST: &str = "control.db";

/// Fills `dir`, which this process holds, if it is empty and the settings say so. To be called where waiting is allowed.
///
/// # Errors
/// When no target has a backup and one cannot be read, or the backup cannot be restored: a hub that began anew there would
/// seem to have lost everything.
pub(crate) fn restore_if_empty(
    dir: &Path,
    config: &BackupConfig,
    clock: &dyn Clock,
) -> Result<(), ConfigError> {
    let work = dir.join(FILLING);
    let failed = |error: io::Error| ConfigError(format!("data_dir {}: {error}", dir.display()));
    if work.join(WHOLE).exists() {
        return take_over(dir, &work).map_err(failed);
    }
    if dir.join(LAST).exists() {
        return Ok(());
    }
    if let Some(name) = first_content(dir).map_err(failed)? {
        if config.restore_if_empty {
            return Err(ConfigError(format!(
                "backup.restore_if_empty: {} is neither empty nor a hub's: it holds {name}, and no control.db. Move that away, so that \
                 the hub is restored; without the setting a new hub begins beside it",
                dir.display()
            )));
        }
        return Ok(());
    }
    // Of a restore that was cut short.
    match fs::remove_dir_all(&work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    if !config.restore_if_empty {
        return Ok(());
    }
    let found = newest(config)?;
    let mut refused = None;
    for (repository, HubPlan { plan, .. }) in found {
        folder::create(&work).map_err(failed)?;
        let id = plan.base.name;
        let wanted = HubRestore {
            plan,
            to: work.join(WHOLE),
            credentials: RestoredCredentials::End,
            check: true,
            stamp: stamp(clock).map_err(|error| ConfigError(error.to_string()))?,
        };
        match restore_hub(&repository, &wanted, &JobProgress::default()) {
            Ok(report) => {
                fault::point("fill.whole").map_err(|error| ConfigError(error.to_string()))?;
                take_over(dir, &work).map_err(failed)?;
                tracing::warn!(
                    backup = %id, backup_target = repository.url(), reached = %UnixMillis(report.time_ms),
                    databases = report.databases, has_keys = report.has_keys,
                    "the data directory was empty, and is restored from the newest backup"
                );
                for line in &report.unread {
                    tracing::warn!(
                        line,
                        "could not be read when the backup was taken: it is of the time behind it, or empty"
                    );
                }
                for line in &report.review {
                    // Of operators the id alone: the log has no addresses.
                    let line =
                        line.find("\toperator\t").map_or(&**line, |end| &line[..end + "\toperator".len()]);
                    tracing::warn!(line, "valid again, whatever was revoked since: look through them");
                }
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(backup = %id, backup_target = repository.url(), %error, "a backup does not restore");
                refused.get_or_insert_with(|| format!("{id} in {}: {error}", repository.url()));
            }
        }
    }
    let _ = fs::remove_dir_all(&work);
    refused.map_or(Ok(()), |error| Err(unrestored(dir, &error)))
}

fn unrestored(dir: &Path, error: &dyn std::fmt::Display) -> ConfigError {
    ConfigError(format!(
        "backup.restore_if_empty: {} is empty, and the newest backup does not restore: {error}. Mend that, or restore another one \
         (ferry backup list --target …, ferry backup restore ID --to DIR); without the setting a new hub begins",
        dir.display()
    ))
}

/// What is read to restore the newest backup of a whole hub, and what was shipped after it, of each target that has it, the one that
/// reaches furthest first; none at all: no target has any.
fn newest(config: &BackupConfig) -> Result<Vec<(Repository, HubPlan)>, ConfigError> {
    let (mut found, mut failed) = (Vec::new(), None);
    for url in &config.targets {
        match newest_on(url, config) {
            Ok(Some(one)) => found.push(one),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(backup_target = %url, %error, "a target cannot be read");
                failed = failed.or(Some(format!("{url}: {error}")));
            }
        }
    }
    if found.is_empty()
        && let Some(error) = failed
    {
        return Err(ConfigError(format!(
            "backup.restore_if_empty: whether there are backups cannot be told: {error}. No hub begins until it can"
        )));
    }
    found.sort_by_key(|(_, found)| std::cmp::Reverse((found.plan.reached_ms(), found.plan.base.name)));
    if let Some((_, best)) = found.first() {
        // One that is damaged on one target may be whole on another.
        let lacking = found.iter().find_map(|(repository, found)| {
            let reached = best.plan.reached_ms();
            let lacking = found.lacking.as_ref().filter(|lacking| lacking.until_ms > reached)?;
            Some(format!(
                "{}: snapshots/{}.json: {}; {}",
                repository.url(),
                lacking.id,
                lacking.what,
                best.instead()
            ))
        });
        if let Some(lacking) = lacking {
            return Err(ConfigError(format!(
                "backup.restore_if_empty: the newest backup is damaged, and an older one is not taken in its place unasked: \
                 {lacking} (ferry backup restore … --to DIR)"
            )));
        }
    }
    let newest = found.first().map(|(_, found)| found.plan.base.name);
    found.retain(|(_, found)| Some(found.plan.base.name) == newest);
    Ok(found)
}

fn newest_on(url: &str, config: &BackupConfig) -> ferry_backup::Result<Option<(Repository, HubPlan)>> {
    let target = open_target(url, &config.access)?;
    // A folder that is missing may be on a disk that is not mounted.
    if let Some(path) = url.strip_prefix("file://").map(Path::new)
        && !path.is_dir()
    {
        return Err(Error::Unreachable(format!(
            "{url} is not there: mount its disk, or make the folder for a hub that is to begin anew"
        )));
    }
    let has_snapshots = !target.list(SNAPSHOTS)?.is_empty();
    let repository = match Repository::open(target, config.access.key.as_ref(), None) {
        Err(Error::NotFound(_)) if !has_snapshots => return Ok(None),
        opened => opened?,
    };
    match repository.hub_plan(None) {
        Err(Error::NotFound(_)) => Err(Error::NotFound(format!(
            "{url} belongs to a hub, and has no backup of a whole one: name another target for a hub that is to begin anew"
        ))),
        plan => Ok(Some((repository, plan?))),
    }
}

/// Gives each part of what was restored its place in `dir`.
fn take_over(dir: &Path, work: &Path) -> io::Result<()> {
    let whole = work.join(WHOLE);
    let mut names: Vec<_> =
        fs::read_dir(&whole)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<_>>()?;
    names.sort_by_key(|name| name == LAST);
    for name in names {
        // Whoever put one of these there first meant it.
        if KEPT.iter().any(|kept| name == *kept) && dir.join(&name).exists() {
            continue;
        }
        fs::rename(whole.join(&name), dir.join(&name))?;
        folder::sync(dir)?;
        fault::point("fill.moved").map_err(io::Error::other)?;
    }
    fs::remove_dir_all(work)?;
    folder::sync(dir)
}

fn stamp(clock: &dyn Clock) -> ferry_types::Result<RestoreStamp> {
    let now = clock.now();
    Ok(RestoreStamp {
        epoch: format!("{:08x}{:08x}", random()?, random()?),
        now,
        above: Seq(0),
        break_number: now.0,
        run: None,
        new_identity: None,
    })
}
