//! The second step: what a change writes, and at which time (REC-04 to REC-08).

use std::borrow::Cow;

use ferry_protocol::records::{Change, FieldWrite, Op, UnixNanos, json};
use ferry_types::limits::RECORDS_AHEAD_MAX_MS;

use super::{
    super::{
        merge::Write,
        record::{ACTOR, DELETED_AT, Field, ORIGIN, SPACE, is_hidden},
        store::Stamp,
    },
    PushCaller, WHOLE_DATA,
    read::PushedRecord,
    stamps::OfField,
};

/// What a change of a record writes, each with the time that counts.
pub(super) fn judge<'a>(
    record: &mut PushedRecord<'a>,
    change: &'a Change<'a>,
    caller: &PushCaller<'a>,
) -> Vec<Write<'a>> {
    Judging { record, client: caller.client, now: caller.now, since: caller.since }.writes(change)
}

/// A record whose writes are given their times.
struct Judging<'a, 'r> {
    record: &'r mut PushedRecord<'a>,
    client: &'a str,
    now: UnixNanos,
    since: UnixNanos,
}

impl<'a> Judging<'a, '_> {
    fn writes(&mut self, change: &'a Change<'a>) -> Vec<Write<'a>> {
        let mut writes = Vec::new();
        let members = change.data.as_deref().unwrap_or_default();
        match (change.op, &change.fields) {
            (Op::Insert, Some(fields)) if members.is_empty() && !fields.is_empty() => {
                let is_retry = self.judge_fields(fields, &mut writes);
                self.imply_life(is_retry, &mut writes);
            }
            (Op::Insert, fields) => {
                let sent = members.first().and_then(|member| member.at);
                let fields = fields.as_deref().unwrap_or_default();
                let is_retry = self.judge_data(sent, members, !fields.is_empty(), &mut writes);
                self.imply_life(is_retry, &mut writes);
                self.judge_fields(fields, &mut writes);
            }
            (Op::Update, Some(fields)) => {
                self.judge_fields(fields, &mut writes);
            }
            (Op::Update, None) => {
                self.judge_data(None, members, false, &mut writes);
            }
            (Op::Delete, fields) => {
                let Judged { at, sent, .. } = self.judge(DELETED_AT, change.deleted_at, &[]);
                let value = Cow::Owned(json::string(&at.text()));
                writes.push(Write { key: DELETED_AT.into(), value, at, sent, implied: false });
                self.judge_fields(fields.as_deref().unwrap_or_default(), &mut writes);
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

    /// Returns whether all of them are retries.
    fn judge_fields(&mut self, fields: &'a [FieldWrite<'a>], writes: &mut Vec<Write<'a>>) -> bool {
        let mut is_retry = true;
        for field in fields {
            let judged = self.judge(&field.key, field.at, std::slice::from_ref(field));
            is_retry &= judged.is_retry;
            writes.push(member_write(field, judged.at, judged.sent));
        }
        is_retry
    }

    /// Members that have one time; of nothing but an id it is known that it lives. What stands beside fields is not merged
    /// before they are judged, so the time of each member is remembered for them. Returns whether it is a retry.
    fn judge_data(
        &mut self,
        sent: Option<UnixNanos>,
        members: &'a [FieldWrite<'a>],
        stands_beside_fields: bool,
        writes: &mut Vec<Write<'a>>,
    ) -> bool {
        let whole = self.judge(WHOLE_DATA, sent, members);
        for member in members {
            let at = whole.sent.map_or(whole.at, |claim| {
                let at = self.member_time(&member.key, claim, whole);
                if stands_beside_fields && at == whole.at && !whole.is_retry {
                    self.stamp(&member.key, Some(claim), 0, at);
                }
                at
            });
            writes.push(member_write(member, at, whole.sent));
        }
        if members.is_empty() {
            writes.push(life(whole.at));
        }
        whole.is_retry
    }

    /// Adds that the record lives at the newest time of what is written, unless the insert says something itself.
    fn imply_life(&mut self, is_retry: bool, writes: &mut Vec<Write<'a>>) {
        if writes.iter().any(|write| write.key == DELETED_AT) {
            return;
        }
        let Some(newest) = writes.iter().max_by_key(|write| (write.at, write.sent)) else { return };
        let at = match newest.sent {
            // Its own delete may have come before it, with a later claim.
            Some(claim) => {
                let newest = Judged { at: newest.at, sent: newest.sent, is_retry };
                self.member_time(DELETED_AT, claim, newest)
            }
            None => newest.at,
        };
        writes.push(life(at));
    }

    /// The time that counts for a write. A time that the hub chooses is remembered, so that a retry is not a second, newer
    /// write: also one that comes when the clock has passed it.
    fn judge(&mut self, field: &str, sent: Option<UnixNanos>, content: &[FieldWrite<'_>]) -> Judged {
        let now = self.now;
        if let Some(claim) = sent {
            // Of a field, two values of one time are ordered by themselves; of many, it matters which they were.
            let digest = if field == WHOLE_DATA && self.may_be_stamped(claim) { digest(content) } else { 0 };
            let known = self.record.stamps.of(field).and_then(|stamps| stamps.timed(claim, digest));
            if let Some((at, is_retry)) = known {
                if !is_retry {
                    self.stamp(field, sent, digest, at);
                }
                return Judged { at, sent, is_retry };
            }
            if claim <= limit(now) {
                return Judged { at: claim, sent: None, is_retry: false };
            }
            let whole = self.record.stamps.of(WHOLE_DATA).and_then(|stamps| stamps.timed(claim, 0));
            let mut at = self.in_order(field, claim, whole.map_or(now, |(at, _)| at));
            if let Some(stamps) = self.record.stamps.of(field).filter(|_| field == WHOLE_DATA) {
                // By its time it is told which of them a member was written by. Members are put in order one by one.
                at = stamps.claim(at).and(stamps.last()).map_or(at, after);
            }
            self.stamp(field, sent, digest, at);
            return Judged { at, sent, is_retry: false };
        }
        let digest = digest(content);
        let retried = self.record.stamps.of(field).and_then(|stamps| stamps.untimed(digest));
        if let Some(at) = retried.filter(|_| !self.has_seen_another(field)) {
            return Judged { at, sent: None, is_retry: true };
        }
        let written = content.iter().map(|member| &*member.key).chain([field, WHOLE_DATA]);
        let last = written.filter_map(|key| self.last_own(key)).max();
        let at = last.map_or(now, |last| now.max(after(last)));
        self.stamp(field, None, digest, at);
        Judged { at, sent: None, is_retry: false }
    }

    /// Whether the hub chose, or has to choose, the time of a whole record.
    fn may_be_stamped(&self, claim: UnixNanos) -> bool {
        claim > limit(self.now) || self.record.stamps.of(WHOLE_DATA).is_some()
    }

    /// The time of one member of what was judged as a whole in place of `claim`.
    fn member_time(&mut self, key: &str, claim: UnixNanos, whole: Judged) -> UnixNanos {
        if let Some((at, _)) = self.record.stamps.of(key).and_then(|stamps| stamps.timed(claim, 0)) {
            return at;
        }
        if whole.is_retry {
            return whole.at;
        }
        let own = self.in_order(key, claim, whole.at);
        if own != whole.at {
            self.stamp(key, Some(claim), 0, own);
        }
        own
    }

    /// `at` in place of a claimed time, moved behind what the device claimed to have written before, and before what it
    /// claimed to have written after it: the order of its claims is the order in which they count. What holds and
    /// is its own yields to a later claim in any case, and so does what is about to.
    fn in_order(&self, field: &str, claim: UnixNanos, at: UnixNanos) -> UnixNanos {
        let own = self.record.stamps.of(field);
        let beside = self.taken_as_sent(field).filter(|at| *at < claim);
        let before = own.and_then(|own| own.before(claim)).max(beside);
        let mut least = beside.map(after);
        let (mut next, mut maybe_next) = (own.and_then(|own| own.behind(claim)), None);
        if let Some(held) = self.record.draft.field(field) {
            // A whole record may have been written without this field: surely so if what is held is older.
            let whole = self.record.stamps.of(WHOLE_DATA).and_then(|whole| whole.behind(claim));
            maybe_next = whole.filter(|at| *at <= held.at);
            if held.writer == self.client {
                let held_claim = self.claim_of(field, held.at);
                if held_claim > claim {
                    next = earlier(next, Some(held.at));
                } else if held_claim < claim {
                    least = least.max(Some(after(held.at)));
                }
            }
        }
        let at = before.map_or(at, |before| at.max(after(before)));
        let at = maybe_next.map_or(at, |next| at.min(just_before(next)));
        let at = least.map_or(at, |least| at.max(least));
        // A later claim that an earlier one has overtaken is no bound.
        next.filter(|next| Some(*next) >= least).map_or(at, |next| at.min(just_before(next)))
    }

    /// What the device claimed of its write that counts as of `at`.
    fn claim_of(&self, field: &str, at: UnixNanos) -> UnixNanos {
        let mut known =
            [field, WHOLE_DATA].into_iter().filter_map(|name| self.record.stamps.of(name)?.claim(at));
        known.next().unwrap_or(at)
    }

    /// The latest time of the device's own writes of a field.
    fn last_own(&self, field: &str) -> Option<UnixNanos> {
        let held = self.record.draft.field(field).filter(|held| held.writer == self.client);
        let stamped = self.record.stamps.of(field).and_then(OfField::last);
        held.map(|held| held.at).max(stamped).max(self.taken_as_sent(field))
    }

    fn taken_as_sent(&self, field: &str) -> Option<UnixNanos> {
        self.record.taken_as_sent.get(field).copied()
    }

    fn stamp(&mut self, field: &str, sent: Option<UnixNanos>, digest: i64, at: UnixNanos) {
        self.record.stamps.add(Stamp { field: field.to_owned(), sent, digest, at });
    }

    /// Whether the device knows that somebody else wrote the field since: then the same write again is meant.
    fn has_seen_another(&self, field: &str) -> bool {
        let foreign =
            |held: &&Field<'_>| held.writer != self.client && held.cts <= self.since && !is_hidden(&held.key);
        match field {
            WHOLE_DATA => self.record.draft.fields().any(|held| foreign(&held)),
            field => self.record.draft.field(field).is_some_and(|held| foreign(&held)),
        }
    }
}

/// The time of a write.
#[derive(Clone, Copy, Debug)]
struct Judged {
    /// The one that counts.
    at: UnixNanos,
    /// The one sent, if it is not that one.
    sent: Option<UnixNanos>,
    /// Whether it was chosen before, for the same content.
    is_retry: bool,
}

/// The latest time that a write may claim.
fn limit(now: UnixNanos) -> UnixNanos {
    now.plus_ms(RECORDS_AHEAD_MAX_MS)
}

fn after(at: UnixNanos) -> UnixNanos {
    UnixNanos(at.0.saturating_add(1))
}

const fn just_before(at: UnixNanos) -> UnixNanos {
    UnixNanos(at.0.saturating_sub(1))
}

fn earlier(a: Option<UnixNanos>, b: Option<UnixNanos>) -> Option<UnixNanos> {
    [a, b].into_iter().flatten().min()
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
fn needs_stamp(change: &Change<'_>, now: UnixNanos) -> bool {
    times(change).any(|(_, at)| at.is_none_or(|at| at > limit(now)))
}

/// Notes the times that do not lie behind the hub's, nor so far ahead that it replaces them, if it has to choose any.
pub(super) fn note_taken_as_sent<'a>(
    records: &mut [PushedRecord<'a>],
    changes: &'a [Change<'a>],
    of_change: &[usize],
    now: UnixNanos,
) {
    if !changes.iter().any(|change| needs_stamp(change, now)) {
        return;
    }
    for (change, index) in changes.iter().zip(of_change) {
        let taken = &mut records[*index].taken_as_sent;
        let data = change.data.as_deref().filter(|_| change.op == Op::Insert).unwrap_or_default();
        for (field, at) in times(change).chain(data.iter().map(|member| (&*member.key, member.at))) {
            let Some(at) = at.filter(|at| *at >= now && *at <= limit(now)) else { continue };
            // An insert says that the record lives, too.
            for name in [Some(field), (change.op == Op::Insert).then_some(DELETED_AT)].into_iter().flatten() {
                let last = taken.entry(name).or_insert(at);
                *last = at.max(*last);
            }
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
