//! The actor: one writer per database, a bounded mailbox, group commit. See ARCHITECTURE.md, "The actor".

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferry_sqlite::{Transaction, Writer};
use ferry_types::{
    Error, Reason, Result, Seq,
    limits::{GROUP_MAX_REQUESTS, MAILBOX_CAPACITY, MAILBOX_WAIT_MAX_MS},
};
use tokio::sync::{Semaphore, oneshot};

use super::{
    files::{CONNECTION_DESCRIPTORS, DatabaseFiles, FilePermit},
    inline::Inline,
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
    /// What the file has to be admitted by before it is opened; `None`: it always may.
    files: Option<Arc<DatabaseFiles>>,
    open: Box<dyn Fn() -> ferry_sqlite::Result<Writer> + Send + Sync>,
    publish: Box<dyn Fn(Commit<E>) + Send + Sync>,
}

struct Mailbox<E> {
    queue: VecDeque<Job<E>>,
    seat: Seat,
    /// Set once the database is gone or the hub stops: what later jobs are told.
    gone: Option<Error>,
}

/// Where the writer is.
enum Seat {
    /// No file is open; the next job opens it.
    Closed,
    /// Open, and nobody runs.
    Idle(Held),
    /// A run has it, or waits for the file to be admitted.
    Taken,
}

/// What a run works with.
#[derive(Default)]
struct Held {
    /// The open file.
    writer: Option<Writer>,
    /// The right to have it open; kept until the run ends, so that the file may be closed and opened again meanwhile.
    permit: Option<FilePermit>,
}

/// What a turn leaves.
enum Turn {
    /// The mailbox was empty, and the seat is given back.
    Done,
    /// More jobs came; the seat is still taken, with this.
    MoreToDo(Held),
}

enum Job<E> {
    Request(Box<dyn Request<E>>),
    /// A job of its own, between groups.
    Exclusive(Box<dyn Exclusive>),
}

trait Exclusive: Send {
    fn run(self: Box<Self>, hand: &mut Hand<'_>);
    fn refuse(self: Box<Self>, refusal: Error);
}

struct Alone<F, T> {
    work: F,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Exclusive for Alone<F, T>
where
    F: FnOnce(&mut Hand<'_>) -> ferry_sqlite::Result<T> + Send,
    T: Send,
{
    fn run(self: Box<Self>, hand: &mut Hand<'_>) {
        let Self { work, reply } = *self;
        let _ = reply.send(work(hand).map_err(ferry_sqlite::Error::into_refusal));
    }

    fn refuse(self: Box<Self>, refusal: Error) {
        let _ = self.reply.send(Err(refusal));
    }
}

trait Request<E>: Send {
    fn apply(&mut self, transaction: &mut Transaction<'_, E>) -> ferry_sqlite::Result<()>;
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
    F: FnOnce(&mut Transaction<'_, E>) -> ferry_sqlite::Result<T> + Send,
    T: Send,
{
    fn apply(&mut self, transaction: &mut Transaction<'_, E>) -> ferry_sqlite::Result<()> {
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
    open: &'run (dyn Fn() -> ferry_sqlite::Result<Writer> + Send + Sync),
}

impl Hand<'_> {
    /// The writer, opened if need be.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn writer(&mut self) -> ferry_sqlite::Result<&mut Writer> {
        if self.writer.is_none() {
            *self.writer = Some((self.open)()?);
        }
        Ok(self.writer.as_mut().expect("BUG: opened above"))
    }

    /// Checkpoints and closes the file; the next request opens it again.
    ///
    /// # Errors
    /// When the last checkpoint fails; the file is closed all the same.
    pub fn close(&mut self) -> ferry_sqlite::Result<()> {
        self.writer.take().map_or(Ok(()), Writer::close)
    }
}

impl<E: Send + 'static> Actor<E> {
    /// An actor whose file is still closed. `open` opens it, once `files` admit it; `publish` gets every commit after it
    /// is on disk, in order, before the request is answered.
    pub fn new(
        files: Option<Arc<DatabaseFiles>>,
        open: impl Fn() -> ferry_sqlite::Result<Writer> + Send + Sync + 'static,
        publish: impl Fn(Commit<E>) + Send + Sync + 'static,
    ) -> Self {
        let mailbox = Mailbox { queue: VecDeque::new(), seat: Seat::Closed, gone: None };
        Self {
            shared: Arc::new(Shared {
                mailbox: Mutex::new(mailbox),
                places: Semaphore::new(MAILBOX_CAPACITY),
                files,
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
        F: FnOnce(&mut Transaction<'_, E>) -> ferry_sqlite::Result<T> + Send + 'static,
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
        F: FnOnce(&mut Hand<'_>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Job::Exclusive(Box::new(Alone { work, reply }))).await?;
        answer.await.unwrap_or_else(|_| Err(Error::internal()))
    }

    /// Whether nothing runs or waits.
    pub fn is_idle(&self) -> bool {
        !matches!(self.shared.lock().seat, Seat::Taken)
    }

    /// Closes the file, on this thread, unless a job runs or waits. True if it is closed now.
    pub fn close_if_idle(&self) -> bool {
        let held = {
            let mut mailbox = self.shared.lock();
            match std::mem::replace(&mut mailbox.seat, Seat::Taken) {
                Seat::Idle(held) => held,
                other => {
                    let closed = matches!(other, Seat::Closed);
                    mailbox.seat = other;
                    return closed;
                }
            }
        };
        let closing = AssertUnwindSafe(|| held.writer.map_or(Ok(()), Writer::close));
        match catch_unwind(closing) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "closing an idle database: its WAL is kept"),
            Err(_) => tracing::error!("closing an idle database panicked: its WAL is kept"),
        }
        drop(held.permit);
        let mut mailbox = self.shared.lock();
        let is_closed = mailbox.queue.is_empty();
        if is_closed {
            mailbox.seat = Seat::Closed;
        } else {
            drop(mailbox);
            Shared::open_and_run(&self.shared);
        }
        is_closed
    }

    /// Finishes the jobs that wait, closes the file, and answers every later job with `refusal`.
    pub async fn retire(&self, refusal: Error) {
        let (reply, closed) = oneshot::channel();
        let work = |hand: &mut Hand<'_>| {
            if let Err(error) = hand.close() {
                tracing::warn!(%error, "closing a database: its WAL is kept");
            }
            Ok(())
        };
        {
            let mut mailbox = self.shared.lock();
            mailbox.gone = Some(refusal);
            if matches!(mailbox.seat, Seat::Closed) {
                return;
            }
            mailbox.queue.push_back(Job::Exclusive(Box::new(Alone { work, reply })));
            // The run gives every drained job's place back; this one never took one, which only widens the
            // mailbox of a database that accepts nothing any more.
            if let Seat::Idle(held) = std::mem::replace(&mut mailbox.seat, Seat::Taken) {
                Shared::run_on_pool(&self.shared, held);
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
        let is_request = matches!(job, Job::Request(_));
        mailbox.queue.push_back(job);
        let seat = std::mem::replace(&mut mailbox.seat, Seat::Taken);
        drop(mailbox);
        match seat {
            Seat::Taken => {}
            Seat::Idle(held) if is_request && may_block_in_place() => Shared::run_here(&self.shared, held),
            Seat::Idle(held) => Shared::run_on_pool(&self.shared, held),
            Seat::Closed => Shared::open_and_run(&self.shared),
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

    /// Starts a run of a closed file, once it may be opened; if that takes too long, the jobs are refused.
    fn open_and_run(shared: &Arc<Self>) {
        let Some(files) = &shared.files else { return Self::run_on_pool(shared, Held::default()) };
        let held = |permit| Held { writer: None, permit: Some(permit) };
        if let Some(permit) = files.try_open(CONNECTION_DESCRIPTORS) {
            return Self::run_on_pool(shared, held(permit));
        }
        let (shared, files) = (Arc::clone(shared), Arc::clone(files));
        tokio::spawn(async move {
            match files.open(CONNECTION_DESCRIPTORS).await {
                Ok(permit) => Self::run_on_pool(&shared, held(permit)),
                Err(refusal) => shared.refuse_all(&refusal),
            }
        });
    }

    fn refuse_all(&self, refusal: &Error) {
        let jobs = {
            let mut mailbox = self.lock();
            mailbox.seat = Seat::Closed;
            std::mem::take(&mut mailbox.queue)
        };
        self.places.add_permits(jobs.len());
        for job in jobs {
            match job {
                Job::Request(request) => request.answer(Err(refusal.clone())),
                Job::Exclusive(work) => work.refuse(refusal.clone()),
            }
        }
    }

    /// Starts a run on the blocking pool.
    fn run_on_pool(shared: &Arc<Self>, mut held: Held) {
        let shared = Arc::clone(shared);
        tokio::task::spawn_blocking(move || {
            while let Turn::MoreToDo(next) = shared.turn(held) {
                held = next;
            }
        });
    }

    /// Runs the first group on the caller's thread, which saves a lone caller thread switches, about half of its
    /// time; whatever came meanwhile is the pool's, so that no caller works for others for long.
    fn run_here(shared: &Arc<Self>, held: Held) {
        let turn = match Inline::begin() {
            Some(_running) => shared.turn(held),
            None => tokio::task::block_in_place(|| shared.turn(held)),
        };
        if let Turn::MoreToDo(held) = turn {
            Self::run_on_pool(shared, held);
        }
    }

    /// Serves one batch. Gives the seat back if nothing waits.
    fn turn(&self, mut held: Held) -> Turn {
        let next = next_batch(&mut self.lock().queue);
        if let Some(batch) = next {
            self.places.add_permits(batch.len());
            let outcome = catch_unwind(AssertUnwindSafe(|| self.serve(&mut held.writer, batch)));
            if outcome.is_err() {
                // The jobs in hand are dropped unanswered, which their callers see as an internal error.
                // What the file holds is decided by SQLite when it is opened again.
                tracing::error!("a database's run panicked; its file is reopened for the next job");
                held.writer = None;
            }
        }
        let mut mailbox = self.lock();
        if mailbox.queue.is_empty() {
            mailbox.seat = if held.writer.is_some() { Seat::Idle(held) } else { Seat::Closed };
            Turn::Done
        } else {
            Turn::MoreToDo(held)
        }
    }

    fn serve(&self, writer: &mut Option<Writer>, batch: Batch<E>) {
        match batch {
            Batch::Group(requests) => self.serve_group(writer, requests),
            Batch::Exclusive(work) => work.run(&mut Hand { writer, open: self.open.as_ref() }),
        }
    }

    fn serve_group(&self, writer: &mut Option<Writer>, mut requests: Vec<Box<dyn Request<E>>>) {
        requests.retain(|request| !request.is_abandoned());
        if requests.is_empty() {
            return;
        }
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
            outcomes.push(answer.map_err(ferry_sqlite::Error::into_refusal).map(|applied| {
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
    Exclusive(Box<dyn Exclusive>),
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
