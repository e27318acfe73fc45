//! Writes that hold no more, or never did: what their devices are told, and what is kept of them (REC-16, REC-42).

use ferry_protocol::records::{ConflictOut, UnixNanos};

use super::{
    super::{
        Dialect, history,
        merge::Write,
        record::{self, DELETED_AT, Field, is_hidden},
        store::{Conflict, PastWrite, RecordKey, RecordStore, Side},
    },
    Run,
};

/// Fields that every edit touches: two edits at once are no conflict in them.
const BOOKKEEPING: [&str; 2] = ["updatedAt", "createdAt"];

/// A losing write that is a conflict unless it is only a retry of one that was merged before.
pub(super) struct Lost<'a> {
    key: RecordKey<'a>,
    conflict: Conflict,
}

impl<'a> Run<'a, '_> {
    /// A write took the place of another one.
    pub(super) fn overwritten(&mut self, place: usize, write: &Write<'a>, over: &Field<'a>) {
        if over.writer == self.caller.client || is_hidden(&write.key) {
            return;
        }
        let is_same_ms = over.at.floor_ms() == write.at.floor_ms();
        if is_same_ms {
            // That writer would keep its own: it is shown a time that a clock of milliseconds finds later.
            self.add_skew(&over.writer, place, &write.key, write.at.floor_ms().plus_ms(1));
        }
        if over.value == write.value {
            return;
        }
        if is_same_ms {
            // And this device may have taken the other value for the newer one.
            self.must_see(place, &write.key);
        }
        if self.has_seen(place, over.cts) || !counts_as_conflict(&write.key, &over.value) {
            return;
        }
        let (winner, loser) = (self.side_of(write), side(over));
        let conflict = self.conflict(place, &write.key, winner, loser);
        self.conflicts.push(conflict);
    }

    /// A write that holds no more, or never did.
    pub(super) fn lost(&mut self, place: usize, write: &Write<'a>, to: &Field<'a>) {
        if is_hidden(&write.key) {
            return;
        }
        self.must_see(place, &write.key);
        if to.at.floor_ms() == write.at.floor_ms() {
            self.add_skew(self.caller.client, place, &write.key, to.at.floor_ms().plus_ms(1));
        }
        if to.value == write.value {
            return;
        }
        if write.implied || to.writer == self.caller.client {
            return;
        }
        let key = self.drafts[place].key;
        self.answered.push(ConflictOut {
            table: key.coll.to_owned(),
            id: key.id.to_owned(),
            field: write.key.to_string(),
            winner: (to.value.to_string(), to.at, to.writer.to_string()),
            loser: (write.value.to_string(), write.at, self.caller.client.to_owned()),
        });
        if counts_as_conflict(&write.key, &write.value) {
            let conflict = self.conflict(place, &write.key, side(to), self.side_of(write));
            self.lost.push(Lost { key, conflict });
        }
    }

    /// Writes to a record whose end their device had not seen: they are merged, and nobody sees them (REC-42).
    pub(super) fn edited_the_dead(&mut self, place: usize, writes: &[Write<'a>]) {
        let Some(end) = self.drafts[place].field(DELETED_AT).cloned() else { return };
        if end.writer == self.caller.client || self.purged[place] || self.has_seen(place, end.cts) {
            return;
        }
        for write in writes {
            let is_held = self.drafts[place].field(&write.key).is_some_and(|held| {
                held.writer == self.caller.client && held.at == write.at && held.value == write.value
            });
            let counts = write.key != DELETED_AT && !is_hidden(&write.key) && !write.implied;
            if is_held && counts && counts_as_conflict(&write.key, &write.value) {
                let loser = self.side_of(write);
                self.ended(place, &write.key, side(&end), loser);
            }
        }
    }

    /// The end of a record whose newest edits by others its device had not seen.
    pub(super) fn ended_edits(&mut self, place: usize, seen: UnixNanos) {
        if !self.drafts[place].is_dead() {
            return;
        }
        let Some(end) = self.drafts[place].field(DELETED_AT).cloned() else { return };
        // A device that tells nothing of what it has seen would have seen nothing.
        let says_nothing = seen == UnixNanos::EPOCH && !super::super::marks::any(&self.marks);
        if end.writer != self.caller.client || says_nothing {
            return;
        }
        let seen = seen.max(self.delivered(place));
        let unseen = |field: &&Field<'a>| {
            field.writer != self.caller.client
                && field.key != DELETED_AT
                && !is_hidden(&field.key)
                && counts_as_conflict(&field.key, &field.value)
                && field.cts > seen
        };
        let unseen: Vec<Field<'a>> = self.drafts[place].fields().filter(unseen).cloned().collect();
        for field in unseen {
            self.ended(place, &field.key, side(&end), side(&field));
        }
    }

    fn ended(&mut self, place: usize, field: &str, end: Side, loser: Side) {
        let key = self.drafts[place].key;
        if self.caller.dialect == Dialect::Ferry {
            self.answered.push(ConflictOut {
                table: key.coll.to_owned(),
                id: key.id.to_owned(),
                field: field.to_owned(),
                winner: (end.value.clone(), end.at, end.writer.clone()),
                loser: (loser.value.clone(), loser.at, loser.writer.clone()),
            });
        }
        let conflict = self.conflict(place, field, end, loser);
        self.ended.push(conflict);
    }

    pub(super) fn quarantine(&mut self, place: usize, writes: &[Write<'a>]) {
        let Some(held) = self.drafts[place].field(DELETED_AT).map(side) else { return };
        let newest = writes.iter().map(|write| write.at).max().unwrap_or_default();
        let fields: Vec<Field<'_>> = writes
            .iter()
            .filter(|write| !write.implied)
            .map(|write| Field {
                key: write.key.clone(),
                value: write.value.clone(),
                at: write.at,
                writer: self.caller.client.into(),
                cts: UnixNanos::EPOCH,
            })
            .collect();
        let value = record::encode(&fields, UnixNanos::EPOCH).0;
        let loser = Side { value, at: newest, writer: self.caller.client.to_owned() };
        let conflict = self.conflict(place, "", held, loser);
        self.conflicts.push(conflict);
    }

    fn conflict(&self, place: usize, field: &str, winner: Side, loser: Side) -> Conflict {
        let key = self.drafts[place].key;
        Conflict {
            app: self.caller.app.to_owned(),
            coll: key.coll.to_owned(),
            id: key.id.to_owned(),
            field: field.to_owned(),
            winner,
            loser,
        }
    }

    fn side_of(&self, write: &Write<'_>) -> Side {
        Side { value: write.value.to_string(), at: write.at, writer: self.caller.client.to_owned() }
    }

    pub(super) fn keep_conflicts<S: RecordStore>(
        &mut self,
        store: &S,
        changes_something: bool,
    ) -> Result<(), S::Error> {
        if !self.lost.is_empty() {
            let client = history::client_fragment(self.caller.client);
            let past: Vec<_> = self
                .lost
                .iter()
                .map(|lost| PastWrite {
                    key: lost.key,
                    fragment: history::fragment(
                        &lost.conflict.field,
                        &lost.conflict.loser.value,
                        lost.conflict.loser.at,
                    ),
                    client: client.clone(),
                })
                .collect();
            let merged = store.were_merged(self.caller.owner, self.caller.app, &past)?;
            let new = std::mem::take(&mut self.lost).into_iter().zip(merged).filter(|(_, merged)| !merged);
            self.conflicts.extend(new.map(|(lost, _)| lost.conflict));
        }
        // What changed nothing was found before, and may have been decided since.
        let ended = std::mem::take(&mut self.ended);
        self.conflicts.extend(ended.into_iter().filter(|_| changes_something));
        if !self.conflicts.is_empty() {
            store.add_conflicts(self.caller.owner, self.caller.now, &self.conflicts)?;
        }
        Ok(())
    }
}

fn side(field: &Field<'_>) -> Side {
    Side { value: field.value.to_string(), at: field.at, writer: field.writer.to_string() }
}

fn counts_as_conflict(field: &str, losing_value: &str) -> bool {
    let is_revival = field == DELETED_AT && losing_value == "null";
    !BOOKKEEPING.contains(&field) && !is_revival
}
