//! The log is played upon restored files. Its objects hold the pages of many databases; so each is read once, and what it
//! holds of each database is gathered in a file of its own.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ferry_core::{
    backup::{
        SnapshotId, chunk,
        log::{LogInterval, LogObject, LogPlan},
        manifest::{BackedUpDatabase, ImageShape, SnapshotDatabase},
        segment::{IntervalDatabases, OBJECT_MAX_BYTES, PAGE_NUMBER_BYTES, ReadLogObject, SegmentPiece},
    },
    pages::{header, tree},
};
use ferry_sqlite::folder;
use ferry_types::{PageNo, PageSize, Root};

use crate::{
    Error, JobProgress, Repository, Result, error::AtPath as _, image::leaves_of, restore::restore_file,
};

/// What a log holds of some databases, on this machine's disk; it goes with this.
#[derive(Debug)]
pub struct LogReplay {
    folder: PathBuf,
    /// Of each database what is last told of it.
    last: BTreeMap<SnapshotDatabase, SegmentPiece>,
    /// Commit of control.db in the snapshot, as the log counts them.
    control_seq: u64,
    /// What is told of the interval before the first.
    before: Option<IntervalDatabases>,
}

impl Drop for LogReplay {
    fn drop(&mut self) {
        // What cannot be removed lies in a scratch folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl LogReplay {
    /// Reads the log as far as `plan` goes, of the databases that `wanted` names. `folder` is made, and is gone afterwards.
    ///
    /// # Errors
    /// When an object is missing or damaged, or the disk does not take it.
    pub fn collect(
        repository: &Repository,
        plan: &LogPlan<SnapshotId>,
        folder: &Path,
        wanted: &dyn Fn(&SegmentPiece) -> bool,
        progress: &JobProgress,
    ) -> Result<Self> {
        let control_seq = plan.base.log.map_or(0, |start| start.interval);
        let gathered = Self::gathered(repository, &plan.intervals, folder, wanted, progress);
        let mut replay = gathered.map_err(|error| repository.damaged_log(plan, error))?;
        replay.control_seq = control_seq;
        Ok(replay)
    }

    /// Reads these intervals.
    pub(crate) fn gathered(
        repository: &Repository,
        intervals: &[LogInterval],
        folder: &Path,
        wanted: &dyn Fn(&SegmentPiece) -> bool,
        progress: &JobProgress,
    ) -> Result<Self> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).at("cannot remove", folder);
            }
            _ => folder::create(folder).at("cannot make the folder", folder)?,
        }
        let last = BTreeMap::new();
        let mut replay = Self { folder: folder.to_owned(), last, control_seq: 0, before: None };
        for (index, object) in intervals.iter().flat_map(LogInterval::objects).enumerate() {
            progress.check()?;
            let before = replay.gather(repository, object, wanted)?;
            if index == 0 {
                replay.before = before;
            }
        }
        Ok(replay)
    }

    fn gather(
        &mut self,
        repository: &Repository,
        object: LogObject,
        wanted: &dyn Fn(&SegmentPiece) -> bool,
    ) -> Result<Option<IntervalDatabases>> {
        let path = object.to_string();
        let bytes = repository.target.get(&path, OBJECT_MAX_BYTES)?;
        let bytes = bytes.ok_or_else(|| Error::damaged(&*path, "it is missing"))?;
        let read = ReadLogObject::decode(&bytes).map_err(|malformed| Error::malformed(&*path, &malformed))?;
        for piece in read.pieces.iter().filter(|piece| wanted(piece)) {
            let file = self.file_of(piece.id);
            let head = serde_json::to_vec(piece).expect("BUG: text and numbers are JSON");
            let length = u32::try_from(head.len()).expect("BUG: a piece is described in a few words");
            let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&file);
            let whole = [&length.to_le_bytes()[..], &head, read.body(piece)].concat();
            opened.and_then(|mut file| file.write_all(&whole)).at("cannot write", &file)?;
            self.last.insert(piece.id, piece.clone());
        }
        Ok(read.before)
    }

    /// What is told of the interval before the first.
    pub(crate) fn before(&self) -> Option<IntervalDatabases> {
        self.before.clone()
    }

    pub(crate) fn file_of(&self, id: SnapshotDatabase) -> PathBuf {
        self.folder.join(format!("{id}.log"))
    }

    /// The databases of which it holds something, and what is last told of each.
    pub fn databases(&self) -> impl Iterator<Item = &SegmentPiece> {
        self.last.values()
    }

    /// The last commit of this one that it tells of.
    fn last_seq(&self, id: SnapshotDatabase) -> Option<u64> {
        self.last.get(&id).map(|piece| piece.seq)
    }

    /// Whether it holds something of this one.
    pub(crate) fn has(&self, id: SnapshotDatabase) -> bool {
        self.last.contains_key(&id)
    }

    /// Plays upon the image in `file` what there is of the database; `seq` is the commit that it shows, `None` if it has no page. Upon
    /// one that stands in for what could not be read (`is_unread`) only what leads on from it is played. Returns what the file is then,
    /// whose root was compared; `None`: there was nothing new.
    ///
    /// # Errors
    /// When something is missing, or the image is not what it should be.
    pub(crate) fn apply(
        &self,
        id: SnapshotDatabase,
        (seq, is_unread): (Option<u64>, bool),
        file: &Path,
        progress: &JobProgress,
    ) -> Result<Option<SegmentPiece>> {
        if !self.has(id) {
            return Ok(None);
        }
        let seq = if id == SnapshotDatabase::Control { seq.map(|_| self.control_seq) } else { seq };
        let log = self.file_of(id);
        let mut pieces = BufReader::new(File::open(&log).at("cannot read", &log)?);
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(file);
        let mut playing = Playing {
            file: opened.at("cannot write", file)?,
            path: file,
            at: seq,
            may_lack: is_unread,
            played: None,
            takes: false,
        };
        while let Some((piece, body)) = next_piece(&mut pieces).at("cannot read", &log)? {
            progress.check()?;
            playing.play(piece, &body)?;
        }
        playing.finish()
    }
}

/// The next piece that was gathered; `None` at the end.
pub(crate) fn next_piece(from: &mut impl Read) -> io::Result<Option<(SegmentPiece, Vec<u8>)>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut head = vec![0; u32::from_le_bytes(length) as usize];
    from.read_exact(&mut head)?;
    let piece: SegmentPiece = serde_json::from_slice(&head)?;
    let mut body = vec![0; piece.stored as usize];
    from.read_exact(&mut body)?;
    Ok(Some((piece, body)))
}

/// An image upon which the log is played.
struct Playing<'a> {
    file: File,
    path: &'a Path,
    /// The commit that it shows.
    at: Option<u64>,
    /// Whether there may be pieces between which something lies that nobody has.
    may_lack: bool,
    /// What was played last.
    played: Option<SegmentPiece>,
    /// Whether the pieces that come now are played.
    takes: bool,
}

impl Playing<'_> {
    fn play(&mut self, piece: SegmentPiece, body: &[u8]) -> Result<()> {
        if piece.piece == 0 {
            self.takes = self.is_next(&piece)?;
            if self.takes && piece.base.is_none() {
                self.file.set_len(0).at("cannot write", self.path)?;
            }
        }
        if !self.takes {
            return Ok(());
        }
        let size = size_of(&piece)?;
        let bad = || Error::damaged("log", format!("database {}: a piece of it is damaged", piece.id));
        let raw = zstd::bulk::decompress(body, piece.length as usize).map_err(|_| bad())?;
        if raw.len() != piece.length as usize {
            return Err(bad());
        }
        for page in raw.chunks_exact(size.bytes() + PAGE_NUMBER_BYTES) {
            let (number, data) = page.split_first_chunk::<PAGE_NUMBER_BYTES>().ok_or_else(bad)?;
            let number = PageNo::new(u32::from_le_bytes(*number));
            let number = number.filter(|number| piece.image().pages.contains(*number)).ok_or_else(bad)?;
            self.file.write_all_at(data, offset(number, size)).at("cannot write", self.path)?;
        }
        if !piece.more {
            self.end(piece, size)?;
        }
        Ok(())
    }

    /// Whether this one is played upon what there is: one that it has already is not.
    fn is_next(&self, piece: &SegmentPiece) -> Result<bool> {
        let Some(base) = piece.base else { return Ok(true) };
        match self.at {
            Some(at) if piece.seq <= at => Ok(false),
            Some(at) if base <= at => Ok(true),
            _ if self.may_lack => Ok(false),
            at => Err(Error::damaged(
                "log",
                format!(
                    "database {}: what leads from {} to {base} is missing",
                    piece.id,
                    at.map_or_else(|| "nothing".to_owned(), |at| at.to_string())
                ),
            )),
        }
    }

    /// The image has the pages of one commit now.
    fn end(&mut self, piece: SegmentPiece, size: PageSize) -> Result<()> {
        let image = piece.image();
        self.file.set_len(u64::from(image.pages.0) * size.bytes() as u64).at("cannot write", self.path)?;
        let mut first = vec![0; size.bytes()];
        self.file.read_exact_at(&mut first, 0).at("cannot read", self.path)?;
        header::normalize(&mut first, image.pages);
        image.volatile.apply(&mut first);
        self.file.write_all_at(&first, 0).at("cannot write", self.path)?;
        self.at = Some(piece.seq);
        self.played = Some(piece);
        Ok(())
    }

    fn finish(self) -> Result<Option<SegmentPiece>> {
        let Some(piece) = self.played else { return Ok(None) };
        let (size, image) = (size_of(&piece)?, piece.image());
        if root_of(&self.file, size, &image).at("cannot read", self.path)? != image.root {
            let what =
                format!("database {}: the log makes another image of it than its root names", piece.id);
            return Err(Error::damaged("log", what));
        }
        self.file.sync_all().at("cannot sync", self.path)?;
        Ok(Some(piece))
    }
}

fn size_of(piece: &SegmentPiece) -> Result<PageSize> {
    let bad = || Error::damaged("log", format!("database {}: no image has such a page size", piece.id));
    piece.image().page_size.ok_or_else(bad)
}

fn offset(page: PageNo, size: PageSize) -> u64 {
    u64::from(page.get() - 1) * size.bytes() as u64
}

/// The root of the image in a file.
fn root_of(file: &File, size: PageSize, image: &ImageShape) -> io::Result<Root> {
    let mut root = tree::RootBuilder::default();
    let mut data = Vec::new();
    for place in 0..chunk::count(image.pages) {
        let first = PageNo::new(place * chunk::PAGES + 1).expect("BUG: it is not 0");
        data.resize(chunk::pages_of(place, image.pages) as usize * size.bytes(), 0);
        file.read_exact_at(&mut data, offset(first, size))?;
        if place == 0 {
            header::normalize(&mut data, image.pages);
        }
        leaves_of(first, size, &data).iter().for_each(|leaf| root.push(leaf));
    }
    Ok(root.finish(size))
}

/// Writes a database to `to`, which must not exist: as a snapshot has it, if it does, and then what the log has of it. Returns what
/// it is then, without a map.
///
/// # Errors
/// When an object is missing or damaged, or the file cannot be written; then there is none.
pub(crate) fn restore_replayed(
    repository: &Repository,
    (id, entry): (SnapshotDatabase, Option<&BackedUpDatabase>),
    replay: Option<&LogReplay>,
    to: &Path,
    progress: &JobProgress,
) -> Result<Option<BackedUpDatabase>> {
    match entry {
        Some(entry) => restore_file(repository, entry, to, progress)?,
        None if to.exists() => {
            return Err(Error::Occupied(format!("{} exists already: name a new file", to.display())));
        }
        None => {}
    }
    let seq = entry.and_then(BackedUpDatabase::shown_seq);
    let unread = entry.and_then(|entry| entry.unread);
    let played = match replay {
        Some(replay) => replay.apply(id, (seq, unread.is_some()), to, progress),
        None => Ok(None),
    };
    match played {
        Ok(Some(piece)) => {
            let is_last = replay.and_then(|replay| replay.last_seq(id)) == Some(piece.seq);
            let mut entry = described(&piece);
            entry.unread = unread.filter(|_| !is_last);
            Ok(Some(entry))
        }
        Ok(None) => {
            if seq.is_none() && unread.is_some() {
                // Nothing of it was there, and nothing that came later leads on from nothing.
                let _ = fs::remove_file(to);
            }
            Ok(entry.cloned())
        }
        Err(error) => {
            let _ = fs::remove_file(to);
            Err(error)
        }
    }
}

fn described(piece: &SegmentPiece) -> BackedUpDatabase {
    let mut entry = BackedUpDatabase::new(piece.id, &piece.image(), Vec::new());
    entry.name.clone_from(&piece.name);
    entry.org.clone_from(&piece.org);
    entry.kind.clone_from(&piece.kind);
    entry.seq = piece.seq;
    entry
}
