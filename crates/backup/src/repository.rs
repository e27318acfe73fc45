//! A target with backups of one hub: whose it is, its snapshots, its chunks.

use std::path::Path;

use ferry_core::backup::{
    ChunkId, FORMAT, SnapshotId,
    manifest::{self, BackedUpDatabase, MANIFEST_MAX_BYTES, Manifest, Scope, SnapshotDatabase},
    map::{self, MapEntry},
};
use serde::{Deserialize, Serialize};

use crate::{
    BackupKey, BackupTarget, Error, Result,
    catalog::{ChunkCatalog, ChunkPlace, pack_path},
    key::CIPHER,
    known_targets::KnownTargets,
    packs::sealed_name,
    probe::{TargetCheck, check_target},
    sealed_target::SealedTarget,
};

const IDENTITY: &str = "ferry-backup.json";
const IDENTITY_MAX_BYTES: usize = 64 << 10;
const SNAPSHOTS: &str = "snapshots";
/// The cipher of what is not encrypted.
const PLAIN: &str = "none";

/// Whose a target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetIdentity {
    format: u32,
    /// What tells it from other targets.
    pub target_id: String,
    /// The hub whose backups it holds.
    pub hub_id: String,
    /// How objects are encrypted; `none`.
    cipher: String,
    /// Fingerprint of the key, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_check: Option<String>,
}

/// A snapshot of a target.
#[derive(Debug)]
pub struct ListedSnapshot {
    /// Its name.
    pub id: SnapshotId,
    /// Its manifest, or what is wrong with it.
    pub manifest: Result<Manifest>,
}

/// A target with backups.
pub struct Repository {
    pub(crate) target: Box<dyn BackupTarget>,
    pub(crate) catalog: ChunkCatalog,
    /// What its objects are encrypted with.
    pub(crate) key: Option<BackupKey>,
    identity: TargetIdentity,
}

pub(crate) fn manifest_path(id: SnapshotId) -> String {
    format!("{SNAPSHOTS}/{id}.json")
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
            return Err(Error::NotFound(format!("{} holds no backups of a hub", target.url())));
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
            let name = object.path.strip_prefix("snapshots/").and_then(|name| name.strip_suffix(".json"));
            if let Some(Ok(id)) = name.map(str::parse::<SnapshotId>) {
                listed.push(ListedSnapshot { id, manifest: self.manifest(id) });
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
                "{} has no snapshot {id}: `ferry backup list` tells those that it has",
                self.url()
            ))
        })?;
        Manifest::decode(id, &bytes).map_err(|malformed| Error::malformed(path, &malformed))
    }

    /// The newest snapshot of this scope whose manifest is whole; `None`: there is none.
    ///
    /// # Errors
    /// When they cannot be listed or read.
    pub fn newest(&self, scope: Scope) -> Result<Option<Manifest>> {
        let mut whole = self.snapshots()?.into_iter().filter_map(|listed| listed.manifest.ok());
        Ok(whole.find(|manifest| manifest.scope == scope))
    }

    /// The database of this id, or of this name if no other has it, in the snapshot `id`; without one, in the newest whole
    /// snapshot that has it.
    ///
    /// # Errors
    /// When none has it, several have the name, or they cannot be read.
    pub fn find_database(&self, id: Option<SnapshotId>, name: &str) -> Result<(Manifest, BackedUpDatabase)> {
        if let Some(id) = id {
            let manifest = self.manifest(id)?;
            let found = self.database_in(&manifest, name)?;
            let none = || Error::NotFound(format!("the backup {id} has no database {name}"));
            return Ok((manifest, found.ok_or_else(none)?));
        }
        for listed in self.snapshots()? {
            let Ok(manifest) = listed.manifest else { continue };
            if let Some(found) = self.database_in(&manifest, name)? {
                return Ok((manifest, found));
            }
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

impl TargetIdentity {
    /// Whether this is the key of what lies there.
    fn check_key(&self, url: &str, key: Option<&BackupKey>) -> Result<()> {
        let its = self.key_check.as_deref().unwrap_or_default();
        match (&*self.cipher, key) {
            (PLAIN, None) => Ok(()),
            (PLAIN, Some(_)) => Err(Error::Invalid(format!(
                "the backups in {url} are not encrypted, and backup.key_file is set: name a target of its own for encrypted \
                 ones, or leave the key out for this one"
            ))),
            (_, None) => Err(Error::WrongKey(format!(
                "the backups in {url} are encrypted with the key {its}: name its file by backup.key_file \
                 (FERRY_BACKUP_KEY_FILE)"
            ))),
            (_, Some(key)) if key.fingerprint() == its => Ok(()),
            (_, Some(key)) => Err(Error::WrongKey(format!(
                "the backups in {url} are encrypted with the key {its}, and backup.key_file holds {}",
                key.fingerprint()
            ))),
        }
    }
}

pub(crate) fn read_identity(target: &dyn BackupTarget) -> Result<Option<TargetIdentity>> {
    let Some(bytes) = target.get(IDENTITY, IDENTITY_MAX_BYTES)? else { return Ok(None) };
    let identity: TargetIdentity =
        serde_json::from_slice(&bytes).map_err(|error| Error::damaged(IDENTITY, error.to_string()))?;
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if identity.format != FORMAT || ![PLAIN, CIPHER].contains(&&*identity.cipher) {
        return Err(Error::Invalid(format!(
            "the backups in {} were written by a newer ferry: use that one",
            target.url()
        )));
    }
    if !is_name(&identity.target_id) {
        return Err(Error::damaged(IDENTITY, "its target_id is no name"));
    }
    Ok(Some(identity))
}
