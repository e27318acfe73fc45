//! Before-images: pages as they were before a push replaced them, in append-only files `seg/<id>.seg`.
//!
//! A file is a sequence of records, each
//! `CRC-32C u32 ‖ compressed bytes u32 ‖ raw bytes u32 ‖ zstd frame`, little-endian; the CRC covers everything
//! after it. A frame holds up to 64 KiB of pages of one size, one after the other. The index knows where each
//! page stands; what it does not name is the tail of a push that never committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{Error, Result};

/// Pages of one frame, together.
const FRAME_RAW_BYTES: usize = 64 << 10;
const RECORD_HEADER_BYTES: usize = 12;
/// A segment is sealed at this size, or earlier where little history is kept.
const SEAL_MAX_BYTES: u64 = 64 << 20;
const SEAL_MIN_BYTES: u64 = 4 << 20;
/// Before-images are written once and rarely read.
const ZSTD_LEVEL: i32 = 1;

/// Where a before-image stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentPosition {
    pub(super) segment: u32,
    pub(super) offset: u64,
    /// Which page of the frame, from 0.
    pub(super) slot: u32,
}

/// Frames, by segment and offset, that were found damaged and are still named by the index.
pub(super) type DamagedFrames = BTreeSet<(u32, u64)>;

/// The segments of one database.
pub(super) struct Segments {
    dir: PathBuf,
    open: Mutex<BTreeMap<u32, Arc<File>>>,
}

impl Segments {
    pub(super) fn open(dir: PathBuf) -> Result<Self> {
        crate::folder::create(&dir)?;
        Ok(Self { dir, open: Mutex::default() })
    }

    fn path(&self, id: u32) -> PathBuf {
        self.dir.join(format!("{id:08x}.seg"))
    }

    /// Ids and sizes, ascending.
    pub(super) fn list(&self) -> Result<Vec<(u32, u64)>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".seg"));
            if let Some(id) = id.and_then(|id| u32::from_str_radix(id, 16).ok()) {
                segments.push((id, entry.metadata()?.len()));
            }
        }
        segments.sort_unstable();
        Ok(segments)
    }

    pub(super) fn remove(&self, id: u32) -> Result<()> {
        self.lock().remove(&id);
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Begins to append: to the newest segment, or to a new one if that is full for a history of
    /// `history_bytes`.
    pub(super) fn append(&self, history_bytes: u64) -> Result<SegmentWriter<'_>> {
        let seal_bytes = (history_bytes / 4).clamp(SEAL_MIN_BYTES, SEAL_MAX_BYTES);
        let id = match self.list()?.last() {
            Some((id, bytes)) if *bytes < seal_bytes => *id,
            Some((id, _)) => id + 1,
            None => 1,
        };
        let mut writer = SegmentWriter {
            segments: self,
            seal_bytes,
            id,
            file: None,
            offset: 0,
            raw: Vec::with_capacity(FRAME_RAW_BYTES),
            slots: 0,
            compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL)?,
            written: 0,
        };
        writer.open(id)?;
        Ok(writer)
    }

    /// Reads the frame at `offset`, decompressed.
    pub(super) fn read_frame(&self, id: u32, offset: u64, into: &mut Vec<u8>) -> Result<()> {
        let damaged = |what: &str| Error::Damaged(format!("segment {id:08x} at {offset}: {what}"));
        let file = self.file(id)?;
        let mut header = [0; RECORD_HEADER_BYTES];
        let whole = |read: io::Result<()>| match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(damaged("it ends before")),
            read => Ok(read?),
        };
        whole(file.read_exact_at(&mut header, offset))?;
        let [crc, compressed, raw] = [0, 4, 8]
            .map(|at| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
        let (compressed, raw) = (compressed as usize, raw as usize);
        if raw > FRAME_RAW_BYTES || compressed > zstd::zstd_safe::compress_bound(FRAME_RAW_BYTES) {
            return Err(damaged("impossible lengths"));
        }
        let mut data = vec![0; compressed];
        whole(file.read_exact_at(&mut data, offset + RECORD_HEADER_BYTES as u64))?;
        if crc32c::crc32c_append(crc32c::crc32c(&header[4..]), &data) != crc {
            return Err(damaged("wrong checksum"));
        }
        into.clear();
        into.reserve(raw);
        let decompressed = zstd::bulk::decompress(&data, raw).map_err(|error| damaged(&error.to_string()))?;
        if decompressed.len() != raw {
            return Err(damaged("wrong length"));
        }
        into.extend_from_slice(&decompressed);
        Ok(())
    }

    /// Bytes of all images in a segment, as they are when decompressed.
    pub(super) fn raw_bytes(&self, id: u32) -> Result<u64> {
        let file = self.file(id)?;
        let end = file.metadata()?.len();
        let (mut at, mut raw) = (0, 0);
        let mut header = [0; RECORD_HEADER_BYTES];
        while at + RECORD_HEADER_BYTES as u64 <= end {
            file.read_exact_at(&mut header, at)?;
            let number =
                |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            raw += u64::from(number(8));
            at += RECORD_HEADER_BYTES as u64 + u64::from(number(4));
        }
        Ok(raw)
    }

    fn file(&self, id: u32) -> Result<Arc<File>> {
        let mut open = self.lock();
        if let Some(file) = open.get(&id) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(self.path(id))?);
        open.insert(id, Arc::clone(&file));
        Ok(file)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends the before-images of one push.
pub(super) struct SegmentWriter<'s> {
    segments: &'s Segments,
    seal_bytes: u64,
    id: u32,
    file: Option<File>,
    /// Where the present frame will stand.
    offset: u64,
    raw: Vec<u8>,
    slots: u32,
    compressor: zstd::bulk::Compressor<'static>,
    written: u64,
}

impl SegmentWriter<'_> {
    fn open(&mut self, id: u32) -> Result<()> {
        let path = self.segments.path(id);
        let is_new = !path.exists();
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        self.offset = file.metadata()?.len();
        self.id = id;
        self.file = Some(file);
        if is_new {
            crate::folder::sync(&self.segments.dir)?;
        }
        Ok(())
    }

    /// Adds a page. It can be read back after [`Self::finish`].
    pub(super) fn add(&mut self, data: &[u8]) -> Result<SegmentPosition> {
        let is_full = self.raw.len() + data.len() > FRAME_RAW_BYTES;
        // All pages of a frame have one length.
        let is_other = self.raw.len() != self.slots as usize * data.len();
        if !self.raw.is_empty() && (is_full || is_other) {
            self.flush()?;
            if self.offset >= self.seal_bytes {
                self.sync()?;
                self.open(self.id + 1)?;
            }
        }
        let position = SegmentPosition { segment: self.id, offset: self.offset, slot: self.slots };
        self.raw.extend_from_slice(data);
        self.slots += 1;
        Ok(position)
    }

    /// Brings everything onto the disk; returns the bytes that were added.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.flush()?;
        self.sync()?;
        Ok(self.written)
    }

    /// Writes everything, and leaves it to the system when that reaches the disk; returns the bytes that were added. For
    /// images whose loss is noticed, and costs history alone.
    pub(super) fn finish_unsynced(mut self) -> Result<u64> {
        self.flush()?;
        Ok(self.written)
    }

    fn flush(&mut self) -> Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let data = self.compressor.compress(&self.raw)?;
        let mut record = Vec::with_capacity(RECORD_HEADER_BYTES + data.len());
        record.extend_from_slice(&[0; 4]);
        record.extend_from_slice(&length(&data).to_le_bytes());
        record.extend_from_slice(&length(&self.raw).to_le_bytes());
        record.extend_from_slice(&data);
        let crc = crc32c::crc32c(&record[4..]);
        record[..4].copy_from_slice(&crc.to_le_bytes());
        self.file.as_ref().expect("BUG: a segment is open").write_all_at(&record, self.offset)?;
        self.offset += record.len() as u64;
        self.written += record.len() as u64;
        self.raw.clear();
        self.slots = 0;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.file.as_ref().expect("BUG: a segment is open").sync_data()?;
        Ok(())
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("BUG: a frame has at most 64 KiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_from_their_offsets() {
        let dir = tempfile::tempdir().unwrap();
        let segments = Segments::open(dir.path().join("seg")).unwrap();
        let page =
            |n: u32| -> Vec<u8> { (0..4096_u32).map(|i| (i.wrapping_mul(n * n + 1) >> 3) as u8).collect() };
        let mut writer = segments.append(0).unwrap();
        let positions: Vec<_> = (0..3000).map(|n| writer.add(&page(n)).unwrap()).collect();
        writer.finish().unwrap();
        let again = segments.append(0).unwrap();
        assert!(again.offset > 0 || segments.list().unwrap().len() > 1, "a new writer goes on at the end");
        drop(again);
        let mut frame = Vec::new();
        for n in (0..3000).step_by(61) {
            let position = positions[n as usize];
            segments.read_frame(position.segment, position.offset, &mut frame).unwrap();
            assert_eq!(&frame[position.slot as usize * 4096..][..4096], page(n));
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let segments = Segments::open(dir.path().to_owned()).unwrap();
        let mut writer = segments.append(0).unwrap();
        let position = writer.add(&[3; 512]).unwrap();
        writer.finish().unwrap();
        let path = segments.path(position.segment);
        let good = fs::read(&path).unwrap();
        let mut frame = Vec::new();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&path, bad).unwrap();
            assert!(segments.read_frame(position.segment, 0, &mut frame).is_err(), "byte {at}");
        }
    }
}
