//! What a run does with the writer, batch by batch.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ferry_sqlite::{Applied, Transaction, Writer};

use super::{
    Commit, ExclusiveWriter, OpenWriter, Shared, Turn, WriterFile, WriterState,
    jobs::{Batch, GroupRequest, Job, next_batch},
    lease::WriterLease,
    traced::TracedGroup,
};

impl<E: Send + 'static> Shared<E> {
    /// Serves one batch. Puts the writer back if nothing waits.
    pub(super) fn turn(self: &Arc<Self>, mut open: OpenWriter) -> Turn {
        let next = next_batch(&mut self.lock().queue);
        if let Some(Batch::Lend(lend)) = next {
            self.slots.add_permits(1);
            return WriterLease::begin(self, open, lend).map_or(Turn::Lent, |open| self.settle(open));
        }
        if let Some(batch) = next {
            self.slots.add_permits(batch.len());
            let outcome = catch_unwind(AssertUnwindSafe(|| self.serve(&mut open.writer, batch)));
            if outcome.is_err() {
                // The jobs in work are dropped unanswered, which their callers see as an internal error.
                // What the file holds is decided by SQLite when it is opened again.
                tracing::error!("a database's run panicked; its file is reopened for the next job");
                open.writer = None;
            }
        }
        self.settle(open)
    }

    /// Puts the writer back unless jobs wait.
    pub(super) fn settle(&self, open: OpenWriter) -> Turn {
        let mut mailbox = self.lock();
        if mailbox.queue.is_empty() {
            mailbox.writer =
                if open.writer.is_some() { WriterState::Idle(open) } else { WriterState::Closed };
            Turn::Done
        } else {
            Turn::MoreToDo(open)
        }
    }

    fn serve(&self, writer: &mut Option<Writer>, batch: Batch<E>) {
        match batch {
            Batch::Group(requests) => self.serve_group(writer, requests),
            Batch::Exclusive(mut work) => {
                let traced = work.begin().over("job");
                let mut exclusive = ExclusiveWriter::new(writer, self.file.as_ref());
                let answer = work.run(&mut exclusive);
                let commits = exclusive.into_commits();
                if !commits.is_empty() {
                    let _traced = traced.publishes();
                    commits.into_iter().for_each(&self.publish);
                }
                drop(traced);
                answer();
            }
            Batch::Lend(_) => unreachable!("BUG: a lease ends the turn"),
        }
    }

    fn serve_group(&self, writer: &mut Option<Writer>, mut requests: Vec<Box<dyn GroupRequest<E>>>) {
        requests.retain(|request| !request.is_abandoned());
        if requests.is_empty() {
            return;
        }
        let count = requests.len();
        let mut traced = TracedGroup::begin(requests.iter_mut().map(|request| request.begin()), count);
        let answers = match self.run_group(writer, &mut requests, &mut traced) {
            Ok(answers) => answers,
            Err(error) => {
                traced.committed(false);
                drop(traced);
                let refusal = error.into_refusal();
                requests.into_iter().for_each(|request| request.answer(Err(refusal.clone())));
                return;
            }
        };
        // Who is refused has not failed, and a group of such has no commit.
        let failed = |answer: &Result<_, ferry_sqlite::Error>| {
            answer.as_ref().is_err_and(|error| !matches!(error, ferry_sqlite::Error::Refused(_)))
        };
        if answers.iter().any(Result::is_ok) {
            traced.committed(true);
        } else if answers.iter().any(failed) {
            traced.committed(false);
        }
        let mut outcomes = Vec::with_capacity(answers.len());
        for (place, answer) in answers.into_iter().enumerate() {
            if failed(&answer) {
                traced.failed(place);
            }
            outcomes.push(answer.map_err(ferry_sqlite::Error::into_refusal).map(|applied| {
                if let Some(seq) = applied.seq {
                    let _traced = traced.publishes(place);
                    (self.publish)(Commit { seq, effects: applied.effects });
                }
                applied.seq
            }));
        }
        drop(traced);
        let commits = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Some(_)))).count();
        if commits > 0 {
            // Together they tell how many commits share an fsync.
            metrics::counter!("ferry_group_commits_total").increment(1);
            metrics::counter!("ferry_commits_total").increment(commits as u64);
        }
        for (request, outcome) in requests.into_iter().zip(outcomes) {
            request.answer(outcome);
        }
        self.checkpoint(writer.as_mut());
    }

    /// Runs a group in the open file, or in a template that becomes the file. Fails if there is neither.
    fn run_group(
        &self,
        writer: &mut Option<Writer>,
        requests: &mut [Box<dyn GroupRequest<E>>],
        traced: &mut TracedGroup,
    ) -> ferry_sqlite::Result<Vec<ferry_sqlite::Result<Applied<E>>>> {
        let apply = |request: &mut Box<dyn GroupRequest<E>>, transaction: &mut Transaction<'_, E>| {
            let applied = request.apply(transaction);
            traced.applied();
            applied
        };
        if writer.is_none()
            && let Some(first) = self.file.first_group()?
        {
            return Ok(first.run(requests, apply));
        }
        Ok(opened(writer, self.file.as_ref())?.run_group(requests, apply))
    }

    /// Keeps the WAL small. A large one is worth waiting for readers, unless one of them may wait for this writer: who asks
    /// to be lent it has read before.
    pub(super) fn checkpoint(&self, writer: Option<&mut Writer>) {
        let may_wait = || {
            let mailbox = self.lock();
            mailbox.gone.is_none() && !mailbox.queue.iter().any(|job| matches!(job, Job::Lend(_)))
        };
        if let Some(Err(error)) = writer.map(|writer| writer.checkpoint_if_due(may_wait)) {
            tracing::warn!(%error, "checkpoint failed; it is tried again after the next commit");
        }
    }
}

/// The writer, opened if need be.
pub(super) fn opened<'w>(
    writer: &'w mut Option<Writer>,
    file: &dyn WriterFile,
) -> ferry_sqlite::Result<&'w mut Writer> {
    if writer.is_none() {
        *writer = Some(file.open()?);
    }
    Ok(writer.as_mut().expect("BUG: opened above"))
}
