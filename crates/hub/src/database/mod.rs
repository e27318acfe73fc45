//! A database as the hub holds it: its writer (the actor), its readers, its feed, and the state of the sync
//! models. The registry opens databases on first use and closes idle ones.

mod actor;
mod blank;
mod feed;
mod files;
mod host;
mod inline;
mod reach;
mod readers;
mod registry;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use ferry_sqlite::{Transaction, Writer};
use ferry_types::{DatabaseId, Error, Model, Reason, Result, Tag};
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

pub use actor::{Actor, Commit, Committed, Hand};
pub use feed::{Feed, News, Subscription};
pub use files::{FileLimits, FilePermit, OpenFiles};
pub use reach::seq_of;
pub use registry::Databases;

use blank::First;
use files::DatabaseFiles;
use readers::Readers;

use crate::{
    control::Requester,
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
    files: Arc<DatabaseFiles>,
    readers: Arc<Readers>,
    first: Arc<First>,
    /// Cancelled when the database is deleted or the hub stops: long-lived sockets end then.
    closed: CancellationToken,
    connections: AtomicU32,
    pages: PagesState,
    events: Arc<EventsState>,
    records: Arc<RecordsState>,
}

impl Database {
    /// A closed one, that `this` will hold.
    fn new(id: DatabaseId, dir: PathBuf, pool: &Arc<OpenFiles>, this: Weak<Self>) -> Self {
        let files = Arc::new(DatabaseFiles::new(pool, this));
        let dir: Arc<Path> = dir.into();
        let (feed, opened) = (Arc::new(Feed::default()), Arc::clone(&dir));
        let events = Arc::new(EventsState::default());
        let records = Arc::new(RecordsState::default());
        let (publish, stores, owners) = (Arc::clone(&feed), Arc::clone(&events), Arc::clone(&records));
        let first = Arc::new(First::default());
        let blank = Arc::clone(&first);
        let open = move || Writer::open_or_make(&main_of(&opened), blank.blank()?);
        Self {
            id,
            dir,
            actor: Actor::new(Some(Arc::clone(&files)), open, move |mut commit: Commit<Effect>| {
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
            files,
            readers: Arc::default(),
            first,
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

    /// `model` will write into it, and its tables may be missing: a file that has to be made gets them.
    pub(crate) fn begins_with(&self, model: Model) {
        self.first.note(model);
    }

    /// See [`Actor::submit`]. Whether `by` still may is asked first thing in the commit (TOK-17).
    ///
    /// # Errors
    /// See [`Actor::submit`] and [`Requester::recheck`].
    pub async fn submit<T, F>(&self, by: &Requester, work: F) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, Effect>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.files.touch();
        let by = by.clone();
        self.actor
            .submit(move |transaction| {
                by.recheck()?;
                work(transaction)
            })
            .await
    }

    /// See [`Actor::exclusive`]. Whether `by` still may is asked first thing in the job (TOK-17).
    ///
    /// # Errors
    /// See [`Actor::exclusive`] and [`Requester::recheck`].
    pub async fn exclusive<T, F>(&self, by: &Requester, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Hand<'_>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.files.touch();
        let by = by.clone();
        self.actor
            .exclusive(move |hand| {
                by.recheck()?;
                work(hand)
            })
            .await
    }

    /// Runs `work` on a read-only connection, beside the writer.
    ///
    /// # Errors
    /// What `work` returned, or that the file cannot be opened (it appears with the first write).
    pub async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.files.touch();
        let (reader, dir) = (self.readers.take(&self.files).await?, Arc::clone(&self.dir));
        let read = tokio::task::spawn_blocking(move || reader.run(&main_of(&dir), work));
        let result = read.await.map_err(|_| Error::internal())?;
        result.map_err(ferry_sqlite::Error::into_refusal)
    }

    /// Runs `work` on a read-only connection that is open and free, on the caller's own thread; `None` if there is none.
    /// For reads of a few rows: changing to another thread costs more than they do.
    pub fn glance<T>(
        &self,
        work: impl FnOnce(&Connection) -> ferry_sqlite::Result<T>,
    ) -> Option<ferry_sqlite::Result<T>> {
        self.files.touch();
        Some(self.readers.take_open()?.run(&main_of(&self.dir), work))
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

    /// The right to hold files of the database open that take so many descriptors, beside its writer and its readers.
    ///
    /// # Errors
    /// `BUSY` when there was no room for long.
    pub(crate) async fn hold_files(&self, descriptors: u32) -> Result<FilePermit> {
        self.files.touch();
        self.files.open(descriptors).await
    }

    fn files(&self) -> &DatabaseFiles {
        &self.files
    }

    /// Whether nobody works with its files just now.
    fn is_idle(&self) -> bool {
        self.actor.is_idle() && !self.readers.is_in_use() && !self.pages.is_in_use()
    }

    /// Closes its files, on this thread, unless somebody works with them. True if they are closed now. Readers go first:
    /// the last connection removes the WAL and its index, which one that only reads cannot.
    fn close_if_idle(&self) -> bool {
        self.is_idle() && self.readers.close_if_idle() && self.actor.close_if_idle()
    }

    /// Whether everything that is known of it here is known elsewhere too.
    fn is_saved(&self) -> bool {
        self.events.is_saved() && self.records.is_saved()
    }

    /// Ends the long-lived connections, finishes accepted writes, closes the files and refuses later jobs.
    async fn retire(&self, refusal: Error) {
        self.closed.cancel();
        self.readers.close_if_idle();
        self.actor.retire(refusal).await;
        self.readers.close_if_idle();
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
