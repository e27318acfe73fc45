//! Intervals of the log are merged: of each database the newest pages of all of them, in objects that take the place of many
//! (OPR-09). They are written and read back before their parts go; whatever is killed meanwhile leaves the one or the other.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::File,
    io::{BufReader, Seek as _, SeekFrom},
    path::Path,
};

use ferry_core::backup::{
    log::{IntervalTimes, LOG_FOLDER, LogContents, LogInterval, LogMerge, LogObject, LogSpan},
    manifest::SnapshotDatabase,
    segment::{
        LogObjectWriter, OBJECT_MAX_BYTES, PAGE_NUMBER_BYTES, PIECE_BYTES, ReadLogObject, SegmentPiece,
    },
};
use ferry_sqlite::fault;
use ferry_types::{PageNo, PageSize};

use crate::{
    Error, JobProgress, LogReplay, Repository, Result, TargetLock, error::AtPath as _, interval::ZSTD_LEVEL,
    replay::next_piece,
};

/// Most merges of one call: others wait for the target meanwhile.
const AT_ONCE: u64 = 60;

/// What was merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogMergeReport {
    /// How many merges.
    pub merges: u64,
    /// Objects that went.
    pub removed: u64,
    /// What was found damaged, and stays as it is.
    pub damaged: Vec<String>,
    /// Whether there is more to merge.
    pub has_more: bool,
}

/// Merges what of the log is old enough. `now_ms` is in Unix milliseconds; in `scratch` waits what is merged, of
/// [`ferry_core::backup::log::MERGED_BYTES`] at most.
///
/// # Errors
/// When the target cannot be read or written. What is damaged is left as it is.
pub fn merge_log(
    repository: &Repository,
    (now_ms, scratch): (i64, &Path),
    progress: &JobProgress,
) -> Result<LogMergeReport> {
    let mut report = LogMergeReport::default();
    let (log, merges) = wanted(repository, now_ms)?;
    let is_left_over = log.unfinished_merges().next().is_some() || log.merged().next().is_some();
    if merges.is_empty() && !is_left_over {
        return Ok(report);
    }
    // Nobody else merges or prunes meanwhile, and what is unfinished then nobody is writing.
    let lock = repository.target.lock()?;
    let (log, merges) = wanted(repository, now_ms)?;
    let merging = Merging { repository, lock: &*lock, scratch, progress };
    for object in log.unfinished_merges() {
        lock.check()?;
        repository.target.delete(&object.to_string())?;
    }
    report.removed += merging.end_earlier(&log)?;
    for merge in &merges {
        // What cannot be merged keeps nothing else from it, and is no reason to begin anew at once.
        if report.merges == AT_ONCE {
            report.has_more = true;
            break;
        }
        progress.check()?;
        match merging.merge(merge) {
            Ok(removed) => {
                report.merges += u64::from(removed > 0);
                report.removed += removed;
            }
            Err(error @ Error::Damaged { .. }) => {
                report.damaged.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// What lies there, and what of it is old enough to be merged.
fn wanted(repository: &Repository, now_ms: i64) -> Result<(LogContents, Vec<LogMerge>)> {
    let looked = repository.target.list(LOG_FOLDER)?;
    let log = LogContents::of(looked.iter().map(|object| object.path.as_str()));
    // What was shipped after another hub had come is merged with nothing before it.
    let log = log.of_history(&repository.history()?);
    let bytes: BTreeMap<&str, u64> =
        looked.iter().map(|object| (object.path.as_str(), object.bytes)).collect();
    let bytes_of = |interval: &LogInterval| {
        interval.objects().filter_map(|object| bytes.get(&*object.to_string())).sum::<u64>()
    };
    let merges = log.merges(now_ms, bytes_of);
    Ok((log, merges))
}

struct Merging<'a> {
    repository: &'a Repository,
    lock: &'a dyn TargetLock,
    scratch: &'a Path,
    progress: &'a JobProgress,
}

impl Merging<'_> {
    /// Removes the parts of what was merged by somebody who was killed then: it was written, and may not have been read.
    fn end_earlier(&self, log: &LogContents) -> Result<u64> {
        let mut parts: BTreeMap<LogSpan, (&LogInterval, Vec<&LogInterval>)> = BTreeMap::new();
        for (part, whole) in log.merged() {
            parts.entry(whole.span).or_insert_with(|| (whole, Vec::new())).1.push(part);
        }
        let mut removed = 0;
        for (whole, parts) in parts.into_values() {
            let read = whole.objects().try_for_each(|object| self.read(&object).map(drop));
            match read {
                Ok(()) => removed += self.remove(parts.into_iter())?,
                // Its parts take its place again. The last object first: without it the others are nothing.
                Err(Error::Damaged { .. }) => {
                    self.remove(std::iter::once(whole))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// Returns how many objects went; 0: these cannot be merged.
    fn merge(&self, merge: &LogMerge) -> Result<u64> {
        let folder = self.scratch.join("merge");
        let gathered =
            LogReplay::gathered(self.repository, &merge.intervals, &folder, &|_| true, self.progress)?;
        let (span, times) = merge.whole();
        let mut written = WrittenMerge { merging: self, span, digests: Vec::new() };
        let mut object = LogObjectWriter::behind(gathered.before());
        let databases: BTreeSet<SnapshotDatabase> = gathered.databases().map(|piece| piece.id).collect();
        let mut plans = Vec::new();
        for id in databases {
            let path = gathered.file_of(id);
            let Some(pieces) = merged_pieces(&path)? else { return Ok(0) };
            plans.push((path, pieces));
        }
        for (path, pieces) in plans {
            self.progress.check()?;
            MergedDatabase::new(&path, &pieces)?.write(&mut |piece, compressed, length| {
                object.add(piece, &compressed, length);
                if object.is_full() {
                    written.put(std::mem::take(&mut object), None)?;
                }
                Ok(())
            })?;
        }
        written.put(object, Some(times))?;
        let digests = written.digests;
        fault::point("backup.merge.written")?;
        let parts = u32::try_from(digests.len()).unwrap_or(u32::MAX);
        let whole = LogInterval { span, parts, times };
        for (object, digest) in whole.objects().zip(digests) {
            if blake3::hash(&self.read(&object)?) != digest {
                return Err(Error::damaged(object.to_string(), "it is not what was written"));
            }
        }
        self.remove(merge.intervals.iter())
    }

    fn read(&self, object: &LogObject) -> Result<Vec<u8>> {
        let path = object.to_string();
        let bytes = self.repository.target.get(&path, OBJECT_MAX_BYTES)?;
        let bytes = bytes.ok_or_else(|| Error::damaged(&*path, "it is missing"))?;
        ReadLogObject::decode(&bytes).map_err(|malformed| Error::malformed(&*path, &malformed))?;
        Ok(bytes)
    }

    /// Removes intervals, of each its last object first.
    fn remove<'a>(&self, intervals: impl Iterator<Item = &'a LogInterval>) -> Result<u64> {
        let mut removed = 0;
        for interval in intervals {
            self.lock.check()?;
            let objects: Vec<LogObject> = interval.objects().collect();
            for object in objects.iter().rev() {
                self.repository.target.delete(&object.to_string())?;
                removed += 1;
                fault::point("backup.merge.part")?;
            }
        }
        Ok(removed)
    }
}

/// The objects of a merge that are on the target, and what they must be.
struct WrittenMerge<'a> {
    merging: &'a Merging<'a>,
    span: LogSpan,
    digests: Vec<blake3::Hash>,
}

impl WrittenMerge<'_> {
    /// Puts the next object; the last one has the times.
    fn put(&mut self, object: LogObjectWriter, times: Option<IntervalTimes>) -> Result<()> {
        let part = u32::try_from(self.digests.len()).unwrap_or(u32::MAX);
        let name = LogObject { span: self.span, part, times }.to_string();
        let bytes = object.finish();
        if !self.merging.repository.target.put_new(&name, &bytes)? {
            return Err(Error::damaged(name, "another process has written it"));
        }
        self.digests.push(blake3::hash(&bytes));
        fault::point("backup.merge.object")?;
        Ok(())
    }
}

/// A piece, and where it is described in the file that was gathered.
type PlacedPiece = (SegmentPiece, u64);

/// The pieces of a database that count, in their order; `None`: they do not lead from one to the next, as they do in what one run
/// of a hub ships.
fn merged_pieces(path: &Path) -> Result<Option<Vec<PlacedPiece>>> {
    let mut file = BufReader::new(File::open(path).at("cannot read", path)?);
    let mut pieces: Vec<PlacedPiece> = Vec::new();
    loop {
        let place = file.stream_position().at("cannot read", path)?;
        let Some((piece, _)) = next_piece(&mut file).at("cannot read", path)? else { break };
        let last = pieces.last().map(|(last, _)| last);
        let follows = match (piece.piece, last) {
            // All of its pages: what was before does not count.
            (0, _) if piece.base.is_none() => {
                pieces.clear();
                true
            }
            (0, None) => true,
            (0, Some(last)) => {
                let leads_on = last.seq < piece.seq && piece.base.is_some_and(|base| base <= last.seq);
                !last.more && leads_on && last.image().page_size == piece.image().page_size
            }
            (number, Some(last)) => last.more && last.piece + 1 == number && last.seq == piece.seq,
            (_, None) => false,
        };
        if !follows {
            return Ok(None);
        }
        pieces.push((piece, place));
    }
    let is_whole = pieces.last().is_some_and(|(last, _)| !last.more);
    Ok(is_whole.then_some(pieces))
}

/// What is done with a piece: as it is described, compressed, and how long it is otherwise.
type EachPiece<'a> = dyn FnMut(SegmentPiece, Vec<u8>, usize) -> Result<()> + 'a;

/// A database that is merged.
struct MergedDatabase<'a> {
    path: &'a Path,
    file: BufReader<File>,
    pieces: &'a [PlacedPiece],
    /// What the merged pieces describe.
    described: SegmentPiece,
    size: PageSize,
}

impl<'a> MergedDatabase<'a> {
    fn new(path: &'a Path, pieces: &'a [PlacedPiece]) -> Result<Self> {
        let bad = || Error::damaged("log", "a database has no pages in it");
        let [(first, _), ..] = pieces else { return Err(bad()) };
        let (last, _) = pieces.last().ok_or_else(bad)?;
        let size = last.image().page_size.ok_or_else(bad)?;
        let mut described = last.clone();
        described.base = first.base;
        let file = BufReader::new(File::open(path).at("cannot read", path)?);
        Ok(Self { path, file, pieces, described, size })
    }

    /// Hands out its pieces: from the newest page to the oldest, each page once.
    fn write(mut self, each: &mut EachPiece<'_>) -> Result<()> {
        let entry = self.size.bytes() + PAGE_NUMBER_BYTES;
        let most = (PIECE_BYTES / entry).max(1) * entry;
        let mut seen: HashSet<PageNo> = HashSet::new();
        let (mut raw, mut number) = (Vec::with_capacity(most), 0);
        let pages = self.described.image().pages;
        for (piece, place) in self.pieces.iter().rev() {
            let data = self.read(piece, *place)?;
            for page in data.chunks_exact(entry) {
                let bad = || {
                    Error::damaged("log", format!("database {}: it has a page without a number", piece.id))
                };
                let head = page.first_chunk::<PAGE_NUMBER_BYTES>().ok_or_else(bad)?;
                let page_no = PageNo::new(u32::from_le_bytes(*head)).ok_or_else(bad)?;
                if !pages.contains(page_no) || !seen.insert(page_no) {
                    continue;
                }
                if raw.len() == most {
                    self.hand_out(&mut raw, (number, true), each)?;
                    number += 1;
                }
                raw.extend_from_slice(page);
            }
        }
        self.hand_out(&mut raw, (number, false), each)
    }

    fn read(&mut self, piece: &SegmentPiece, place: u64) -> Result<Vec<u8>> {
        let damaged = || Error::damaged("log", format!("database {}: a piece of it is damaged", piece.id));
        self.file.seek(SeekFrom::Start(place)).at("cannot read", self.path)?;
        let found = next_piece(&mut self.file).at("cannot read", self.path)?;
        let (_, body) = found.ok_or_else(damaged)?;
        let data = zstd::bulk::decompress(&body, piece.length as usize).map_err(|_| damaged())?;
        if data.len() == piece.length as usize { Ok(data) } else { Err(damaged()) }
    }

    fn hand_out(
        &self,
        raw: &mut Vec<u8>,
        (number, more): (u32, bool),
        each: &mut EachPiece<'_>,
    ) -> Result<()> {
        let compressed = zstd::bulk::compress(raw, ZSTD_LEVEL).at("cannot compress", self.path)?;
        each(self.described.part(number, more), compressed, raw.len())?;
        raw.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
