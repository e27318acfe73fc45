//! A replica database: its present version, the read transaction that serves it, the sessions pinned to older
//! ones, and what a push needs.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ferry_types::{Clock, Tag, UnixMillis};
use rusqlite::Connection;

use super::{
    NotedHashes, ReadConsistency, Stage, VersionInfo,
    capture::Captured,
    dbpage::Snapshot,
    identity, index, recover, scratch,
    segment::{DamagedFrames, Segments},
    stage,
    thin::Thinning,
};
use crate::{Result, connection};

const HOUR_MS: i64 = 3_600_000;
/// The folder of staged pages.
pub(super) const STAGE: &str = "stage";

/// Settings of page sync.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaConfig {
    /// Largest image, and most that may be staged.
    pub max_database_bytes: u64,
    /// Images up to this size are checked for torn pages before they are accepted.
    pub check_max_bytes: u64,
    /// Before-images are kept up to this multiple of the database.
    pub history_ratio: f64,
    /// For how many days at most.
    pub history_days: u32,
    /// How long staged pages are kept.
    pub stage_hours: u32,
}

impl Default for ReplicaConfig {
    fn default() -> Self {
        Self {
            max_database_bytes: 16 << 30,
            check_max_bytes: 256 << 20,
            history_ratio: 1.0,
            history_days: 30,
            stage_hours: 24,
        }
    }
}

/// An open replica database. Dropping it closes its files; the next opening finds them as they were left.
pub struct Replica {
    pub(super) main: PathBuf,
    pub(super) dir: PathBuf,
    pub(super) config: ReplicaConfig,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) segments: Segments,
    stage: OnceLock<Stage>,
    /// Held while the stage is opened, so that it is opened once.
    stage_opening: Mutex<()>,
    live: Mutex<Live>,
    /// R1: the read transaction at the present version; `None` for an empty image, and while it is replaced.
    /// Whoever reads pages takes it before the index (PAG-46).
    pub(super) present: Mutex<Option<Snapshot>>,
    /// The index's writing connection; held for a whole commit.
    pub(super) writer: Mutex<Connection>,
    index_readers: Mutex<Vec<Connection>>,
    /// Held while the history is cut, and while a version of it is looked for and pinned.
    pub(super) retention: Mutex<Thinning>,
    /// Old versions whose root was found right, the newest last.
    pub(super) checked_roots: Mutex<VecDeque<Tag>>,
    /// What of the history cannot be read, and is still listed.
    pub(super) damaged: Mutex<DamagedFrames>,
    /// How versions come of a database that the hub writes; `None`: they are pushed.
    pub(super) captured: Option<Captured>,
    /// Set while main.db and the index may disagree; they are reconciled at the next opening.
    pub(super) broken: AtomicBool,
    /// Dropped last, once all files are closed.
    _permit: Box<dyn Send + Sync>,
}

struct Live {
    current: VersionInfo,
    /// How many sessions read each version.
    pins: BTreeMap<u64, u32>,
}

impl Replica {
    /// Opens the database in `dir`, which need not exist, and reconciles its files after whatever ended the
    /// last process (PAG-43, PAG-47). May hash the whole image, if main.db is not as it was left. `permit` is held as long
    /// as files are open.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn open(
        dir: &Path,
        config: ReplicaConfig,
        clock: Arc<dyn Clock>,
        permit: Box<dyn Send + Sync>,
    ) -> Result<Arc<Self>> {
        let (main, dir) = (dir.join("main.db"), dir.join("pages"));
        crate::folder::create(&dir)?;
        scratch::remove_leftovers(&dir)?;
        let recovered = recover::open(&main, &dir, clock.now())?;
        Ok(Arc::new(Self::of(main, dir, config, clock, permit, recovered, None)))
    }

    /// One of files that agree.
    pub(super) fn of(
        main: PathBuf,
        dir: PathBuf,
        config: ReplicaConfig,
        clock: Arc<dyn Clock>,
        permit: Box<dyn Send + Sync>,
        recovered: recover::Recovered,
        captured: Option<Captured>,
    ) -> Self {
        let live = Live { current: recovered.current, pins: BTreeMap::new() };
        Self {
            main,
            dir,
            config,
            clock,
            segments: recovered.segments,
            stage: OnceLock::new(),
            stage_opening: Mutex::default(),
            live: Mutex::new(live),
            present: Mutex::new(recovered.present),
            writer: Mutex::new(recovered.writer),
            index_readers: Mutex::default(),
            retention: Mutex::default(),
            checked_roots: Mutex::default(),
            damaged: Mutex::default(),
            captured,
            broken: AtomicBool::new(false),
            _permit: permit,
        }
    }

    /// The newest version.
    #[must_use]
    pub fn current(&self) -> VersionInfo {
        lock(&self.live).current.clone()
    }

    /// The newest version's name.
    #[must_use]
    pub fn tag(&self) -> Tag {
        lock(&self.live).current.tag()
    }

    /// Whether a push on `base` has lost to another one. An equal root is an equal base: who only rewrote the bytes of page 1
    /// that SQLite changes at every commit took nothing from anybody. Ferry's own client counts from the version that it
    /// saw, so it is refused, reads the new version, and pushes again by itself.
    #[must_use]
    pub fn has_moved_on(&self, base: &VersionInfo, origin: ReadConsistency) -> bool {
        let current = self.current();
        current.version != base.version && (origin == ReadConsistency::Snapshot || current.root != base.root)
    }

    /// The newest version, which is kept until [`Self::unpin`], whatever is committed meanwhile.
    pub(super) fn pin_current(&self) -> VersionInfo {
        let mut live = lock(&self.live);
        let info = live.current.clone();
        *live.pins.entry(info.version).or_default() += 1;
        info
    }

    pub(super) fn pin_number(&self, version: u64) {
        *lock(&self.live).pins.entry(version).or_default() += 1;
    }

    pub(super) fn unpin(&self, version: u64) {
        let mut live = lock(&self.live);
        if let Some(count) = live.pins.get_mut(&version) {
            *count -= 1;
            if *count == 0 {
                live.pins.remove(&version);
            }
        }
    }

    pub(super) fn is_pinned(&self, version: u64) -> bool {
        lock(&self.live).pins.contains_key(&version)
    }

    /// The oldest version that somebody reads or may begin to read.
    pub(super) fn oldest_needed(&self) -> u64 {
        let live = lock(&self.live);
        live.pins.keys().next().copied().unwrap_or(live.current.version).min(live.current.version)
    }

    pub(super) fn set_current(&self, info: VersionInfo) {
        lock(&self.live).current = info;
    }

    /// The staged pages, opened on first use.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn stage(&self) -> Result<&Stage> {
        if let Some(stage) = self.stage.get() {
            return Ok(stage);
        }
        let max_age_ms = self.stage_max_age_ms();
        let _alone = lock(&self.stage_opening);
        if self.stage.get().is_none() {
            let max_bytes = self.config.max_database_bytes;
            let stage = Stage::open(self.dir.join(STAGE), max_bytes, self.clock.now(), max_age_ms)?;
            let _ = self.stage.set(stage);
        }
        Ok(self.stage.get().expect("BUG: set above"))
    }

    /// Drops staged pages that no push came back for in time.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn expire_stage(&self) -> Result<()> {
        self.stage()?.expire(self.clock.now(), self.stage_max_age_ms())
    }

    fn stage_max_age_ms(&self) -> i64 {
        i64::from(self.config.stage_hours) * HOUR_MS
    }

    /// Room for the hashes that a push announces.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn noted_hashes(&self) -> Result<NotedHashes> {
        NotedHashes::create(&self.dir)
    }

    /// Whether a commit failed half-way: drop this and open anew, which settles it.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Runs `work` on a reading connection of the index.
    pub(super) fn with_index<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = lock(&self.index_readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connection::open_reader(&self.dir.join("index.db"))?,
        };
        let result = work(&connection);
        let mut idle = lock(&self.index_readers);
        if idle.len() < 2 {
            idle.push(connection);
        }
        result
    }

    /// Remembers, in the index, how main.db was left.
    pub(super) fn note_identity(&self, writer: &Connection) -> Result<()> {
        let identity = identity::of(&self.main)?.unwrap_or_default();
        index::set_meta(writer, "identity", &identity)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking holder may have left half-done is guarded by `broken`.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The newest version of the replica in `dir` as its index has it, without opening the database: for lists and
/// statistics. `None` if it has none.
///
/// # Errors
/// When there is an index that cannot be read.
pub fn peek_version(dir: &Path) -> Result<Option<VersionInfo>> {
    let path = dir.join("pages").join("index.db");
    if !path.exists() {
        return Ok(None);
    }
    let index = connection::open_reader(&path)?;
    // The file stands a moment before its tables do.
    if !index.table_exists(None, "versions")? {
        return Ok(None);
    }
    Ok(index::newest(&index)?.map(|row| row.info))
}

/// Drops staged pages of the database in `dir`, which nobody has open, that no push came back for in time.
///
/// # Errors
/// When a file cannot be removed.
pub fn expire_closed_stage(dir: &Path, now: UnixMillis, stage_hours: u32) -> Result<()> {
    stage::expire_closed(&dir.join("pages").join(STAGE), now, i64::from(stage_hours) * HOUR_MS)
}
