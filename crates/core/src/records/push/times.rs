//! What a change writes, and at which time (REC-04 to REC-08).

use std::borrow::Cow;

use ferry_protocol::records::{Change, FieldWrite, Op, UnixNanos, json};
use ferry_types::limits::RECORDS_AHEAD_MAX_MS;

use super::{
    super::{
        merge::Write,
        record::{ACTOR, DELETED_AT, Field, ORIGIN, SPACE, is_hidden},
        store::Stamp,
    },
    Run, WHOLE_DATA,
};

impl<'a> Run<'a, '_> {
    /// What the change writes, each with the time that counts (REC-04 to REC-08).
    pub(super) fn judged(&mut self, place: usize, change: &'a Change<'a>) -> Vec<Write<'a>> {
        let mut writes = Vec::new();
        let members = change.data.as_deref().unwrap_or_default();
        match (change.op, &change.fields) {
            (Op::Insert, Some(fields)) if members.is_empty() && !fields.is_empty() => {
                self.judge_fields(place, fields, &mut writes);
                imply_life(&mut writes);
            }
            (Op::Insert, fields) => {
                let sent = members.first().and_then(|member| member.at);
                let (at, sent) = self.judge(place, WHOLE_DATA, sent, members);
                writes.extend(members.iter().map(|member| member_write(member, at, sent)));
                if members.is_empty() {
                    writes.push(life(at));
                }
                imply_life(&mut writes);
                self.judge_fields(place, fields.as_deref().unwrap_or_default(), &mut writes);
            }
            (Op::Update, Some(fields)) => self.judge_fields(place, fields, &mut writes),
            (Op::Update, None) => {
                let (at, _) = self.judge(place, WHOLE_DATA, None, members);
                writes.extend(members.iter().map(|member| member_write(member, at, None)));
            }
            (Op::Delete, fields) => {
                let (at, sent) = self.judge(place, DELETED_AT, change.deleted_at, &[]);
                let value = Cow::Owned(json::string(&at.text()));
                writes.push(Write { key: DELETED_AT.into(), value, at, sent, implied: false });
                self.judge_fields(place, fields.as_deref().unwrap_or_default(), &mut writes);
            }
        }
        // The id of a record is no field of it.
        writes.retain(|write| write.key != "id");
        let Some(newest) = writes.iter().map(|write| write.at).max() else { return writes };
        let origin = change.origin.map(|origin| Cow::Owned(json::string(origin.as_str())));
        let space = change.space.as_deref().map(|space| Cow::Owned(json::string(space)));
        for (key, value) in
            [(SPACE, space), (ACTOR, change.actor.as_deref().map(Cow::Borrowed)), (ORIGIN, origin)]
        {
            if let Some(value) = value {
                writes.push(Write { key: key.into(), value, at: newest, sent: None, implied: true });
            }
        }
        writes
    }

    fn judge_fields(&mut self, place: usize, fields: &'a [FieldWrite<'a>], writes: &mut Vec<Write<'a>>) {
        for field in fields {
            let (at, sent) = self.judge(place, &field.key, field.at, std::slice::from_ref(field));
            writes.push(member_write(field, at, sent));
        }
    }

    /// The time that counts for a write, and the time sent if it is not that one. A time that the hub chooses is
    /// remembered, so that a retry is not a second, newer write.
    fn judge(
        &mut self,
        place: usize,
        field: &str,
        sent: Option<UnixNanos>,
        content: &[FieldWrite<'_>],
    ) -> (UnixNanos, Option<UnixNanos>) {
        let now = self.caller.now;
        if let Some(at) = sent.filter(|at| *at <= now.plus_ms(RECORDS_AHEAD_MAX_MS)) {
            return (at, None);
        }
        let digest = digest(content);
        let key = self.drafts[place].key;
        let is_same = |stamp: &&Stamp| {
            stamp.coll == key.coll
                && stamp.id == key.id
                && stamp.field == field
                && stamp.sent == sent
                && stamp.digest == digest
        };
        let retried = self.new_stamps.iter().rev().chain(&self.stamps).find(is_same);
        if let Some(stamp) = retried.filter(|_| !self.has_seen_another(place, field)) {
            return (stamp.at, sent);
        }
        let (coll, id, field) = (key.coll.to_owned(), key.id.to_owned(), field.to_owned());
        self.new_stamps.push(Stamp { coll, id, field, sent, digest, at: now });
        (now, sent)
    }

    /// Whether the device knows that somebody else wrote the field since: then the same write again is meant.
    fn has_seen_another(&self, place: usize, field: &str) -> bool {
        let foreign = |held: &&Field<'_>| {
            held.writer != self.caller.client && held.cts <= self.caller.since && !is_hidden(&held.key)
        };
        let mut fields = self.drafts[place].fields.iter();
        fields.any(|held| (field == WHOLE_DATA || held.key == field) && foreign(&held))
    }
}

/// That a record lives, as its insert implies.
fn life(at: UnixNanos) -> Write<'static> {
    Write { key: DELETED_AT.into(), value: "null".into(), at, sent: None, implied: true }
}

/// Adds that the record lives at the newest time of what is written, unless the insert says something itself.
fn imply_life(writes: &mut Vec<Write<'_>>) {
    if !writes.iter().any(|write| write.key == DELETED_AT)
        && let Some(at) = writes.iter().map(|write| write.at).max()
    {
        writes.push(life(at));
    }
}

fn member_write<'a>(member: &'a FieldWrite<'a>, at: UnixNanos, sent: Option<UnixNanos>) -> Write<'a> {
    let (key, value) = (Cow::Borrowed(&*member.key), Cow::Borrowed(&*member.value));
    Write { key, value, at, sent, implied: false }
}

fn digest(content: &[FieldWrite<'_>]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    for field in content {
        hasher.update(field.key.as_bytes()).update(b":").update(field.value.as_bytes()).update(b",");
    }
    let bytes = *hasher.finalize().as_bytes();
    i64::from_le_bytes(bytes[..8].try_into().expect("BUG: eight bytes"))
}
