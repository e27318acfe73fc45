//! An interval of the log on its way: what changed is gathered on this machine's disk, sealed if backups are encrypted, and then
//! brought to each target (OPR-05, OPR-07).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use ferry_core::backup::{
    log::{IntervalTimes, LOG_FOLDER, LogContents, LogInterval, LogMark, LogObject, LogSpan},
    manifest::SnapshotDatabase,
    segment::{IntervalDatabases, LogObjectWriter, PAGE_NUMBER_BYTES, PIECE_BYTES, SegmentPiece},
};
use ferry_sqlite::{fault, folder};
use ferry_types::{PageNo, PageSize, RunId};

use crate::{BackupKey, BackupTarget, Error, Result, error::AtPath as _, target_identity::read_identity};

/// How pages of the log are compressed.
pub(crate) const ZSTD_LEVEL: i32 = 3;

/// An interval that begins.
#[derive(Clone, Debug)]
pub struct NewInterval {
    /// Of which run.
    pub run: RunId,
    /// Its number.
    pub number: u64,
    /// Where it waits.
    pub spool: PathBuf,
    /// What it is sealed with.
    pub key: Option<BackupKey>,
    /// Most bytes that it may have.
    pub max_bytes: u64,
    /// The databases of the interval before it, which it tells in case that one is lost.
    pub before: Option<IntervalDatabases>,
}

/// Reads pages, in their order, one after the other into the room.
pub type ReadPages<'a> = dyn FnMut(&[PageNo], &mut dyn FnMut(PageNo, &[u8])) -> Result<()> + 'a;

/// An interval that is being gathered. Dropped before its end it leaves nothing.
pub struct IntervalWriter {
    new: NewInterval,
    object: LogObjectWriter,
    databases: BTreeSet<SnapshotDatabase>,
    files: SpooledFiles,
    is_torn: bool,
}

impl IntervalWriter {
    /// Begins one.
    ///
    /// # Errors
    /// When the spool cannot be made.
    pub fn begin(new: NewInterval) -> Result<Self> {
        folder::create(&new.spool).at("cannot make the folder", &new.spool)?;
        let object = LogObjectWriter::behind(new.before.clone());
        let (files, databases) = (SpooledFiles::default(), BTreeSet::new());
        Ok(Self { new, object, databases, files, is_torn: false })
    }

    /// Adds these pages of a database, as `read` hands them out.
    ///
    /// # Errors
    /// When they cannot be read or written, or are too many; [`Self::is_torn`] says whether others may still be added.
    pub fn add(&mut self, segment: &SegmentPiece, pages: &[PageNo], read: &mut ReadPages<'_>) -> Result<()> {
        let size = segment.image().page_size.map_or(0, PageSize::bytes) + PAGE_NUMBER_BYTES;
        let at_once = (PIECE_BYTES / size).max(1);
        let mut rest = pages;
        let mut raw = Vec::new();
        for piece in 0.. {
            let (now, after) = rest.split_at(rest.len().min(at_once));
            rest = after;
            raw.clear();
            read(now, &mut |page, data| {
                raw.extend_from_slice(&page.get().to_le_bytes());
                raw.extend_from_slice(data);
            })?;
            let compressed =
                zstd::bulk::compress(&raw, ZSTD_LEVEL).at("cannot compress for", &self.new.spool)?;
            let described = segment.part(piece, !rest.is_empty());
            self.object.add(described, &compressed, raw.len());
            self.databases.insert(segment.id);
            self.is_torn = !rest.is_empty();
            if self.object.is_full() {
                self.write(None)?;
            }
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Whether some pages of a database were added and the others failed: the interval must be dropped.
    #[must_use]
    pub const fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Ends it. `None`: nothing was added.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, times: IntervalTimes) -> Result<Option<SpooledInterval>> {
        if self.object.is_empty() && self.files.0.is_empty() {
            return Ok(None);
        }
        // The last object has the times in its name, even if it holds nothing more.
        self.write(Some(times))?;
        let span = LogSpan::of(self.new.run, self.new.number);
        let parts = u32::try_from(self.files.0.len()).unwrap_or(u32::MAX);
        let databases = IntervalDatabases::of(&self.databases);
        Ok(Some(SpooledInterval {
            interval: LogInterval { span, parts, times },
            databases,
            files: self.files,
        }))
    }

    fn write(&mut self, times: Option<IntervalTimes>) -> Result<()> {
        let part = u32::try_from(self.files.0.len()).unwrap_or(u32::MAX);
        let object = LogObject { span: LogSpan::of(self.new.run, self.new.number), part, times };
        let name = object.to_string();
        let mut bytes = std::mem::take(&mut self.object).finish();
        if let Some(key) = &self.new.key {
            bytes = key.seal(&name, &bytes)?;
        }
        let file = self.new.spool.join(format!("{}-{:010}-{part:05}", self.new.run, self.new.number));
        let length = bytes.len() as u64;
        if self.files.bytes() + length > self.new.max_bytes {
            return Err(Error::SpoolFull(format!(
                "what changed takes more than the {} bytes that backup.spool_mib allows to wait",
                self.new.max_bytes
            )));
        }
        fault::point("backup.spool")?;
        // Noted first: half of a file goes too.
        self.files.0.push((name, file.clone(), length));
        fs::write(&file, &bytes).at("cannot write", &file)
    }
}

/// Files of the spool, which go with this: names, paths, bytes.
#[derive(Debug, Default)]
struct SpooledFiles(Vec<(String, PathBuf, u64)>);

impl SpooledFiles {
    fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, _, bytes)| bytes).sum()
    }
}

impl Drop for SpooledFiles {
    fn drop(&mut self) {
        for (_, file, _) in &self.0 {
            // What cannot be removed is at the next start.
            let _ = fs::remove_file(file);
        }
    }
}

/// A whole interval on this machine's disk; its files go with this.
#[derive(Debug)]
pub struct SpooledInterval {
    /// Which one.
    pub interval: LogInterval,
    /// What it holds something of.
    pub databases: IntervalDatabases,
    files: SpooledFiles,
}

impl SpooledInterval {
    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.interval.span.last
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.bytes()
    }

    /// Brings it to a target, which must still be that which was called `target_id`. What is there already stays.
    ///
    /// # Errors
    /// When the target cannot be written, is another one, or holds something else under its names.
    pub fn ship(&self, target: &dyn BackupTarget, target_id: &str) -> Result<()> {
        let identity = read_identity(target)?;
        if identity.is_none_or(|identity| identity.target_id != target_id) {
            return Err(Error::Invalid(format!(
                "{} does not hold the backups of this hub any more: is its disk mounted?",
                target.url()
            )));
        }
        for (name, file, length) in &self.files.0 {
            let bytes = fs::read(file).at("cannot read", file)?;
            if target.put_new(name, &bytes)? {
                fault::point("backup.shipped")?;
                continue;
            }
            // An earlier try whose answer was lost.
            let there = target.get(name, usize::try_from(*length).unwrap_or(usize::MAX))?;
            if there.as_deref() != Some(&bytes) {
                return Err(Error::damaged(name, "another hub has written it"));
            }
        }
        Ok(())
    }
}

/// Notes on a target that these intervals, the last of which is `last`, are all there, and takes back what was noted before: so
/// much of the log can be missed if it is gone, whatever becomes of the hub.
///
/// # Errors
/// When the target cannot be written.
pub fn note_log_head(
    target: &dyn BackupTarget,
    key: Option<&BackupKey>,
    (span, last): (LogSpan, &SpooledInterval),
    earlier: Option<LogMark>,
) -> Result<LogMark> {
    let mark = LogMark::Head(span, last.interval.times.to_ms);
    let name = mark.to_string();
    let bytes = serde_json::to_vec(&last.databases).expect("BUG: text and numbers are JSON");
    target.put_new(&name, &key.map_or(Ok(bytes.clone()), |key| key.seal(&name, &bytes))?)?;
    if let Some(earlier) = earlier.filter(|earlier| *earlier != mark) {
        target.delete(&earlier.to_string())?;
    }
    Ok(mark)
}

/// The first of these intervals that a target lacks; those whose length is known must have it.
///
/// # Errors
/// When the target cannot be listed.
pub fn find_lost_interval(
    target: &dyn BackupTarget,
    span: LogSpan,
    lengths: &BTreeMap<u64, u64>,
) -> Result<Option<u64>> {
    let listed = target.list(&format!("{LOG_FOLDER}/{}", span.run))?;
    let there = LogContents::of(listed.iter().map(|object| object.path.as_str()));
    let bytes: BTreeMap<&str, u64> =
        listed.iter().map(|object| (object.path.as_str(), object.bytes)).collect();
    // What a prune removed is not missed.
    let mut number = span.first.max(there.pruned_below(span.run));
    while number <= span.last {
        let Some(found) = there.interval(span.run, number) else { return Ok(Some(number)) };
        let length: u64 = found.objects().filter_map(|object| bytes.get(&*object.to_string())).sum();
        let is_single = found.span.first == found.span.last;
        if is_single && lengths.get(&number).is_some_and(|known| *known != length) {
            return Ok(Some(number));
        }
        number = found.span.last + 1;
    }
    Ok(None)
}

/// Removes what a process that ended left waiting.
///
/// # Errors
/// When it cannot be removed.
pub fn empty_log_spool(spool: &Path) -> Result<()> {
    match fs::remove_dir_all(spool) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("cannot remove", spool),
        _ => Ok(()),
    }
}
