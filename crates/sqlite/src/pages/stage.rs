//! Staged pages: what a push has sent so far, by content (PAG-03). They outlive the connection, the process and
//! the loss of power, so that a retry sends only the rest.
//!
//! Append-only files `stage/<id>.stage` hold records `leaf (32 bytes) ‖ length u32 little-endian ‖ page`. A
//! record is valid iff BLAKE3 of the page is the leaf, which is checked whenever it is read: a torn tail or a
//! flipped bit only means that the page is asked for again.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    hash::{BuildHasherDefault, Hasher},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_core::pages::tree;
use ferry_types::{Leaf, Reason, UnixMillis};

use crate::{Result, fault};

const RECORD_HEADER_BYTES: usize = 36;
const PAGE_MAX_BYTES: usize = 65536;
/// A file is closed at this size, so that what is no longer needed can go file by file.
const FILE_BYTES: u64 = 64 << 20;
/// What is gathered before it is written.
const WRITE_BYTES: usize = 256 << 10;
/// What may be lost with the power at most.
const SYNC_BYTES: u64 = 4 << 20;

/// The staged pages of one database.
pub struct Stage {
    dir: PathBuf,
    max_bytes: u64,
    inner: Mutex<Inner>,
}

/// Removes files of a stage that nobody has open whose newest page is older than `max_age_ms`.
pub(super) fn expire_closed(dir: &Path, now: UnixMillis, max_age_ms: i64) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.metadata()?.mtime().saturating_mul(1000) < now.0 - max_age_ms {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Leaves are random already: their first eight bytes are their hash.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<u32, Staged>,
    /// Where a page is by the first eight bytes of its leaf. Two leaves that share them displace each other,
    /// which costs one more transfer.
    positions: HashMap<u64, StagePosition, BuildHasherDefault<FirstBytes>>,
    active: Option<Active>,
    bytes: u64,
    unsynced: u64,
    /// The folder, if it has a file whose name is not on the disk yet.
    unsynced_folder: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct StagePosition {
    file: u32,
    offset: u32,
}

struct Staged {
    file: Arc<File>,
    bytes: u64,
    /// Records that [`Inner::positions`] knows.
    live: u32,
}

/// The file that is appended to.
struct Active {
    id: u32,
    /// Bytes of the file; what follows them is in `buffer`.
    written: u64,
    buffer: Vec<u8>,
}

impl Stage {
    /// Opens the stage in `dir`, dropping files whose newest page is older than `max_age_ms`.
    ///
    /// # Errors
    /// When the folder or a file cannot be read.
    pub fn open(dir: PathBuf, max_bytes: u64, now: UnixMillis, max_age_ms: i64) -> Result<Self> {
        crate::folder::create(&dir)?;
        let mut ids = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".stage"));
            ids.extend(id.and_then(|id| u32::from_str_radix(id, 16).ok()));
        }
        ids.sort_unstable();
        let stage = Self { dir, max_bytes, inner: Mutex::default() };
        let mut inner = stage.lock();
        for id in ids {
            stage.load(id, &mut inner)?;
        }
        drop(inner);
        stage.expire(now, max_age_ms)?;
        Ok(stage)
    }

    /// Drops files whose newest page is older than `max_age_ms`.
    ///
    /// # Errors
    /// When a file cannot be read or removed.
    pub fn expire(&self, now: UnixMillis, max_age_ms: i64) -> Result<()> {
        let mut inner = self.lock();
        let mut old = Vec::new();
        for (id, staged) in &inner.files {
            let written_ms = staged.file.metadata()?.mtime().saturating_mul(1000);
            if written_ms < now.0 - max_age_ms && !inner.is_active(*id) {
                old.push(*id);
            }
        }
        old.into_iter().try_for_each(|id| inner.drop_file(id, self))
    }

    /// Learns where the records of a file are; their content is checked when they are used.
    fn load(&self, id: u32, inner: &mut Inner) -> Result<()> {
        let file = match OpenOptions::new().read(true).write(true).open(self.path(id)) {
            // It had expired.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let bytes = file.metadata()?.len();
        inner.files.insert(id, Staged { file: Arc::new(file), bytes, live: 0 });
        let mut header = [0; RECORD_HEADER_BYTES];
        let mut at = 0;
        while at + RECORD_HEADER_BYTES as u64 <= bytes {
            inner.files[&id].file.read_exact_at(&mut header, at)?;
            let (leaf, length) = parse_header(&header);
            let end = at + (RECORD_HEADER_BYTES + length) as u64;
            if length == 0 || length > PAGE_MAX_BYTES || end > bytes {
                break;
            }
            let offset = u32::try_from(at).unwrap_or(u32::MAX);
            inner.insert(&leaf, StagePosition { file: id, offset });
            at = end;
        }
        inner.bytes += bytes;
        inner.drop_dead(id, self)
    }

    /// Stages a page whose BLAKE3 is `leaf`.
    ///
    /// # Errors
    /// When the disk is full, or `TOO_LARGE` when the stage is.
    pub fn put(&self, leaf: &Leaf, data: &[u8]) -> Result<()> {
        let mut inner = self.lock();
        if inner.positions.contains_key(&key(leaf)) && inner.read(leaf, &mut Vec::new())? {
            return Ok(());
        }
        self.make_room(&mut inner, data.len() as u64)?;
        let position = self.append(&mut inner, leaf, data)?;
        inner.insert(leaf, position);
        if inner.unsynced >= SYNC_BYTES {
            inner.sync()?;
        }
        Ok(())
    }

    /// Whether a page with this content is staged whole.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn contains(&self, leaf: &Leaf) -> Result<bool> {
        let inner = self.lock();
        Ok(inner.positions.contains_key(&key(leaf)) && inner.read(leaf, &mut Vec::new())?)
    }

    /// Puts the page with this content into `into`; false if it is not staged, or damaged.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, leaf: &Leaf, into: &mut Vec<u8>) -> Result<bool> {
        self.lock().read(leaf, into)
    }

    /// Brings everything staged so far onto the disk.
    ///
    /// # Errors
    /// When the disk is full or failing.
    pub fn sync(&self) -> Result<()> {
        self.lock().sync()
    }

    /// Staged bytes that are not on the disk yet.
    #[must_use]
    pub fn unsynced_bytes(&self) -> u64 {
        self.lock().unsynced
    }

    /// Drops pages that a committed push no longer needs; a file without needed pages goes.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn forget(&self, leaves: impl Iterator<Item = Result<Leaf>>) -> Result<()> {
        let mut inner = self.lock();
        let mut touched = Vec::new();
        for leaf in leaves {
            if let Some(position) = inner.positions.remove(&key(&leaf?)) {
                inner.discount(position.file);
                if touched.last() != Some(&position.file) {
                    touched.push(position.file);
                }
            }
        }
        // The map keeps its room otherwise: the next push of this size is far away.
        inner.positions.shrink_to_fit();
        touched.sort_unstable();
        touched.dedup();
        touched.into_iter().try_for_each(|id| inner.drop_dead(id, self))
    }

    /// Drops everything staged, to give the room back.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> Result<()> {
        let mut inner = self.lock();
        inner.positions = HashMap::default();
        let ids: Vec<u32> = inner.files.keys().copied().collect();
        for id in ids {
            if let Some(file) = inner.files.get_mut(&id) {
                file.live = 0;
            }
            inner.drop_dead(id, self)?;
        }
        Ok(())
    }

    /// Staged bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn append(&self, inner: &mut Inner, leaf: &Leaf, data: &[u8]) -> Result<StagePosition> {
        if inner.active.as_ref().is_none_or(|active| active.end() >= FILE_BYTES) {
            inner.sync()?;
            self.begin_file(inner)?;
        }
        let active = inner.active.as_mut().expect("BUG: a file was begun above");
        let position =
            StagePosition { file: active.id, offset: u32::try_from(active.end()).unwrap_or(u32::MAX) };
        let length = u32::try_from(data.len()).expect("BUG: a page has at most 64 KiB");
        active.buffer.extend_from_slice(&leaf.0);
        active.buffer.extend_from_slice(&length.to_le_bytes());
        active.buffer.extend_from_slice(data);
        let added = (RECORD_HEADER_BYTES + data.len()) as u64;
        let full = active.buffer.len() >= WRITE_BYTES;
        inner.bytes += added;
        inner.unsynced += added;
        if full {
            inner.flush()?;
        }
        Ok(position)
    }

    fn begin_file(&self, inner: &mut Inner) -> Result<()> {
        let id = inner.files.keys().last().map_or(1, |id| id + 1);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(id))?;
        inner.unsynced_folder = Some(self.dir.clone());
        inner.files.insert(id, Staged { file: Arc::new(file), bytes: 0, live: 0 });
        let old = inner.active.replace(Active { id, written: 0, buffer: Vec::new() });
        old.map_or(Ok(()), |old| inner.drop_dead(old.id, self))
    }

    /// Drops the oldest files until `more` bytes fit.
    fn make_room(&self, inner: &mut Inner, more: u64) -> Result<()> {
        while inner.bytes + more > self.max_bytes {
            let oldest = inner.files.keys().next().copied();
            let Some(id) = oldest.filter(|id| !inner.is_active(*id)) else {
                let message = "the pushes in progress are over the size limit of the database: \
                               wait for them, then push again";
                return Err(ferry_types::Error::new(Reason::TooLarge, message).into());
            };
            inner.drop_file(id, self)?;
        }
        Ok(())
    }

    fn path(&self, id: u32) -> PathBuf {
        self.dir.join(format!("{id:08x}.stage"))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = self.lock().sync() {
            tracing::warn!(%error, "staged pages may be lost");
        }
    }
}

impl Inner {
    fn is_active(&self, id: u32) -> bool {
        self.active.as_ref().is_some_and(|active| active.id == id)
    }

    fn insert(&mut self, leaf: &Leaf, position: StagePosition) {
        if let Some(displaced) = self.positions.insert(key(leaf), position) {
            self.discount(displaced.file);
        }
        self.files.get_mut(&position.file).expect("BUG: a place names a listed file").live += 1;
    }

    fn discount(&mut self, id: u32) {
        if let Some(file) = self.files.get_mut(&id) {
            file.live = file.live.saturating_sub(1);
        }
    }

    /// Removes the file with all it holds.
    fn drop_file(&mut self, id: u32, stage: &Stage) -> Result<()> {
        self.positions.retain(|_, position| position.file != id);
        if let Some(file) = self.files.get_mut(&id) {
            file.live = 0;
        }
        self.drop_dead(id, stage)
    }

    /// Removes the file if it holds nothing that is needed.
    fn drop_dead(&mut self, id: u32, stage: &Stage) -> Result<()> {
        let Some(file) = self.files.get(&id) else { return Ok(()) };
        if file.live > 0 {
            return Ok(());
        }
        let mut bytes = file.bytes;
        if let Some(active) = self.active.take_if(|active| active.id == id) {
            bytes = active.end();
            self.unsynced = 0;
        }
        self.files.remove(&id);
        self.bytes = self.bytes.saturating_sub(bytes);
        match fs::remove_file(stage.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        if active.buffer.is_empty() {
            return Ok(());
        }
        let staged = self.files.get_mut(&active.id).expect("BUG: the active file is listed");
        fault::point("stage.write")?;
        // On failure the buffer stays: the next attempt writes the same bytes to the same place.
        staged.file.write_all_at(&active.buffer, active.written)?;
        active.written += active.buffer.len() as u64;
        staged.bytes = active.written;
        active.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.flush()?;
        if self.unsynced > 0
            && let Some(active) = &self.active
        {
            self.files[&active.id].file.sync_data()?;
            if let Some(folder) = &self.unsynced_folder {
                crate::folder::sync(folder)?;
                self.unsynced_folder = None;
            }
        }
        self.unsynced = 0;
        Ok(())
    }

    fn read(&self, leaf: &Leaf, into: &mut Vec<u8>) -> Result<bool> {
        let Some(position) = self.positions.get(&key(leaf)) else { return Ok(false) };
        let Some(staged) = self.files.get(&position.file) else { return Ok(false) };
        into.clear();
        if let Some(active) = self.active.as_ref().filter(|active| active.id == position.file)
            && let Some(from) = u64::from(position.offset).checked_sub(active.written)
        {
            let record = usize::try_from(from).ok().and_then(|from| active.buffer.get(from..));
            let Some(record) = record.filter(|record| record.len() > RECORD_HEADER_BYTES) else {
                return Ok(false);
            };
            let (found, length) = parse_header(&record[..RECORD_HEADER_BYTES]);
            into.extend_from_slice(
                record.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + length).unwrap_or(&[]),
            );
            return Ok(found == *leaf && tree::leaf(into) == *leaf);
        }
        let mut header = [0; RECORD_HEADER_BYTES];
        staged.file.read_exact_at(&mut header, position.offset.into())?;
        let (found, length) = parse_header(&header);
        if found != *leaf || length > PAGE_MAX_BYTES {
            return Ok(false);
        }
        into.resize(length, 0);
        match staged.file.read_exact_at(into, u64::from(position.offset) + RECORD_HEADER_BYTES as u64) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        Ok(tree::leaf(into) == *leaf)
    }
}

impl Active {
    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }
}

fn key(leaf: &Leaf) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&leaf.0[..8]);
    u64::from_le_bytes(first)
}

fn parse_header(header: &[u8]) -> (Leaf, usize) {
    let mut leaf = [0; 32];
    leaf.copy_from_slice(&header[..32]);
    let length = u32::from_le_bytes([header[32], header[33], header[34], header[35]]);
    (Leaf(leaf), length as usize)
}

#[cfg(test)]
mod tests;
