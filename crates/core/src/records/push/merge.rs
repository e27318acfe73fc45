//! The third step: the writes of a change compete with what is there.

use std::collections::BTreeSet;

use ferry_protocol::records::{Change, ConflictOut, Op, UnixNanos};

use super::{
    super::{
        cursors,
        merge::{Merged, Write},
        record::DELETED_AT,
        store::{Conflict, DeliveryCursor, RecordKey, Skew},
    },
    ChangeResult, PushCaller,
    read::PushedRecord,
};

/// Who pushes, and how far it is.
pub(super) struct PushingDevice<'a, 'p> {
    pub(super) caller: &'p PushCaller<'a>,
    pub(super) cursors: &'p [(String, DeliveryCursor)],
}

impl PushingDevice<'_, '_> {
    /// How far the device is in a collection.
    pub(super) fn delivered(&self, coll: &str) -> UnixNanos {
        cursors::of(self.cursors, coll).delivered
    }
}

/// A losing write that is a conflict unless it is only a retry of one that was merged before.
pub(super) struct LostWrite<'a> {
    pub(super) key: RecordKey<'a>,
    pub(super) conflict: Conflict,
}

/// What merging found beside the records themselves.
#[derive(Default)]
pub(super) struct MergeFindings<'a> {
    pub(super) skew: Vec<Skew>,
    /// Conflicts as they are.
    pub(super) conflicts: Vec<Conflict>,
    /// Losing writes that may have been merged before.
    pub(super) lost: Vec<LostWrite<'a>>,
    /// Edits of records that are deleted.
    pub(super) ended: Vec<Conflict>,
    /// What the device is told of conflicts.
    pub(super) answered: Vec<ConflictOut>,
}

/// What became of a change, and the fields of its record that the device must be told of.
pub(super) struct MergedChange {
    pub(super) result: ChangeResult,
    pub(super) told: BTreeSet<String>,
}

/// A change on its way into its record.
pub(super) struct Competing<'a, 'p> {
    pub(super) pusher: &'p PushingDevice<'a, 'p>,
    pub(super) record: &'p mut PushedRecord<'a>,
    pub(super) found: &'p mut MergeFindings<'a>,
    /// What the device had seen when it made the change.
    pub(super) seen: UnixNanos,
    pub(super) told: BTreeSet<String>,
}

/// Merges what a change writes.
pub(super) fn merge<'a>(
    pusher: &PushingDevice<'a, '_>,
    record: &mut PushedRecord<'a>,
    change: &'a Change<'a>,
    writes: &[Write<'a>],
    found: &mut MergeFindings<'a>,
) -> MergedChange {
    let seen = change.seen.unwrap_or(pusher.caller.since);
    Competing { pusher, record, found, seen, told: BTreeSet::new() }.run(change, writes)
}

impl<'a> Competing<'a, '_> {
    fn run(mut self, change: &'a Change<'a>, writes: &[Write<'a>]) -> MergedChange {
        let PushCaller { client, now, .. } = *self.pusher.caller;
        let (mut won, mut lost) = (false, false);
        for write in writes {
            let merged = self.record.draft.merge(write, client);
            if let Some(sent) = write.sent.filter(|sent| *sent > write.at) {
                self.must_see(&write.key);
                // A clock of milliseconds, and a comparison of texts, finds the next millisecond later.
                self.add_skew(client, &write.key, sent.floor_ms().plus_ms(1));
            }
            match merged {
                Merged::Same => {}
                Merged::Won(over) => {
                    won = true;
                    self.record.entry.add(write, change, client, now);
                    if let Some(over) = over {
                        self.overwritten(write, &over);
                    }
                }
                Merged::Lost(to) => {
                    lost = true;
                    self.lost(write, &to);
                }
            }
        }
        self.record.entry.end_change();
        if change.op == Op::Insert {
            self.record.draft.complete();
        }
        let is_quarantined = self.meets_the_end(change, writes);
        let result = match (is_quarantined, won, lost) {
            (true, ..) => ChangeResult::Quarantined,
            (_, true, _) => ChangeResult::Applied,
            (_, false, true) => ChangeResult::Lost,
            (_, false, false) => ChangeResult::Unchanged,
        };
        MergedChange { result, told: self.told }
    }

    /// What it means that the record is deleted, by this change or before it. True if the change is kept as a conflict.
    fn meets_the_end(&mut self, change: &Change<'_>, writes: &[Write<'a>]) -> bool {
        if !self.record.draft.is_dead() {
            return false;
        }
        let deletes = change.op == Op::Delete
            || writes.iter().any(|write| write.key == DELETED_AT && write.value != "null");
        if deletes {
            self.record.end_seen = Some(self.seen);
            return false;
        }
        self.must_see(DELETED_AT);
        self.edited_the_dead(writes);
        if self.record.was_purged {
            self.quarantine(writes);
        }
        self.record.was_purged
    }

    /// Whether the device had been given what that commit brought.
    pub(super) fn has_seen(&self, cts: UnixNanos) -> bool {
        cts <= self.seen.max(self.pusher.delivered(self.record.draft.key.coll))
    }

    pub(super) fn must_see(&mut self, field: &str) {
        self.record.must_see.insert(field.to_owned());
        self.told.insert(field.to_owned());
    }

    pub(super) fn add_skew(&mut self, client: &str, field: &str, sent_at: UnixNanos) {
        let key = self.record.draft.key;
        self.found.skew.push(Skew {
            client: client.to_owned(),
            coll: key.coll.to_owned(),
            id: key.id.to_owned(),
            field: field.to_owned(),
            sent_at,
        });
    }
}
