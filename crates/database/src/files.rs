//! What open databases take of the process, all together: their number, and file descriptors. Who would open one more
//! waits until the least recently used of those that nobody uses just now is closed, and is told to come back if there is
//! none for long. See ARCHITECTURE.md, "Open databases".

mod evict;
mod limits;
mod room;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferry_types::{Error, Reason, Result, limits::OPEN_WAIT_MAX_MS};

use room::{Places, Room};

pub use limits::FileLimits;

/// Descriptors of an open database that its connections share: the WAL's index.
pub const SHARED_DESCRIPTORS: u32 = 1;
/// Descriptors of a connection: the database and its WAL.
pub const CONNECTION_DESCRIPTORS: u32 = 2;

/// Counts what open databases take, and closes some while others wait.
pub struct OpenFiles {
    databases: Arc<Room>,
    descriptors: Arc<Room>,
    /// Counts uses, so that of two the later is known.
    uses: AtomicU64,
    /// Open databases by a use of theirs, which need not be the last: whoever takes one out compares.
    by_use: Mutex<BTreeMap<u64, Weak<dyn Evict>>>,
    /// Whether a task closes databases.
    is_evicting: AtomicBool,
}

/// An open database's share; it counts as open as long as somebody has it.
struct OpenDatabase {
    pool: Arc<OpenFiles>,
    /// Where it stands in [`OpenFiles::by_use`].
    place: AtomicU64,
    /// Descriptors beyond the shared one that closing it gives back: of some connections, or of a capture with all its own.
    descriptors: AtomicUsize,
    _database: Places,
    _shared: Places,
}

impl Drop for OpenDatabase {
    fn drop(&mut self) {
        self.pool.by_use().remove(&self.place.load(Ordering::Relaxed));
    }
}

/// The right to hold some files of a database open, until it is dropped.
pub struct FilePermit {
    // Given back first: whoever waits for a database needs descriptors too.
    descriptors: Places,
    open: Arc<OpenDatabase>,
}

/// A database whose files may be closed.
pub(crate) trait Evict: Send + Sync {
    /// Its part in what is open.
    fn files(&self) -> &DatabaseFiles;

    /// Whether nobody works with its files just now.
    fn is_idle(&self) -> bool;

    /// Closes its files, on this thread, unless somebody works with them. True if they are closed now.
    fn close_if_idle(&self) -> bool;
}

/// One database's part in this.
pub struct DatabaseFiles {
    pool: Arc<OpenFiles>,
    database: Weak<dyn Evict>,
    open: Mutex<Weak<OpenDatabase>>,
    used: AtomicU64,
}

impl OpenFiles {
    /// Nothing is open yet.
    #[must_use]
    pub fn new(limits: FileLimits) -> Arc<Self> {
        Arc::new(Self {
            databases: Room::of(limits.databases),
            descriptors: Room::of(limits.descriptors),
            uses: AtomicU64::new(1),
            by_use: Mutex::default(),
            is_evicting: AtomicBool::new(false),
        })
    }

    /// How many databases are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.by_use().len()
    }

    /// The number of the next use.
    pub(crate) fn tick(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    fn by_use(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<dyn Evict>>> {
        self.by_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, open: &OpenDatabase, database: &Weak<dyn Evict>, place: u64) {
        let mut by_use = self.by_use();
        open.place.store(place, Ordering::Relaxed);
        by_use.insert(place, Weak::clone(database));
    }
}

impl FilePermit {
    fn new(descriptors: Places, open: Arc<OpenDatabase>) -> Self {
        open.descriptors.fetch_add(descriptors.count(), Ordering::Relaxed);
        Self { descriptors, open }
    }

    /// The right to what is more than `kept` of its descriptors.
    pub(crate) fn split_off(&mut self, kept: u32) -> Option<Self> {
        let descriptors = self.descriptors.split_off(kept as usize)?;
        Some(Self { descriptors, open: Arc::clone(&self.open) })
    }
}

impl Drop for FilePermit {
    fn drop(&mut self) {
        self.open.descriptors.fetch_sub(self.descriptors.count(), Ordering::Relaxed);
    }
}

impl DatabaseFiles {
    /// Those of `database`, all closed.
    pub(crate) fn new(pool: &Arc<OpenFiles>, database: Weak<dyn Evict>) -> Self {
        let used = AtomicU64::new(pool.tick());
        Self { pool: Arc::clone(pool), database, open: Mutex::default(), used }
    }

    /// The database is used now.
    pub(crate) fn touch(&self) {
        self.used.store(self.pool.tick(), Ordering::Relaxed);
    }

    /// The number of the last use.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether somebody has files of it open.
    pub(crate) fn is_open(&self) -> bool {
        self.open_now().is_some()
    }

    fn open_now(&self) -> Option<Arc<OpenDatabase>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// The right to open files that take so many descriptors, if it is to be had at once.
    pub(crate) fn try_open(&self, descriptors: u32) -> Option<FilePermit> {
        let pool = &self.pool;
        let take = |count| pool.descriptors.try_take(count);
        let open = match self.open_now() {
            Some(open) => open,
            None => {
                let database = pool.databases.try_take(1)?;
                self.begin(database, take(SHARED_DESCRIPTORS)?)
            }
        };
        let permit = FilePermit::new(take(descriptors)?, open);
        pool.evict_if_short();
        Some(permit)
    }

    /// The right to open files that take so many descriptors, as soon as there is room.
    ///
    /// # Errors
    /// `BUSY` when all that are open stayed in use.
    pub(crate) async fn open(&self, descriptors: u32) -> Result<FilePermit> {
        if let Some(permit) = self.try_open(descriptors) {
            return Ok(permit);
        }
        let waited = tokio::time::timeout(Duration::from_millis(OPEN_WAIT_MAX_MS), self.wait(descriptors));
        waited.await.unwrap_or_else(|_| {
            metrics::counter!("ferry_databases_open_refused_total").increment(1);
            let message =
                "the hub has as many databases open as it may, and all are in use: try again in a second";
            Err(Error::new(Reason::Busy, message).retry_after_ms(1000))
        })
    }

    async fn wait(&self, descriptors: u32) -> Result<FilePermit> {
        let pool = &self.pool;
        let open = match self.open_now() {
            Some(open) => open,
            None => {
                let database = pool.databases.take(1, || pool.evict_if_short()).await?;
                let shared = pool.descriptors.take(SHARED_DESCRIPTORS, || pool.evict_if_short()).await?;
                self.begin(database, shared)
            }
        };
        let descriptors = pool.descriptors.take(descriptors, || pool.evict_if_short()).await?;
        Ok(FilePermit::new(descriptors, open))
    }

    /// Counts the database as open, unless it was opened meanwhile.
    fn begin(&self, database: Places, shared: Places) -> Arc<OpenDatabase> {
        let mut held = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = held.upgrade() {
            return open;
        }
        let place = self.pool.tick();
        let pool = Arc::clone(&self.pool);
        let open = Arc::new(OpenDatabase {
            pool,
            place: AtomicU64::new(place),
            descriptors: AtomicUsize::new(0),
            _database: database,
            _shared: shared,
        });
        *held = Arc::downgrade(&open);
        self.pool.place(&open, &self.database, place);
        open
    }
}
