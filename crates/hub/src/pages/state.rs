//! What page sync keeps per database: the open replica while a session uses it, and the number of sockets. Versions of a
//! database that the hub writes are beside its writer (`Database::capture`).

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use ferry_database::ModelState;
use ferry_sqlite::pages::Replica;
use ferry_types::{
    DatabaseKind, Error, Model, Result, Root, Seq,
    limits::{EDGEREPLICA_SOCKETS_PER_DATABASE, PAGES_STREAMS_PER_DATABASE, PAGES_UPLOADS_PER_DATABASE},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{database::Database, hub::Hub};

/// Descriptors of an open replica: a snapshot of the database, its index with a writer and some readers, a segment or two,
/// staged pages, and what a commit opens beside them.
pub(super) const REPLICA_DESCRIPTORS: u32 = 18;
/// Descriptors of a session beside it: what a push notes, or a pull copies.
pub(super) const SESSION_DESCRIPTORS: u32 = 3;

/// Refused images that a database remembers.
const REFUSED_KEPT: usize = 16;

/// Page sync's state of one database.
pub struct PagesState {
    /// Held while the replica is opened, so that it is opened once.
    replica: tokio::sync::Mutex<Weak<Replica>>,
    /// Keeps it open between two requests, until the database is closed for want of use or of room: its index would be
    /// written and synced at every end else.
    kept: Mutex<Option<Arc<Replica>>>,
    sockets: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    /// One image of a database is checked at a time.
    pub(super) check: Semaphore,
    /// Images that were refused, newest last.
    refused: Mutex<VecDeque<Root>>,
}

impl Default for PagesState {
    fn default() -> Self {
        Self {
            replica: tokio::sync::Mutex::default(),
            kept: Mutex::default(),
            sockets: Arc::new(Semaphore::new(EDGEREPLICA_SOCKETS_PER_DATABASE)),
            streams: Arc::new(Semaphore::new(PAGES_STREAMS_PER_DATABASE)),
            uploads: Arc::new(Semaphore::new(PAGES_UPLOADS_PER_DATABASE)),
            check: Semaphore::new(1),
            refused: Mutex::default(),
        }
    }
}

impl ModelState for PagesState {
    /// Nobody waits for versions yet: a session pins the one that it finds.
    type Effect = Infallible;

    const MODEL: Model = Model::Pages;

    fn publish(&self, _: Seq, effect: Infallible) {
        match effect {}
    }

    /// Whether a session has the replica open.
    fn is_in_use(&self) -> bool {
        let kept = usize::from(self.kept().is_some());
        self.replica.try_lock().map_or(true, |replica| replica.strong_count() > kept)
    }

    fn close_idle(&self) {
        // Dropped outside of the lock: it may write.
        let kept = self.kept().take();
        drop(kept);
    }
}

impl PagesState {
    /// A place for one more socket, if there is one.
    pub(super) fn socket(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sockets).try_acquire_owned().ok()
    }

    /// A place for one more stream of versions, if there is one.
    pub(super) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }

    /// A place for one more push over Ferry's own wire, if there is one.
    pub(super) fn upload(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.uploads).try_acquire_owned().ok()
    }

    /// Notes that an image was refused. True if it had been before: then it is damaged, and was not torn.
    pub(super) fn is_refused_again(&self, root: Root) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.contains(&root) {
            return true;
        }
        if refused.len() >= REFUSED_KEPT {
            refused.pop_front();
        }
        refused.push_back(root);
        false
    }

    /// The versions of the database, which are pushed, or captured up to the commit `least` at least, if that is made.
    ///
    /// # Errors
    /// When its files cannot be opened.
    pub(super) async fn versions(
        &self,
        hub: &Hub,
        database: &Arc<Database>,
        least: Seq,
    ) -> Result<Arc<Replica>> {
        if is_hub_written(hub, database) {
            database.check_file().await?;
            database.capture().replica(least).await
        } else {
            self.replica(hub, database).await
        }
    }

    /// The replica, opened if no session uses it, or anew if a commit failed half-way.
    ///
    /// # Errors
    /// When its files cannot be opened.
    pub(super) async fn replica(&self, hub: &Hub, database: &Arc<Database>) -> Result<Arc<Replica>> {
        let mut open = self.replica.lock().await;
        if let Some(replica) = open.upgrade().filter(|replica| !replica.is_broken()) {
            *self.kept() = Some(Arc::clone(&replica));
            return Ok(replica);
        }
        let broken = self.kept().take();
        let (dir, config, clock) =
            (database.dir().to_owned(), hub.config.pages.files(), Arc::clone(&hub.clock));
        let permit = Box::new(database.hold_files(REPLICA_DESCRIPTORS).await?);
        let opened = blocking(move || {
            drop(broken);
            Replica::open(&dir, config, clock, permit)
        });
        let opened = opened.await?;
        *open = Arc::downgrade(&opened);
        *self.kept() = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// The replica, if it is open.
    pub(super) fn open_replica(&self) -> Option<Arc<Replica>> {
        self.kept().clone().filter(|replica| !replica.is_broken())
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<Replica>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the database is written by other models than this one.
pub(super) fn is_hub_written(hub: &Hub, database: &Database) -> bool {
    hub.control.database(database.id()).and_then(|entry| entry.kind) == Some(DatabaseKind::Hub)
}

/// Runs file work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> ferry_sqlite::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal())?;
    done.map_err(ferry_sqlite::Error::into_refusal)
}
