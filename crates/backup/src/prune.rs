//! Removing what is no longer kept (OPR-09).

use std::collections::{BTreeMap, BTreeSet};

use ferry_core::backup::{
    PackId, SnapshotId, index,
    log::{LOG_FOLDER, LogBase, LogContents, LogObject},
    manifest::{Manifest, Scope},
    retention::{self, Retention},
};
use ferry_sqlite::fault;

use crate::{
    Error, JobProgress, Repository, Result, SnapshotVerdict, TargetLock,
    catalog::{index_path, pack_of, pack_path},
    log::base_of,
    repository::manifest_path,
};

/// How long what no snapshot names stays, in seconds: one may be under way.
const GARBAGE_SECONDS: i64 = 24 * 3600;

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Snapshots.
    pub removed: Vec<SnapshotId>,
    /// Bytes.
    pub freed_bytes: u64,
}

/// Removes the snapshots that `keep` does not name and the log of the last `log_days` does not begin with, what of the log is older,
/// and the packs that none of the others needs. `now`, in Unix seconds, is the target's time. With `dry_run` nothing is removed.
///
/// # Errors
/// When a manifest or a list is damaged, since nobody knows what it needs: then nothing is removed. When the target cannot be
/// read or written; then some of it may be removed, and another prune goes on.
pub fn prune(
    repository: &mut Repository,
    (keep, log_days): (&Retention, u32),
    (now, dry_run): (i64, bool),
    progress: &JobProgress,
) -> Result<PruneReport> {
    let lock = repository.target.lock()?;
    repository.catalog.sync(&*repository.target)?;
    let mut scopes: BTreeMap<Scope, BTreeMap<SnapshotId, Manifest>> = BTreeMap::new();
    for listed in repository.snapshots()? {
        let manifest = listed.manifest.map_err(|error| nothing_removed(&error))?;
        scopes.entry(manifest.scope).or_default().insert(listed.id, manifest);
    }
    let mut report = PruneReport::default();
    repository.catalog.begin_marking()?;
    let verdicts = repository.verdicts()?;
    let mut log = PrunedLog::default();
    for (scope, manifests) in &scopes {
        let mut kept = kept(keep, &manifests.keys().copied().collect(), &verdicts);
        if *scope == Scope::Hub {
            let whole =
                manifests.values().filter(|manifest| verdicts.get(&manifest.id).is_none_or(|v| v.is_whole));
            let bases: Vec<LogBase<SnapshotId>> = whole.map(base_of).collect();
            log = PrunedLog::find(repository, &bases, &mut kept, (now, log_days))?;
        }
        for (id, manifest) in manifests {
            if kept.contains(id) {
                mark(repository, manifest, progress).map_err(|error| nothing_removed(&error))?;
            } else {
                report.removed.push(*id);
            }
        }
    }
    if !dry_run {
        for id in &report.removed {
            lock.check()?;
            repository.target.delete(&manifest_path(*id))?;
            fault::point("backup.prune.manifest")?;
        }
        repository.forget_verdicts(|(id, _)| report.removed.contains(&id))?;
    }
    log.remove(repository, &*lock, dry_run, &mut report)?;
    remove_packs(repository, &*lock, (now - GARBAGE_SECONDS, dry_run), &mut report)?;
    if !dry_run {
        repository.target.remove_leftovers(now - GARBAGE_SECONDS)?;
    }
    Ok(report)
}

/// What of the log goes.
#[derive(Default)]
struct PrunedLog {
    objects: Vec<LogObject>,
    /// Bytes of each object that lies there.
    bytes: BTreeMap<String, u64>,
}

impl PrunedLog {
    /// Looks what goes, and adds the snapshots to `kept` that the rest begins with.
    fn find(
        repository: &Repository,
        bases: &[LogBase<SnapshotId>],
        kept: &mut BTreeSet<SnapshotId>,
        (now, days): (i64, u32),
    ) -> Result<Self> {
        let listed = repository.target.list(LOG_FOLDER)?;
        let log = LogContents::of(listed.iter().map(|object| object.path.as_str()));
        let retained = log.retained(bases, kept, (now.saturating_mul(1000), days));
        kept.extend(retained.needed);
        let made: BTreeMap<&str, i64> =
            listed.iter().map(|object| (object.path.as_str(), object.made)).collect();
        // Of an interval that lacks a part some may be on their way.
        let is_old = |object: &LogObject| {
            made.get(object.to_string().as_str()).is_some_and(|made| *made < now - GARBAGE_SECONDS)
        };
        let mut objects: Vec<LogObject> = retained.unfinished.into_iter().filter(is_old).collect();
        // The last part first: without it the others are none.
        objects.extend(
            retained.removed.iter().flat_map(|one| one.objects().collect::<Vec<_>>().into_iter().rev()),
        );
        let bytes = listed.iter().map(|object| (object.path.clone(), object.bytes)).collect();
        Ok(Self { objects, bytes })
    }

    fn remove(
        self,
        repository: &Repository,
        lock: &dyn TargetLock,
        dry_run: bool,
        report: &mut PruneReport,
    ) -> Result<()> {
        for path in self.objects.iter().map(LogObject::to_string) {
            report.freed_bytes += self.bytes.get(&path).copied().unwrap_or(0);
            if !dry_run {
                lock.check()?;
                repository.target.delete(&path)?;
                fault::point("backup.prune.log")?;
            }
        }
        Ok(())
    }
}

/// Those that `keep` names; and as many whole ones where some of these are known to be damaged; and the newest that was
/// found whole, since those after it may not be.
fn kept(
    keep: &Retention,
    all: &BTreeSet<SnapshotId>,
    verdicts: &BTreeMap<SnapshotId, SnapshotVerdict>,
) -> BTreeSet<SnapshotId> {
    let is =
        |id: &&SnapshotId, whole: bool| verdicts.get(id).is_some_and(|verdict| verdict.is_whole == whole);
    let undamaged = all.iter().filter(|id| !is(id, false)).copied().collect();
    let mut kept = retention::kept(keep, all);
    kept.extend(retention::kept(keep, &undamaged));
    kept.extend(all.iter().rev().find(|id| is(id, true)));
    kept
}

fn nothing_removed(error: &Error) -> Error {
    match error {
        Error::Damaged { object, what } => Error::damaged(
            object,
            format!(
                "{what}; nothing is removed, since nobody knows what else it needs: see `ferry backup verify`"
            ),
        ),
        Error::Cancelled => Error::Cancelled,
        Error::Unreachable(what) => Error::Unreachable(format!("nothing is removed: {what}")),
        other => Error::Invalid(format!("nothing is removed: {other}")),
    }
}

/// Notes all that a snapshot needs.
fn mark(repository: &Repository, manifest: &Manifest, progress: &JobProgress) -> Result<()> {
    for chunk in manifest.files.iter().map(|file| file.chunk).chain(manifest.databases.iter().copied()) {
        repository.catalog.mark(chunk)?;
    }
    repository.databases(manifest, |repository, entry| {
        progress.check()?;
        for (part, entries) in entry.map_parts() {
            // Parts are shared between snapshots: each is read once.
            if !repository.catalog.mark(part)? {
                continue;
            }
            for map_entry in repository.map_part(part, entries)? {
                for chunk in map_entry.chunks() {
                    repository.catalog.mark(chunk)?;
                }
            }
        }
        Ok(())
    })
}

/// Removes packs that nobody needs and that are old enough. First they go from their indexes, so that whatever an index
/// names and the target lacks was lost.
fn remove_packs(
    repository: &mut Repository,
    lock: &dyn TargetLock,
    (before, dry_run): (i64, bool),
    report: &mut PruneReport,
) -> Result<()> {
    let unneeded: BTreeMap<PackId, String> = repository.catalog.unneeded_packs()?.into_iter().collect();
    let mut doomed = BTreeSet::new();
    for object in repository.target.list("packs")? {
        let Some(pack) = pack_of(&object.path) else { continue };
        let is_garbage = unneeded.contains_key(&pack) || !repository.catalog.is_known(pack)?;
        if is_garbage && object.made < before {
            doomed.insert(pack);
            report.freed_bytes += object.bytes;
        }
    }
    if dry_run {
        return Ok(());
    }
    let indexes: BTreeSet<&String> = doomed.iter().filter_map(|pack| unneeded.get(pack)).collect();
    for name in indexes {
        lock.check()?;
        shorten_index(repository, name, &doomed)?;
    }
    for pack in doomed {
        lock.check()?;
        repository.target.delete(&pack_path(pack))?;
        fault::point("backup.prune.pack")?;
    }
    Ok(())
}

/// Puts an index without these packs in the place of one with them; none if nothing is left.
fn shorten_index(repository: &mut Repository, name: &str, without: &BTreeSet<PackId>) -> Result<()> {
    let mut packs = repository.catalog.packs_of_index(name)?;
    packs.retain(|pack| !without.contains(&pack.pack));
    let snapshot = name.split_once('.').map_or(name, |(snapshot, _)| snapshot);
    let mut shorter = None;
    if !packs.is_empty() {
        let bytes = index::encode(&packs);
        let names = (1_u32..).map(|number| format!("{snapshot}.{number}"));
        for name in names {
            if repository.target.put_new(&index_path(&name), &bytes)? {
                shorter = Some(name);
                break;
            }
        }
    }
    fault::point("backup.prune.index")?;
    repository.target.delete(&index_path(name))?;
    repository.catalog.forget_index(name)?;
    match shorter {
        Some(shorter) => repository.catalog.add_index(&shorter, &packs, true),
        None => Ok(()),
    }
}
