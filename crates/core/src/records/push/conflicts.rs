//! Writes that hold no more, or never did: what their devices are told, and what is kept of them (REC-16, REC-42).

use ferry_protocol::records::{ConflictOut, UnixNanos};

use super::{
    super::{
        Dialect, cursors,
        merge::Write,
        record::{self, DELETED_AT, Field, is_hidden},
        store::{Conflict, RecordKey, Side},
    },
    PushCaller,
    merge::{Competing, LostWrite, MergeFindings, PushingDevice},
    read::PushedRecord,
};

/// Fields that every edit touches: two edits at once are no conflict in them.
const BOOKKEEPING: [&str; 2] = ["updatedAt", "createdAt"];

impl<'a> Competing<'a, '_> {
    /// A write took the place of another one.
    pub(super) fn overwritten(&mut self, write: &Write<'a>, over: &Field<'a>) {
        if over.writer == self.pusher.caller.client || is_hidden(&write.key) {
            return;
        }
        let is_same_ms = over.at.floor_ms() == write.at.floor_ms();
        if is_same_ms {
            // That writer would keep its own: it is shown a time that a clock of milliseconds finds later.
            self.add_skew(&over.writer, &write.key, write.at.floor_ms().plus_ms(1));
        }
        if over.value == write.value {
            return;
        }
        if is_same_ms {
            // And this device may have taken the other value for the newer one.
            self.must_see(&write.key);
        }
        if self.has_seen(over.cts) || !counts_as_conflict(&write.key, &over.value) {
            return;
        }
        let conflict = self.conflict(&write.key, self.side_of(write), side(over));
        self.found.conflicts.push(conflict);
    }

    /// A write that holds no more, or never did.
    pub(super) fn lost(&mut self, write: &Write<'a>, to: &Field<'a>) {
        if is_hidden(&write.key) {
            return;
        }
        self.must_see(&write.key);
        if to.at.floor_ms() == write.at.floor_ms() {
            self.add_skew(self.pusher.caller.client, &write.key, to.at.floor_ms().plus_ms(1));
        }
        if to.value == write.value {
            return;
        }
        if write.implied || to.writer == self.pusher.caller.client {
            return;
        }
        let key = self.record.draft.key;
        self.found.answered.push(ConflictOut {
            table: key.coll.to_owned(),
            id: key.id.to_owned(),
            field: write.key.to_string(),
            winner: (to.value.to_string(), to.at, to.writer.to_string()),
            loser: (write.value.to_string(), write.at, self.pusher.caller.client.to_owned()),
        });
        if counts_as_conflict(&write.key, &write.value) {
            let conflict = self.conflict(&write.key, side(to), self.side_of(write));
            self.found.lost.push(LostWrite { key, conflict });
        }
    }

    /// Writes to a record whose end their device had not seen: they are merged, and nobody sees them (REC-42).
    pub(super) fn edited_the_dead(&mut self, writes: &[Write<'a>]) {
        let Some(end) = self.record.draft.field(DELETED_AT).cloned() else { return };
        if end.writer == self.pusher.caller.client || self.record.was_purged || self.has_seen(end.cts) {
            return;
        }
        for write in writes {
            let is_held = self.record.draft.field(&write.key).is_some_and(|held| {
                held.writer == self.pusher.caller.client && held.at == write.at && held.value == write.value
            });
            let counts = write.key != DELETED_AT && !is_hidden(&write.key) && !write.implied;
            if is_held && counts && counts_as_conflict(&write.key, &write.value) {
                let loser = self.side_of(write);
                ended(self.pusher.caller, self.record.draft.key, &write.key, (side(&end), loser), self.found);
            }
        }
    }

    pub(super) fn quarantine(&mut self, writes: &[Write<'a>]) {
        let Some(held) = self.record.draft.field(DELETED_AT).map(side) else { return };
        let newest = writes.iter().map(|write| write.at).max().unwrap_or_default();
        let fields: Vec<Field<'_>> = writes
            .iter()
            .filter(|write| !write.implied)
            .map(|write| Field {
                key: write.key.clone(),
                value: write.value.clone(),
                at: write.at,
                writer: self.pusher.caller.client.into(),
                cts: UnixNanos::EPOCH,
            })
            .collect();
        let value = record::encode(&fields, UnixNanos::EPOCH).0;
        let loser = Side { value, at: newest, writer: self.pusher.caller.client.to_owned() };
        let conflict = self.conflict("", held, loser);
        self.found.conflicts.push(conflict);
    }

    fn conflict(&self, field: &str, winner: Side, loser: Side) -> Conflict {
        conflict(self.pusher.caller, self.record.draft.key, field, winner, loser)
    }

    fn side_of(&self, write: &Write<'_>) -> Side {
        Side { value: write.value.to_string(), at: write.at, writer: self.pusher.caller.client.to_owned() }
    }
}

/// The end of a record whose newest edits by others its device had not seen. Once for each record: what the last delete of a
/// push ends was ended by its first one.
pub(super) fn ended_edits<'a>(
    pusher: &PushingDevice<'a, '_>,
    record: &mut PushedRecord<'a>,
    found: &mut MergeFindings<'a>,
) {
    let Some(seen) = record.end_seen.filter(|_| record.draft.is_dead()) else { return };
    let Some(end) = record.draft.field(DELETED_AT) else { return };
    // A device that tells nothing of what it has seen would have seen nothing.
    let says_nothing = seen == UnixNanos::EPOCH && !cursors::any(pusher.cursors);
    if end.writer != pusher.caller.client || says_nothing {
        return;
    }
    let seen = seen.max(pusher.delivered(record.draft.key.coll));
    let unseen = |field: &&Field<'a>| {
        field.writer != pusher.caller.client
            && field.key != DELETED_AT
            && !is_hidden(&field.key)
            && counts_as_conflict(&field.key, &field.value)
            && field.cts > seen
    };
    for field in record.draft.fields().filter(unseen) {
        ended(pusher.caller, record.draft.key, &field.key, (side(end), side(field)), found);
    }
}

/// An edit of a field that the end of its record hides.
fn ended(
    caller: &PushCaller<'_>,
    key: RecordKey<'_>,
    field: &str,
    (end, loser): (Side, Side),
    found: &mut MergeFindings<'_>,
) {
    if caller.dialect == Dialect::Ferry {
        found.answered.push(ConflictOut {
            table: key.coll.to_owned(),
            id: key.id.to_owned(),
            field: field.to_owned(),
            winner: (end.value.clone(), end.at, end.writer.clone()),
            loser: (loser.value.clone(), loser.at, loser.writer.clone()),
        });
    }
    found.ended.push(conflict(caller, key, field, end, loser));
}

fn conflict(caller: &PushCaller<'_>, key: RecordKey<'_>, field: &str, winner: Side, loser: Side) -> Conflict {
    Conflict {
        app: caller.app.to_owned(),
        coll: key.coll.to_owned(),
        id: key.id.to_owned(),
        field: field.to_owned(),
        winner,
        loser,
    }
}

fn side(field: &Field<'_>) -> Side {
    Side { value: field.value.to_string(), at: field.at, writer: field.writer.to_string() }
}

fn counts_as_conflict(field: &str, losing_value: &str) -> bool {
    let is_revival = field == DELETED_AT && losing_value == "null";
    !BOOKKEEPING.contains(&field) && !is_revival
}
