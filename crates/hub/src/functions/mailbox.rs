//! What a socket is to be told: a state, not a queue, so that a slow one costs no more than a quick one (FUN-27).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_types::Seq;
use tokio::sync::Notify;

use super::{live_result::LiveAnswer, refusal::CallRefusal};

/// What one socket is to be told.
#[derive(Default)]
pub(super) struct Mailbox {
    state: Mutex<SocketOutgoing>,
    woken: Notify,
}

/// What is to be told since the last time.
#[derive(Default)]
pub(super) struct SocketOutgoing {
    /// Tables that changed, by name.
    pub(super) tables: Vec<Arc<str>>,
    /// The newest commit that did it.
    pub(super) seq: Seq,
    /// The newest result of each subscription, by the client's name for it.
    pub(super) results: BTreeMap<Arc<str>, Fresh>,
    /// Other functions are called from now on.
    pub(super) deployed: Option<Arc<str>>,
    /// The socket ends.
    pub(super) close: Option<(u16, &'static str)>,
}

/// What became of a subscription's result.
#[derive(Clone)]
pub(super) enum Fresh {
    /// Here it is; and whether the client holds it.
    Result(Arc<LiveAnswer>, bool),
    /// It may differ, and was not made.
    Stale(Seq),
    /// It cannot be made.
    Failed(Arc<CallRefusal>),
}

impl SocketOutgoing {
    fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.results.is_empty() && self.deployed.is_none() && self.close.is_none()
    }
}

impl Mailbox {
    fn change(&self, change: impl FnOnce(&mut SocketOutgoing)) {
        change(&mut self.lock());
        self.woken.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, SocketOutgoing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These tables changed.
    pub(super) fn invalidate(&self, tables: Vec<Arc<str>>, seq: Seq) {
        self.change(|outgoing| {
            for table in tables {
                if !outgoing.tables.contains(&table) {
                    outgoing.tables.push(table);
                }
            }
            outgoing.seq = outgoing.seq.max(seq);
        });
    }

    /// A subscription's result.
    pub(super) fn fresh(&self, id: Arc<str>, fresh: Fresh) {
        self.change(|outgoing| drop(outgoing.results.insert(id, fresh)));
    }

    /// Other functions are called from now on.
    pub(super) fn deployed(&self, deployment: &Arc<str>) {
        self.change(|outgoing| outgoing.deployed = Some(Arc::clone(deployment)));
    }

    /// The socket ends.
    pub(super) fn close(&self, code: u16, reason: &'static str) {
        self.change(|outgoing| outgoing.close = Some((code, reason)));
    }

    /// What is to be told, once there is something.
    pub(super) async fn next(&self) -> SocketOutgoing {
        loop {
            {
                let mut state = self.lock();
                if !state.is_empty() {
                    return std::mem::take(&mut state);
                }
            }
            self.woken.notified().await;
        }
    }
}
