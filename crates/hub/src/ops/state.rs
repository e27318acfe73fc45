//! What op-log sync keeps of an open database.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use ferry_core::{
    ops::{OpsEffect, schema, stats},
    topic::Topics,
};
use ferry_database::{ModelState, ModelStats};
use ferry_sqlite::NativeSql;
use ferry_types::{Model, OpSeq, Seq};
use tokio::sync::OnceCell;

use super::{
    live::{NudgeTopic, OpTopic},
    log::{LogIdentity, LogPosition},
};

/// What a commit did to the log, for those who follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpsPublication {
    /// Ops were stored.
    Stored(OpsEffect),
    /// A log began: the first one, or in place of another; or it goes on under another epoch.
    Begun {
        /// Its `hub_id`.
        hub_id: Arc<str>,
        /// Its epoch.
        epoch: Arc<str>,
        /// Its highest op number.
        head: OpSeq,
    },
}

/// What op-log sync keeps of an open database.
#[derive(Default)]
pub struct OpsState {
    /// The tables are there: looked for no more.
    pub(super) has_log: AtomicBool,
    /// The file was compared with what the control plane remembers of it.
    pub(super) compared: OnceCell<()>,
    /// A cursor of this epoch showed that the hub was put back, and the operator was told.
    pub(super) told_of_loss: AtomicBool,
    /// Quarantine or conflicts may have changed since they were counted.
    pub(super) is_uncounted: AtomicBool,
    /// What the log will be called that the first write makes.
    pub(super) next_identity: Mutex<Option<LogIdentity>>,
    known: Mutex<Known>,
    /// Streams that are told where the head is.
    nudges: Topics<(), NudgeTopic>,
    /// Streams that are sent the ops.
    ops: Topics<(), OpTopic>,
}

#[derive(Default)]
struct Known {
    now: Option<LogPosition>,
    saved: Option<LogPosition>,
}

impl ModelState for OpsState {
    type Effect = OpsPublication;

    const MODEL: Model = Model::Ops;

    fn publish(&self, _: Seq, effect: OpsPublication) {
        match effect {
            OpsPublication::Stored(effect) => self.stored(effect),
            OpsPublication::Begun { hub_id, epoch, head } => {
                // No log is called so again.
                *self.next_identity.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let is_other = self.found(LogPosition::new(&hub_id, &epoch, head));
                self.told_of_loss.store(false, Ordering::Release);
                if is_other {
                    self.nudges.get(&()).inspect(|topic| topic.replace(head));
                    self.ops.get(&()).inspect(|topic| topic.replace(head));
                }
            }
        }
    }

    fn changed_views(_: &OpsPublication, name: &mut dyn FnMut(&str)) {
        schema::VIEW_NAMES.iter().for_each(|view| name(view));
    }

    /// Whether the control plane was told of everything that was stored.
    fn is_saved(&self) -> bool {
        self.unsaved().is_none()
    }

    fn create_tables(sql: &NativeSql<'_>) -> ferry_sqlite::Result<()> {
        schema::create(sql)
    }

    fn stats(&self, sql: &NativeSql<'_>) -> ferry_sqlite::Result<Option<ModelStats>> {
        if !schema::exists(sql)? {
            return Ok(None);
        }
        let totals = stats::totals(sql)?;
        Ok(Some(ModelStats {
            model: Model::Ops,
            head_seq: totals.last_commit.unwrap_or_default(),
            items: totals.ops,
            bytes: totals.bytes,
            last_activity: totals.last,
        }))
    }
}

impl OpsState {
    fn stored(&self, effect: OpsEffect) {
        let head = effect.head;
        if let Some(now) = &mut self.known().now {
            now.head = now.head.max(head);
        }
        // A topic that is made meanwhile begins at a head that it finds here.
        if let Some(topic) = self.nudges.get(&()) {
            topic.reached(head);
        }
        if let Some(topic) = self.ops.get(&()) {
            topic.publish(effect);
        }
    }

    /// Takes in where the log stands; true if it was known as another one.
    pub(super) fn found(&self, position: LogPosition) -> bool {
        let mut known = self.known();
        let is_other = known.now.as_ref().is_some_and(|now| now.identity != position.identity);
        known.now = Some(position);
        is_other
    }

    /// The head, as far as it is known.
    fn head(&self) -> OpSeq {
        self.known().now.as_ref().map_or(OpSeq(0), |now| now.head)
    }

    /// What those share who are told where the head is.
    pub(super) fn nudge_topic(&self) -> Arc<NudgeTopic> {
        self.nudges.get_or_make((), || NudgeTopic::new(self.head()))
    }

    /// What those share who are sent the ops.
    pub(super) fn op_topic(&self) -> Arc<OpTopic> {
        self.ops.get_or_make((), || OpTopic::new(self.head()))
    }

    /// Where the log stands, if the control plane does not know it yet.
    pub(super) fn unsaved(&self) -> Option<LogPosition> {
        let known = self.known();
        known.now.clone().filter(|now| known.saved.as_ref() != Some(now))
    }

    /// The control plane knows this.
    pub(super) fn saved(&self, position: LogPosition) {
        self.known().saved = Some(position);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
