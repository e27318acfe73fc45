//! The pages of control.db that changed since they were last gathered. It is not captured as databases are: it is small, and
//! read as a whole when its files say that it was written.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use ferry_backup::{IntervalWriter, Result};
use ferry_core::{
    backup::{
        manifest::{ImageShape, SnapshotDatabase},
        segment::SegmentPiece,
    },
    pages::{Volatile, tree},
};
use ferry_sqlite::{
    pages::dbpage::{Schema, Snapshot},
    sidecars,
};
use ferry_types::{Leaf, PageNo, UnixMillis};

/// For so long a write may not show in a file's times.
const SETTLED_MS: i64 = 2_000;

/// What is known of control.db.
pub(super) struct ControlPages {
    path: PathBuf,
    /// Of the image that was gathered last.
    gathered: Option<Gathered>,
    /// How its files were, if they were settled.
    seen: Option<Vec<FileMark>>,
}

/// An image of control.db.
pub(super) struct Gathered {
    interval: u64,
    leaves: Vec<Leaf>,
}

/// What a file is known by, without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileMark {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl ControlPages {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("control.db"), gathered: None, seen: None }
    }

    /// Whether it may have been written since it was last looked at.
    pub(super) fn may_have_changed(&self) -> bool {
        // What cannot be told may have changed.
        self.seen.is_none() || self.seen != self.marks().ok()
    }

    fn marks(&self) -> io::Result<Vec<FileMark>> {
        let mut marks = Vec::new();
        for path in [self.path.clone(), sidecars::beside(&self.path, "-wal")] {
            match fs::metadata(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(data) => marks.push(FileMark {
                    inode: data.ino(),
                    bytes: data.len(),
                    modified: (data.mtime(), data.mtime_nsec()),
                }),
            }
        }
        Ok(marks)
    }

    /// Adds to the interval of this number what changed; all of it if `whole`. Returns what was added; `None`: nothing was.
    ///
    /// # Errors
    /// When it cannot be read, or the interval not be written.
    pub(super) fn add(
        &mut self,
        writer: &mut IntervalWriter,
        (interval, whole): (u64, bool),
        now: UnixMillis,
    ) -> Result<Option<Gathered>> {
        // Before it is read: what is written meanwhile shows later.
        let marks = self.marks().ok();
        let is_settled = |mark: &FileMark| now.0 - mark.modified.0.saturating_mul(1000) > SETTLED_MS;
        self.seen = marks.filter(|marks| marks.iter().all(is_settled));
        let snapshot = Snapshot::open(&self.path, Schema::Read)?;
        let (size, count) = (snapshot.page_size(), snapshot.page_count());
        let base = self.gathered.as_ref().filter(|_| !whole);
        let (mut leaves, mut pages) = (Vec::new(), Vec::new());
        let (mut root, mut volatile) = (tree::RootBuilder::default(), Volatile::NORMAL);
        let (mut data, mut room) = (Vec::new(), Vec::new());
        for page in count.pages() {
            data.clear();
            snapshot.read(page, &mut data)?;
            if page == PageNo::FIRST {
                volatile = Volatile::of(&data);
            }
            let leaf = tree::leaf_of(page, count, &data, &mut room);
            root.push(&leaf);
            if base.is_none_or(|base| base.leaves.get(page.index()) != Some(&leaf)) {
                pages.push(page);
            }
            leaves.push(leaf);
        }
        if base.is_some_and(|base| pages.is_empty() && base.leaves.len() == leaves.len()) {
            return Ok(None);
        }
        let image = ImageShape { page_size: Some(size), pages: count, volatile, root: root.finish(size) };
        let mut segment = SegmentPiece::new(SnapshotDatabase::Control, &image);
        "control".clone_into(&mut segment.kind);
        segment.seq = interval;
        segment.base = base.map(|base| base.interval);
        writer.add(&segment, &pages, &mut |pages, each| {
            for page in pages {
                data.clear();
                snapshot.read(*page, &mut data)?;
                each(*page, &data);
            }
            Ok(())
        })?;
        Ok(Some(Gathered { interval, leaves }))
    }

    /// The interval is whole: what comes is compared with this.
    pub(super) fn gathered(&mut self, gathered: Gathered) {
        self.gathered = Some(gathered);
    }
}
