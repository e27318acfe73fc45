//! Which collections have something new, for whoever waits: kept once per owner, as a state and not as a queue, so
//! that a slow waiter loses nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ferry_core::records::sqlite::SqliteRecords;
use ferry_database::{ModelState, ModelStats};
use ferry_sqlite::NativeSql;
use ferry_types::{Model, Seq};
use tokio::sync::{Notify, OnceCell};

use super::{socket::Told, stats, tail::Tails};

/// What a commit changed, for those who may read the owner's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Owner of the records.
    pub owner: Arc<str>,
    /// The app.
    pub app: Arc<str>,
    /// Its changed collections.
    pub collections: Vec<String>,
    /// The device that wrote.
    pub client: Arc<str>,
}

/// What record sync keeps of an open database.
#[derive(Default)]
pub struct RecordsState {
    /// The tables are there: looked for no more.
    pub(super) has_tables: AtomicBool,
    /// The file was compared with what the control plane remembers of it.
    pub(super) compared: OnceCell<()>,
    /// The file says that the hub was not running before it was started.
    pub(super) remembers_down: AtomicBool,
    /// Somebody is waiting for the time at which incomplete records are delivered.
    pub(super) awaits_ripening: AtomicBool,
    /// There may be owners of JWTs whose issuer is not known.
    pub(super) has_unclaimed: AtomicBool,
    /// The newest commit of records since the database is known here; 0: none.
    head: AtomicU64,
    /// The one that the control plane remembers.
    saved: AtomicU64,
    owners: Mutex<HashMap<Arc<str>, Weak<Channel>>>,
}

/// The news of one owner, while somebody waits for them.
#[derive(Default)]
pub(super) struct Channel {
    number: AtomicU64,
    bell: Notify,
    collections: Mutex<HashMap<(Arc<str>, String), Last>>,
    /// The owner's records were removed: streams end.
    gone: AtomicBool,
    /// What streams that have caught up share.
    pub(super) streams: Tails<Bytes>,
    /// What sockets share.
    pub(super) sockets: Tails<Vec<Told>>,
}

/// What changed, by app.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Apps and their collections.
    pub(super) apps: Vec<(Arc<str>, Vec<String>)>,
    /// Devices that changed some of it.
    pub(super) writers: Vec<String>,
}

/// When a collection changed last.
struct Last {
    number: u64,
    client: Arc<str>,
    /// When a device other than `client` changed it last; 0: never since somebody waits.
    by_another: u64,
}

/// A place in the news of one owner.
pub(super) struct Subscription {
    channel: Arc<Channel>,
    cursor: u64,
}

impl ModelState for RecordsState {
    type Effect = Publication;

    const MODEL: Model = Model::Records;

    fn publish(&self, seq: Seq, publication: Publication) {
        self.reached(seq);
        self.tell(&publication);
    }

    /// Whether the control plane was told of everything that changed.
    fn is_saved(&self) -> bool {
        self.unsaved().is_none()
    }

    fn create_tables(sql: &NativeSql<'_>) -> ferry_sqlite::Result<()> {
        SqliteRecords::create(sql).map(drop)
    }

    fn stats(&self, sql: &NativeSql<'_>) -> ferry_sqlite::Result<Option<ModelStats>> {
        let head = self.head.load(Ordering::Acquire);
        stats::of(sql, (head > 0).then_some(Seq(head)))
    }
}

impl RecordsState {
    /// Waits for the news of `owner` from now on.
    pub(super) fn subscribe(&self, owner: &Arc<str>) -> Subscription {
        let mut owners = self.owners();
        let held = owners.get(owner).and_then(Weak::upgrade);
        let channel = held.unwrap_or_else(|| {
            owners.retain(|_, channel| channel.strong_count() > 0);
            let channel = Arc::new(Channel::default());
            owners.insert(Arc::clone(owner), Arc::downgrade(&channel));
            channel
        });
        let cursor = channel.number.load(Ordering::Acquire);
        Subscription { channel, cursor }
    }

    /// Records changed in this commit.
    pub(crate) fn reached(&self, seq: Seq) {
        self.head.fetch_max(seq.0, Ordering::AcqRel);
    }

    /// The newest commit, if the control plane does not know it yet.
    pub(super) fn unsaved(&self) -> Option<Seq> {
        let head = self.head.load(Ordering::Acquire);
        (head > self.saved.load(Ordering::Acquire)).then_some(Seq(head))
    }

    /// The control plane knows this commit.
    pub(super) fn saved(&self, seq: Seq) {
        self.saved.fetch_max(seq.0, Ordering::AcqRel);
    }

    /// Tells those who wait.
    fn tell(&self, publication: &Publication) {
        let Some(channel) = self.channel(&publication.owner) else { return };
        let number = channel.number.load(Ordering::Relaxed) + 1;
        {
            let mut collections = channel.collections();
            for collection in &publication.collections {
                let key = (Arc::clone(&publication.app), collection.clone());
                let last = collections.entry(key).or_insert_with(|| Last {
                    number,
                    client: Arc::clone(&publication.client),
                    by_another: 0,
                });
                if last.client != publication.client {
                    last.by_another = last.number;
                    last.client = Arc::clone(&publication.client);
                }
                last.number = number;
            }
        }
        channel.number.store(number, Ordering::Release);
        channel.bell.notify_waiters();
    }

    /// The owner's records were removed.
    pub(super) fn remove(&self, owner: &Arc<str>) {
        if let Some(channel) = self.channel(owner) {
            channel.gone.store(true, Ordering::Release);
            channel.number.fetch_add(1, Ordering::AcqRel);
            channel.bell.notify_waiters();
        }
    }

    fn channel(&self, owner: &Arc<str>) -> Option<Arc<Channel>> {
        self.owners().get(owner).and_then(Weak::upgrade)
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<Arc<str>, Weak<Channel>>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel {
    fn collections(&self) -> MutexGuard<'_, HashMap<(Arc<str>, String), Last>> {
        self.collections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// Waits until something changed since the last [`Self::take`]. Dropping the future loses nothing.
    pub(super) async fn changed(&self) {
        loop {
            let mut rung = std::pin::pin!(self.channel.bell.notified());
            // Waiting begins before looking, so that no commit falls between the two.
            rung.as_mut().enable();
            if self.channel.number.load(Ordering::Acquire) > self.cursor {
                return;
            }
            rung.await;
        }
    }

    /// What all waiters of this owner share.
    pub(super) const fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// How far it is.
    pub(super) const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Goes on from a place that somebody else has found.
    pub(super) const fn stand_at(&mut self, cursor: u64) {
        self.cursor = cursor;
    }

    /// Whether the owner's records were removed.
    pub(super) fn is_gone(&self) -> bool {
        self.channel.gone.load(Ordering::Acquire)
    }

    /// Passes over what is new, for a waiter that reads the state.
    pub(super) fn pass(&mut self) {
        self.cursor = self.channel.number.load(Ordering::Acquire);
    }

    /// What others than `client` changed since the last time.
    pub(super) fn take(&mut self, client: Option<&str>) -> News {
        let collections = self.channel.collections();
        let News { apps: mut news, mut writers } = News::default();
        for ((app, collection), last) in collections.iter() {
            let is_own = client.is_some_and(|client| *last.client == *client);
            if (if is_own { last.by_another } else { last.number }) <= self.cursor {
                continue;
            }
            if !writers.iter().any(|writer| *writer == *last.client) {
                writers.push(last.client.to_string());
            }
            match news.iter_mut().find(|(known, _)| known == app) {
                Some((_, tables)) => tables.push(collection.clone()),
                None => news.push((Arc::clone(app), vec![collection.clone()])),
            }
        }
        // Still under the lock: what is published next has a greater number.
        self.cursor = self
            .channel
            .number
            .load(Ordering::Acquire)
            .max(collections.values().map(|last| last.number).max().unwrap_or(0));
        drop(collections);
        for (_, tables) in &mut news {
            tables.sort_unstable();
        }
        News { apps: news, writers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(client: &str, collections: &[&str]) -> Publication {
        let collections = collections.iter().map(|name| (*name).to_owned()).collect();
        Publication { owner: "ada".into(), app: "todo".into(), collections, client: client.into() }
    }

    #[tokio::test]
    async fn the_writer_is_not_told_of_its_own_changes() {
        let state = RecordsState::default();
        let owner: Arc<str> = "ada".into();
        let mut subscription = state.subscribe(&owner);
        state.tell(&publication("a", &["tasks"]));
        subscription.changed().await;
        assert_eq!(subscription.take(Some("a")), News::default());
        state.tell(&publication("b", &["tasks", "notes"]));
        state.tell(&publication("a", &["tasks"]));
        let news = subscription.take(Some("a"));
        assert_eq!(news.apps, [("todo".into(), vec!["notes".to_owned(), "tasks".to_owned()])]);
        assert_eq!(subscription.take(None), News::default(), "once");
    }
}
