//! All databases of the hub: opened on first use, closed when idle, moved to the trash when deleted.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use ferry_sqlite::folder;
use ferry_types::{Clock, DatabaseId, Error, Reason, Result, UnixMillis};
use futures_util::StreamExt as _;

use crate::{
    CaptureSettings, ChangedDatabases, Database, InlineRuns, Models, OpenFiles,
    blank::Blanks,
    capture::Captures,
    checked::{CheckOnce, FileCheck},
    files::Evict as _,
    shared::Shared,
};

/// Databases that end at once when the hub stops.
const STOPPED_AT_ONCE: usize = 8;

/// The databases that somebody holds or that have files open.
pub struct Databases<M: Models> {
    data_dir: PathBuf,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared<M>>,
    held: Mutex<Held<M>>,
    /// The use at which the last sweep began.
    swept: AtomicU64,
}

struct Held<M: Models> {
    databases: HashMap<DatabaseId, Arc<Database<M>>>,
    stopping: bool,
}

impl<M: Models> Databases<M> {
    /// The databases under `data_dir`, of which `files` bounds those that are open, and whose versions are captured as
    /// `capture` says.
    #[must_use]
    pub fn new(
        data_dir: &Path,
        files: Arc<OpenFiles>,
        inline: Arc<InlineRuns>,
        clock: Arc<dyn Clock>,
        capture: CaptureSettings,
    ) -> Self {
        let held = Held { databases: HashMap::new(), stopping: false };
        let swept = AtomicU64::new(files.tick());
        let captures = Arc::new(Captures::new(capture, Arc::clone(&clock)));
        let shared = Arc::new(Shared {
            files,
            inline,
            blanks: Blanks::default(),
            captures,
            clock: Arc::clone(&clock),
            changed: OnceLock::new(),
            check: CheckOnce::default(),
        });
        Self { data_dir: data_dir.to_owned(), clock, shared, held: Mutex::new(held), swept }
    }

    /// Has each file be looked at by `check` before its first answer. Only the first call counts; it comes before the hub
    /// serves.
    pub fn check_files(&self, check: Arc<dyn FileCheck>) {
        if self.shared.check.set(check).is_err() {
            tracing::error!("BUG: databases were given a second check of their files");
        }
    }

    /// Has the databases noted that are written from now on.
    ///
    /// # Panics
    /// If somebody has them noted already.
    pub fn note_changes(&self, changed: Arc<ChangedDatabases>) {
        assert!(self.shared.changed.set(changed).is_ok(), "BUG: changes are noted once");
    }

    /// The file of a database was made, or replaced by another one, without a commit that would be noted.
    pub fn file_changed(&self, id: DatabaseId) {
        self.shared.note_changed(id);
    }

    /// What bounds the open ones.
    #[must_use]
    pub fn files(&self) -> &Arc<OpenFiles> {
        &self.shared.files
    }

    /// The database with this id; the caller has checked that it exists.
    ///
    /// # Errors
    /// `SHUTTING_DOWN` once the hub stops.
    pub fn get(&self, id: DatabaseId) -> Result<Arc<Database<M>>> {
        let mut held = self.lock();
        if held.stopping {
            return Err(stopping());
        }
        let new =
            || Arc::new_cyclic(|this| Database::new(id, self.dir_of(id), &self.shared, Weak::clone(this)));
        Ok(Arc::clone(held.databases.entry(id).or_insert_with(new)))
    }

    /// The database with this id if somebody holds it or it has files open.
    #[must_use]
    pub fn held(&self, id: DatabaseId) -> Option<Arc<Database<M>>> {
        self.lock().databases.get(&id).cloned()
    }

    /// All databases that are held.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Database<M>>> {
        self.lock().databases.values().cloned().collect()
    }

    /// How many databases are held.
    #[must_use]
    pub fn held_count(&self) -> usize {
        self.lock().databases.len()
    }

    /// Long-lived connections of all databases.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.lock().databases.values().map(|database| u64::from(database.connections())).sum()
    }

    /// Closes what was not used since the last sweep, and forgets what is closed and held by nobody. True if anything
    /// was closed or forgotten.
    pub async fn sweep(&self) -> bool {
        let last = self.swept.swap(self.shared.files.tick(), Ordering::Relaxed);
        let mut idle = self.all();
        idle.retain(|database| database.files().used() < last);
        // One after the other: they only wait for the disk, and nobody for them.
        let closing = tokio::task::spawn_blocking(move || {
            idle.retain(|database| database.close_if_idle() && database.is_saved());
            idle.into_iter().map(|database| database.id()).collect::<Vec<_>>()
        });
        let Ok(closed) = closing.await else { return false };
        let mut held = self.lock();
        for id in &closed {
            // Only the map holds it: under the lock nobody can begin to.
            if held.databases.get(id).is_some_and(|database| Arc::strong_count(database) == 1) {
                held.databases.remove(id);
            }
        }
        let room = held.databases.len() * 2;
        held.databases.shrink_to(room);
        !closed.is_empty()
    }

    /// Ends a deleted database: its connections end, accepted writes finish, its folder moves to the trash.
    ///
    /// # Errors
    /// When the folder cannot be moved; start-up tries again.
    pub async fn trash(&self, id: DatabaseId) -> io::Result<()> {
        let now = self.clock.now();
        // Held from here on as a retired one, so that nobody opens the folder afresh while it moves.
        // A stopping hub leaves the move to its next start.
        let Ok(database) = self.get(id) else { return Ok(()) };
        database.retire(deleted()).await;
        let (from, trash) = (self.dir_of(id), self.data_dir.join("trash"));
        let moved = tokio::task::spawn_blocking(move || move_to_trash(&from, &trash, id, now));
        moved.await.map_err(io::Error::other)?
    }

    /// Removes what has lain in the trash since before `before`.
    ///
    /// # Errors
    /// When the trash cannot be read, or something in it not be removed; the rest is.
    pub async fn empty_trash(&self, before: UnixMillis) -> io::Result<()> {
        let trash = self.data_dir.join("trash");
        let emptied = tokio::task::spawn_blocking(move || remove_older(&trash, before));
        emptied.await.map_err(io::Error::other)?
    }

    /// Has `work` put something else in the place of a database's file. Its connections end and accepted writes finish
    /// before; `between` is told once nothing is written any more, with all that models know of the database. Meanwhile
    /// others are refused with `refusal`; afterwards the database is opened anew, and nothing of what was known of it is
    /// left.
    ///
    /// # Errors
    /// What `work` reports.
    pub async fn replace<T, F>(
        &self,
        id: DatabaseId,
        refusal: Error,
        between: impl AsyncFnOnce(),
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Path) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        // Held from here on as a retired one, so that nobody opens the file while it changes.
        let database = self.get(id)?;
        database.retire(refusal).await;
        between().await;
        let dir = self.dir_of(id);
        let done = tokio::task::spawn_blocking(move || work(&dir)).await;
        let mut held = self.lock();
        if held.databases.get(&id).is_some_and(|one| Arc::ptr_eq(one, &database)) {
            held.databases.remove(&id);
        }
        drop(held);
        self.file_changed(id);
        done.map_err(|_| Error::internal())?.map_err(ferry_sqlite::Error::into_refusal)
    }

    /// Ends all connections, finishes all accepted writes and closes all files.
    pub async fn stop(&self) {
        let all: Vec<_> = {
            let mut held = self.lock();
            held.stopping = true;
            held.databases.drain().map(|(_, database)| database).collect()
        };
        for database in &all {
            database.closed().cancel();
        }
        let ending = all.into_iter().map(|database| async move { database.retire(stopping()).await });
        futures_util::stream::iter(ending).buffer_unordered(STOPPED_AT_ONCE).collect::<()>().await;
    }

    /// The folder of the database with this id.
    #[must_use]
    pub fn dir_of(&self, id: DatabaseId) -> PathBuf {
        self.data_dir.join("databases").join(id.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Held<M>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn move_to_trash(from: &Path, trash: &Path, id: DatabaseId, now: UnixMillis) -> io::Result<()> {
    folder::create(trash)?;
    match std::fs::rename(from, trash.join(format!("{id}-{}", now.0))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    if let Some(parent) = from.parent() {
        folder::sync(parent)?;
    }
    folder::sync(trash)
}

/// Names in the trash are `<database>-<Unix milliseconds>`, with more behind it for some.
fn remove_older(trash: &Path, before: UnixMillis) -> io::Result<()> {
    let entries = match std::fs::read_dir(trash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    let mut failed = Ok(());
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let moved = name.to_str().and_then(|name| {
            // Behind the four of the id.
            let (behind, _) = name.match_indices('-').nth(4)?;
            let (id, rest) = name.split_at(behind);
            id.parse::<DatabaseId>().ok()?;
            rest.split('-').nth(1)?.parse::<i64>().ok()
        });
        if moved.is_some_and(|moved| moved < before.0)
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            failed = Err(error);
        }
    }
    failed
}

fn stopping() -> Error {
    Error::new(Reason::ShuttingDown, "the hub is stopping: try again in a few seconds").retry_after_ms(2000)
}

fn deleted() -> Error {
    Error::new(Reason::NotFound, "database not found")
}
