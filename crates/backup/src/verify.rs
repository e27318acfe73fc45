//! Whether a snapshot restores (OPR-10).

use std::{collections::BTreeSet, path::Path};

use ferry_core::{
    backup::{
        ChunkId, SnapshotId,
        manifest::{BackedUpDatabase, Manifest, SnapshotDatabase},
    },
    pages::tree,
};
use ferry_types::Root;

use crate::{
    Error, JobProgress, LogReplay, Repository, Result, SnapshotVerdict,
    catalog::pack_path,
    error::AtPath as _,
    restore::{check_integrity, restore_file},
};

/// How much of it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyMode {
    /// Each database is restored into a scratch file, and compared.
    Full,
    /// Every object that is named is there, with its length.
    Quick,
    /// As `Full`, but of this share of the databases, in percent; which ones follows from the number.
    Sample(u8, u64),
}

/// What was found of a database.
#[derive(Debug)]
pub struct VerifiedDatabase {
    /// Which one.
    pub id: SnapshotDatabase,
    /// Its root, in hexadecimal; or what is wrong with it.
    pub found: Result<String>,
}

/// Verifies a snapshot, and notes on the target what was found. Each database that was looked at is told to `each`. `now` is
/// in Unix seconds.
///
/// # Errors
/// When its manifest or its lists are missing or damaged; what is wrong with a database is told to `each`.
pub fn verify(
    repository: &Repository,
    id: SnapshotId,
    (mode, scratch): (VerifyMode, &Path),
    now: i64,
    progress: &JobProgress,
    mut each: impl FnMut(VerifiedDatabase),
) -> Result<Manifest> {
    let mut wrong = Vec::new();
    // What is wrong with the log is no fault of the snapshot's.
    let (plan, lost) = match repository.manifest(id) {
        Ok(manifest) => repository.following(&manifest).map(|(plan, lost)| (Some(plan), lost))?,
        // Told by whoever looks at it next.
        Err(_) => (None, Vec::new()),
    };
    let replay = match (mode, plan) {
        (VerifyMode::Full | VerifyMode::Sample(..), Some(plan)) if !plan.intervals.is_empty() => {
            LogReplay::collect(repository, &plan, &scratch.join("log"), &|_| true, progress).map(Some)
        }
        _ => Ok(None),
    };
    let played = replay.as_ref().ok().and_then(Option::as_ref);
    let looked = look(repository, id, (mode, scratch, played), progress, |found, is_of_log| {
        if let (Err(error), false) = (&found.found, is_of_log) {
            wrong.push(format!("database {}: {error}", found.id));
        }
        each(found);
    });
    match &looked {
        Err(error @ Error::Damaged { .. }) => wrong.push(error.to_string()),
        Err(_) => return looked,
        Ok(_) => {}
    }
    // That a part of it is whole takes back nothing that was found of all of it.
    if mode == VerifyMode::Full || !wrong.is_empty() {
        repository.set_verdict(
            id,
            SnapshotVerdict { at: now, is_whole: wrong.is_empty() },
            &wrong.join("\n"),
        )?;
    }
    let manifest = looked?;
    replay?;
    for missing in &lost {
        for id in missing.databases() {
            each(VerifiedDatabase { id: *id, found: Err(missing.error(None)) });
        }
    }
    lost.first().map_or(Ok(manifest), |missing| Err(missing.error(None)))
}

fn look(
    repository: &Repository,
    id: SnapshotId,
    (mode, scratch, replay): (VerifyMode, &Path, Option<&LogReplay>),
    progress: &JobProgress,
    mut each: impl FnMut(VerifiedDatabase, bool),
) -> Result<Manifest> {
    let manifest = repository.manifest(id)?;
    progress.begin(manifest.database_count);
    ferry_sqlite::folder::create(scratch).at("cannot make the folder", scratch)?;
    for file in &manifest.files {
        repository.content(file.chunk)?;
    }
    let mut looked = BTreeSet::new();
    let mut lacking: BTreeSet<SnapshotDatabase> =
        replay.into_iter().flat_map(LogReplay::databases).map(|piece| piece.id).collect();
    let scratched = Scratched { repository, scratch, replay, progress };
    repository.databases(&manifest, |repository, entry| {
        progress.check()?;
        lacking.remove(&entry.id);
        let found = match mode {
            VerifyMode::Quick => {
                Some(quick(repository, &entry, &mut looked).map(|()| Ok(entry.image().root)))
            }
            VerifyMode::Sample(percent, seed) if !is_sampled(entry.id, percent, seed) => None,
            VerifyMode::Full | VerifyMode::Sample(..) => Some(scratched.full(entry.id, Some(&entry))),
        };
        progress.step();
        found.map_or(Ok(()), |found| tell(entry.id, found, &mut each))
    })?;
    for id in lacking {
        let is_wanted = match mode {
            VerifyMode::Sample(percent, seed) => is_sampled(id, percent, seed),
            VerifyMode::Full | VerifyMode::Quick => true,
        };
        if is_wanted {
            tell(id, scratched.full(id, None), &mut each)?;
        }
    }
    Ok(manifest)
}

/// The root that was found, or what is wrong with the snapshot; inside, what is wrong with the log.
type Found = Result<Result<Root>>;

/// Tells what was found, unless it is that nothing can be found.
fn tell(id: SnapshotDatabase, found: Found, each: &mut impl FnMut(VerifiedDatabase, bool)) -> Result<()> {
    let (found, is_of_log) = match found {
        Ok(found) => (found, true),
        Err(error) => (Err(error), false),
    };
    match found {
        Err(error @ (Error::Cancelled | Error::Io { .. } | Error::Unreachable(_) | Error::Refused(_))) => {
            Err(error)
        }
        found => {
            each(VerifiedDatabase { id, found: found.map(|root| root.to_string()) }, is_of_log);
            Ok(())
        }
    }
}

fn is_sampled(id: SnapshotDatabase, percent: u8, seed: u64) -> bool {
    let digest = blake3::hash(format!("{seed} {id}").as_bytes());
    let number = u32::from_le_bytes(*digest.as_bytes().first_chunk().expect("BUG: a digest has 32 bytes"));
    number % 100 < u32::from(percent) || id == SnapshotDatabase::Control
}

/// Databases are restored into scratch files, one after the other.
struct Scratched<'a> {
    repository: &'a Repository,
    scratch: &'a Path,
    replay: Option<&'a LogReplay>,
    progress: &'a JobProgress,
}

impl Scratched<'_> {
    /// Restores a database as the snapshot has it, if it does, and then plays upon it what the log has of it.
    fn full(&self, id: SnapshotDatabase, entry: Option<&BackedUpDatabase>) -> Found {
        let file = self.scratch.join(format!("{id}.db"));
        let _ = std::fs::remove_file(&file);
        let found = self.restored(id, entry, &file);
        let _ = std::fs::remove_file(&file);
        found
    }

    fn restored(&self, id: SnapshotDatabase, entry: Option<&BackedUpDatabase>, file: &Path) -> Found {
        let name = id.to_string();
        // A replica's schema is somebody else's: that its root is the one that was pushed says all of it.
        let check = |kind: &str| if kind == "replica" { Ok(()) } else { check_integrity(file, &name) };
        if let Some(entry) = entry {
            restore_file(self.repository, entry, file, self.progress)?;
            check(&entry.kind)?;
        }
        let root = entry.map_or_else(tree::empty_root, |entry| entry.image().root);
        let Some(replay) = self.replay else { return Ok(Ok(root)) };
        let seq = entry.and_then(BackedUpDatabase::shown_seq);
        let is_unread = entry.is_some_and(|entry| entry.unread.is_some());
        let played = replay.apply(id, (seq, is_unread), file, self.progress);
        Ok(played.and_then(|piece| match piece {
            None => Ok(root),
            Some(piece) => check(&piece.kind).map(|()| piece.image().root),
        }))
    }
}

fn quick(repository: &Repository, entry: &BackedUpDatabase, looked: &mut BTreeSet<ChunkId>) -> Result<()> {
    for (part, entries) in entry.map_parts() {
        // Parts are shared: each is looked at once.
        if !looked.insert(part) {
            continue;
        }
        for map_entry in repository.map_part(part, entries)? {
            map_entry.chunks().try_for_each(|chunk| is_there(repository, chunk))?;
        }
    }
    Ok(())
}

fn is_there(repository: &Repository, chunk: ChunkId) -> Result<()> {
    let Some(place) = repository.catalog.find(chunk)? else {
        return Err(Error::damaged("index", format!("no index says where the chunk {chunk} stands")));
    };
    if repository.catalog.is_present(place.pack)? {
        return Ok(());
    }
    Err(Error::damaged(pack_path(place.pack), "it is missing, or has another length than it had"))
}
