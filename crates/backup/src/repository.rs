//! A target with backups of one hub: whose it is, its snapshots, its chunks.

use std::path::Path;

use ferry_core::backup::{
    ChunkId, FORMAT, SnapshotId,
    log::TargetHistory,
    manifest::{self, BackedUpDatabase, MANIFEST_MAX_BYTES, Manifest, Scope, SnapshotDatabase},
    map::{self, MapEntry},
};

use crate::{
    BackupKey, BackupTarget, DamagedSnapshot, Error, Result, SnapshotVerdict,
    anchor::read_anchor,
    catalog::{ChunkCatalog, ChunkPlace, pack_path},
    history::is_of,
    key::CIPHER,
    known_targets::KnownTargets,
    probe::{TargetCheck, check_target},
    sealed_target::SealedTarget,
    sealer::sealed_name,
    target_identity::{
        IDENTITY, PLAIN, SNAPSHOTS, TargetIdentity, manifest_path, read_identity, snapshot_of,
    },
};

/// A snapshot of a target.
#[derive(Debug)]
pub struct ListedSnapshot {
    /// Its name.
    pub id: SnapshotId,
    /// Its manifest, or what is wrong with it.
    pub manifest: Result<Manifest>,
    /// When its manifest was written, in Unix seconds by the target's clock.
    pub(crate) made: i64,
}

impl ListedSnapshot {
    /// How it is, in a word, by what verifying it found and by the history of the target's owner: `damaged`; `other`, another hub took it;
    /// `partial`, it lacks what could not be read; `complete`.
    #[must_use]
    pub fn state(&self, verdict: Option<SnapshotVerdict>, history: &TargetHistory) -> &'static str {
        match &self.manifest {
            Err(_) => "damaged",
            Ok(_) if verdict.is_some_and(|verdict| !verdict.is_whole) => "damaged",
            Ok(manifest) if !is_of(history, manifest) => "other",
            Ok(manifest) if manifest.unread_count > 0 => "partial",
            Ok(_) => "complete",
        }
    }
}

/// A target with backups.
pub struct Repository {
    pub(crate) target: Box<dyn BackupTarget>,
    pub(crate) catalog: ChunkCatalog,
    /// What its objects are encrypted with.
    pub(crate) key: Option<BackupKey>,
    identity: TargetIdentity,
}

impl Repository {
    /// Opens the backups of any hub, for reading, with their key if they are encrypted. What is learnt of them is kept in
    /// `catalog`, or forgotten.
    ///
    /// # Errors
    /// When the target has none, cannot be read, or has another key.
    pub fn open(
        target: Box<dyn BackupTarget>,
        key: Option<&BackupKey>,
        catalog: Option<&Path>,
    ) -> Result<Self> {
        let Some(identity) = read_identity(&*target)? else {
            return Err(no_identity(&*target, key)?);
        };
        identity.check_key(target.url(), key)?;
        let target: Box<dyn BackupTarget> = match key {
            Some(key) => Box::new(SealedTarget::new(target, key.clone())),
            None => target,
        };
        let catalog = match catalog {
            Some(folder) => ChunkCatalog::open(&folder.join(format!("{}.db", identity.target_id)))?,
            None => ChunkCatalog::temporary()?,
        };
        let mut repository = Self { target, catalog, key: key.cloned(), identity };
        repository.catalog.sync(&*repository.target)?;
        Ok(repository)
    }

    /// Opens the backups of `hub_id`; a target that holds none, and held none before, is made its own, under the name `new_id`.
    ///
    /// # Errors
    /// When the target is another hub's, or cannot be used.
    pub fn open_of_hub(
        target: Box<dyn BackupTarget>,
        key: Option<&BackupKey>,
        catalog: &Path,
        hub_id: &str,
        new_id: &str,
    ) -> Result<Self> {
        let mut known = KnownTargets::read(catalog)?;
        if read_identity(&*target)?.is_none() {
            known.check_empty(target.url())?;
            // What a target cannot do is told before anything depends on it.
            if let Some(error) = check_target(&*target)?.into_iter().find_map(TargetCheck::failed) {
                return Err(error);
            }
            let identity = TargetIdentity {
                format: FORMAT,
                target_id: new_id.to_owned(),
                hub_id: hub_id.to_owned(),
                cipher: key.map_or(PLAIN, |_| CIPHER).to_owned(),
                key_check: key.map(|key| key.fingerprint().to_owned()),
            };
            let bytes = serde_json::to_vec(&identity).expect("BUG: text and numbers are JSON");
            // Whoever was faster has it; it is read again below.
            target.put_new(IDENTITY, &bytes)?;
        }
        let repository = Self::open(target, key, Some(catalog))?;
        if repository.identity.hub_id != hub_id {
            return Err(Error::Foreign(format!(
                "{} holds the backups of another hub ({}): give each hub a target of its own",
                repository.target.url(),
                repository.identity.hub_id
            )));
        }
        known.note(repository.url(), &repository.identity.target_id)?;
        Ok(repository)
    }

    /// Whose it is.
    #[must_use]
    pub const fn identity(&self) -> &TargetIdentity {
        &self.identity
    }

    /// Whether nobody reads it without the key.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.key.is_some()
    }

    /// Its address, without secrets.
    #[must_use]
    pub fn url(&self) -> &str {
        self.target.url()
    }

    /// All snapshots, the newest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn snapshots(&self) -> Result<Vec<ListedSnapshot>> {
        let mut listed = Vec::new();
        for object in self.target.list(SNAPSHOTS)?.iter().rev() {
            let Some(id) = snapshot_of(&object.path) else { continue };
            match self.manifest(id) {
                // Removed meanwhile.
                Err(Error::NotFound(_)) => {}
                // The others cannot be read either.
                Err(error @ (Error::Unreachable(_) | Error::Refused(_) | Error::Cancelled)) => {
                    return Err(error);
                }
                manifest => listed.push(ListedSnapshot { id, manifest, made: object.made }),
            }
        }
        Ok(listed)
    }

    /// The manifest of a snapshot.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn manifest(&self, id: SnapshotId) -> Result<Manifest> {
        let path = manifest_path(id);
        let bytes = self.target.get(&path, MANIFEST_MAX_BYTES)?.ok_or_else(|| {
            Error::NotFound(format!(
                "{} has no backup {id}: `ferry backup list` tells those that it has",
                self.url()
            ))
        })?;
        Manifest::decode(id, &bytes).map_err(|malformed| Error::malformed(path, &malformed))
    }

    /// The database of this id, or of this name if no other has it, in the snapshot `id`; without one, in the newest that has
    /// it.
    ///
    /// # Errors
    /// When none has it, several have the name, they cannot be read, or one that is newer is damaged and may have it.
    pub fn find_database(&self, id: Option<SnapshotId>, name: &str) -> Result<(Manifest, BackedUpDatabase)> {
        if let Some(id) = id {
            let manifest = self.manifest(id)?;
            let found = self.database_in(&manifest, name)?;
            let none = || Error::NotFound(format!("the backup {id} has no database {name}"));
            return Ok((manifest, found.ok_or_else(none)?));
        }
        let (mut damaged, history) = (None, self.history()?);
        for listed in self.snapshots()? {
            let manifest = match &listed.manifest {
                Ok(manifest) if !is_of(&history, manifest) => continue,
                Ok(manifest) => manifest,
                Err(error) => {
                    damaged.get_or_insert_with(|| DamagedSnapshot::of(&listed, error));
                    continue;
                }
            };
            let Some(found) = self.database_in(manifest, name)? else { continue };
            let Some(damaged) = damaged else { return Ok((listed.manifest?, found)) };
            return Err(damaged.refusal(&format!(
                "it may have {name}: the newest backup that has it and whose manifest is whole is {}: name that one to take it",
                listed.id
            )));
        }
        if let Some(damaged) = damaged {
            return Err(damaged.refusal(&format!("it may have {name}, and no other backup there has")));
        }
        Err(Error::NotFound(format!("{} has no backup with a database {name}", self.url())))
    }

    /// The database of this id or name in a snapshot.
    pub(crate) fn database_in(&self, manifest: &Manifest, name: &str) -> Result<Option<BackedUpDatabase>> {
        let wanted: Option<SnapshotDatabase> = name.parse().ok();
        if let (Scope::Database(scope), Some(SnapshotDatabase::Main(id))) = (manifest.scope, wanted)
            && scope != id
        {
            return Ok(None);
        }
        let mut found = Vec::new();
        self.databases(manifest, |_, entry| {
            if wanted == Some(entry.id) || (wanted.is_none() && entry.name == name) {
                found.push(entry);
            }
            Ok(())
        })?;
        if found.len() > 1 {
            return Err(Error::Invalid(format!("several databases are called {name}: give the id of one")));
        }
        Ok(found.pop())
    }

    /// Hands each database of a snapshot to `each`, in the order of their ids.
    ///
    /// # Errors
    /// When the list is damaged, or what `each` returns.
    pub fn databases(
        &self,
        manifest: &Manifest,
        mut each: impl FnMut(&Self, BackedUpDatabase) -> Result<()>,
    ) -> Result<()> {
        let mut count = 0;
        for part in &manifest.databases {
            let bytes = self.content(*part)?;
            let entries = manifest::decode_databases(&bytes)
                .map_err(|malformed| Error::malformed(self.object_of(*part), &malformed))?;
            count += entries.len() as u64;
            entries.into_iter().try_for_each(|entry| each(self, entry))?;
        }
        if count == manifest.database_count {
            return Ok(());
        }
        let what = format!("it lists {count} databases, and should {}", manifest.database_count);
        Err(Error::damaged(manifest_path(manifest.id), what))
    }

    /// The map of a database.
    ///
    /// # Errors
    /// When a part of it is damaged.
    pub(crate) fn map_part(&self, part: ChunkId, entries: u32) -> Result<Vec<MapEntry>> {
        map::decode_part(&self.content(part)?, entries)
            .map_err(|malformed| Error::malformed(self.object_of(part), &malformed))
    }

    /// A chunk of anything but pages.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub(crate) fn content(&self, chunk: ChunkId) -> Result<Vec<u8>> {
        let content = self.chunk(chunk)?;
        if ChunkId::of_content(&content) == chunk { Ok(content) } else { Err(self.is_damaged(chunk)?) }
    }

    /// A chunk, which the caller compares with its name.
    ///
    /// # Errors
    /// When it is missing, or was damaged visibly.
    pub(crate) fn chunk(&self, chunk: ChunkId) -> Result<Vec<u8>> {
        let Some(ChunkPlace { pack, stored }) = self.catalog.find(chunk)? else {
            return Err(Error::damaged("index", format!("no index says where the chunk {chunk} stands")));
        };
        let bytes = self.target.get_range(&pack_path(pack), stored.offset.into(), stored.stored as usize)?;
        let bytes = match &self.key {
            None => bytes,
            Some(key) => match key.open(&sealed_name(chunk), &bytes) {
                Some(opened) => opened,
                None => return Err(self.is_damaged(chunk)?),
            },
        };
        match zstd::bulk::decompress(&bytes, stored.length as usize) {
            Ok(content) if content.len() == stored.length as usize => Ok(content),
            _ => Err(self.is_damaged(chunk)?),
        }
    }

    /// The error for a chunk that is not what its name says; it is stored anew by the next snapshot.
    pub(crate) fn is_damaged(&self, chunk: ChunkId) -> Result<Error> {
        if let Some(place) = self.catalog.find(chunk)? {
            self.catalog.note_damaged(place.pack)?;
        }
        Ok(Error::damaged(self.object_of(chunk), format!("the chunk {chunk} in it is damaged")))
    }

    /// The object that holds a chunk, for messages.
    pub(crate) fn object_of(&self, chunk: ChunkId) -> String {
        match self.catalog.find(chunk) {
            Ok(Some(place)) => pack_path(place.pack),
            _ => "packs".to_owned(),
        }
    }
}

/// The error where nothing says whose a target is: it has no backups, or only lacks that object.
fn no_identity(target: &dyn BackupTarget, key: Option<&BackupKey>) -> Result<Error> {
    let url = target.url();
    let snapshots =
        target.list(SNAPSHOTS)?.iter().filter(|object| snapshot_of(&object.path).is_some()).count();
    if snapshots == 0 {
        return Ok(Error::NotFound(format!("{url} holds no backups of a hub")));
    }
    let hub_id = match read_anchor(target, key) {
        Ok(Some((anchor, _))) => anchor.hub_id,
        _ => "the hub's id, which its snapshots name".to_owned(),
    };
    let mend = match key {
        None => format!(
            "; if they are not encrypted, this object does: {{\"format\":{FORMAT},\"target_id\":\"letters and digits\",\
             \"hub_id\":\"{hub_id}\",\"cipher\":\"{PLAIN}\"}}"
        ),
        Some(_) => String::new(),
    };
    let what = format!(
        "it is missing in {url}, which has {snapshots} snapshots, and nothing is read without it: put it back from a copy of the target{mend}"
    );
    Ok(Error::damaged(IDENTITY, what))
}
