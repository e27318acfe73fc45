//! What a change writes, and at which time (REC-04 to REC-08).

use std::{borrow::Cow, collections::HashMap};

use ferry_protocol::records::{Change, FieldWrite, Op, UnixNanos, json};
use ferry_types::limits::RECORDS_AHEAD_MAX_MS;

use super::{
    super::{
        merge::Write,
        record::{ACTOR, DELETED_AT, Field, ORIGIN, SPACE, is_hidden},
        store::Stamp,
    },
    Run, WHOLE_DATA,
    stamps::Chosen,
};

impl<'a> Run<'a, '_> {
    /// What the change writes, each with the time that counts (REC-04 to REC-08).
    pub(super) fn judged(&mut self, place: usize, change: &'a Change<'a>) -> Vec<Write<'a>> {
        let mut writes = Vec::new();
        let members = change.data.as_deref().unwrap_or_default();
        match (change.op, &change.fields) {
            (Op::Insert, Some(fields)) if members.is_empty() && !fields.is_empty() => {
                self.judge_fields(place, fields, &mut writes);
                self.imply_life(place, &mut writes);
            }
            (Op::Insert, fields) => {
                let sent = members.first().and_then(|member| member.at);
                self.judge_data(place, sent, members, &mut writes);
                self.imply_life(place, &mut writes);
                self.judge_fields(place, fields.as_deref().unwrap_or_default(), &mut writes);
            }
            (Op::Update, Some(fields)) => self.judge_fields(place, fields, &mut writes),
            (Op::Update, None) => self.judge_data(place, None, members, &mut writes),
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

    /// Members that have one time; of nothing but an id it is known that it lives.
    fn judge_data(
        &mut self,
        place: usize,
        sent: Option<UnixNanos>,
        members: &'a [FieldWrite<'a>],
        writes: &mut Vec<Write<'a>>,
    ) {
        let (at, replaced) = self.judge(place, WHOLE_DATA, sent, members);
        for member in members {
            let at = replaced.map_or(at, |claim| self.member_time(place, &member.key, claim, at));
            writes.push(member_write(member, at, replaced));
        }
        if members.is_empty() {
            writes.push(life(at));
        }
    }

    /// Adds that the record lives at the newest time of what is written, unless the insert says something itself.
    fn imply_life(&mut self, place: usize, writes: &mut Vec<Write<'a>>) {
        if writes.iter().any(|write| write.key == DELETED_AT) {
            return;
        }
        let Some(newest) = writes.iter().max_by_key(|write| (write.at, write.sent)) else { return };
        let at = match newest.sent {
            // Its own delete may have come before it, with a later claim.
            Some(claim) => self.member_time(place, DELETED_AT, claim, newest.at),
            None => newest.at,
        };
        writes.push(life(at));
    }

    /// The time that counts for a write, and the time sent if it is not that one. A time that the hub chooses is
    /// remembered, so that a retry is not a second, newer write: also one that comes when the clock has passed it.
    fn judge(
        &mut self,
        place: usize,
        field: &str,
        sent: Option<UnixNanos>,
        content: &[FieldWrite<'_>],
    ) -> (UnixNanos, Option<UnixNanos>) {
        let now = self.caller.now;
        if let Some(claim) = sent {
            if let Some(stamp) = self.stamps_of(place, field).find(|stamp| stamp.sent == sent) {
                return (stamp.at, sent);
            }
            if claim <= limit(now) {
                return (claim, None);
            }
            let at = self.in_order(place, field, claim, now);
            self.stamp(place, field, sent, 0, at);
            return (at, sent);
        }
        let digest = digest(content);
        let is_same = |stamp: &&Chosen| stamp.sent.is_none() && stamp.digest == digest;
        let retried = self.stamps.of(place, field).find(is_same).map(|stamp| stamp.at);
        if let Some(at) = retried.filter(|_| !self.has_seen_another(place, field)) {
            return (at, None);
        }
        let written = content.iter().map(|member| &*member.key).chain([field]);
        let last = written.filter_map(|key| self.own_times(place, key).map(|own| own.at).max()).max();
        let at = last.map_or(now, |last| now.max(after(last)));
        self.stamp(place, field, None, digest, at);
        (at, None)
    }

    /// The time of one member of what was given `at` as a whole in place of `claim`.
    fn member_time(&mut self, place: usize, key: &str, claim: UnixNanos, at: UnixNanos) -> UnixNanos {
        if let Some(stamp) = self.stamps.of(place, key).find(|stamp| stamp.sent == Some(claim)) {
            return stamp.at;
        }
        let own = self.in_order(place, key, claim, at);
        if own != at {
            self.stamp(place, key, Some(claim), 0, own);
        }
        own
    }

    /// `at` in place of a claimed time, moved behind what the device claimed to have written before, and before what it
    /// claimed to have written after it: the order of its claims is the order in which they count.
    fn in_order(&self, place: usize, field: &str, claim: UnixNanos, at: UnixNanos) -> UnixNanos {
        let mut at = at;
        let mut next = None;
        for own in self.own_times(place, field) {
            if own.claim < claim {
                at = at.max(after(own.at));
            } else if own.claim > claim {
                next = Some(next.map_or(own.at, |next: UnixNanos| next.min(own.at)));
            }
        }
        next.map_or(at, |next| at.min(UnixNanos(next.0.saturating_sub(1))))
    }

    /// What is known of the device's own writes of a field.
    fn own_times(&self, place: usize, field: &str) -> impl Iterator<Item = Own> {
        let stamped = self
            .stamps_of(place, field)
            .map(|stamp| Own { claim: stamp.sent.unwrap_or(stamp.at), at: stamp.at });
        let held = self.drafts[place].field(field).filter(|held| {
            let is_stamped = self.stamps_of(place, field).any(|stamp| stamp.at == held.at);
            held.writer == self.caller.client && !is_stamped
        });
        let held = held.map(|held| Own { claim: held.at, at: held.at });
        let beside = [field, WHOLE_DATA].into_iter().flat_map(move |name| {
            let taken = self.taken_as_sent.get(&place).and_then(|fields| fields.get(name));
            taken.into_iter().flatten().map(|at| Own { claim: *at, at: *at })
        });
        stamped.chain(held).chain(beside)
    }

    /// Times that were chosen for the device's writes of a field, or of all of them at once; its own first.
    fn stamps_of(&self, place: usize, field: &str) -> impl Iterator<Item = &Chosen> {
        let is_part = field != WHOLE_DATA;
        let of_whole = is_part.then(|| self.stamps.of(place, WHOLE_DATA)).into_iter().flatten();
        self.stamps.of(place, field).chain(of_whole)
    }

    fn stamp(&mut self, place: usize, field: &str, sent: Option<UnixNanos>, digest: i64, at: UnixNanos) {
        let key = self.drafts[place].key;
        let (coll, id, field) = (key.coll.to_owned(), key.id.to_owned(), field.to_owned());
        self.stamps.add(place, Stamp { coll, id, field, sent, digest, at });
    }

    /// Whether the device knows that somebody else wrote the field since: then the same write again is meant.
    fn has_seen_another(&self, place: usize, field: &str) -> bool {
        let foreign = |held: &&Field<'_>| {
            held.writer != self.caller.client && held.cts <= self.caller.since && !is_hidden(&held.key)
        };
        match field {
            WHOLE_DATA => self.drafts[place].fields().any(|held| foreign(&held)),
            field => self.drafts[place].field(field).is_some_and(|held| foreign(&held)),
        }
    }
}

/// A write of the device: the time that it claimed, and the one that counts.
struct Own {
    claim: UnixNanos,
    at: UnixNanos,
}

/// Writes of this push whose times do not lie behind the hub's and count as they are, by place of the record and by field.
pub(super) type TakenAsSent<'a> = HashMap<usize, HashMap<&'a str, Vec<UnixNanos>>>;

/// The latest time that a write may claim.
pub(super) fn limit(now: UnixNanos) -> UnixNanos {
    now.plus_ms(RECORDS_AHEAD_MAX_MS)
}

fn after(at: UnixNanos) -> UnixNanos {
    UnixNanos(at.0.saturating_add(1))
}

/// The times in a change, each with the field that it dates.
fn times<'a>(change: &'a Change<'a>) -> impl Iterator<Item = (&'a str, Option<UnixNanos>)> {
    let data = change.data.as_deref().unwrap_or_default();
    let whole = match change.op {
        Op::Insert => (!data.is_empty() || change.fields.is_none())
            .then(|| (WHOLE_DATA, data.first().and_then(|member| member.at))),
        Op::Update => change.fields.is_none().then_some((WHOLE_DATA, None)),
        Op::Delete => Some((DELETED_AT, change.deleted_at)),
    };
    let fields = change.fields.as_deref().unwrap_or_default();
    whole.into_iter().chain(fields.iter().map(|field| (&*field.key, field.at)))
}

/// Whether the hub has to choose a time for part of the change.
pub(super) fn needs_stamp(change: &Change<'_>, now: UnixNanos) -> bool {
    times(change).any(|(_, at)| at.is_none_or(|at| at > limit(now)))
}

/// The times in a change that do not lie behind the hub's, nor so far ahead that it replaces them.
pub(super) fn add_taken_as_sent<'a>(
    taken: &mut TakenAsSent<'a>,
    place: usize,
    change: &'a Change<'a>,
    now: UnixNanos,
) {
    for (field, at) in times(change) {
        if let Some(at) = at.filter(|at| *at >= now && *at <= limit(now)) {
            taken.entry(place).or_default().entry(field).or_default().push(at);
        }
    }
}

/// That a record lives, as its insert implies.
fn life(at: UnixNanos) -> Write<'static> {
    Write { key: DELETED_AT.into(), value: "null".into(), at, sent: None, implied: true }
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
