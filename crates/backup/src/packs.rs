//! Chunks on their way to the target: gathered in packs, which wait on this machine's disk, so that no upload holds what is
//! being read.

use std::{
    collections::{HashSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use ferry_core::backup::{
    ChunkId, PackId, SnapshotId,
    index::{PACK_BYTES, PackIndex, Stored},
};

use crate::{
    BackupKey, BackupTarget, Error, Result,
    catalog::{ChunkCatalog, pack_path},
    error::AtPath as _,
    sealer::{SealedChunk, Sealer},
};

/// The new chunks of a snapshot.
pub(crate) struct Packs {
    snapshot: SnapshotId,
    spool: PathBuf,
    /// Chunks are sealed before anything of them touches a disk.
    sealer: Sealer,
    /// What the next pack holds so far.
    open: Vec<u8>,
    open_chunks: Vec<Stored>,
    /// Whole ones, on this machine's disk.
    waiting: VecDeque<(PackIndex, PathBuf)>,
    /// Those that the target has.
    shipped: Vec<PackIndex>,
    /// Chunks of this snapshot that no index names yet.
    new: HashSet<ChunkId>,
    count: u64,
}

impl Packs {
    /// None yet; whole ones wait in `spool`.
    pub(crate) fn new(snapshot: SnapshotId, spool: &Path, key: Option<BackupKey>) -> Result<Self> {
        ferry_sqlite::folder::create(spool).at("cannot make the folder", spool)?;
        Ok(Self {
            sealer: Sealer::start(key, spool)?,
            snapshot,
            spool: spool.to_owned(),
            open: Vec::new(),
            open_chunks: Vec::new(),
            waiting: VecDeque::new(),
            shipped: Vec::new(),
            new: HashSet::new(),
            count: 0,
        })
    }

    /// Stores a chunk, unless the target or this snapshot has it.
    pub(crate) fn add(&mut self, catalog: &ChunkCatalog, chunk: ChunkId, content: &[u8]) -> Result<()> {
        if self.new.contains(&chunk) || catalog.has(chunk)? {
            return Ok(());
        }
        self.sealer.hand_over(chunk, content)?;
        self.new.insert(chunk);
        while let Some(sealed) = self.sealer.ready()? {
            self.pack(&sealed)?;
        }
        Ok(())
    }

    fn pack(&mut self, sealed: &SealedChunk) -> Result<()> {
        let number = |length: usize| u32::try_from(length).expect("BUG: chunks and packs are bounded");
        let (offset, stored) = (number(self.open.len()), number(sealed.bytes.len()));
        let length = number(sealed.length);
        self.open_chunks.push(Stored { chunk: sealed.chunk, offset, stored, length });
        self.open.extend_from_slice(&sealed.bytes);
        if self.open.len() >= PACK_BYTES as usize { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<()> {
        if self.open_chunks.is_empty() {
            return Ok(());
        }
        let pack = self.next_id();
        let path = self.spool.join(pack.to_string());
        let chunks = std::mem::take(&mut self.open_chunks);
        // Before it is written: half a file is removed with the others.
        self.waiting.push_back((PackIndex { pack, chunks }, path.clone()));
        fs::write(&path, &self.open).at("cannot write", &path)?;
        self.open.clear();
        Ok(())
    }

    /// No other snapshot has this name, and no other pack of this one.
    fn next_id(&mut self) -> PackId {
        self.count += 1;
        let digest = blake3::hash(format!("{} {}", self.snapshot, self.count).as_bytes());
        PackId(*digest.as_bytes().first_chunk().expect("BUG: a digest has 32 bytes"))
    }

    /// Brings whole packs to the target.
    pub(crate) fn ship(&mut self, target: &dyn BackupTarget) -> Result<()> {
        while let Some((pack, path)) = self.waiting.front() {
            let bytes = fs::read(path).at("cannot read", path)?;
            let object = pack_path(pack.pack);
            if !target.put_new(&object, &bytes)? {
                return Err(Error::damaged(object, "another snapshot of this name has written it"));
            }
            fs::remove_file(path).at("cannot remove", path)?;
            self.shipped.extend(self.waiting.pop_front().map(|(pack, _)| pack));
        }
        Ok(())
    }

    /// Brings all that is left to the target. Returns what it has now of this snapshot.
    pub(crate) fn finish(mut self, target: &dyn BackupTarget) -> Result<Vec<PackIndex>> {
        while let Some(sealed) = self.sealer.next()? {
            self.pack(&sealed)?;
        }
        self.close()?;
        self.ship(target)?;
        Ok(std::mem::take(&mut self.shipped))
    }
}

impl Drop for Packs {
    fn drop(&mut self) {
        for (_, path) in &self.waiting {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use ferry_types::UnixMillis;

    use super::*;
    use crate::folder::Folder;

    #[test]
    fn nothing_stays_in_the_spool_when_the_target_fails() {
        let place = tempfile::tempdir().unwrap();
        let (spool, file) = (place.path().join("spool"), place.path().join("no folder"));
        fs::write(&file, b"").unwrap();
        let mut packs = Packs::new(SnapshotId::new(UnixMillis(0), 0), &spool, None).unwrap();
        for number in [0_u8, 1] {
            let bytes = vec![number; PACK_BYTES as usize];
            packs
                .pack(&SealedChunk { chunk: ChunkId::of_content(&[number]), length: bytes.len(), bytes })
                .unwrap();
        }
        assert_eq!(fs::read_dir(&spool).unwrap().count(), 2);
        assert!(packs.finish(&Folder::new(&file)).is_err());
        assert_eq!(fs::read_dir(&spool).unwrap().count(), 0);
    }
}
