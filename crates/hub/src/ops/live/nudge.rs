//! Streams that are told where the head is.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use bytes::Bytes;
use ferry_core::topic::Wake as _;
use ferry_database::Wakeup;
use ferry_protocol::ops::nudge;
use ferry_types::OpSeq;

use super::feed::{Feed, FeedStep};
use crate::fanout::Subscribers;

/// What those share who are told where the head of a log is.
pub(in crate::ops) struct NudgeTopic {
    head: AtomicU64,
    /// Counts logs and epochs.
    generation: AtomicU32,
    /// The newest nudge, encoded once.
    encoded: Mutex<(OpSeq, Bytes)>,
    pub(super) wakeup: Wakeup,
    pub(super) subscribers: Subscribers,
}

impl AsRef<Subscribers> for NudgeTopic {
    fn as_ref(&self) -> &Subscribers {
        &self.subscribers
    }
}

impl NudgeTopic {
    pub(in crate::ops) fn new(head: OpSeq) -> Self {
        Self {
            head: AtomicU64::new(head.0),
            generation: AtomicU32::new(0),
            encoded: Mutex::default(),
            wakeup: Wakeup::default(),
            subscribers: Subscribers::default(),
        }
    }

    /// The newest op.
    pub(super) fn head(&self) -> OpSeq {
        OpSeq(self.head.load(Ordering::Acquire))
    }

    /// Ops up to `head` were stored.
    pub(in crate::ops) fn reached(&self, head: OpSeq) {
        self.head.fetch_max(head.0, Ordering::AcqRel);
        self.wakeup.wake();
    }

    /// The log is another one, or goes on under another epoch.
    pub(in crate::ops) fn replace(&self, head: OpSeq) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.head.store(head.0, Ordering::Release);
        self.wakeup.wake();
    }

    fn nudge(&self, head: OpSeq) -> Bytes {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        if encoded.0 != head || encoded.1.is_empty() {
            *encoded = (head, nudge(head).into());
        }
        encoded.1.clone()
    }
}

/// One stream's part.
pub(super) struct Nudges {
    topic: Arc<NudgeTopic>,
    generation: u32,
    told: OpSeq,
}

impl Nudges {
    /// Made before the log is looked at.
    pub(super) fn new(topic: &Arc<NudgeTopic>) -> Self {
        let generation = topic.generation.load(Ordering::Acquire);
        Self { topic: Arc::clone(topic), generation, told: OpSeq(0) }
    }
}

impl Feed for Nudges {
    fn next(&mut self) -> FeedStep {
        if self.topic.generation.load(Ordering::Acquire) != self.generation {
            return FeedStep::Resync;
        }
        let head = self.topic.head();
        if head <= self.told {
            return FeedStep::Nothing;
        }
        self.told = head;
        FeedStep::Event(self.topic.nudge(head))
    }

    fn position(&self) -> OpSeq {
        self.told
    }

    fn seek(&mut self, position: OpSeq) {
        self.told = position;
    }
}
