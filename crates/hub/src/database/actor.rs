//! The actor: one writer per database, a bounded mailbox, group commit. See ARCHITECTURE.md, "The actor".

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferry_store::{Transaction, Writer};
use ferry_types::{
    Error, Reason, Result, Seq,
    limits::{GROUP_MAX_REQUESTS, MAILBOX_CAPACITY, MAILBOX_WAIT_MAX_MS},
};
use tokio::sync::{Semaphore, oneshot};

use super::inline::Inline;

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
pub struct Actor<E: 'static> {
    shared: Arc<Shared<E>>,
}

impl<E> Clone for Actor<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<E> {
    mailbox: Mutex<Mailbox<E>>,
    /// Free places of the mailbox.
    places: Semaphore,
    open: Box<dyn Fn() -> ferry_store::Result<Writer> + Send + Sync>,
    publish: Box<dyn Fn(Commit<E>) + Send + Sync>,
}

struct Mailbox<E> {
    queue: VecDeque<Job<E>>,
    seat: Seat,
    /// Set by every job, cleared by every sweep: what a sweep finds cleared is idle.
    used: bool,
    /// Set once the database is gone or the hub stops: what later jobs are told.
    gone: Option<Error>,
}

/// Where the writer is.
enum Seat {
    /// No file is open; the next job opens it.
    Closed,
    /// Open, and nobody runs.
    Idle(Writer),
    /// A run has it.
    Taken,
}

impl<E> Mailbox<E> {
    /// Takes the seat, with the writer if it is open; `None` if a run has it.
    fn take_seat(&mut self) -> Option<Option<Writer>> {
        match std::mem::replace(&mut self.seat, Seat::Taken) {
            Seat::Taken => None,
            Seat::Idle(writer) => Some(Some(writer)),
            Seat::Closed => Some(None),
        }
    }
}

/// What a turn leaves.
enum Turn {
    /// The mailbox was empty, and the seat is given back.
    Done,
    /// More jobs came; the seat is still taken, with this writer.
    MoreToDo(Option<Writer>),
}

enum Job<E> {
    Request(Box<dyn Request<E>>),
    /// A job of its own, between groups.
    Exclusive(Box<dyn FnOnce(&mut Hand<'_>) + Send>),
}

trait Request<E>: Send {
    fn apply(&mut self, transaction: &mut Transaction<'_, E>) -> ferry_store::Result<()>;
    fn answer(self: Box<Self>, outcome: Result<Option<Seq>>);
    /// The caller has gone before the request began.
    fn is_abandoned(&self) -> bool;
}

struct Submitted<F, T> {
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<Committed<T>>>,
}

impl<E, F, T> Request<E> for Submitted<F, T>
where
    F: FnOnce(&mut Transaction<'_, E>) -> ferry_store::Result<T> + Send,
    T: Send,
{
    fn apply(&mut self, transaction: &mut Transaction<'_, E>) -> ferry_store::Result<()> {
        let work = self.work.take().expect("BUG: a request runs once");
        self.value = Some(work(transaction)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<Option<Seq>>) {
        let Self { value, reply, .. } = *self;
        let answer =
            outcome.map(|seq| Committed { seq, value: value.expect("BUG: an applied request has a value") });
        // A caller that has gone is told nothing; what was committed stays and is published.
        let _ = reply.send(answer);
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// The seat in the hand of a job of its own: it may use, close or replace the open database.
pub struct Hand<'run> {
    writer: &'run mut Option<Writer>,
    open: &'run (dyn Fn() -> ferry_store::Result<Writer> + Send + Sync),
}

impl Hand<'_> {
    /// The writer, opened if need be.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn writer(&mut self) -> ferry_store::Result<&mut Writer> {
        if self.writer.is_none() {
            *self.writer = Some((self.open)()?);
        }
        Ok(self.writer.as_mut().expect("BUG: opened above"))
    }

    /// Checkpoints and closes the file; the next request opens it again.
    ///
    /// # Errors
    /// When the last checkpoint fails; the file is closed all the same.
    pub fn close(&mut self) -> ferry_store::Result<()> {
        self.writer.take().map_or(Ok(()), Writer::close)
    }
}

impl<E: Send + 'static> Actor<E> {
    /// An actor whose file is still closed. `open` opens it; `publish` gets every commit after it is on disk,
    /// in order, before the request is answered.
    pub fn new(
        open: impl Fn() -> ferry_store::Result<Writer> + Send + Sync + 'static,
        publish: impl Fn(Commit<E>) + Send + Sync + 'static,
    ) -> Self {
        let mailbox = Mailbox { queue: VecDeque::new(), seat: Seat::Closed, used: false, gone: None };
        Self {
            shared: Arc::new(Shared {
                mailbox: Mutex::new(mailbox),
                places: Semaphore::new(MAILBOX_CAPACITY),
                open: Box::new(open),
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
        F: FnOnce(&mut Transaction<'_, E>) -> ferry_store::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::Request(Box::new(Submitted { work: Some(work), value: None, reply }))).await?;
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
        F: FnOnce(&mut Hand<'_>) -> ferry_store::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = move |hand: &mut Hand<'_>| {
            let _ = reply.send(work(hand).map_err(ferry_store::Error::into_refusal));
        };
        self.enqueue(Job::Exclusive(Box::new(job))).await?;
        answer.await.unwrap_or_else(|_| Err(Error::internal()))
    }

    /// Closes the file if no job came since the last sweep. True if it is closed now.
    pub fn sweep(&self) -> bool {
        let mut mailbox = self.shared.lock();
        if std::mem::take(&mut mailbox.used) {
            return false;
        }
        match std::mem::replace(&mut mailbox.seat, Seat::Taken) {
            Seat::Idle(writer) => {
                drop(mailbox);
                let shared = Arc::clone(&self.shared);
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = writer.close() {
                        tracing::warn!(%error, "closing an idle database: its WAL is kept");
                    }
                    Shared::run_on_pool(&shared, None);
                });
                false
            }
            other => {
                let closed = matches!(other, Seat::Closed);
                mailbox.seat = other;
                closed
            }
        }
    }

    /// Finishes the jobs that wait, closes the file, and answers every later job with `refusal`.
    pub async fn retire(&self, refusal: Error) {
        let (reply, closed) = oneshot::channel();
        let job = move |hand: &mut Hand<'_>| {
            if let Err(error) = hand.close() {
                tracing::warn!(%error, "closing a database: its WAL is kept");
            }
            let _ = reply.send(());
        };
        {
            let mut mailbox = self.shared.lock();
            mailbox.gone = Some(refusal);
            mailbox.queue.push_back(Job::Exclusive(Box::new(job)));
            // The run gives every drained job's place back; this one never took one, which only widens the
            // mailbox of a database that accepts nothing any more.
            if let Some(writer) = mailbox.take_seat() {
                Shared::run_on_pool(&self.shared, writer);
            }
        }
        let _ = closed.await;
    }

    async fn enqueue(&self, job: Job<E>) -> Result<()> {
        let place = match self.shared.places.try_acquire() {
            Ok(place) => place,
            Err(_) => self.wait_for_place().await?,
        };
        let mut mailbox = self.shared.lock();
        if let Some(refusal) = &mailbox.gone {
            return Err(refusal.clone());
        }
        place.forget();
        mailbox.used = true;
        let is_request = matches!(job, Job::Request(_));
        mailbox.queue.push_back(job);
        let Some(writer) = mailbox.take_seat() else { return Ok(()) };
        drop(mailbox);
        if writer.is_some() && is_request && may_block_in_place() {
            Shared::run_here(&self.shared, writer);
        } else {
            Shared::run_on_pool(&self.shared, writer);
        }
        Ok(())
    }

    async fn wait_for_place(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        let longest = Duration::from_millis(MAILBOX_WAIT_MAX_MS);
        match tokio::time::timeout(longest, self.shared.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
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

    /// Starts a run on the blocking pool.
    fn run_on_pool(shared: &Arc<Self>, mut writer: Option<Writer>) {
        let shared = Arc::clone(shared);
        tokio::task::spawn_blocking(move || {
            while let Turn::MoreToDo(next) = shared.turn(writer) {
                writer = next;
            }
        });
    }

    /// Runs the first group on the caller's thread, which saves a lone caller thread switches, about half of its
    /// time; whatever came meanwhile is the pool's, so that no caller works for others for long.
    fn run_here(shared: &Arc<Self>, writer: Option<Writer>) {
        let turn = match Inline::begin() {
            Some(_running) => shared.turn(writer),
            None => tokio::task::block_in_place(|| shared.turn(writer)),
        };
        if let Turn::MoreToDo(writer) = turn {
            Self::run_on_pool(shared, writer);
        }
    }

    /// Serves one batch. Gives the seat back if nothing waits.
    fn turn(&self, mut writer: Option<Writer>) -> Turn {
        let next = next_batch(&mut self.lock().queue);
        if let Some(batch) = next {
            self.places.add_permits(batch.len());
            let outcome = catch_unwind(AssertUnwindSafe(|| self.serve(&mut writer, batch)));
            if outcome.is_err() {
                // The jobs in hand are dropped unanswered, which their callers see as an internal error.
                // What the file holds is decided by SQLite when it is opened again.
                tracing::error!("a database's run panicked; its file is reopened for the next job");
                writer = None;
            }
        }
        let mut mailbox = self.lock();
        if mailbox.queue.is_empty() {
            mailbox.seat = writer.map_or(Seat::Closed, Seat::Idle);
            Turn::Done
        } else {
            Turn::MoreToDo(writer)
        }
    }

    fn serve(&self, writer: &mut Option<Writer>, batch: Batch<E>) {
        match batch {
            Batch::Group(requests) => self.serve_group(writer, requests),
            Batch::Exclusive(work) => work(&mut Hand { writer, open: self.open.as_ref() }),
        }
    }

    fn serve_group(&self, writer: &mut Option<Writer>, mut requests: Vec<Box<dyn Request<E>>>) {
        requests.retain(|request| !request.is_abandoned());
        let opened = Hand { writer, open: self.open.as_ref() }.writer().map(|_| ());
        if let Err(error) = opened {
            let refusal = error.into_refusal();
            requests.into_iter().for_each(|request| request.answer(Err(refusal.clone())));
            return;
        }
        let writer = writer.as_mut().expect("BUG: opened above");
        let answers = writer.run_group(&mut requests, |request, transaction| request.apply(transaction));
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(answer.map_err(ferry_store::Error::into_refusal).map(|applied| {
                if let Some(seq) = applied.seq {
                    (self.publish)(Commit { seq, effects: applied.effects });
                }
                applied.seq
            }));
        }
        let commits = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Some(_)))).count();
        if commits > 0 {
            // Together they tell how many commits share an fsync.
            metrics::counter!("ferry_group_commits_total").increment(1);
            metrics::counter!("ferry_commits_total").increment(commits as u64);
        }
        for (request, outcome) in requests.into_iter().zip(outcomes) {
            request.answer(outcome);
        }
        if let Err(error) = writer.checkpoint_if_due() {
            tracing::warn!(%error, "checkpoint failed; it is tried again after the next commit");
        }
    }
}

/// Whether this thread may be blocked for a moment: a worker of a runtime that moves its other tasks elsewhere.
fn may_block_in_place() -> bool {
    tokio::runtime::Handle::current().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread
}

enum Batch<E> {
    Group(Vec<Box<dyn Request<E>>>),
    Exclusive(Box<dyn FnOnce(&mut Hand<'_>) + Send>),
}

impl<E> Batch<E> {
    fn len(&self) -> usize {
        match self {
            Self::Group(requests) => requests.len(),
            Self::Exclusive(_) => 1,
        }
    }
}

/// The job of its own at the front, or all requests up to the next one.
fn next_batch<E>(queue: &mut VecDeque<Job<E>>) -> Option<Batch<E>> {
    let mut group = Vec::new();
    while group.len() < GROUP_MAX_REQUESTS {
        match queue.pop_front() {
            Some(Job::Request(request)) => group.push(request),
            Some(Job::Exclusive(work)) if group.is_empty() => return Some(Batch::Exclusive(work)),
            Some(exclusive) => {
                queue.push_front(exclusive);
                break;
            }
            None => break,
        }
    }
    (!group.is_empty()).then_some(Batch::Group(group))
}

#[cfg(test)]
mod tests;
