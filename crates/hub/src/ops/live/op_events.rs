//! Streams that are sent the ops: what was stored last is kept as events, encoded once for all of them.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use ferry_auth::Restrictions;
use ferry_core::{
    ops::{OpsEffect, Prefixes, PublishedOp},
    topic::{Cursor, NextItem, Retained, Topic, Wake as _},
};
use ferry_database::Wakeup;
use ferry_protocol::ops::op_event;
use ferry_types::{
    OpSeq,
    limits::{OPS_EVENTS_OF_COMMIT_MAX_BYTES, OPS_RECENT_MAX_BYTES, OPS_RECENT_MAX_COMMITS},
};

use super::feed::{Feed, FeedStep};
use crate::fanout::Subscribers;

const RETAINED: Retained = Retained { items: OPS_RECENT_MAX_COMMITS, weight: OPS_RECENT_MAX_BYTES };

/// What those share who are sent the ops of a log.
pub(in crate::ops) struct OpTopic {
    recent: Arc<Topic<Arc<CommittedOps>, ()>>,
    pub(super) wakeup: Wakeup,
    pub(super) subscribers: Subscribers,
}

/// The ops of one commit.
pub(super) struct CommittedOps {
    ops: Vec<PublishedOp>,
    /// The events of all, and where each stands; made when somebody is there to be sent them.
    encoded: OnceLock<(Bytes, Vec<Range<usize>>)>,
}

impl AsRef<Subscribers> for OpTopic {
    fn as_ref(&self) -> &Subscribers {
        &self.subscribers
    }
}

impl OpTopic {
    pub(in crate::ops) fn new(head: OpSeq) -> Self {
        Self {
            recent: Arc::new(Topic::new(head.0, RETAINED, ())),
            wakeup: Wakeup::default(),
            subscribers: Subscribers::default(),
        }
    }

    /// The newest op.
    pub(super) fn head(&self) -> OpSeq {
        OpSeq(self.recent.head())
    }

    /// Takes in what a commit stored.
    pub(in crate::ops) fn publish(&self, effect: OpsEffect) {
        // Whoever made the topic meanwhile may have begun behind it.
        if effect.head.0 > self.recent.head() {
            let bytes: usize = effect.ops.iter().map(|op| op.raw.len()).sum();
            if bytes > OPS_EVENTS_OF_COMMIT_MAX_BYTES {
                // Who follows reads it from the log, page by page.
                self.recent.advance(effect.head.0);
            } else {
                let ops = CommittedOps { ops: effect.ops, encoded: OnceLock::new() };
                self.recent.publish(effect.head.0, bytes, Arc::new(ops));
            }
        }
        self.wakeup.wake();
    }

    /// The log is another one, or goes on under another epoch.
    pub(in crate::ops) fn replace(&self, head: OpSeq) {
        self.recent.replace(head.0);
        self.wakeup.wake();
    }
}

impl CommittedOps {
    /// The events of those behind `after` that `sees` lets through.
    fn events(&self, after: OpSeq, sees: impl Fn(&PublishedOp) -> bool) -> Bytes {
        let (all, places) = self.encoded.get_or_init(|| encode(&self.ops));
        let is_sent = |op: &PublishedOp| op.seq > after && sees(op);
        if self.ops.iter().all(is_sent) {
            return all.clone();
        }
        let sent = self.ops.iter().zip(places).filter(|(op, _)| is_sent(op));
        let pieces: Vec<&[u8]> = sent.map(|(_, place)| &all[place.clone()]).collect();
        pieces.concat().into()
    }
}

fn encode(ops: &[PublishedOp]) -> (Bytes, Vec<Range<usize>>) {
    let mut all = String::new();
    let mut places = Vec::with_capacity(ops.len());
    for op in ops {
        let start = all.len();
        all.push_str(&op_event(op.seq, &op.raw));
        places.push(start..all.len());
    }
    (all.into(), places)
}

/// One stream's part.
pub(super) struct Ops {
    cursor: Cursor<Arc<CommittedOps>, ()>,
    restrictions: Arc<Restrictions>,
}

impl Ops {
    /// Of who may see what `restrictions` let it; made before the log is looked at.
    pub(super) fn new(topic: &OpTopic, restrictions: &Arc<Restrictions>) -> Self {
        Self { cursor: topic.recent.cursor(0), restrictions: Arc::clone(restrictions) }
    }
}

impl Feed for Ops {
    fn next(&mut self) -> FeedStep {
        loop {
            let after = self.position();
            match self.cursor.next_item() {
                NextItem::Item(ops) => {
                    let prefixes = Prefixes(&self.restrictions.table_prefixes);
                    let events = ops.events(after, |op| prefixes.contain(op.entity.as_deref()));
                    if !events.is_empty() {
                        return FeedStep::Event(events);
                    }
                }
                NextItem::Nothing => return FeedStep::Nothing,
                NextItem::Lagged { .. } => return FeedStep::Read,
                NextItem::Replaced | NextItem::Closed => return FeedStep::Resync,
            }
        }
    }

    fn position(&self) -> OpSeq {
        OpSeq(self.cursor.position())
    }

    fn seek(&mut self, position: OpSeq) {
        self.cursor.seek(position.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(seqs: Range<u64>) -> OpsEffect {
        let op = |seq| PublishedOp {
            seq: OpSeq(seq),
            id: format!("op-{seq:05}").into(),
            entity: (seq % 2 == 0).then(|| format!("task/{seq}").into()),
            raw: format!("{{\"n\":{seq}}}").into(),
        };
        OpsEffect { head: OpSeq(seqs.end - 1), ops: seqs.map(op).collect() }
    }

    fn feed(topic: &OpTopic, prefixes: &[&str], after: u64) -> Ops {
        let table_prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let restrictions = Restrictions { table_prefixes, ..Restrictions::none() };
        let mut ops = Ops::new(topic, &Arc::new(restrictions));
        ops.seek(OpSeq(after));
        ops
    }

    fn seqs(step: FeedStep) -> Vec<u64> {
        let FeedStep::Event(events) = step else { panic!("no event: {step:?}") };
        let text = String::from_utf8(events.to_vec()).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
    }

    // Verifies: OPS-01, OPS-52, OPS-53
    #[test]
    fn every_op_behind_the_cursor_once_that_the_credential_may_see() {
        let topic = OpTopic::new(OpSeq(4));
        topic.publish(effect(5..8));
        topic.publish(effect(8..10));
        let mut all = feed(&topic, &[], 5);
        assert_eq!(seqs(all.next()), [6, 7], "the cursor stood inside of a commit");
        assert_eq!(seqs(all.next()), [8, 9]);
        assert!(matches!(all.next(), FeedStep::Nothing));
        let mut narrowed = feed(&topic, &["task/"], 4);
        assert_eq!((seqs(narrowed.next()), seqs(narrowed.next())), (vec![6], vec![8]));
        assert!(matches!(feed(&topic, &[], 2).next(), FeedStep::Read), "it begins before what is kept");
        topic.replace(OpSeq(0));
        assert!(matches!(all.next(), FeedStep::Resync));
    }
}
