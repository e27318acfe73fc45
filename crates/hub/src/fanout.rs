//! Fan-out without waking: who has something for many connections writes it to each of them as far as that takes it
//! without waiting. A connection's own task sleeps meanwhile, and is woken for what needs it: a full connection, a read of
//! the state, an end.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_database::give_way;
use tokio::{sync::Notify, task::coop};

/// Connections that are served before others have their turn on this thread: about a millisecond of writing.
const SERVED_AT_ONCE: usize = 256;

/// A connection that can be served by whoever has something for it.
pub(crate) trait FanOutSubscriber: Send + Sync {
    /// Sends what is new, as far as the connection takes it without waiting. What is left, and what only its own task can
    /// do, wakes that.
    fn serve(&self);
}

/// The connections that are served together, by one task that [`Self::claim_task`] decides on.
#[derive(Default)]
pub(crate) struct Subscribers {
    members: Mutex<Members>,
    /// Tells the task that the last one has left.
    emptied: Notify,
}

#[derive(Default)]
struct Members {
    by_number: BTreeMap<u64, Arc<dyn FanOutSubscriber>>,
    next: u64,
    has_task: bool,
}

impl Subscribers {
    /// Serves `subscriber` too, until the membership is dropped.
    pub(crate) fn join<H: AsRef<Self>>(
        holder: Arc<H>,
        subscriber: Arc<dyn FanOutSubscriber>,
    ) -> Membership<H> {
        let mut members = (*holder).as_ref().lock();
        let number = members.next;
        members.next += 1;
        members.by_number.insert(number, subscriber);
        drop(members);
        Membership { holder, number }
    }

    /// Whether there are any members and no task: then the caller begins one.
    pub(crate) fn claim_task(&self) -> bool {
        let mut members = self.lock();
        let is_claimed = !members.has_task && !members.by_number.is_empty();
        members.has_task |= is_claimed;
        is_claimed
    }

    /// Whether the task may end, since there are no members; then it has ended.
    pub(crate) fn end_task_if_empty(&self) -> bool {
        let mut members = self.lock();
        let is_over = members.by_number.is_empty();
        members.has_task &= !is_over;
        is_over
    }

    /// The task ends, though there may be members.
    pub(crate) fn end_task(&self) {
        self.lock().has_task = false;
    }

    /// Waits until the last member has left. May come back though there are members again.
    pub(crate) async fn emptied(&self) {
        self.emptied.notified().await;
    }

    /// Serves every member once; who joins meanwhile looks for itself.
    pub(crate) async fn serve_all(&self) {
        let mut batch: Vec<Arc<dyn FanOutSubscriber>> = Vec::new();
        let mut after = Bound::Unbounded;
        loop {
            {
                let members = self.lock();
                let next = members.by_number.range((after, Bound::Unbounded)).take(SERVED_AT_ONCE);
                for (number, member) in next {
                    after = Bound::Excluded(*number);
                    batch.push(Arc::clone(member));
                }
            }
            if batch.is_empty() {
                return;
            }
            let is_last = batch.len() < SERVED_AT_ONCE;
            // Writing to many connections would use up what a task may do at once, and then pretend that they are full.
            coop::unconstrained(async { batch.drain(..).for_each(|member| member.serve()) }).await;
            if is_last {
                return;
            }
            give_way().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the [`Subscribers`] of `H`.
pub(crate) struct Membership<H: AsRef<Subscribers>> {
    holder: Arc<H>,
    number: u64,
}

impl<H: AsRef<Subscribers>> Drop for Membership<H> {
    fn drop(&mut self) {
        let subscribers: &Subscribers = (*self.holder).as_ref();
        let (member, is_empty) = {
            let mut members = subscribers.lock();
            (members.by_number.remove(&self.number), members.by_number.is_empty())
        };
        drop(member);
        if is_empty {
            subscribers.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counting(AtomicU32);

    impl FanOutSubscriber for Counting {
        fn serve(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[derive(Default)]
    struct View(Subscribers);

    impl AsRef<Subscribers> for View {
        fn as_ref(&self) -> &Subscribers {
            &self.0
        }
    }

    #[tokio::test]
    async fn every_member_is_served_once_however_many_there_are() {
        let view = Arc::new(View::default());
        let members: Vec<_> = (0..SERVED_AT_ONCE * 2 + 3)
            .map(|_| {
                let member = Arc::new(Counting::default());
                (Subscribers::join(Arc::clone(&view), member.clone()), member)
            })
            .collect();
        view.0.serve_all().await;
        assert!(members.iter().all(|(_, member)| member.0.load(Ordering::Relaxed) == 1));
    }

    #[tokio::test]
    async fn there_is_one_task_as_long_as_there_are_members() {
        let view = Arc::new(View::default());
        assert!(!view.0.claim_task(), "nobody is there");
        let first = Subscribers::join(Arc::clone(&view), Arc::new(Counting::default()));
        assert!(view.0.claim_task() && !view.0.claim_task());
        drop(first);
        view.0.emptied().await;
        let second = Subscribers::join(Arc::clone(&view), Arc::new(Counting::default()));
        assert!(!view.0.end_task_if_empty(), "somebody came meanwhile");
        drop(second);
        view.0.emptied().await;
        assert!(view.0.end_task_if_empty());
        let _third = Subscribers::join(Arc::clone(&view), Arc::new(Counting::default()));
        assert!(view.0.claim_task());
    }
}
