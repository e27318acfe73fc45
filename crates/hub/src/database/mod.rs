//! A database as the hub holds it: its writer (the actor), its readers, its feed, and the state of the sync
//! models. The registry opens databases on first use and closes idle ones.

mod actor;
mod feed;
mod host;
mod inline;
mod reach;
mod readers;
mod registry;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use ferry_store::{Transaction, Writer};
use ferry_types::{DatabaseId, Error, Reason, Result, Tag};
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

pub use actor::{Actor, Commit, Committed, Hand};
pub use feed::{Feed, News, Subscription};
pub use reach::seq_of;
pub use registry::Databases;

use readers::Readers;

use crate::{
    events::{EventsState, Publication},
    pages::PagesState,
    records::{self, RecordsState},
};

/// What a commit changed, for the subscribers of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A push replaced the image; this is its new version.
    Pages(Tag),
    /// Events were appended, or a store changed; what it was is told to the store's own subscribers.
    Events(Publication),
    /// Records changed.
    Records(records::Publication),
}

/// One database: cheap while closed, opened by its first job.
pub struct Database {
    id: DatabaseId,
    dir: Arc<Path>,
    actor: Actor<Effect>,
    feed: Arc<Feed<Effect>>,
    readers: Readers,
    /// Cancelled when the database is deleted or the hub stops: long-lived sockets end then.
    closed: CancellationToken,
    connections: AtomicU32,
    pages: PagesState,
    events: Arc<EventsState>,
    records: Arc<RecordsState>,
}

impl Database {
    fn new(id: DatabaseId, dir: PathBuf) -> Self {
        let dir: Arc<Path> = dir.into();
        let (feed, opened) = (Arc::new(Feed::default()), Arc::clone(&dir));
        let events = Arc::new(EventsState::default());
        let records = Arc::new(RecordsState::default());
        let (publish, stores, owners) = (Arc::clone(&feed), Arc::clone(&events), Arc::clone(&records));
        let open = move || {
            std::fs::create_dir_all(&opened)?;
            Writer::open(&main_of(&opened))
        };
        Self {
            id,
            dir,
            actor: Actor::new(open, move |mut commit: Commit<Effect>| {
                for effect in &mut commit.effects {
                    match effect {
                        Effect::Events(publication) => stores.publish(publication),
                        Effect::Records(publication) => {
                            owners.reached(commit.seq);
                            owners.publish(publication);
                        }
                        Effect::Pages(_) => {}
                    }
                }
                publish.publish(commit);
            }),
            feed,
            readers: Readers::default(),
            closed: CancellationToken::new(),
            connections: AtomicU32::new(0),
            pages: PagesState::default(),
            events,
            records,
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> DatabaseId {
        self.id
    }

    /// The folder that holds its files; it may not exist yet.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its commits are published.
    #[must_use]
    pub const fn feed(&self) -> &Arc<Feed<Effect>> {
        &self.feed
    }

    /// What page sync keeps of it.
    #[must_use]
    pub const fn pages(&self) -> &PagesState {
        &self.pages
    }

    /// What event sync keeps of it.
    #[must_use]
    pub const fn events(&self) -> &Arc<EventsState> {
        &self.events
    }

    /// What record sync keeps of it.
    #[must_use]
    pub const fn records(&self) -> &Arc<RecordsState> {
        &self.records
    }

    /// Cancelled when the database is deleted or the hub stops.
    #[must_use]
    pub const fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// See [`Actor::submit`].
    ///
    /// # Errors
    /// See [`Actor::submit`].
    pub async fn submit<T, F>(&self, work: F) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, Effect>) -> ferry_store::Result<T> + Send + 'static,
    {
        self.actor.submit(work).await
    }

    /// See [`Actor::exclusive`].
    ///
    /// # Errors
    /// See [`Actor::exclusive`].
    pub async fn exclusive<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Hand<'_>) -> ferry_store::Result<T> + Send + 'static,
    {
        self.actor.exclusive(work).await
    }

    /// Runs `work` on a read-only connection, beside the writer.
    ///
    /// # Errors
    /// What `work` returned, or that the file cannot be opened (it appears with the first write).
    pub async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> ferry_store::Result<T> + Send + 'static,
    {
        let database = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || database.readers.run(&main_of(&database.dir), work));
        let result = read.await.map_err(|_| Error::internal())?;
        result.map_err(ferry_store::Error::into_refusal)
    }

    /// Counts a long-lived connection until the guard is dropped.
    #[must_use]
    pub fn connect(self: &Arc<Self>) -> ConnectionGuard {
        self.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard { database: Arc::clone(self) }
    }

    /// Long-lived connections now.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes files that were not used since the last sweep. True if none is open.
    fn sweep(&self) -> bool {
        let idle = self.actor.sweep();
        if idle {
            self.readers.close();
        }
        idle
    }

    /// Ends the long-lived connections, finishes accepted writes, closes the files and refuses later jobs.
    async fn retire(&self, refusal: Error) {
        self.closed.cancel();
        self.actor.retire(refusal).await;
        self.readers.close();
    }
}

/// A long-lived connection, counted while this lives.
pub struct ConnectionGuard {
    database: Arc<Database>,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.database.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The file of the database itself.
fn main_of(dir: &Path) -> PathBuf {
    dir.join("main.db")
}

fn stopping() -> Error {
    Error::new(Reason::ShuttingDown, "the hub is stopping: try again in a few seconds").retry_after_ms(2000)
}

fn deleted() -> Error {
    Error::new(Reason::NotFound, "database not found")
}
