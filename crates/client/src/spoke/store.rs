//! The daemon's one SQLite file: a thread that writes in groups, one fsync for all that wait, and readers beside it.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use ferry_core::sql::Sql as _;
use ferry_sqlite::{NativeSql, Transaction, Writer, connection};
use ferry_types::Seq;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{ClientError, Result};

/// Jobs that wait for the writer; who comes later waits for a place.
const WAITING_MAX: usize = 256;
/// Reads at a time.
const READERS_MAX: usize = 4;
/// Pages that the writer keeps in memory, as SQLite counts them (negative: KiB): with its 2 MiB, the writes of a few
/// thousand entities read each other's pages from the file again and again.
const WRITER_CACHE: &str = "PRAGMA cache_size = -16384";

/// What a job did, or why it could not.
type Done = Result<(), ferry_sqlite::Error>;
type Work = Box<dyn FnMut(&Transaction<'_, ()>) -> Done + Send>;

struct Job {
    work: Work,
    done: oneshot::Sender<Done>,
}

/// The store of one spoke.
pub(crate) struct SpokeStore {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
    readers: Mutex<Vec<Connection>>,
    reads: Semaphore,
}

impl SpokeStore {
    /// Opens the file at `path`, which is made if it is missing, and has `prepare` make its tables. The handle of the
    /// thread ends when the store is dropped and the file closed.
    ///
    /// # Errors
    /// When the file is not to be had, or is not a spoke's.
    pub(crate) fn open(
        path: &Path,
        prepare: impl FnOnce(&NativeSql<'_>, Seq) -> ferry_sqlite::Result<()> + Send + 'static,
    ) -> Result<(Arc<Self>, thread::JoinHandle<()>)> {
        let failed = |error: &ferry_sqlite::Error| ClientError::store(path.display(), error);
        let mut writer = Writer::open(path).map_err(|error| failed(&error))?;
        run_prepare(&mut writer, prepare).map_err(|error| failed(&error))?;
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let thread = thread::Builder::new()
            .name("spoke-writer".into())
            .spawn(move || write_until_closed(writer, waiting))
            .map_err(|error| ClientError::io("the writer's thread", &error))?;
        let store = Self {
            path: path.to_owned(),
            jobs,
            readers: Mutex::default(),
            reads: Semaphore::new(READERS_MAX),
        };
        Ok((Arc::new(store), thread))
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` in a transaction; when this returns, what it wrote is on disk, or nothing of it.
    ///
    /// # Errors
    /// What `work` or SQLite reports.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&NativeSql<'_>, Seq) -> ferry_sqlite::Result<T> + Send + 'static,
    ) -> Result<T, ferry_sqlite::Error> {
        let slot = Arc::new(Mutex::new(None));
        let given = Arc::clone(&slot);
        let mut work = Some(work);
        let work: Work = Box::new(move |transaction| {
            let work = work.take().expect("BUG: a job runs once");
            let value = work(&transaction.sql(), transaction.seq())?;
            *given.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        });
        let (done, answer) = oneshot::channel();
        let gone = || ferry_sqlite::Error::Damaged("the store is closed".into());
        self.jobs.send(Job { work, done }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())??;
        let value = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(value.expect("BUG: a job that succeeded gave its value"))
    }

    /// Runs `work` on one snapshot.
    ///
    /// # Errors
    /// What `work` or SQLite reports.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&NativeSql<'_>) -> ferry_sqlite::Result<T> + Send + 'static,
    ) -> Result<T, ferry_sqlite::Error> {
        let store = Arc::clone(self);
        let _place = self.reads.acquire().await.expect("BUG: the semaphore is never closed");
        let read = tokio::task::spawn_blocking(move || {
            let mut connection = store.reader()?;
            let snapshot = connection.transaction()?;
            let value = work(&NativeSql(&snapshot))?;
            drop(snapshot);
            store.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            Ok(value)
        });
        read.await.unwrap_or_else(|error| Err(ferry_sqlite::Error::Panicked(error.to_string())))
    }

    fn reader(&self) -> ferry_sqlite::Result<Connection> {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.map_or_else(|| connection::open_reader(&self.path), Ok)
    }
}

fn run_prepare<F>(writer: &mut Writer, prepare: F) -> ferry_sqlite::Result<()>
where
    F: FnOnce(&NativeSql<'_>, Seq) -> ferry_sqlite::Result<()>,
{
    let mut requests = [Some(prepare)];
    let apply = |prepare: &mut Option<F>, transaction: &mut Transaction<'_, ()>| {
        let prepare = prepare.take().expect("BUG: it runs once");
        transaction.sql().query(WRITER_CACHE, &[], &mut |_| Ok(ControlFlow::Continue(())))?;
        prepare(&transaction.sql(), transaction.seq())
    };
    writer.run_group(&mut requests, apply).remove(0).map(drop)
}

fn write_until_closed(mut writer: Writer, mut waiting: mpsc::Receiver<Job>) {
    let mut group = Vec::new();
    while waiting.blocking_recv_many(&mut group, WAITING_MAX) > 0 {
        let answers = writer
            .run_group(&mut group, |job, transaction: &mut Transaction<'_, ()>| (job.work)(transaction));
        for (job, answer) in group.drain(..).zip(answers) {
            // Who asked may have gone.
            let _ = job.done.send(answer.map(drop));
        }
        if let Err(error) = writer.checkpoint_if_due(|| false) {
            tracing::warn!(%error, "the WAL of the store cannot be checkpointed");
        }
    }
    if let Err(error) = writer.close() {
        tracing::warn!(%error, "the store was not closed in order; nothing is lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(sql: &NativeSql<'_>) -> ferry_sqlite::Result<i64> {
        let found = sql.first("SELECT count(*) FROM t", &[], |row| Ok(row.integer(0)?))?;
        Ok(found.unwrap_or(0))
    }

    #[tokio::test]
    async fn a_failed_write_leaves_nothing_and_the_next_one_works() {
        let dir = tempfile::tempdir().unwrap();
        let (store, thread) = SpokeStore::open(&dir.path().join("s.db"), |sql, _| {
            sql.execute("CREATE TABLE IF NOT EXISTS t(x)", &[]).map(drop)
        })
        .unwrap();
        let failed: Result<(), _> = store
            .write(|sql, _| {
                sql.execute("INSERT INTO t VALUES (1)", &[])?;
                Err(ferry_sqlite::Error::Damaged("on purpose".into()))
            })
            .await;
        assert!(failed.is_err());
        let panicked: Result<(), _> = store.write(|_, _| panic!("on purpose")).await;
        assert!(panicked.is_err());
        store.write(|sql, _| sql.execute("INSERT INTO t VALUES (2)", &[]).map(drop)).await.unwrap();
        assert_eq!(store.read(count).await.unwrap(), 1);
        drop(store);
        thread.join().unwrap();
    }
}
