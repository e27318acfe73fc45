//! Metrics of event sync (EVT-72). What is counted per frame is looked up once.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use ferry_core::events::StoreState;
use ferry_protocol::events::{RequestId, Transport};
use metrics::{Counter, Histogram};

use super::store::Store;
use crate::hub::Hub;

static CHUNKS: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("ferry_events_chunks_sent_total"));
static APPENDED: LazyLock<Counter> = LazyLock::new(|| metrics::counter!("ferry_events_appended_total"));
static PUSH_SECONDS: LazyLock<Histogram> = LazyLock::new(|| metrics::histogram!("ferry_events_push_seconds"));
static FANOUT_SECONDS: LazyLock<Histogram> =
    LazyLock::new(|| metrics::histogram!("ferry_events_fanout_seconds"));

pub(super) fn chunk_sent() {
    CHUNKS.increment(1);
}

pub(super) fn appended(events: u64) {
    APPENDED.increment(events);
}

pub(super) fn push_seconds(took: Duration) {
    PUSH_SECONDS.record(took.as_secs_f64());
}

/// From the publication of a commit to its frame's way into a socket.
pub(super) fn fanout_us(took_us: u64) {
    FANOUT_SECONDS.record(Duration::from_micros(took_us).as_secs_f64());
}

pub(super) fn pushed(id: &RequestId, result: &'static str, transport: Transport) {
    let (transport, dialect) = (transport.as_str(), id.dialect().as_str());
    metrics::counter!(
        "ferry_events_pushes_total", "result" => result, "transport" => transport, "dialect" => dialect
    )
    .increment(1);
}

pub(super) fn pulled(live: bool, result: &'static str) {
    let live = if live { "true" } else { "false" };
    metrics::counter!("ferry_events_pulls_total", "live" => live, "result" => result).increment(1);
}

pub(super) fn cursor_ahead() {
    metrics::counter!("ferry_events_cursor_ahead_total").increment(1);
}

pub(super) fn closed(code: u16) {
    metrics::counter!("ferry_events_closes_total", "code" => code.to_string()).increment(1);
}

/// Counts the open stores by their state, when somebody looks.
pub(crate) fn count_stores(hub: &Hub) {
    let stores: Vec<_> =
        hub.databases.all().iter().flat_map(|database| database.models().events.all()).collect();
    for state in [StoreState::Ok, StoreState::Hold, StoreState::Deleted] {
        let count = stores.iter().filter(|store| store.state() == state).count();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        metrics::gauge!("ferry_events_stores", "state" => state.as_str()).set(count);
    }
    let suspect = stores.iter().filter(|store| store.is_suspect()).count();
    metrics::gauge!("ferry_events_suspect_stores").set(u32::try_from(suspect).unwrap_or(u32::MAX));
}

/// Live Pulls of a connection, and how many of them lag, as the gauges have counted them.
pub(super) struct Counted {
    store: Arc<Store>,
    live: usize,
    lagging: usize,
}

impl Counted {
    /// Counts for a connection of `store`.
    pub(super) fn of(store: &Arc<Store>) -> Self {
        Self { store: Arc::clone(store), live: 0, lagging: 0 }
    }

    /// Brings the gauges up to these numbers.
    #[expect(clippy::cast_precision_loss, reason = "at most 32")]
    pub(super) fn set(&mut self, live: usize, lagging: usize) {
        if live != self.live {
            let gauge = metrics::gauge!("ferry_events_subscribers", "transport" => "ws");
            gauge.increment(live as f64 - self.live as f64);
            self.live = live;
        }
        if lagging != self.lagging {
            let gauge = metrics::gauge!("ferry_events_lagging_subscribers");
            gauge.increment(lagging as f64 - self.lagging as f64);
            let count = |pulls: usize| u32::try_from(pulls).unwrap_or(0);
            self.store.count_lagging(count(lagging), count(self.lagging));
            self.lagging = lagging;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}
