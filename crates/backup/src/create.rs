//! Taking a snapshot: each database in turn, then the lists, the index, and last the manifest. Until that is there, there is
//! no snapshot, and what was stored for it is garbage.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ferry_core::backup::{
    ChunkId, SnapshotId, index,
    log::{LogSpan, LogStart},
    manifest::{
        self, BackedUpDatabase, FileEntry, ImageShape, Manifest, PART_DATABASES, Scope, SnapshotDatabase,
    },
    map::{self, MapEntry, PART_ENTRIES},
};
use ferry_sqlite::{
    fault,
    pages::dbpage::{Schema, Snapshot},
};
use ferry_types::{DatabaseId, Root, RunId};

use crate::{
    DatabaseFileIdentity, Error, ImageReader, JobProgress, LogReplay, Repository, Result, TargetLock,
    catalog::index_path,
    error::AtPath as _,
    image::{ImageTaker, TakenImage},
    log::base_of,
    packs::Packs,
    replay::restore_replayed,
    target_identity::manifest_path,
};

/// How old is what a process left that did not finish writing it, at least.
const LEFTOVER_SECONDS: i64 = 60 * 60;

/// What a snapshot that begins is to be.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// Its name, unless the newest that is there sorts behind it: then a later one.
    pub id: SnapshotId,
    /// The moment, in Unix milliseconds.
    pub time_ms: i64,
    /// Of what.
    pub scope: Scope,
    /// Where the log goes on; `None`: none is shipped.
    pub log: Option<LogStart>,
    /// What of the log is on the target already, without a gap.
    pub shipped: Option<LogSpan>,
    /// The run that takes it; `None`: the hub names none.
    pub run: Option<RunId>,
    /// The program that makes it.
    pub hub_version: String,
    /// Where packs wait for the target.
    pub spool: PathBuf,
}

/// A snapshot that is being taken.
pub struct SnapshotWriter<'a> {
    repository: &'a mut Repository,
    manifest: Manifest,
    packs: Packs,
    entries: Vec<BackedUpDatabase>,
    /// What the newest snapshot of this scope has.
    last: BTreeMap<SnapshotDatabase, BackedUpDatabase>,
    last_id: Option<SnapshotId>,
    identities: Vec<(String, DatabaseFileIdentity)>,
    is_damaged: bool,
    /// Where files may lie meanwhile.
    scratch: PathBuf,
    lock: Box<dyn TargetLock>,
}

impl<'a> SnapshotWriter<'a> {
    /// Begins one.
    ///
    /// # Errors
    /// When the target cannot be read, or somebody else changes it.
    pub fn begin(repository: &'a mut Repository, new: &NewSnapshot) -> Result<Self> {
        let lock = repository.target.lock()?;
        // Of a process that was killed: what is being written is younger, and an hour is enough for clocks that differ.
        repository.target.remove_leftovers(new.time_ms / 1000 - LEFTOVER_SECONDS)?;
        repository.catalog.sync(&*repository.target)?;
        repository.note_found_damage()?;
        let listed = repository.snapshots()?;
        // By its name, and by its moment, it comes after all that is there, wherever the clock was set to.
        let newest_id = listed.first().map(|newest| newest.id);
        let whole: Vec<Manifest> = listed.into_iter().filter_map(|listed| listed.manifest.ok()).collect();
        let newest_ms = whole.iter().map(|manifest| base_of(manifest).time_ms).max();
        let newest_ms = newest_ms.max(repository.log()?.newest_ms());
        let newest = whole.into_iter().find(|manifest| manifest.scope == new.scope);
        let mut last = BTreeMap::new();
        let mut is_damaged = !repository.catalog.is_whole()?;
        if let Some(newest) = &newest {
            let read = repository.databases(newest, |_, entry| {
                last.insert(entry.id, entry);
                Ok(())
            });
            match read {
                Err(Error::Damaged { .. }) => is_damaged = true,
                other => other?,
            }
        }
        let id = newest_id.map_or(new.id, |newest| new.id.after(newest));
        let mut manifest = Manifest::new(id, new.time_ms, new.scope);
        manifest.hub_id.clone_from(&repository.identity().hub_id);
        manifest.hub_version.clone_from(&new.hub_version);
        (manifest.log, manifest.shipped, manifest.run) = (new.log, new.shipped, new.run);
        manifest.read_ms = newest_ms.filter(|newest| *newest >= new.time_ms).map(|newest| newest + 1);
        let packs = Packs::new(id, &new.spool, repository.key.clone())?;
        Ok(Self {
            repository,
            manifest,
            packs,
            entries: Vec::new(),
            last,
            last_id: newest.map(|newest| newest.id),
            identities: Vec::new(),
            is_damaged,
            scratch: new.spool.clone(),
            lock,
        })
    }

    /// What the last snapshot has of a database whose files are as it read them. It is taken over unopened (OPR-04).
    ///
    /// # Errors
    /// When what is known of the target cannot be read.
    pub fn unchanged(
        &self,
        id: SnapshotDatabase,
        identity: Option<&DatabaseFileIdentity>,
    ) -> Result<Option<BackedUpDatabase>> {
        let (Some(last_id), Some(identity), false) = (self.last_id, identity, self.is_damaged) else {
            return Ok(None);
        };
        let is_unchanged = self.repository.catalog.is_unchanged(&id.to_string(), last_id, identity)?;
        Ok(self.last.get(&id).filter(|_| is_unchanged).cloned())
    }

    /// The map that the last snapshot has of a database: read before the database is, so that nothing is fetched from the
    /// target meanwhile.
    ///
    /// # Errors
    /// When it cannot be read; one that is damaged is none.
    pub fn last_map(&self, id: SnapshotDatabase) -> Result<Vec<MapEntry>> {
        let mut map = Vec::new();
        let Some(entry) = self.last.get(&id) else { return Ok(map) };
        for (part, entries) in entry.map_parts() {
            match self.repository.map_part(part, entries) {
                Err(Error::Damaged { .. }) => return Ok(Vec::new()),
                read => map.extend(read?),
            }
        }
        Ok(map)
    }

    /// Reads an image, of which the last snapshot had `last`.
    ///
    /// # Errors
    /// When it cannot be read, or what is new not be stored.
    pub fn take<R: ImageReader + ?Sized>(
        &mut self,
        image: &R,
        last: &[MapEntry],
        progress: &JobProgress,
    ) -> Result<TakenImage> {
        let (packs, is_damaged) = (&mut self.packs, self.is_damaged);
        ImageTaker { catalog: &mut self.repository.catalog, packs, last, is_damaged }.take(image, progress)
    }

    /// Stores the map of an image. What the database is called is the caller's to add.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn entry(&mut self, id: SnapshotDatabase, image: &TakenImage) -> Result<BackedUpDatabase> {
        let mut parts = Vec::new();
        for part in image.map.chunks(PART_ENTRIES as usize) {
            parts.push(self.add_content(&map::encode_part(part))?);
        }
        let mut entry = BackedUpDatabase::new(id, &image.shape, parts);
        entry.schema = image.schema;
        Ok(entry)
    }

    /// What the target has of a database whose own file cannot be read, with what its log has; that may be nothing.
    ///
    /// # Errors
    /// When the target cannot be read. What is damaged there is none.
    pub fn take_last(&mut self, id: DatabaseId, progress: &JobProgress) -> Result<BackedUpDatabase> {
        let scratch = self.scratch.join("unread");
        std::fs::create_dir_all(&scratch).at("cannot make the folder", &scratch)?;
        let taken = self.taken_again(SnapshotDatabase::Main(id), &scratch, progress);
        std::fs::remove_dir_all(&scratch).at("cannot remove", &scratch)?;
        match taken {
            Err(Error::NotFound(_) | Error::Damaged { .. }) => {
                let mut entry = Self::empty_entry(SnapshotDatabase::Main(id));
                entry.unread = Some(0);
                Ok(entry)
            }
            taken => taken,
        }
    }

    fn taken_again(
        &mut self,
        id: SnapshotDatabase,
        scratch: &Path,
        progress: &JobProgress,
    ) -> Result<BackedUpDatabase> {
        let plan = self.repository.plan(None, None)?;
        let manifest = self.repository.manifest(plan.base.name)?;
        let based = self.repository.database_in(&manifest, &id.to_string())?;
        let (log, file) = (scratch.join("log"), scratch.join("main.db"));
        let replay = LogReplay::collect(self.repository, &plan, &log, &|piece| piece.id == id, progress)?;
        let has_more = replay.has(id);
        // It need not be brought here to stay where it is.
        if let Some(mut entry) = based.clone()
            && !has_more
            && !self.is_damaged
        {
            entry.unread.get_or_insert(manifest.time_ms);
            return Ok(entry);
        }
        let restored =
            restore_replayed(self.repository, (id, based.as_ref()), Some(&replay), &file, progress)?;
        drop(replay);
        let nothing = || Error::NotFound(format!("the target has nothing of {id}"));
        let restored = restored.filter(|_| file.exists()).ok_or_else(nothing)?;
        let last = self.last_map(id)?;
        let image = self.take(&Snapshot::open(&file, Schema::Read)?, &last, progress)?;
        let mut entry = self.entry(id, &image)?;
        let of_ms = if has_more { plan.reached_ms() } else { manifest.time_ms };
        (entry.seq, entry.unread) = (restored.seq, restored.unread.or(Some(of_ms)));
        Ok(entry)
    }

    /// One that was never written.
    #[must_use]
    pub fn empty_entry(id: SnapshotDatabase) -> BackedUpDatabase {
        BackedUpDatabase::new(id, &ImageShape::empty(), Vec::new())
    }

    /// Adds a database, whose files were known by `identity` before they were read, and brings to the target what waits for
    /// it: nothing is being read now.
    ///
    /// # Errors
    /// When the target cannot be written.
    pub fn add(&mut self, entry: BackedUpDatabase, identity: Option<DatabaseFileIdentity>) -> Result<()> {
        self.identities.extend(identity.map(|identity| (entry.id.to_string(), identity)));
        self.manifest.bytes += entry.bytes();
        self.entries.push(entry);
        self.packs.ship(&*self.repository.target)
    }

    /// The databases that were read so far, by which commit and which root each is known.
    pub fn states(&self) -> impl Iterator<Item = (SnapshotDatabase, u64, Root)> {
        let read = self.entries.iter().filter(|entry| entry.unread.is_none());
        read.map(|entry| (entry.id, entry.seq, entry.image().root))
    }

    /// All databases have been read, at `now_ms`.
    pub fn read_until(&mut self, now_ms: i64) {
        let moment = now_ms.max(self.manifest.time_ms);
        self.manifest.read_ms = Some(self.manifest.read_ms.map_or(moment, |after| moment.max(after)));
    }

    /// Adds a file beside the databases.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn add_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let chunk = self.add_content(content)?;
        self.manifest.files.push(FileEntry { path: path.to_owned(), chunk });
        Ok(())
    }

    fn add_content(&mut self, content: &[u8]) -> Result<ChunkId> {
        let chunk = ChunkId::of_content(content);
        self.packs.add(&self.repository.catalog, chunk, content)?;
        Ok(chunk)
    }

    /// Writes the lists, the index and the manifest: now there is a snapshot.
    ///
    /// # Errors
    /// When the target cannot be written; then there is none.
    pub fn finish(mut self) -> Result<Manifest> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by_key(|entry| entry.id);
        self.manifest.database_count = entries.len() as u64;
        self.manifest.unread_count = entries.iter().filter(|entry| entry.unread.is_some()).count() as u64;
        for part in entries.chunks(PART_DATABASES) {
            let part = self.add_content(&manifest::encode_databases(part))?;
            self.manifest.databases.push(part);
        }
        let target = &*self.repository.target;
        let mut manifest = self.manifest;
        let packs = self.packs.finish(target)?;
        let id = manifest.id.to_string();
        if !packs.is_empty() {
            let index = index::encode(&packs);
            let stored: u64 = packs.iter().map(index::PackIndex::bytes).sum();
            manifest.new_bytes = stored + index.len() as u64;
            fault::point("backup.packs")?;
            put_once(target, &index_path(&id), &index)?;
        }
        fault::point("backup.index")?;
        // What it takes over from others must not have gone meanwhile.
        self.lock.check()?;
        put_once(target, &manifest_path(manifest.id), &manifest.encode())?;
        fault::point("backup.manifest")?;
        if !packs.is_empty() {
            self.repository.catalog.add_index(&id, &packs, true)?;
        }
        self.repository.catalog.set_files(manifest.id, &self.identities)?;
        Ok(manifest)
    }
}

fn put_once(target: &dyn crate::BackupTarget, path: &str, bytes: &[u8]) -> Result<()> {
    if target.put_new(path, bytes)? {
        return Ok(());
    }
    Err(Error::damaged(path, "another snapshot of this name has written it"))
}

/// Removes packs that a killed process left waiting.
///
/// # Errors
/// When they cannot be removed.
pub fn empty_spool(spool: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(spool) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
