//! Publication of commits to the subscribers of one database.
//!
//! A subscription is a cursor and a wake-up, not a queue: the feed keeps the newest commits once, for all.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ferry_types::{Seq, limits::FEED_RETAINED_COMMITS};
use tokio::sync::Notify;

use super::actor::Commit;

/// The newest commits of one database, in order.
pub struct Feed<E> {
    recent: Mutex<VecDeque<Arc<Commit<E>>>>,
    newest: AtomicU64,
    bell: Notify,
}

/// A place in the sequence of commits; it gets every later commit once, in order, or is told to resync.
pub struct Subscription<E> {
    feed: Arc<Feed<E>>,
    cursor: Seq,
}

/// What a subscription has to tell.
#[derive(Debug, PartialEq, Eq)]
pub enum News<E> {
    /// The commits after the cursor, without gap; the cursor stands behind the last of them now.
    Commits(Vec<Arc<Commit<E>>>),
    /// Commits after the cursor are no longer kept. Read the state at `newest` or later instead; the cursor
    /// stands there now.
    Resync {
        /// The newest commit when this was found.
        newest: Seq,
    },
}

impl<E> Default for Feed<E> {
    fn default() -> Self {
        Self { recent: Mutex::default(), newest: AtomicU64::new(0), bell: Notify::new() }
    }
}

impl<E> Feed<E> {
    /// Adds the next commit and wakes all subscribers.
    pub fn publish(&self, commit: Commit<E>) {
        let seq = commit.seq;
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() == FEED_RETAINED_COMMITS {
                recent.pop_front();
            }
            recent.push_back(Arc::new(commit));
        }
        self.newest.store(seq.0, Ordering::Release);
        self.bell.notify_waiters();
    }

    /// A subscription that has seen everything up to and including `cursor`. Take the cursor from the
    /// snapshot that the subscriber read, and nothing between the two is lost.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, cursor: Seq) -> Subscription<E> {
        Subscription { feed: Arc::clone(self), cursor }
    }
}

impl<E> Subscription<E> {
    /// The newest commit this subscription has been given.
    #[must_use]
    pub const fn cursor(&self) -> Seq {
        self.cursor
    }

    /// Waits for commits after the cursor. Dropping the future loses nothing.
    pub async fn next(&mut self) -> News<E> {
        loop {
            let feed = Arc::clone(&self.feed);
            let mut rung = std::pin::pin!(feed.bell.notified());
            // Waiting begins before looking, so that no commit falls between the two.
            rung.as_mut().enable();
            if feed.newest.load(Ordering::Acquire) > self.cursor.0 {
                return self.take();
            }
            rung.await;
        }
    }

    fn take(&mut self) -> News<E> {
        let recent = self.feed.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let first = recent.partition_point(|commit| commit.seq <= self.cursor);
        let commits: Vec<_> = recent.range(first..).cloned().collect();
        drop(recent);
        let gap = commits.first().is_none_or(|commit| commit.seq != self.cursor.next());
        if let Some(last) = commits.last() {
            self.cursor = last.seq;
        }
        if gap { News::Resync { newest: self.cursor } } else { News::Commits(commits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(seq: u64) -> Commit<()> {
        Commit { seq: Seq(seq), effects: vec![] }
    }

    fn seqs(news: News<()>) -> Vec<u64> {
        match news {
            News::Commits(commits) => commits.iter().map(|commit| commit.seq.0).collect(),
            News::Resync { newest } => panic!("told to resync at {newest}"),
        }
    }

    #[tokio::test]
    async fn every_commit_once_in_order() {
        let feed = Arc::new(Feed::default());
        let mut subscription = feed.subscribe(Seq(0));
        for seq in 1..=3 {
            feed.publish(commit(seq));
        }
        assert_eq!(seqs(subscription.next().await), [1, 2, 3]);
        feed.publish(commit(4));
        assert_eq!(seqs(subscription.next().await), [4]);
    }

    #[tokio::test]
    async fn a_cursor_behind_what_is_kept_is_told_to_resync_and_goes_on_from_there() {
        let feed = Arc::new(Feed::default());
        let mut subscription = feed.subscribe(Seq(0));
        let newest = FEED_RETAINED_COMMITS as u64 + 1;
        for seq in 1..=newest {
            feed.publish(commit(seq));
        }
        assert_eq!(subscription.next().await, News::Resync { newest: Seq(newest) });
        feed.publish(commit(newest + 1));
        assert_eq!(seqs(subscription.next().await), [newest + 1]);
    }

    #[tokio::test]
    async fn a_waiting_subscriber_is_woken() {
        let feed = Arc::new(Feed::default());
        let mut subscription = feed.subscribe(Seq(7));
        let waiting = tokio::spawn(async move { seqs(subscription.next().await) });
        tokio::task::yield_now().await;
        feed.publish(commit(8));
        assert_eq!(waiting.await.unwrap(), [8]);
    }
}
