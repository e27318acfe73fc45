//! Whether a snapshot restores (OPR-10).

use std::{collections::BTreeSet, path::Path};

use ferry_core::backup::{
    ChunkId, SnapshotId,
    manifest::{BackedUpDatabase, Manifest, SnapshotDatabase},
};

use crate::{
    Error, JobProgress, Repository, Result, SnapshotVerdict,
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
    let looked = look(repository, id, (mode, scratch), progress, |found| {
        if let Err(error) = &found.found {
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
    looked
}

fn look(
    repository: &Repository,
    id: SnapshotId,
    (mode, scratch): (VerifyMode, &Path),
    progress: &JobProgress,
    mut each: impl FnMut(VerifiedDatabase),
) -> Result<Manifest> {
    let manifest = repository.manifest(id)?;
    progress.begin(manifest.database_count);
    ferry_sqlite::folder::create(scratch).at("cannot make the folder", scratch)?;
    for file in &manifest.files {
        repository.content(file.chunk)?;
    }
    let mut looked = BTreeSet::new();
    repository.databases(&manifest, |repository, entry| {
        progress.check()?;
        let found = match mode {
            VerifyMode::Quick => Some(quick(repository, &entry, &mut looked)),
            VerifyMode::Sample(percent, seed) if !is_sampled(&entry, percent, seed) => None,
            VerifyMode::Full | VerifyMode::Sample(..) => Some(full(repository, &entry, scratch, progress)),
        };
        progress.step();
        match found {
            None => Ok(()),
            Some(Err(
                error @ (Error::Cancelled | Error::Io { .. } | Error::Unreachable(_) | Error::Refused(_)),
            )) => Err(error),
            Some(found) => {
                let found = found.map(|()| entry.image().root.to_string());
                each(VerifiedDatabase { id: entry.id, found });
                Ok(())
            }
        }
    })?;
    Ok(manifest)
}

fn is_sampled(entry: &BackedUpDatabase, percent: u8, seed: u64) -> bool {
    let digest = blake3::hash(format!("{seed} {}", entry.id).as_bytes());
    let number = u32::from_le_bytes(*digest.as_bytes().first_chunk().expect("BUG: a digest has 32 bytes"));
    number % 100 < u32::from(percent) || entry.id == SnapshotDatabase::Control
}

fn full(
    repository: &Repository,
    entry: &BackedUpDatabase,
    scratch: &Path,
    progress: &JobProgress,
) -> Result<()> {
    let file = scratch.join(format!("{}.db", entry.id));
    let _ = std::fs::remove_file(&file);
    let name = entry.id.to_string();
    // A replica's schema is somebody else's: that its root is the one that was pushed says all of it.
    let check = || if entry.kind == "replica" { Ok(()) } else { check_integrity(&file, &name) };
    let verified = restore_file(repository, entry, &file, progress).and_then(|()| check());
    let _ = std::fs::remove_file(&file);
    verified
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
