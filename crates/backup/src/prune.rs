//! Removing what is no longer kept (OPR-09).

use std::collections::{BTreeMap, BTreeSet};

use ferry_core::backup::{
    PackId, SnapshotId, index,
    log::{LOG_FOLDER, LogBase, LogContents, LogMark, LogObject, LogStart},
    manifest::{Manifest, Scope},
    retention::{self, Retention},
};
use ferry_sqlite::fault;

use crate::{
    Error, JobProgress, Repository, Result, SnapshotVerdict, TargetLock,
    catalog::{index_path, pack_of, pack_path},
    history::is_of,
    log::base_of,
    target_identity::manifest_path,
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
    // What another hub left as this one takes the place of nothing.
    let history = repository.history()?;
    let mut scopes: BTreeMap<(Scope, bool), BTreeMap<SnapshotId, Manifest>> = BTreeMap::new();
    for listed in repository.snapshots()? {
        let manifest = listed.manifest.map_err(|error| nothing_removed(&error))?;
        let scope = (manifest.scope, is_of(&history, &manifest));
        scopes.entry(scope).or_default().insert(listed.id, manifest);
    }
    let mut report = PruneReport::default();
    repository.catalog.begin_marking()?;
    let verdicts = repository.verdicts()?;
    let mut stay: BTreeSet<SnapshotId> =
        scopes.values().flat_map(|manifests| kept(keep, manifests, &verdicts)).collect();
    let all = || scopes.iter().flat_map(|(of, manifests)| manifests.values().map(move |one| (of, one)));
    let of_hubs = all().filter(|((scope, _), _)| *scope == Scope::Hub);
    let whole: Vec<(bool, LogBase<SnapshotId>)> = of_hubs
        .filter(|(_, manifest)| verdicts.get(&manifest.id).is_none_or(|verdict| verdict.is_whole))
        .map(|((_, is_owners), manifest)| (*is_owners, base_of(manifest)))
        .collect();
    let log = match &*whole {
        [] => PrunedLog::default(),
        whole => PrunedLog::find(repository, whole, &mut stay, (now, log_days))?,
    };
    for (_, manifest) in all() {
        if stay.contains(&manifest.id) {
            mark(repository, manifest, progress).map_err(|error| nothing_removed(&error))?;
        } else {
            report.removed.push(manifest.id);
        }
    }
    if !dry_run {
        // Before any snapshot goes that explains why something is not there.
        for start in &log.pruned {
            lock.check()?;
            repository.target.put_new(&LogMark::Pruned(*start).to_string(), b"")?;
            fault::point("backup.prune.mark")?;
        }
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
    /// What is noted before, so that nobody misses them.
    pruned: Vec<LogStart>,
    /// Marks that tell nothing then.
    marks: Vec<LogMark>,
    /// Bytes of each object that lies there.
    bytes: BTreeMap<String, u64>,
}

impl PrunedLog {
    /// Looks what goes, of snapshots that are the owner's or another hub's, and adds the snapshots to `kept` that the rest begins with.
    fn find(
        repository: &Repository,
        whole: &[(bool, LogBase<SnapshotId>)],
        kept: &mut BTreeSet<SnapshotId>,
        (now, days): (i64, u32),
    ) -> Result<Self> {
        let listed = repository.target.list(LOG_FOLDER)?;
        let log = LogContents::of(listed.iter().map(|object| object.path.as_str()));
        let bases: Vec<LogBase<SnapshotId>> = whole.iter().map(|(_, base)| *base).collect();
        let owners: BTreeSet<SnapshotId> =
            whole.iter().filter(|(is_owners, _)| *is_owners).map(|(_, base)| base.name).collect();
        let retained =
            log.retained(&bases, kept, |name| owners.contains(&name), (now.saturating_mul(1000), days));
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
        Ok(Self { objects, pruned: retained.pruned, marks: retained.marks, bytes })
    }

    fn remove(
        self,
        repository: &Repository,
        lock: &dyn TargetLock,
        dry_run: bool,
        report: &mut PruneReport,
    ) -> Result<()> {
        if !dry_run {
            for mark in self.marks {
                lock.check()?;
                repository.target.delete(&mark.to_string())?;
                fault::point("backup.prune.mark")?;
            }
        }
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

/// Those that `keep` names; and as many whole ones where some of these are known to be damaged, or lack what could not be read;
/// and the newest that was found whole, since those after it may not be.
fn kept(
    keep: &Retention,
    manifests: &BTreeMap<SnapshotId, Manifest>,
    verdicts: &BTreeMap<SnapshotId, SnapshotVerdict>,
) -> BTreeSet<SnapshotId> {
    let is =
        |id: &&SnapshotId, whole: bool| verdicts.get(id).is_some_and(|verdict| verdict.is_whole == whole);
    let all: BTreeSet<SnapshotId> = manifests.keys().copied().collect();
    let undamaged: BTreeSet<SnapshotId> = all.iter().filter(|id| !is(id, false)).copied().collect();
    let has_all = |id: &&SnapshotId| manifests[*id].unread_count == 0;
    let complete: BTreeSet<SnapshotId> = undamaged.iter().filter(has_all).copied().collect();
    let mut kept = BTreeSet::new();
    for these in [&all, &undamaged, &complete] {
        kept.extend(retention::kept(keep, these));
    }
    // A partial one counts only where none that has all comes behind it.
    let last_complete = complete.last();
    kept.extend(all.iter().rev().find(|id| is(id, true) && last_complete.is_none_or(|last| *id >= last)));
    kept.extend(complete.iter().rev().find(|id| is(id, true)));
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
