//! The writer, lent to a caller for a transaction of its own (FUN-14): nobody else writes until it is given back.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use ferry_sqlite::{LentWriter, Transaction, Writer};
use ferry_trace::{Span, SpanContext};
use ferry_types::{Error, Reason, Result, Seq, limits::LEASE_MAX_MS};
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use super::{
    Commit, OpenWriter, Shared, Turn, opened,
    traced::{TracedJob, Waiting},
};
use crate::files::FilePermit;

/// Whether whoever asked still may.
pub(super) type StillMay = Box<dyn Fn() -> Result<()> + Send>;

/// A job that has the writer lent.
pub(super) struct Lend<E: Send + 'static> {
    pub(super) still_may: StillMay,
    pub(super) waiting: Waiting,
    pub(super) reply: oneshot::Sender<Result<WriterLease<E>>>,
}

/// The writer of a database with an open transaction. Whoever drops it rolls back; in any case the writer goes back, and
/// the database's other jobs go on.
pub struct WriterLease<E: Send + 'static> {
    shared: Arc<Shared<E>>,
    runtime: Handle,
    still_may: StillMay,
    begun: Instant,
    /// The request that it is lent for, if that is traced.
    request: Option<SpanContext>,
    /// `None` once the transaction is over.
    lent: Option<LentWriter<E>>,
    permit: Option<FilePermit>,
}

impl<E: Send + 'static> WriterLease<E> {
    /// Begins the transaction and answers the caller, with the lease or with a refusal. Returns the writer unless it was
    /// lent.
    pub(super) fn begin(shared: &Arc<Shared<E>>, mut open: OpenWriter, lend: Lend<E>) -> Option<OpenWriter> {
        let Lend { still_may, waiting, reply } = lend;
        if reply.is_closed() {
            return Some(open);
        }
        let begun = catch_unwind(AssertUnwindSafe(|| {
            still_may()?;
            opened(&mut open.writer, shared.file.as_ref()).map_err(ferry_sqlite::Error::into_refusal)?;
            let writer = open.writer.take().expect("BUG: opened above");
            writer.lend().map_err(|(writer, error)| {
                open.writer = Some(writer);
                error.into_refusal()
            })
        }));
        let lent = match begun {
            Ok(Ok(lent)) => lent,
            Ok(Err(refusal)) => {
                let _ = reply.send(Err(refusal));
                return Some(open);
            }
            Err(_) => {
                tracing::error!(
                    "lending a database's writer panicked; its file is reopened for the next job"
                );
                open.writer = None;
                return Some(open);
            }
        };
        let lease = Self {
            shared: Arc::clone(shared),
            runtime: Handle::current(),
            still_may,
            begun: Instant::now(),
            request: waiting.into_request(),
            lent: Some(lent),
            permit: open.permit.take(),
        };
        // A caller that has gone gives it back by dropping it.
        let _ = reply.send(Ok(lease));
        None
    }

    /// The number that the transaction takes if it changes anything.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.lent.as_ref().expect("BUG: a lease ends once").seq()
    }

    /// Does a part of the transaction's work, on this thread. Nothing is undone because it failed: drop the lease for that,
    /// or use savepoints.
    ///
    /// # Errors
    /// That of `work`; `BUSY` if SQLite has ended the transaction, or if the lease is over, since it lasted too long.
    pub fn run<T>(
        &mut self,
        work: impl FnOnce(&mut Transaction<'_, E>) -> ferry_sqlite::Result<T>,
    ) -> ferry_sqlite::Result<T> {
        self.check_age()?;
        self.lent.as_mut().expect("BUG: a lease ends once").run(work)
    }

    /// Commits, beside the runtime's own threads. What was done is on disk and published when this returns. Dropping the
    /// future does not stop it.
    ///
    /// # Errors
    /// Why nothing was committed.
    pub async fn commit(self) -> Result<Option<Seq>> {
        let runtime = self.runtime.clone();
        let committed = runtime.spawn_blocking(move || self.commit_blocking()).await;
        committed.unwrap_or_else(|_| Err(Error::internal()))
    }

    /// The same on this thread, which waits for the disk.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn commit_blocking(mut self) -> Result<Option<Seq>> {
        self.check_age()?;
        (self.still_may)()?;
        let lent = self.lent.take().expect("BUG: a lease ends once");
        let span = self.request.as_ref().map_or_else(Span::none, |request| request.child("commit"));
        let mut traced = TracedJob::of(span);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.shared.commit_lent(lent, &traced)));
        let (writer, committed) = outcome.unwrap_or_else(|_| {
            tracing::error!("the commit of a lease panicked; its file is reopened for the next job");
            (None, Err(Error::internal()))
        });
        if committed.is_err() {
            traced.fail();
        }
        drop(traced);
        self.give_back(writer);
        committed
    }

    /// Undoes everything.
    pub fn roll_back(self) {
        drop(self);
    }

    fn check_age(&self) -> Result<()> {
        if self.begun.elapsed() <= Duration::from_millis(LEASE_MAX_MS) {
            return Ok(());
        }
        Err(too_old())
    }

    fn give_back(&mut self, writer: Option<Writer>) {
        let open = OpenWriter { writer, permit: self.permit.take() };
        if let Turn::MoreToDo(open) = self.shared.settle(open) {
            // This may be a thread of no runtime.
            let _entered = self.runtime.enter();
            Shared::run_on_pool(&self.shared, open);
        }
    }
}

impl<E: Send + 'static> Drop for WriterLease<E> {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            let writer = catch_unwind(AssertUnwindSafe(|| lent.roll_back())).unwrap_or_default();
            self.give_back(writer);
        }
    }
}

impl<E: Send + 'static> Shared<E> {
    /// Commits and publishes; nobody else commits meanwhile.
    fn commit_lent(&self, lent: LentWriter<E>, traced: &TracedJob) -> (Option<Writer>, Result<Option<Seq>>) {
        let (mut writer, applied) = lent.commit();
        let committed = applied.map_err(ferry_sqlite::Error::into_refusal).map(|applied| {
            if let Some(seq) = applied.seq {
                let publishes = traced.publishes();
                (self.publish)(Commit { seq, effects: applied.effects });
                drop(publishes);
                metrics::counter!("ferry_group_commits_total").increment(1);
                metrics::counter!("ferry_commits_total").increment(1);
            }
            applied.seq
        });
        self.checkpoint(writer.as_mut());
        (writer, committed)
    }
}

/// A lease has lasted as long as it may.
pub(crate) fn too_old() -> Error {
    let message =
        format!("the transaction was open for more than {LEASE_MAX_MS} ms and is undone: do less in one");
    Error::new(Reason::Busy, message)
}
