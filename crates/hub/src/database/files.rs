//! What open databases take of the process, all together: their number, and file descriptors. Who would open one more
//! waits until the least recently used of those that nobody uses just now is closed, and is told to come back if there is
//! none for long. See ARCHITECTURE.md, "Open databases".

mod evict;
mod limits;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferry_types::{Error, Reason, Result, limits::OPEN_WAIT_MAX_MS};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Database;

pub use limits::FileLimits;

/// Descriptors of an open database that its connections share: the WAL's index.
pub(super) const SHARED_DESCRIPTORS: u32 = 1;
/// Descriptors of a connection: the database and its WAL.
pub(super) const CONNECTION_DESCRIPTORS: u32 = 2;

/// See the module.
pub struct OpenFiles {
    limits: FileLimits,
    databases: Arc<Semaphore>,
    descriptors: Arc<Semaphore>,
    /// How many wait for them.
    waiting: Waiting,
    /// Counts uses, so that of two the later is known.
    uses: AtomicU64,
    /// Open databases by a use of theirs, which need not be the last: whoever takes one out compares.
    by_use: Mutex<BTreeMap<u64, Weak<Database>>>,
    /// Whether a task closes databases.
    is_evicting: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    databases: AtomicUsize,
    descriptors: AtomicUsize,
}

/// An open database's share; it counts as open as long as somebody has it.
struct OpenDatabase {
    pool: Arc<OpenFiles>,
    /// Where it stands in [`OpenFiles::by_use`].
    place: AtomicU64,
    _database: OwnedSemaphorePermit,
    _shared: OwnedSemaphorePermit,
}

impl Drop for OpenDatabase {
    fn drop(&mut self) {
        self.pool.by_use().remove(&self.place.load(Ordering::Relaxed));
    }
}

/// The right to hold some files of a database open, until it is dropped.
pub struct FilePermit {
    // Given back first: whoever waits for a database needs descriptors too.
    _descriptors: OwnedSemaphorePermit,
    _open: Arc<OpenDatabase>,
}

/// One database's part in this.
pub struct DatabaseFiles {
    pool: Arc<OpenFiles>,
    database: Weak<Database>,
    open: Mutex<Weak<OpenDatabase>>,
    used: AtomicU64,
}

impl OpenFiles {
    /// Nothing is open yet.
    #[must_use]
    pub fn new(limits: FileLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            databases: Arc::new(Semaphore::new(limits.databases)),
            descriptors: Arc::new(Semaphore::new(limits.descriptors)),
            waiting: Waiting::default(),
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
    pub(super) fn tick(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    fn by_use(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Database>>> {
        self.by_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, open: &OpenDatabase, database: &Weak<Database>, place: u64) {
        let mut by_use = self.by_use();
        open.place.store(place, Ordering::Relaxed);
        by_use.insert(place, Weak::clone(database));
    }
}

impl DatabaseFiles {
    /// Those of `database`, all closed.
    pub(super) fn new(pool: &Arc<OpenFiles>, database: Weak<Database>) -> Self {
        let used = AtomicU64::new(pool.tick());
        Self { pool: Arc::clone(pool), database, open: Mutex::default(), used }
    }

    /// The database is used now.
    pub(super) fn touch(&self) {
        self.used.store(self.pool.tick(), Ordering::Relaxed);
    }

    /// The number of the last use.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn open_now(&self) -> Option<Arc<OpenDatabase>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// The right to open files that take so many descriptors, if it is to be had at once.
    pub(super) fn try_open(&self, descriptors: u32) -> Option<FilePermit> {
        let pool = &self.pool;
        let take = |count| Arc::clone(&pool.descriptors).try_acquire_many_owned(count).ok();
        let open = match self.open_now() {
            Some(open) => open,
            None => {
                let database = Arc::clone(&pool.databases).try_acquire_owned().ok()?;
                self.begin(database, take(SHARED_DESCRIPTORS)?)
            }
        };
        let permit = FilePermit { _descriptors: take(descriptors)?, _open: open };
        pool.evict_if_short();
        Some(permit)
    }

    /// The right to open files that take so many descriptors, as soon as there is room.
    ///
    /// # Errors
    /// `BUSY` when all that are open stayed in use.
    pub(super) async fn open(&self, descriptors: u32) -> Result<FilePermit> {
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
                let database = pool.acquire(&pool.databases, &pool.waiting.databases, 1).await?;
                let shared = pool.acquire(&pool.descriptors, &pool.waiting.descriptors, SHARED_DESCRIPTORS);
                self.begin(database, shared.await?)
            }
        };
        let permit = pool.acquire(&pool.descriptors, &pool.waiting.descriptors, descriptors).await?;
        Ok(FilePermit { _descriptors: permit, _open: open })
    }

    /// Counts the database as open, unless it was opened meanwhile.
    fn begin(&self, database: OwnedSemaphorePermit, shared: OwnedSemaphorePermit) -> Arc<OpenDatabase> {
        let mut held = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = held.upgrade() {
            return open;
        }
        let place = self.pool.tick();
        let pool = Arc::clone(&self.pool);
        let open = Arc::new(OpenDatabase {
            pool,
            place: AtomicU64::new(place),
            _database: database,
            _shared: shared,
        });
        *held = Arc::downgrade(&open);
        self.pool.place(&open, &self.database, place);
        open
    }
}

impl OpenFiles {
    async fn acquire(
        self: &Arc<Self>,
        semaphore: &Arc<Semaphore>,
        waiting: &AtomicUsize,
        count: u32,
    ) -> Result<OwnedSemaphorePermit> {
        let _waits = Waits::begin(waiting, count as usize);
        self.evict_if_short();
        // Nobody closes the semaphores.
        Arc::clone(semaphore).acquire_many_owned(count).await.map_err(|_| Error::internal())
    }
}

/// Counted as waiting, until it is dropped.
struct Waits<'c>(&'c AtomicUsize, usize);

impl<'c> Waits<'c> {
    fn begin(counter: &'c AtomicUsize, count: usize) -> Self {
        counter.fetch_add(count, Ordering::Relaxed);
        Self(counter, count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}
