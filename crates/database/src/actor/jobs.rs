//! What waits in a mailbox: requests, which share a group, and jobs of their own.

use std::collections::VecDeque;

use ferry_sqlite::{Transaction, Writer};
use ferry_types::{Error, Result, Seq, limits::GROUP_MAX_REQUESTS};
use tokio::sync::oneshot;

use super::{Commit, Committed, WriterFile, lease::Lend, opened, traced::Waiting};

pub(super) enum Job<E: Send + 'static> {
    Request(Box<dyn GroupRequest<E>>),
    /// A job of its own, between groups.
    Exclusive(Box<dyn Exclusive<E>>),
    /// Between groups too; the writer goes to the caller.
    Lend(Lend<E>),
}

pub(super) trait GroupRequest<E>: Send {
    fn apply(&mut self, transaction: &mut Transaction<'_, E>) -> ferry_sqlite::Result<()>;
    fn answer(self: Box<Self>, outcome: Result<Option<Seq>>);
    /// The caller has gone before the request began.
    fn is_abandoned(&self) -> bool;
    /// Its wait is over.
    fn begin(&mut self) -> Waiting;
}

pub(super) trait Exclusive<E>: Send {
    /// Its wait is over.
    fn begin(&mut self) -> Waiting;
    /// Does the work. What it returns is called once its commits are published, and answers.
    fn run(self: Box<Self>, exclusive: &mut ExclusiveWriter<'_, E>) -> Box<dyn FnOnce()>;
    fn refuse(self: Box<Self>, refusal: Error);
}

struct Submitted<F, T> {
    work: Option<F>,
    value: Option<T>,
    waiting: Waiting,
    reply: oneshot::Sender<Result<Committed<T>>>,
}

struct Alone<F, T> {
    work: F,
    waiting: Waiting,
    reply: oneshot::Sender<Result<T>>,
}

impl<E: Send + 'static> Job<E> {
    pub(super) fn request<T, F>(work: F, reply: oneshot::Sender<Result<Committed<T>>>) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_, E>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        Self::Request(Box::new(Submitted { work: Some(work), value: None, waiting: Waiting::begin(), reply }))
    }

    pub(super) fn exclusive<T, F>(work: F, reply: oneshot::Sender<Result<T>>) -> Self
    where
        T: Send + 'static,
        F: FnOnce(&mut ExclusiveWriter<'_, E>) -> ferry_sqlite::Result<T> + Send + 'static,
    {
        Self::Exclusive(Box::new(Alone { work, waiting: Waiting::begin(), reply }))
    }

    pub(super) fn refuse(self, refusal: Error) {
        match self {
            Self::Request(request) => request.answer(Err(refusal)),
            Self::Exclusive(work) => work.refuse(refusal),
            Self::Lend(lend) => drop(lend.reply.send(Err(refusal))),
        }
    }
}

impl<E, F, T> GroupRequest<E> for Submitted<F, T>
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

    fn begin(&mut self) -> Waiting {
        std::mem::take(&mut self.waiting)
    }
}

impl<E, F, T> Exclusive<E> for Alone<F, T>
where
    F: FnOnce(&mut ExclusiveWriter<'_, E>) -> ferry_sqlite::Result<T> + Send,
    T: Send + 'static,
{
    fn begin(&mut self) -> Waiting {
        std::mem::take(&mut self.waiting)
    }

    fn run(self: Box<Self>, exclusive: &mut ExclusiveWriter<'_, E>) -> Box<dyn FnOnce()> {
        let Self { work, reply, .. } = *self;
        let outcome = work(exclusive).map_err(ferry_sqlite::Error::into_refusal);
        Box::new(move || {
            let _ = reply.send(outcome);
        })
    }

    fn refuse(self: Box<Self>, refusal: Error) {
        let _ = self.reply.send(Err(refusal));
    }
}

/// The writer of a job of its own: it may use, close or replace the open database.
pub struct ExclusiveWriter<'run, E> {
    writer: &'run mut Option<Writer>,
    file: &'run dyn WriterFile,
    commits: Vec<Commit<E>>,
}

impl<'run, E> ExclusiveWriter<'run, E> {
    pub(super) const fn new(writer: &'run mut Option<Writer>, file: &'run dyn WriterFile) -> Self {
        Self { writer, file, commits: Vec::new() }
    }

    /// The writer, opened if need be.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn writer(&mut self) -> ferry_sqlite::Result<&mut Writer> {
        opened(self.writer, self.file)
    }

    /// Checkpoints and closes the file; the next request opens it again.
    ///
    /// # Errors
    /// When the last checkpoint fails; the file is closed all the same.
    pub fn close(&mut self) -> ferry_sqlite::Result<()> {
        self.writer.take().map_or(Ok(()), Writer::close)
    }

    /// A commit that the job made is on disk: it is published before the job is answered.
    pub fn committed(&mut self, seq: Seq, effects: Vec<E>) {
        self.commits.push(Commit { seq, effects });
    }

    pub(super) fn into_commits(self) -> Vec<Commit<E>> {
        self.commits
    }
}

pub(super) enum Batch<E: Send + 'static> {
    Group(Vec<Box<dyn GroupRequest<E>>>),
    Exclusive(Box<dyn Exclusive<E>>),
    Lend(Lend<E>),
}

impl<E: Send + 'static> Batch<E> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Group(requests) => requests.len(),
            Self::Exclusive(_) | Self::Lend(_) => 1,
        }
    }
}

/// The job of its own at the front, or all requests up to the next one.
pub(super) fn next_batch<E: Send + 'static>(queue: &mut VecDeque<Job<E>>) -> Option<Batch<E>> {
    let mut group = Vec::new();
    while group.len() < GROUP_MAX_REQUESTS {
        match queue.pop_front() {
            Some(Job::Request(request)) => group.push(request),
            Some(Job::Exclusive(work)) if group.is_empty() => return Some(Batch::Exclusive(work)),
            Some(Job::Lend(lend)) if group.is_empty() => return Some(Batch::Lend(lend)),
            Some(of_its_own) => {
                queue.push_front(of_its_own);
                break;
            }
            None => break,
        }
    }
    (!group.is_empty()).then_some(Batch::Group(group))
}
