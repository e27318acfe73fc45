//! `control.db`: its writer, its readers, what memory keeps of it, and the clock and the ids of its rows.

use std::{
    path::PathBuf,
    sync::{
        Arc, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use ferry_auth::KeyRing;
use ferry_database::{Actor, InlineRuns};
use ferry_sqlite::{Transaction, Writer};
use ferry_types::{Clock, Code, DatabaseId, Reason, Result, UnixMillis};
use rusqlite::Connection;
use uuid::Uuid;

use crate::{
    caller::Caller,
    directory::{Directory, effects::ControlEffect, entries::DatabaseEntry, shared::SharedDirectory},
    mail::Outbox,
    random::Ids,
    reads::{ControlReaders, stopping},
};

/// The store of the control plane. Whoever reads or changes it is handed this.
pub struct ControlDb {
    writer: Actor<ControlEffect>,
    readers: ControlReaders,
    state: Arc<SharedDirectory>,
    clock: Arc<dyn Clock>,
    ids: Ids,
    /// Mails that wait.
    outbox: Outbox,
    /// Whether the last change reached the disk.
    healthy: AtomicBool,
    /// Whether somebody is finding out whether it can be written again.
    probing: AtomicBool,
}

impl ControlDb {
    /// The file at `path`, of which `state` is what memory keeps.
    pub(crate) fn new(
        path: PathBuf,
        inline: &Arc<InlineRuns>,
        state: Arc<SharedDirectory>,
        clock: Arc<dyn Clock>,
        sends_mail: bool,
    ) -> Self {
        let (publish, file) = (Arc::clone(&state), path.clone());
        Self {
            writer: Actor::new(
                inline,
                None,
                move || Ok(Writer::open(&file)?.of_control()),
                move |commit| publish.publish(commit),
            ),
            readers: ControlReaders::new(path),
            outbox: Outbox::new(sends_mail, Arc::clone(&state)),
            state,
            clock,
            ids: Ids::new(),
            healthy: AtomicBool::new(true),
            probing: AtomicBool::new(false),
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// An id that no row has, later than those before it.
    pub(crate) fn next_id(&self, now: UnixMillis) -> Uuid {
        self.ids.next(now)
    }

    /// What memory keeps, as of the last commit.
    pub(crate) fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.state.read()
    }

    pub(crate) fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.state.write()
    }

    /// The directory and those who wait for its changes.
    pub(crate) const fn state(&self) -> &Arc<SharedDirectory> {
        &self.state
    }

    /// Where mails wait.
    pub(crate) const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// A database that exists.
    pub(crate) fn database(&self, id: DatabaseId) -> Option<DatabaseEntry> {
        self.directory().database(id).cloned()
    }

    /// The signing keys as they are now.
    pub(crate) fn keys(&self) -> Arc<KeyRing> {
        self.state.keys()
    }

    /// Whether the last change reached the disk. While it did not, asking starts an attempt to write.
    pub(crate) fn is_healthy(self: &Arc<Self>) -> bool {
        let healthy = self.healthy.load(Ordering::Relaxed);
        if !healthy && !self.probing.swap(true, Ordering::Relaxed) {
            let db = Arc::clone(self);
            tokio::spawn(async move { db.probe().await });
        }
        healthy
    }

    async fn probe(&self) {
        let now = self.now();
        let probed = self
            .write(move |transaction| {
                let sql = "INSERT OR REPLACE INTO meta(key, value) VALUES ('probed', ?1)";
                Ok(transaction.connection().execute(sql, [now.0.to_string()])?)
            })
            .await;
        self.probing.store(false, Ordering::Relaxed);
        match probed {
            Ok(_) => tracing::info!("control.db can be written again"),
            Err(error) => tracing::warn!(%error, "control.db still cannot be written"),
        }
    }

    /// Finishes accepted writes and closes the file: readers first, since the last connection removes the WAL, which one
    /// that only reads cannot.
    pub(crate) async fn stop(&self) {
        self.readers.close().await;
        self.writer.retire(stopping()).await;
    }

    /// Reads what is on disk: everything that was answered before.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.readers.run(work).await
    }

    /// [`Self::write`] for `caller`, whose session must still stand when its transaction begins (TOK-17).
    pub(crate) async fn write_by<T, F>(&self, caller: &Caller, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, ControlEffect>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        let (caller, state, clock) = (caller.clone(), Arc::clone(&self.state), Arc::clone(&self.clock));
        self.write(move |transaction| {
            caller.recheck(&state.read(), clock.now())?;
            work(transaction)
        })
        .await
    }

    /// Runs `work` in the next group of `control.db` and returns once it is on disk and in the directory.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, ControlEffect>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        let started = tokio::time::Instant::now();
        let outcome = self.writer.submit(work).await;
        metrics::histogram!("ferry_control_commit_seconds").record(started.elapsed().as_secs_f64());
        match &outcome {
            Ok(committed) if committed.seq.is_some() => self.healthy.store(true, Ordering::Relaxed),
            // What changed nothing says nothing about the disk.
            Ok(_) => {}
            Err(error) if error.reason == Reason::StorageFull || error.code() == Code::Internal => {
                self.healthy.store(false, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        outcome.map(|committed| committed.value)
    }
}
