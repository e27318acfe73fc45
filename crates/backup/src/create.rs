//! Taking a snapshot: each database in turn, then the lists, the index, and last the manifest. Until that is there, there is
//! no snapshot, and what was stored for it is garbage.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ferry_core::backup::{
    ChunkId, SnapshotId, index,
    log::LogStart,
    manifest::{
        self, BackedUpDatabase, FileEntry, ImageShape, Manifest, PART_DATABASES, Scope, SnapshotDatabase,
    },
    map::{self, MapEntry, PART_ENTRIES},
};
use ferry_sqlite::fault;
use ferry_types::Root;

use crate::{
    DatabaseFileIdentity, Error, ImageReader, JobProgress, Repository, Result, TargetLock,
    catalog::index_path,
    image::{ImageTaker, TakenImage},
    packs::Packs,
    repository::manifest_path,
};

/// How old is what a process left that did not finish writing it, at least.
const LEFTOVER_SECONDS: i64 = 60 * 60;

/// What a snapshot that begins is to be.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// Its name, unless the newest of its scope sorts behind it: then a later one.
    pub id: SnapshotId,
    /// The moment, in Unix milliseconds.
    pub time_ms: i64,
    /// Of what.
    pub scope: Scope,
    /// Where the log goes on; `None`: none is shipped.
    pub log: Option<LogStart>,
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
        let newest = repository.newest(new.scope)?;
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
        let id = newest.as_ref().map_or(new.id, |newest| new.id.after(newest.id));
        let mut manifest = Manifest::new(id, new.time_ms, new.scope);
        manifest.hub_id.clone_from(&repository.identity().hub_id);
        manifest.hub_version.clone_from(&new.hub_version);
        manifest.log = new.log;
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

    /// The databases so far, by which commit and which root each is known.
    pub fn states(&self) -> impl Iterator<Item = (SnapshotDatabase, u64, Root)> {
        self.entries.iter().map(|entry| (entry.id, entry.seq, entry.image().root))
    }

    /// All databases have been read, at `now_ms`.
    pub fn read_until(&mut self, now_ms: i64) {
        self.manifest.read_ms = Some(now_ms.max(self.manifest.time_ms));
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
