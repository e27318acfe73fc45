//! The actor: one writer per database, a bounded mailbox, group commit. ARCHITECTURE.md, "The actor", tells why.

mod jobs;
mod lease;
mod traced;
mod turn;

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferry_sqlite::{Transaction, Writer};
use ferry_types::{
    Error, Reason, Result, Seq,
    limits::{MAILBOX_CAPACITY, MAILBOX_WAIT_MAX_MS},
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

use jobs::Job;
use lease::Lend;
use traced::Waiting;
use turn::opened;

use crate::{
    files::{CONNECTION_DESCRIPTORS, DatabaseFiles, FilePermit},
    first_group::FirstGroup,
    give_way::give_way,
    inline::InlineRuns,
};

/// One accepted request, now on disk.
#[derive(Debug, PartialEq, Eq)]
pub struct Commit<E> {
    /// Its number: one more than that of the commit before.
    pub seq: Seq,
    /// What subscribers must learn.
    pub effects: Vec<E>,
}

/// The answer to a request, sent after its COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// The number the request took; `None` if it changed nothing.
    pub seq: Option<Seq>,
    /// What the request returned.
    pub value: T,
}

/// Handle of one database's writer; clones are handles of the same actor.
pub struct Actor<E: Send + 'static> {
    shared: Arc<Shared<E>>,
}

pub use jobs::ExclusiveWriter;
pub use lease::WriterLease;
pub(crate) use lease::too_old;

impl<E: Send + 'static> Clone for Actor<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<E: Send + 'static> {
    mailbox: Mutex<Mailbox<E>>,
    /// Free slots of the mailbox.
    slots: Semaphore,
    /// What the file has to be admitted by before it is opened; `None`: it always may.
    files: Option<Arc<DatabaseFiles>>,
    inline: Arc<InlineRuns>,
    file: Box<dyn WriterFile>,
    publish: Box<dyn Fn(Commit<E>) + Send + Sync>,
}

/// The file that an actor writes.
pub trait WriterFile: Send + Sync + 'static {
    /// Opens it, and makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened or made.
    fn open(&self) -> ferry_sqlite::Result<Writer>;

    /// Descriptors that are taken beside those of the writer when it is opened.
    fn descriptors_beside(&self) -> u32 {
        0
    }

    /// The right to them, given before.
    fn grant(&self, _beside: FilePermit) {}

    /// Where a group runs that makes the file, if it is not there; `None`: in the file itself.
    ///
    /// # Errors
    /// What storage reports.
    fn first_group(&self) -> ferry_sqlite::Result<Option<FirstGroup>> {
        Ok(None)
    }
}

impl<F: Fn() -> ferry_sqlite::Result<Writer> + Send + Sync + 'static> WriterFile for F {
    fn open(&self) -> ferry_sqlite::Result<Writer> {
        self()
    }
}

struct Mailbox<E: Send + 'static> {
    queue: VecDeque<Job<E>>,
    writer: WriterState,
    /// Set once the database is gone or the hub stops: what later jobs are told.
    gone: Option<Error>,
}

/// Where the writer is.
enum WriterState {
    /// No file is open; the next job opens it.
    Closed,
    /// Open, and nobody runs.
    Idle(OpenWriter),
    /// A run has it, or waits for the file to be admitted.
    Taken,
}

/// What a run works with.
#[derive(Default)]
struct OpenWriter {
    /// The open file.
    writer: Option<Writer>,
    /// The right to have it open; kept until the run ends, so that the file may be closed and opened again meanwhile.
    permit: Option<FilePermit>,
}

/// Where a run is done that a request begins.
#[derive(Clone, Copy)]
enum Begin {
    /// On the caller's thread.
    Here,
    /// In a task of its own.
    InTask,
}

/// What a turn leaves.
enum Turn {
    /// The mailbox was empty, and the writer is put back.
    Done,
    /// More jobs came; the writer is still taken, with this.
    MoreToDo(OpenWriter),
    /// The writer is lent: whoever has it puts it back.
    Lent,
}

/// A turn that took no longer may be followed by one on a worker's thread.
const SHORT_TURN: Duration = Duration::from_millis(1);

impl<E: Send + 'static> Actor<E> {
    /// An actor whose `file` is still closed, and opened once `files` admit it; `publish` gets every commit after it
    /// is on disk, in order, before the request is answered.
    pub fn new(
        inline: &Arc<InlineRuns>,
        files: Option<Arc<DatabaseFiles>>,
        file: impl WriterFile,
        publish: impl Fn(Commit<E>) + Send + Sync + 'static,
    ) -> Self {
        let mailbox = Mailbox { queue: VecDeque::new(), writer: WriterState::Closed, gone: None };
        Self {
            shared: Arc::new(Shared {
                mailbox: Mutex::new(mailbox),
                slots: Semaphore::new(MAILBOX_CAPACITY),
                files,
                inline: Arc::clone(inline),
                file: Box::new(file),
                publish: Box::new(publish),
            }),
        }
    }

    /// Runs `work` in a savepoint of the next group and returns once the group is on disk. Dropping the
    /// future before the work began takes it back; afterwards it is committed and published all the same.
    ///
    /// # Errors
    /// What `work` refused; `BUSY` when the mailbox stayed full; the reason the COMMIT failed. On every error
    /// nothing of the request is stored.
    pub async fn submit<T, F>(&self, work: F) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, E>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.submit_as(work, Begin::Here).await
    }

    /// As [`Self::submit`], for a caller that answers others meanwhile, as the loop of a socket does: where its request
    /// begins a run, that is a task of its own.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn submit_beside<T, F>(&self, work: F) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, E>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        self.submit_as(work, Begin::InTask).await
    }

    async fn submit_as<T, F>(&self, work: F, begin: Begin) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, E>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::request(work, reply), begin).await?;
        // A reply dropped unsent means that the run panicked; that was logged there.
        answer.await.unwrap_or_else(|_| Err(Error::internal()))
    }

    /// Runs `work` between groups, alone, on a blocking thread.
    ///
    /// # Errors
    /// What `work` returned, or `BUSY` when the mailbox stayed full.
    pub async fn exclusive<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut ExclusiveWriter<'_, E>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::exclusive(work, reply), Begin::Here).await?;
        answer.await.unwrap_or_else(|_| Err(Error::internal()))
    }

    /// Lends the writer, with a transaction of its own, after the jobs that wait already; `still_may` is asked when the
    /// transaction begins, and before it is committed.
    ///
    /// # Errors
    /// What `still_may` refused, or `BUSY` when the mailbox stayed full.
    pub async fn lend(&self, still_may: impl Fn() -> Result<()> + Send + 'static) -> Result<WriterLease<E>> {
        let (reply, answer) = oneshot::channel();
        let lend = Lend { still_may: Box::new(still_may), waiting: Waiting::begin(), reply };
        self.enqueue(Job::Lend(lend), Begin::Here).await?;
        answer.await.unwrap_or_else(|_| Err(Error::internal()))
    }

    /// Whether nothing runs or waits.
    pub fn is_idle(&self) -> bool {
        !matches!(self.shared.lock().writer, WriterState::Taken)
    }

    /// Closes the file, on this thread, unless a job runs or waits. True if it is closed now.
    pub fn close_if_idle(&self) -> bool {
        let open = {
            let mut mailbox = self.shared.lock();
            match std::mem::replace(&mut mailbox.writer, WriterState::Taken) {
                WriterState::Idle(open) => open,
                other => {
                    let closed = matches!(other, WriterState::Closed);
                    mailbox.writer = other;
                    return closed;
                }
            }
        };
        let closing = AssertUnwindSafe(|| open.writer.map_or(Ok(()), Writer::close));
        match catch_unwind(closing) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "closing an idle database: its WAL is kept"),
            Err(_) => tracing::error!("closing an idle database panicked: its WAL is kept"),
        }
        drop(open.permit);
        let mut mailbox = self.shared.lock();
        let is_closed = mailbox.queue.is_empty();
        if is_closed {
            mailbox.writer = WriterState::Closed;
        } else {
            drop(mailbox);
            Shared::open_and_run(&self.shared);
        }
        is_closed
    }

    /// Finishes the jobs that wait, closes the file, and answers every later job with `refusal`.
    pub async fn retire(&self, refusal: Error) {
        let (reply, closed) = oneshot::channel();
        let work = |exclusive: &mut ExclusiveWriter<'_, E>| {
            if let Err(error) = exclusive.close() {
                tracing::warn!(%error, "closing a database: its WAL is kept");
            }
            Ok(())
        };
        {
            let mut mailbox = self.shared.lock();
            mailbox.gone = Some(refusal);
            if matches!(mailbox.writer, WriterState::Closed) {
                return;
            }
            mailbox.queue.push_back(Job::exclusive(work, reply));
            // The run gives every drained job's slot back; this one never took one, which only widens the
            // mailbox of a database that accepts nothing any more.
            if let WriterState::Idle(open) = std::mem::replace(&mut mailbox.writer, WriterState::Taken) {
                Shared::run_on_pool(&self.shared, open);
            }
        }
        let _ = closed.await;
    }

    async fn enqueue(&self, job: Job<E>, begin: Begin) -> Result<()> {
        let slot = match self.shared.slots.try_acquire() {
            Ok(slot) => slot,
            Err(_) => self.wait_for_slot().await?,
        };
        let mut mailbox = self.shared.lock();
        if let Some(refusal) = &mailbox.gone {
            return Err(refusal.clone());
        }
        slot.forget();
        let is_request = matches!(job, Job::Request(_));
        mailbox.queue.push_back(job);
        let state = std::mem::replace(&mut mailbox.writer, WriterState::Taken);
        drop(mailbox);
        match state {
            WriterState::Taken => {}
            WriterState::Idle(open) if is_request && may_block_in_place() => match begin {
                Begin::Here => Shared::run_here(&self.shared, open),
                Begin::InTask => Shared::run_in_task(&self.shared, open),
            },
            WriterState::Idle(open) => Shared::run_on_pool(&self.shared, open),
            WriterState::Closed => Shared::open_and_run(&self.shared),
        }
        Ok(())
    }

    async fn wait_for_slot(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        let longest = Duration::from_millis(MAILBOX_WAIT_MAX_MS);
        match tokio::time::timeout(longest, self.shared.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(Error::new(Reason::Busy, "the database has too many writes waiting: try again later")
                .retry_after_ms(1000)),
        }
    }
}

impl<E: Send + 'static> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, Mailbox<E>> {
        // Nothing panics while it holds the lock; if something did, the queue is still whole.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a run of a closed file, once it may be opened; if that takes too long, the jobs are refused.
    fn open_and_run(shared: &Arc<Self>) {
        let Some(files) = &shared.files else { return Self::run_on_pool(shared, OpenWriter::default()) };
        // Together: who has some and waits for the rest keeps others waiting. A job of its own need not open the file: of
        // a database that is pushed none does.
        let opens = shared.lock().queue.iter().any(|job| !matches!(job, Job::Exclusive(_)));
        let beside = if opens { shared.file.descriptors_beside() } else { 0 };
        let wanted = CONNECTION_DESCRIPTORS + beside;
        if let Some(permit) = files.try_open(wanted) {
            return Self::run_opening(shared, permit);
        }
        let (shared, files) = (Arc::clone(shared), Arc::clone(files));
        tokio::spawn(async move {
            match files.open(wanted).await {
                Ok(permit) => Self::run_opening(&shared, permit),
                Err(refusal) => shared.refuse_all(&refusal),
            }
        });
    }

    fn run_opening(shared: &Arc<Self>, mut permit: FilePermit) {
        if let Some(beside) = permit.split_off(CONNECTION_DESCRIPTORS) {
            shared.file.grant(beside);
        }
        Self::run_on_pool(shared, OpenWriter { writer: None, permit: Some(permit) });
    }

    fn refuse_all(&self, refusal: &Error) {
        let jobs = {
            let mut mailbox = self.lock();
            mailbox.writer = WriterState::Closed;
            std::mem::take(&mut mailbox.queue)
        };
        self.slots.add_permits(jobs.len());
        for job in jobs {
            job.refuse(refusal.clone());
        }
    }

    /// Starts a run on the blocking pool.
    fn run_on_pool(shared: &Arc<Self>, mut open: OpenWriter) {
        let shared = Arc::clone(shared);
        tokio::task::spawn_blocking(move || {
            while let Turn::MoreToDo(next) = shared.turn(open) {
                open = next;
            }
        });
    }

    /// Runs the first group on the caller's thread, which saves a lone caller thread switches, about half of its
    /// time; whatever came meanwhile is done by others, so that no caller works for others for long: by a task where the
    /// disk is fast, since it costs less to go from task to task than from thread to thread, and all who were answered
    /// have come again before it runs; else by the pool.
    fn run_here(shared: &Arc<Self>, open: OpenWriter) {
        let began = Instant::now();
        let turn = match shared.inline.begin() {
            Some(_running) => shared.turn(open),
            None => tokio::task::block_in_place(|| shared.turn(open)),
        };
        match turn {
            Turn::Done | Turn::Lent => {}
            Turn::MoreToDo(open) if began.elapsed() < SHORT_TURN => Self::run_in_task(shared, open),
            Turn::MoreToDo(open) => Self::run_on_pool(shared, open),
        }
    }

    /// The same in a task of its own, after those that could go on already: what they submit is in the group too.
    fn run_in_task(shared: &Arc<Self>, open: OpenWriter) {
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            give_way().await;
            Self::run_here(&shared, open);
        });
    }
}

/// Whether this thread may be blocked for a moment: a worker of a runtime that moves its other tasks elsewhere.
fn may_block_in_place() -> bool {
    tokio::runtime::Handle::current().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread
}

#[cfg(test)]
mod tests;
