//! One store while somebody uses it: where its log stands, its newest events, and who waits for more.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use ferry_core::events::{
    Bucket, Log, LogTable, Next, Position, Rate, StoreRow, StoreState, Tail, Watermark,
};
use ferry_protocol::events::Event;
use tokio::sync::{Notify, futures::Notified};

use super::hooks::Verdicts;

/// Clients whose rate is remembered per store; beyond, those with a full bucket are forgotten.
const CLIENTS_MAX: usize = 10_000;

/// A store that is open: shared by its connections and calls.
pub struct Store {
    id: Box<str>,
    table: LogTable,
    live: Mutex<Live>,
    bell: Notify,
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
    /// Whether a task tells a hook of what is appended.
    is_delivered: AtomicBool,
    /// What the control plane was last told.
    saved: Mutex<Option<Watermark>>,
}

struct Live {
    tail: Tail,
    backend_id: Arc<str>,
    state: StoreState,
    /// Counts changes of identity, state or position: connections of an older one are closed.
    generation: u32,
}

#[derive(Default)]
struct Rates {
    store: Option<Bucket>,
    clients: HashMap<Box<str>, Bucket>,
}

/// Whether a store still is what a connection found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: StoreState,
    pub(super) generation: u32,
}

impl Store {
    /// The store that `row` tells of.
    #[must_use]
    pub fn new(row: &StoreRow) -> Self {
        let live = Live {
            tail: Tail::at(row.head),
            backend_id: (*row.backend_id).into(),
            state: row.state,
            generation: 0,
        };
        Self {
            id: row.store_id.clone(),
            table: LogTable::of(&row.store_id),
            live: Mutex::new(live),
            bell: Notify::new(),
            connections: AtomicU32::new(0),
            published_us: AtomicU64::new(0),
            rates: Mutex::default(),
            cursors_ahead: AtomicU64::new(0),
            is_suspect: AtomicBool::new(false),
            verdicts: Verdicts::default(),
            lagging: AtomicU32::new(0),
            is_delivered: AtomicBool::new(false),
            saved: Mutex::default(),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its log.
    #[must_use]
    pub const fn table(&self) -> &LogTable {
        &self.table
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

    pub(super) fn standing(&self) -> Standing {
        let live = self.lock();
        Standing { state: live.state, generation: live.generation }
    }

    /// Takes a committed batch in and wakes all who wait.
    pub(super) fn appended(&self, batch: Vec<Event>, created_at: &Arc<str>, commit_seq: u64) {
        {
            let mut live = self.lock();
            let backend_id = Arc::clone(&live.backend_id);
            live.tail.publish(batch, created_at, &backend_id, commit_seq);
        }
        self.published_us.store(super::now_us(), Ordering::Relaxed);
        self.bell.notify_waiters();
    }

    /// Takes in that the store is another one now, and has all its connections closed (EVT-45).
    pub(super) fn replaced(&self, row: &StoreRow) {
        {
            let mut live = self.lock();
            live.tail = Tail::at(row.head);
            live.backend_id = (*row.backend_id).into();
            live.state = row.state;
            live.generation = live.generation.wrapping_add(1);
        }
        self.bell.notify_waiters();
    }

    /// Rings when the log has grown or the store has changed. Take it before looking at the store.
    pub fn bell(&self) -> Notified<'_> {
        self.bell.notified()
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
    pub(super) fn take_delivery(&self) -> bool {
        !self.is_delivered.swap(true, Ordering::Relaxed)
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
            let live = self.lock();
            // What is on hold must not overwrite what it is held against.
            if live.state != StoreState::Ok {
                return None;
            }
            Watermark { backend_id: (*live.backend_id).into(), head: live.tail.head() }
        };
        (self.saved.lock().unwrap_or_else(PoisonError::into_inner).as_ref() != Some(&now)).then_some(now)
    }

    pub(super) fn saved(&self, watermark: Watermark) {
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(watermark);
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        // Nothing panics while it holds the lock; every change of it is complete in itself.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Store {
    fn store_id(&self) -> &str {
        &self.id
    }

    fn position(&self) -> Position {
        let live = self.lock();
        Position { head: live.tail.head(), backend_id: Arc::clone(&live.backend_id) }
    }

    fn next(&self, cursor: i64, upto: Option<i64>) -> Next {
        self.lock().tail.next(cursor, upto)
    }
}

/// A counted connection of a store.
pub(super) struct Subscriber(Arc<Store>);

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
