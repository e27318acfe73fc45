//! A database as the hub holds it: its writer (the actor), its readers, and the state of the sync models.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use ferry_sqlite::{NativeSql, Transaction, Writer, connection::open_immutable, console::ConsoleSnapshot};
use ferry_types::{DatabaseId, Error, Model, Result, Seq};
use tokio_util::sync::CancellationToken;

use crate::{
    Actor, CONNECTION_DESCRIPTORS, Commit, Committed, ExclusiveWriter, FilePermit, Models,
    actor::{WriterFile, WriterLease},
    blank::FirstModels,
    capture::Capture,
    checked::CheckedFile,
    files::{DatabaseFiles, Evict},
    first_group::FirstGroup,
    newest::NewestSeq,
    readers::Readers,
    shared::Shared,
    snapshot::SnapshotLease,
};

/// Who a request is made for, and whether he still may (TOK-17).
pub trait Recheck: Clone + Send + 'static {
    /// Refuses what may not be done any more. Asked inside the commit: touches no disk, and waits for nobody.
    ///
    /// # Errors
    /// The refusal.
    fn recheck(&self) -> Result<()>;
}

impl<R: Recheck + Sync> Recheck for Arc<R> {
    fn recheck(&self) -> Result<()> {
        R::recheck(self)
    }
}

/// One database: cheap while closed, opened by its first job.
pub struct Database<M: Models> {
    id: DatabaseId,
    dir: Arc<Path>,
    actor: Actor<M::Effect>,
    models: Arc<M>,
    newest: Arc<NewestSeq>,
    files: Arc<DatabaseFiles>,
    readers: Arc<Readers>,
    first: Arc<FirstModels>,
    capture: Arc<Capture>,
    checked: Arc<CheckedFile>,
    /// The newest commit that is known outside the file.
    saved: AtomicU64,
    /// Cancelled when the database is deleted or the hub stops: long-lived sockets end then.
    closed: CancellationToken,
    connections: AtomicU32,
}

impl<M: Models> Database<M> {
    /// A closed one, that `this` will hold.
    pub(crate) fn new(id: DatabaseId, dir: PathBuf, shared: &Arc<Shared<M>>, this: Weak<Self>) -> Self {
        let files = Arc::new(DatabaseFiles::new(&shared.files, this));
        let dir: Arc<Path> = dir.into();
        let (models, newest, first) =
            (Arc::new(M::default()), Arc::new(NewestSeq::default()), Arc::default());
        let capture = Capture::new(&shared.captures, &dir, &files, &newest);
        let checked = Arc::new(CheckedFile::new(id, &shared.check));
        let file = MainFile {
            checked: Arc::clone(&checked),
            dir: Arc::clone(&dir),
            shared: Arc::clone(shared),
            first: Arc::clone(&first),
            capture: Arc::clone(&capture),
        };
        let publish = {
            let (models, newest, capture) = (Arc::clone(&models), Arc::clone(&newest), Arc::clone(&capture));
            let shared = Arc::clone(shared);
            move |commit: Commit<M::Effect>| {
                let seq = commit.seq;
                models.publish(commit);
                newest.reached(seq);
                capture.committed();
                shared.note_changed(id);
            }
        };
        Self {
            id,
            dir,
            actor: Actor::new(&shared.inline, Some(Arc::clone(&files)), file, publish),
            models,
            newest,
            files,
            readers: Arc::default(),
            first,
            capture,
            checked,
            saved: AtomicU64::new(0),
            closed: CancellationToken::new(),
            connections: AtomicU32::new(0),
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

    /// Whether anything was ever written: looking must not make a file.
    pub async fn has_file(&self) -> bool {
        tokio::fs::try_exists(main_of(&self.dir)).await.unwrap_or(false)
    }

    /// What the sync models keep of it.
    #[must_use]
    pub const fn models(&self) -> &Arc<M> {
        &self.models
    }

    /// The versions of its pages, where the hub writes it.
    #[must_use]
    pub const fn capture(&self) -> &Arc<Capture> {
        &self.capture
    }

    pub(crate) fn newest(&self) -> &NewestSeq {
        &self.newest
    }

    /// Cancelled when the database is deleted or the hub stops.
    #[must_use]
    pub const fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// `model` will write into it, and its tables may be missing: a file that has to be made gets them.
    pub fn begins_with(&self, model: Model) {
        self.first.note(model);
    }

    /// See [`Actor::submit`]. Whether `by` still may is asked first thing in the commit (TOK-17).
    ///
    /// # Errors
    /// See [`Actor::submit`] and [`Recheck::recheck`].
    pub async fn submit<R, T, F>(&self, by: &R, work: F) -> Result<Committed<T>>
    where
        R: Recheck,
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, M::Effect>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.files.touch();
        self.actor.submit(rechecked(by, work)).await
    }

    /// See [`Actor::submit_beside`]. Whether `by` still may is asked first thing in the commit (TOK-17).
    ///
    /// # Errors
    /// See [`Actor::submit`] and [`Recheck::recheck`].
    pub async fn submit_beside<R, T, F>(&self, by: &R, work: F) -> Result<Committed<T>>
    where
        R: Recheck,
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, M::Effect>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.files.touch();
        self.actor.submit_beside(rechecked(by, work)).await
    }

    /// See [`Actor::exclusive`]. Whether `by` still may is asked first thing in the job (TOK-17).
    ///
    /// # Errors
    /// See [`Actor::exclusive`] and [`Recheck::recheck`].
    pub async fn exclusive<R, T, F>(&self, by: &R, work: F) -> Result<T>
    where
        R: Recheck,
        T: Send + 'static,
        F: FnOnce(&mut ExclusiveWriter<'_, M::Effect>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.files.touch();
        let by = by.clone();
        self.actor
            .exclusive(move |exclusive| {
                by.recheck()?;
                work(exclusive)
            })
            .await
    }

    /// Looks whether the file goes on from where its clients last saw it, and mends it if it does not, unless that is done:
    /// before anything is read of it. A write does so by itself.
    ///
    /// # Errors
    /// When the file cannot be read or mended.
    pub async fn check_file(self: &Arc<Self>) -> Result<()> {
        if self.checked.is_done() || !self.has_file().await {
            return Ok(());
        }
        let (reader, dir) = (self.readers.take(&self.files).await?, Arc::clone(&self.dir));
        let checked = Arc::clone(&self.checked);
        let look = move || {
            checked.look_at_wal(&main_of(&dir))?;
            reader.run(&main_of(&dir), |sql| checked.look(sql))
        };
        let looked = tokio::task::spawn_blocking(look).await.map_err(|_| Error::internal())?;
        if looked.map_err(ferry_sqlite::Error::into_refusal)? {
            return Ok(());
        }
        // The writer mends it when it opens it.
        self.actor.exclusive(|exclusive| exclusive.writer().map(drop)).await
    }

    /// Runs `work` on one read snapshot, beside the writer.
    ///
    /// # Errors
    /// What `work` returned, or that the file cannot be opened (it appears with the first write).
    pub async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&NativeSql<'_>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.files.touch();
        self.check_file().await?;
        let (reader, dir) = (self.readers.take(&self.files).await?, Arc::clone(&self.dir));
        let read = tokio::task::spawn_blocking(move || reader.run(&main_of(&dir), work));
        let result = read.await.map_err(|_| Error::internal())?;
        result.map_err(ferry_sqlite::Error::into_refusal)
    }

    /// The same on the caller's own thread, on a connection that is open and free; `None` if there is none. For reads of a few
    /// rows: changing to another thread costs more than they do.
    pub fn read_inline<T>(
        &self,
        work: impl FnOnce(&NativeSql<'_>) -> ferry_sqlite::Result<T>,
    ) -> Option<ferry_sqlite::Result<T>> {
        self.files.touch();
        if !self.checked.is_done() {
            return None;
        }
        Some(self.readers.take_open()?.run(&main_of(&self.dir), work))
    }

    /// As [`Self::read`], for who asks many databases a little: one that is closed stays so. `work` may be done twice.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_in_passing<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&NativeSql<'_>) -> ferry_sqlite::Result<T> + Clone + Send + 'static,
    {
        // What a crash left in the WAL is seen by those alone who open it.
        if self.has_wal().await || self.files.is_open() {
            return self.read(work).await;
        }
        let (permit, dir) = (self.files.open(CONNECTION_DESCRIPTORS).await?, Arc::clone(&self.dir));
        let read = tokio::task::spawn_blocking({
            let work = work.clone();
            move || {
                let found = work(&NativeSql(&open_immutable(&main_of(&dir))?));
                drop(permit);
                found
            }
        });
        match read.await.map_err(|_| Error::internal())? {
            Ok(found) if !self.has_wal().await => Ok(found),
            // Somebody opened it meanwhile, and may have changed the file while it was read.
            _ => self.read(work).await,
        }
    }

    async fn has_wal(&self) -> bool {
        tokio::fs::metadata(self.dir.join("main.db-wal")).await.is_ok_and(|wal| wal.len() > 0)
    }

    /// Hands `work` a snapshot for statements of people, on a connection of its own that is closed afterwards; they end
    /// when `stop` says so.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn look<T, F>(
        self: &Arc<Self>,
        stop: impl FnMut() -> bool + Send + 'static,
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&ConsoleSnapshot) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.files.touch();
        self.check_file().await?;
        let (reader, dir) = (self.readers.take_closed(&self.files).await?, Arc::clone(&self.dir));
        let read = tokio::task::spawn_blocking(move || {
            let begin = |connection| work(&ConsoleSnapshot::begin(connection, stop)?);
            reader.run_apart(&main_of(&dir), begin)
        });
        let result = read.await.map_err(|_| Error::internal())?;
        result.map_err(ferry_sqlite::Error::into_refusal)
    }

    /// Lends a read snapshot, beside the writer, for at most [`LEASE_MAX_MS`](ferry_types::limits::LEASE_MAX_MS).
    ///
    /// # Errors
    /// `BUSY` when there was no room for long, or that the file cannot be opened (it appears with the first write).
    pub async fn lend_snapshot(self: &Arc<Self>) -> Result<SnapshotLease> {
        if let Some(lease) = self.lend_snapshot_inline() {
            return lease;
        }
        self.check_file().await?;
        let (reader, dir) = (self.readers.take(&self.files).await?, Arc::clone(&self.dir));
        let begun = tokio::task::spawn_blocking(move || SnapshotLease::begin(reader, &main_of(&dir)));
        let begun = begun.await.map_err(|_| Error::internal())?;
        begun.map_err(ferry_sqlite::Error::into_refusal)
    }

    /// The same at once, of a connection that is open and free; `None` if there is none.
    pub fn lend_snapshot_inline(&self) -> Option<Result<SnapshotLease>> {
        self.files.touch();
        if !self.checked.is_done() {
            return None;
        }
        let begun = SnapshotLease::begin(self.readers.take_open()?, &main_of(&self.dir));
        Some(begun.map_err(ferry_sqlite::Error::into_refusal))
    }

    /// Lends the writer, with a transaction of its own, after the jobs that wait already. Nobody else writes until it is
    /// committed or dropped. Whether `by` still may is asked when it begins and when it is committed (TOK-17).
    ///
    /// # Errors
    /// See [`Actor::submit`] and [`Recheck::recheck`].
    pub async fn lend_writer<R: Recheck>(&self, by: &R) -> Result<WriterLease<M::Effect>> {
        self.files.touch();
        let by = by.clone();
        self.actor.lend(move || by.recheck()).await
    }

    /// The same on this thread, which waits for it: one that is none of the runtime's own.
    ///
    /// # Errors
    /// As [`Self::lend_writer`].
    pub fn lend_writer_blocking<R: Recheck>(
        &self,
        by: &R,
        runtime: &tokio::runtime::Handle,
    ) -> Result<WriterLease<M::Effect>> {
        runtime.block_on(self.lend_writer(by))
    }

    /// Counts a long-lived connection until the guard is dropped.
    #[must_use]
    pub fn connect(self: &Arc<Self>) -> ConnectionGuard<M> {
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
    pub async fn hold_files(&self, descriptors: u32) -> Result<FilePermit> {
        self.files.touch();
        self.files.open(descriptors).await
    }

    /// Whether everything that is known of it here is known elsewhere too.
    pub(crate) fn is_saved(&self) -> bool {
        self.models.is_saved() && self.unsaved().is_none()
    }

    /// The newest commit since the database is held, if that is not known outside the file.
    #[must_use]
    pub fn unsaved(&self) -> Option<Seq> {
        let newest = self.newest.now();
        (newest.0 > self.saved.load(Ordering::Relaxed)).then_some(newest)
    }

    /// It is known now.
    pub fn saved(&self, seq: Seq) {
        self.saved.fetch_max(seq.0, Ordering::Relaxed);
    }

    /// Ends the long-lived connections, finishes accepted writes, closes the files and refuses later jobs.
    pub(crate) async fn retire(&self, refusal: Error) {
        self.closed.cancel();
        let models = Arc::clone(&self.models);
        // May write, and then waits for the disk.
        let _ = tokio::task::spawn_blocking(move || models.close_idle()).await;
        self.readers.close_if_idle();
        self.actor.retire(refusal).await;
        self.capture.close();
        self.readers.close_if_idle();
    }
}

impl<M: Models> Evict for Database<M> {
    fn files(&self) -> &DatabaseFiles {
        &self.files
    }

    fn is_idle(&self) -> bool {
        self.actor.is_idle()
            && !self.readers.is_in_use()
            && !self.capture.is_in_use()
            && !self.models.is_in_use()
    }

    /// Readers go first: the last connection removes the WAL and its index, which one that only reads cannot.
    fn close_if_idle(&self) -> bool {
        if !self.is_idle() {
            return false;
        }
        self.models.close_idle();
        self.readers.close_if_idle() && self.actor.close_if_idle() && self.capture.close_if_unused()
    }
}

/// A long-lived connection, counted while this lives.
pub struct ConnectionGuard<M: Models> {
    database: Arc<Database<M>>,
}

impl<M: Models> Drop for ConnectionGuard<M> {
    fn drop(&mut self) {
        self.database.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The file of the database, as the actor opens it.
struct MainFile<M> {
    checked: Arc<CheckedFile>,
    dir: Arc<Path>,
    shared: Arc<Shared<M>>,
    first: Arc<FirstModels>,
    capture: Arc<Capture>,
}

impl<M: Models> WriterFile for MainFile<M> {
    fn open(&self) -> ferry_sqlite::Result<Writer> {
        let mut writer = self.checked.open(&main_of(&self.dir), self.shared.blanks.of(&self.first)?)?;
        writer.captured_by(Arc::clone(self.capture.slot()))?;
        self.capture.reopen();
        Ok(writer)
    }

    fn descriptors_beside(&self) -> u32 {
        self.capture.descriptors_of_reopening()
    }

    fn grant(&self, beside: FilePermit) {
        self.capture.grant(beside);
    }

    fn first_group(&self) -> ferry_sqlite::Result<Option<FirstGroup>> {
        let path = main_of(&self.dir);
        if path.exists() {
            Ok(None)
        } else {
            self.shared.blanks.template(&self.first, (path, self.checked.note()))
        }
    }
}

/// `work`, if `by` still may when it begins.
fn rechecked<R, T, E>(
    by: &R,
    work: impl FnOnce(&mut Transaction<'_, E>) -> ferry_sqlite::Result<T> + Send + 'static,
) -> impl FnOnce(&mut Transaction<'_, E>) -> ferry_sqlite::Result<T> + Send + 'static
where
    R: Recheck,
{
    let by = by.clone();
    move |transaction: &mut Transaction<'_, E>| {
        by.recheck()?;
        work(transaction)
    }
}

/// The file of the database itself.
#[must_use]
pub fn main_of(dir: &Path) -> PathBuf {
    dir.join("main.db")
}
