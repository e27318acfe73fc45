//! One store while somebody uses it: where its log stands, its newest events, and who waits for more.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use ferry_core::events::{
    Bucket, Following, Log, Position, Rate, RecentPages, StoreKey, StoreRow, StoreState, Watermark,
    recent::{RETAINED, following, position, publish},
};
use ferry_core::topic::Topic;
use ferry_database::Wakeup;
use ferry_protocol::events::Event;
use tokio::sync::futures::Notified;

use super::hooks::{Told, Verdicts};

/// Clients whose rate is remembered per store; beyond, those with a full bucket are forgotten.
const CLIENTS_MAX: usize = 10_000;

/// A store that is open: shared by its connections and calls.
pub struct Store {
    id: Box<str>,
    now: Mutex<Now>,
    /// Its newest events, and what wakes those who wait for more. Replaced when the store is another one: connections of
    /// an older one are closed (EVT-45).
    recent: RecentPages<Wakeup>,
    connections: AtomicU32,
    /// When the newest events were published, in the process's microseconds.
    published_us: AtomicU64,
    rates: Mutex<Rates>,
    /// Pulls that named an event which is not here (EVT-25).
    cursors_ahead: AtomicU64,
    /// Whether clients may hold events that the log lost (EVT-47); the file knows.
    is_suspect: AtomicBool,
    verdicts: Verdicts,
    /// Live Pulls whose events wait for an Ack.
    lagging: AtomicU32,
    /// Whether a task tells a hook of what is appended, by [`Told`].
    is_delivered: [AtomicBool; 2],
    /// What the control plane was last told.
    saved: Mutex<Option<Watermark>>,
}

/// What only changes when the store is replaced.
struct Now {
    /// Under which number its events are filed.
    number: i64,
    backend_id: Arc<str>,
    state: StoreState,
}

#[derive(Default)]
struct Rates {
    store: Option<Bucket>,
    clients: HashMap<Box<str>, Bucket>,
}

impl Store {
    /// The store that `row` tells of. `is_suspect`: clients may hold events that its log lost; `watermark`: what the
    /// control plane knows of it.
    #[must_use]
    pub fn new(row: &StoreRow, is_suspect: bool, watermark: Option<Watermark>) -> Self {
        let now = Now { number: row.key.number, backend_id: (*row.backend_id).into(), state: row.state };
        Self {
            id: row.key.id.clone(),
            now: Mutex::new(now),
            recent: Topic::new(position(row.head), RETAINED, Wakeup::default()),
            connections: AtomicU32::new(0),
            published_us: AtomicU64::new(0),
            rates: Mutex::default(),
            cursors_ahead: AtomicU64::new(0),
            is_suspect: AtomicBool::new(is_suspect),
            verdicts: Verdicts::default(),
            lagging: AtomicU32::new(0),
            is_delivered: Default::default(),
            saved: Mutex::new(watermark),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its events are filed now.
    #[must_use]
    pub fn key(&self) -> StoreKey {
        StoreKey { id: self.id.clone(), number: self.lock().number }
    }

    /// Whether it serves.
    #[must_use]
    pub fn state(&self) -> StoreState {
        self.lock().state
    }

    /// How long ago the newest events were published, in microseconds.
    pub(super) fn published_since_us(&self) -> u64 {
        super::now_us().saturating_sub(self.published_us.load(Ordering::Relaxed))
    }

    /// How often the store was replaced: a connection of an earlier one is closed.
    pub(super) fn generation(&self) -> u32 {
        self.recent.generation()
    }

    /// Takes a committed batch in and wakes all who wait.
    pub(super) fn appended(&self, batch: Vec<Event>, created_at: &Arc<str>, commit_seq: u64) {
        let backend_id = Arc::clone(&self.lock().backend_id);
        self.published_us.store(super::now_us(), Ordering::Relaxed);
        publish(&self.recent, batch, created_at, &backend_id, commit_seq);
    }

    /// Takes in that the store is another one now, and has all its connections closed (EVT-45).
    pub(super) fn replaced(&self, row: &StoreRow) {
        let mut now = self.lock();
        *now = Now { number: row.key.number, backend_id: (*row.backend_id).into(), state: row.state };
        // Still locked, so that head and identity belong together.
        self.recent.replace(position(row.head));
    }

    /// Completes when the log has grown or the store was replaced. Take it before looking at the store.
    pub fn notified(&self) -> Notified<'_> {
        self.recent.wake().notified()
    }

    /// Counts a connection, if there is a place for one more.
    pub(super) fn connect(self: &Arc<Self>, most: u32) -> Option<Subscriber> {
        let counted = self
            .connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < most).then_some(count + 1));
        counted.ok().map(|_| Subscriber(Arc::clone(self)))
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Live Pulls that lag now.
    #[must_use]
    pub fn lagging(&self) -> u32 {
        self.lagging.load(Ordering::Relaxed)
    }

    /// Counts them: `more` began to lag, `fewer` caught up.
    pub(super) fn count_lagging(&self, more: u32, fewer: u32) {
        self.lagging.fetch_add(more, Ordering::Relaxed);
        self.lagging.fetch_sub(fewer, Ordering::Relaxed);
    }

    /// Counts a Pull that named an event which is not here.
    pub(super) fn count_cursor_ahead(&self) {
        self.cursors_ahead.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(super) fn cursors_ahead(&self) -> u64 {
        self.cursors_ahead.load(Ordering::Relaxed)
    }

    /// From now on an append looks whether it would reach what a client holds.
    pub(super) fn set_suspect(&self) {
        self.is_suspect.store(true, Ordering::Release);
    }

    /// Whether clients may hold events that the log does not have.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_suspect.load(Ordering::Acquire)
    }

    /// Who may read it, as a hook said.
    pub(super) const fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// Takes on to tell a hook of what is appended; false if another task does.
    pub(super) fn take_delivery(&self, told: Told) -> bool {
        !self.is_delivered[told as usize].swap(true, Ordering::AcqRel)
    }

    /// Lets another task take that on.
    pub(super) fn leave_delivery(&self, told: Told) {
        self.is_delivered[told as usize].store(false, Ordering::Release);
    }

    /// Whether forgetting it now loses nothing: the control plane knows where it stands, and no client has used up a
    /// part of its rate.
    pub(super) fn is_idle(&self, now_ms: u64) -> bool {
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buckets = rates.store.iter().chain(rates.clients.values());
        buckets.all(|bucket| bucket.is_full(now_ms)) && self.unsaved().is_none()
    }

    /// Takes `events` of a client from the store's rates: how long they must wait, or how long they would have to.
    pub(super) fn charge(
        &self,
        (store_rate, client_rate): (Option<Rate>, Option<Rate>),
        client_id: &str,
        events: u32,
        now_ms: u64,
        wait_max_ms: u64,
    ) -> Result<u64, u64> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wait_ms = 0;
        if let Some(rate) = client_rate {
            if rates.clients.len() >= CLIENTS_MAX {
                rates.clients.retain(|_, bucket| !bucket.is_full(now_ms));
            }
            let bucket = match rates.clients.get_mut(client_id) {
                Some(bucket) => bucket,
                None => rates.clients.entry(client_id.into()).or_insert(Bucket::new(rate, now_ms)),
            };
            wait_ms = bucket.take(1, now_ms, wait_max_ms)?;
        }
        if let Some(rate) = store_rate {
            let bucket = rates.store.get_or_insert_with(|| Bucket::new(rate, now_ms));
            wait_ms = wait_ms.max(bucket.take(events, now_ms, wait_max_ms)?);
        }
        Ok(wait_ms)
    }

    /// What the control plane must be told, if anything changed since.
    pub(super) fn unsaved(&self) -> Option<Watermark> {
        let now = {
            let now = self.lock();
            // What is on hold must not overwrite what it is held against.
            if now.state != StoreState::Ok {
                return None;
            }
            Watermark { backend_id: (*now.backend_id).into(), head: self.head() }
        };
        (self.saved.lock().unwrap_or_else(PoisonError::into_inner).as_ref() != Some(&now)).then_some(now)
    }

    pub(super) fn saved(&self, watermark: Watermark) {
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(watermark);
    }

    pub(super) fn head(&self) -> i64 {
        i64::try_from(self.recent.head()).unwrap_or(i64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        // Nothing panics while it holds the lock; every change of it is complete in itself.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Store {
    fn store_id(&self) -> &str {
        &self.id
    }

    fn position(&self) -> Position {
        let now = self.lock();
        Position { head: self.head(), backend_id: Arc::clone(&now.backend_id) }
    }

    fn following(&self, cursor: i64, upto: Option<i64>) -> Following {
        following(&self.recent, cursor, upto)
    }
}

/// A counted connection of a store.
pub(super) struct Subscriber(Arc<Store>);

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
