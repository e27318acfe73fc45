//! A target whose objects are sealed whole: lists, indexes, what verifying found. Packs hold chunks that are sealed one by
//! one, since they are read so.

use crate::{BackupKey, BackupTarget, Error, ObjectInfo, ObjectTag, Result, TargetLock, key::SEAL_BYTES};

pub(crate) struct SealedTarget {
    target: Box<dyn BackupTarget>,
    key: BackupKey,
}

impl SealedTarget {
    pub(crate) const fn new(target: Box<dyn BackupTarget>, key: BackupKey) -> Self {
        Self { target, key }
    }
}

/// Whether an object is sealed as a whole.
fn is_sealed(path: &str) -> bool {
    ["index/", "snapshots/", "verified/", "log/"].iter().any(|folder| path.starts_with(folder))
}

impl BackupTarget for SealedTarget {
    fn url(&self) -> &str {
        self.target.url()
    }

    fn put_new(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        if is_sealed(path) {
            return self.target.put_new(path, &self.key.seal(path, bytes)?);
        }
        self.target.put_new(path, bytes)
    }

    fn creates_once(&self) -> bool {
        self.target.creates_once()
    }

    fn swaps(&self, path: &str) -> Result<bool> {
        self.target.swaps(path)
    }

    fn get(&self, path: &str, max_bytes: usize) -> Result<Option<Vec<u8>>> {
        if !is_sealed(path) {
            return self.target.get(path, max_bytes);
        }
        let Some(sealed) = self.target.get(path, max_bytes.saturating_add(SEAL_BYTES))? else {
            return Ok(None);
        };
        let opened = self.key.open(path, &sealed);
        opened.map(Some).ok_or_else(|| Error::damaged(path, "it is not what was sealed under this name"))
    }

    fn get_tagged(&self, path: &str, max_bytes: usize) -> Result<Option<(Vec<u8>, ObjectTag)>> {
        self.target.get_tagged(path, max_bytes)
    }

    fn replace(&self, path: &str, bytes: &[u8], was: Option<&ObjectTag>) -> Result<bool> {
        self.target.replace(path, bytes, was)
    }

    fn get_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.target.get_range(path, offset, length)
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>> {
        self.target.list(folder)
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.target.delete(path)
    }

    fn lock(&self) -> Result<Box<dyn TargetLock>> {
        self.target.lock()
    }

    fn remove_leftovers(&self, before: i64) -> Result<()> {
        self.target.remove_leftovers(before)
    }
}
