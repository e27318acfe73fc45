//! A push: validated changes of one client in, one commit out (REC-18).

mod conflicts;
mod stamps;
mod times;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ferry_protocol::records::{
    Change, ConflictOut, Op, UnixNanos,
    ferry::{FieldEntry, write_fields},
    json,
};

use conflicts::Lost;
use stamps::Stamps;
use times::{TakenAsSent, add_taken_as_sent, needs_stamp};

use super::{
    Dialect, damaged,
    emit::{self, Style},
    history::Entry,
    merge::{Draft, Verdict},
    record::{DELETED_AT, Field},
    store::{Conflict, HistoryOut, Mark, Owner, Purged, RecordKey, RecordStore, Row, RowView, Skew},
};

/// In place of a field: all of a change's `data`, whose members have one time. An escaped solidus stands in no
/// field's name.
pub const WHOLE_DATA: &str = r"\u002fdata";

/// Who pushes, to where, and what it has seen.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Owner of the records.
    pub owner: &'a str,
    /// The app.
    pub app: &'a str,
    /// The device.
    pub client: &'a str,
    /// The hub's clock.
    pub now: UnixNanos,
    /// The cursor that the device gave.
    pub since: UnixNanos,
    /// How it wants its answer.
    pub dialect: Dialect,
    /// Most changes of the delta, at most the limit of the wire.
    pub max_changes: usize,
    /// The collections that it may see.
    pub tables: Tables<'a>,
}

/// Collections that a credential reaches: those whose names begin with every one of these (REC-33).
#[derive(Clone, Copy, Debug, Default)]
pub struct Tables<'a>(pub &'a [String]);

impl Tables<'_> {
    /// Whether `coll` is among them.
    #[must_use]
    pub fn contain(&self, coll: &str) -> bool {
        self.0.iter().all(|prefix| coll.starts_with(&**prefix))
    }
}

/// What became of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeResult {
    /// At least one of its fields holds now.
    Applied,
    /// All of it was there already.
    Unchanged,
    /// Every field lost against what is there.
    Lost,
    /// Its record was deleted so long ago that the tombstone is gone; it is kept as a conflict.
    Quarantined,
}

/// What the hub says of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What became of it.
    pub result: ChangeResult,
    /// What the hub has now for those of its fields that lost, or are stored at another time: a JSON object. The
    /// device must take it over in place of what it sent.
    pub fields: Option<String>,
}

/// What a push did.
#[derive(Debug)]
pub struct Pushed {
    /// Collections whose records changed.
    pub collections: Vec<String>,
    /// Per change, in their order.
    pub results: Vec<Outcome>,
    /// This push's losing writes.
    pub conflicts: Vec<ConflictOut>,
    /// Winning fields that the device must have, whatever its cursor, as changes joined by commas (REC-16, REC-17).
    pub forced: Vec<u8>,
    /// Whether one of its records waits for its insert (REC-07).
    pub has_incomplete: bool,
    /// The owner after the push.
    pub owner: Owner,
    /// The newest commit time before it.
    pub(super) before: UnixNanos,
    /// What its device needs of the changed records it has: they hold nothing new but what it wrote itself.
    pub(super) is_all_own: bool,
    /// What is remembered of the device.
    pub(super) marks: Vec<(String, Mark)>,
}

/// Applies the changes of one client in the running transaction.
///
/// # Errors
/// What storage reports.
pub fn push<S: RecordStore>(
    store: &S,
    caller: &Caller<'_>,
    changes: &[Change<'_>],
) -> Result<Pushed, S::Error> {
    let owner = store.begin(caller.owner)?;
    let mut places = HashMap::with_capacity(changes.len());
    let mut keys = Vec::with_capacity(changes.len());
    for change in changes {
        let key = RecordKey { coll: &change.table, id: &change.id };
        places.entry(key).or_insert_with(|| {
            keys.push(key);
            keys.len() - 1
        });
    }
    let rows = store.read(caller.owner, caller.app, &keys)?;
    let (rows, purged) = with_purged(store, caller, &owner, &keys, rows)?;
    let mut drafts = Vec::with_capacity(keys.len());
    for (key, row) in keys.iter().zip(&rows) {
        drafts.push(Draft::new(*key, row.as_ref()).map_err(damaged)?);
    }
    let needs_stamps = changes.iter().any(|change| needs_stamp(change, caller.now));
    // What was stamped once keeps its time, also when it comes again and needs no stamp any more.
    let mut stamps = Stamps::default();
    if store.has_stamps(caller.owner, caller.client, caller.app)? {
        for stamp in store.stamps(caller.owner, caller.client, caller.app, &keys)? {
            stamps.take(places[&RecordKey { coll: &stamp.coll, id: &stamp.id }], &stamp);
        }
    }
    let mut taken_as_sent = TakenAsSent::new();
    for change in changes.iter().filter(|_| needs_stamps) {
        let place = places[&RecordKey { coll: &change.table, id: &change.id }];
        add_taken_as_sent(&mut taken_as_sent, place, change, caller.now);
    }
    let marks = store.marks(caller.owner, caller.client, caller.app)?;
    let mut run = Run {
        caller,
        marks,
        entries: drafts.iter().map(|_| Entry::default()).collect(),
        forced: vec![BTreeSet::new(); drafts.len()],
        drafts,
        purged,
        stamps,
        taken_as_sent,
        skew: Vec::new(),
        conflicts: Vec::new(),
        lost: Vec::new(),
        ends: BTreeMap::new(),
        ended: Vec::new(),
        answered: Vec::new(),
        results: Vec::with_capacity(changes.len()),
        told: Vec::with_capacity(changes.len()),
        seen: caller.since,
    };
    for change in changes {
        run.apply(places[&RecordKey { coll: &change.table, id: &change.id }], change);
    }
    run.finish(store, owner)
}

/// Puts the tombstones of purged records back in place, so that what is older loses against them as ever.
#[expect(clippy::type_complexity, reason = "rows and what was purged, place by place")]
fn with_purged<S: RecordStore>(
    store: &S,
    caller: &Caller<'_>,
    owner: &Owner,
    keys: &[RecordKey<'_>],
    mut rows: Vec<Option<Row>>,
) -> Result<(Vec<Option<Row>>, Vec<bool>), S::Error> {
    let mut was_purged = vec![false; keys.len()];
    if owner.horizon > UnixNanos::EPOCH && rows.iter().any(Option::is_none) {
        let purged = store.purged(caller.owner, caller.app, keys)?;
        for (place, purged) in purged.into_iter().enumerate() {
            if let (None, Some(purged)) = (&rows[place], purged) {
                rows[place] = Some(tombstone(&purged));
                was_purged[place] = true;
            }
        }
    }
    Ok((rows, was_purged))
}

fn tombstone(purged: &Purged) -> Row {
    let field = Field {
        key: DELETED_AT.into(),
        value: json::string(&purged.at.text()).into(),
        at: purged.at,
        writer: (&*purged.writer).into(),
        cts: purged.cts,
    };
    let (data, meta) = super::record::encode(&[field], purged.cts);
    Row { data, meta, created: purged.cts, cts: purged.cts, incomplete: false }
}

struct Run<'a, 'c> {
    caller: &'c Caller<'a>,
    /// How far the device is.
    marks: Vec<(String, Mark)>,
    drafts: Vec<Draft<'a>>,
    /// Whether the draft at this place began as a purged tombstone.
    purged: Vec<bool>,
    /// History, place by place.
    entries: Vec<Entry>,
    /// Names of the fields that the device must be sent, place by place.
    forced: Vec<BTreeSet<String>>,
    stamps: Stamps,
    taken_as_sent: TakenAsSent<'a>,
    skew: Vec<Skew>,
    conflicts: Vec<Conflict>,
    lost: Vec<Lost<'a>>,
    /// Places of the records that the push deletes, and what the device had seen then.
    ends: BTreeMap<usize, UnixNanos>,
    /// Edits of records that are deleted.
    ended: Vec<Conflict>,
    answered: Vec<ConflictOut>,
    results: Vec<ChangeResult>,
    /// Place of the record and fields that the device must be told of, change by change.
    told: Vec<(usize, BTreeSet<String>)>,
    /// What the device had seen when it made the change in hand.
    seen: UnixNanos,
}

impl<'a> Run<'a, '_> {
    fn apply(&mut self, place: usize, change: &'a Change<'a>) {
        self.told.push((place, BTreeSet::new()));
        self.seen = change.seen.unwrap_or(self.caller.since);
        let writes = self.judged(place, change);
        let (mut won, mut lost) = (false, false);
        for write in &writes {
            let verdict = self.drafts[place].merge(write, self.caller.client);
            if let Some(sent) = write.sent.filter(|sent| *sent > write.at) {
                self.must_see(place, &write.key);
                // A clock of milliseconds, and a comparison of texts, finds the next millisecond later.
                self.add_skew(self.caller.client, place, &write.key, sent.floor_ms().plus_ms(1));
            }
            match verdict {
                Verdict::Same => {}
                Verdict::Won(over) => {
                    won = true;
                    self.entries[place].add(write, change, self.caller.client, self.caller.now);
                    if let Some(over) = over {
                        self.overwritten(place, write, &over);
                    }
                }
                Verdict::Lost(to) => {
                    lost = true;
                    self.lost(place, write, &to);
                }
            }
        }
        self.entries[place].end_change();
        if change.op == Op::Insert {
            self.drafts[place].complete();
        }
        let is_dead = self.drafts[place].is_dead();
        let deletes = change.op == Op::Delete
            || writes.iter().any(|write| write.key == DELETED_AT && write.value != "null");
        if is_dead && !deletes {
            self.must_see(place, DELETED_AT);
            self.edited_the_dead(place, &writes);
        }
        if is_dead && deletes {
            self.ends.insert(place, self.seen);
        }
        let quarantined = self.purged[place] && is_dead && !deletes;
        if quarantined {
            self.quarantine(place, &writes);
        }
        self.results.push(match (quarantined, won, lost) {
            (true, ..) => ChangeResult::Quarantined,
            (_, true, _) => ChangeResult::Applied,
            (_, false, true) => ChangeResult::Lost,
            (_, false, false) => ChangeResult::Unchanged,
        });
    }

    /// Whether the device had been given what that commit brought.
    fn has_seen(&self, place: usize, cts: UnixNanos) -> bool {
        cts <= self.seen.max(self.delivered(place))
    }

    /// How far the device is in a record's collection.
    fn delivered(&self, place: usize) -> UnixNanos {
        super::marks::of(&self.marks, self.drafts[place].key.coll).delivered
    }

    fn must_see(&mut self, place: usize, field: &str) {
        self.forced[place].insert(field.to_owned());
        if let Some((_, told)) = self.told.last_mut() {
            told.insert(field.to_owned());
        }
    }

    fn add_skew(&mut self, client: &str, place: usize, field: &str, sent_at: UnixNanos) {
        let key = self.drafts[place].key;
        self.skew.push(Skew {
            client: client.to_owned(),
            coll: key.coll.to_owned(),
            id: key.id.to_owned(),
            field: field.to_owned(),
            sent_at,
        });
    }

    fn finish<S: RecordStore>(mut self, store: &S, mut owner: Owner) -> Result<Pushed, S::Error> {
        // Once for each record: what its last delete of this push ends was ended by the first one.
        for (place, seen) in std::mem::take(&mut self.ends) {
            self.ended_edits(place, seen);
        }
        let (name, app, before) = (self.caller.owner, self.caller.app, owner.last_cts);
        let (mut is_all_own, mut has_incomplete) = (true, false);
        let mut collections: BTreeSet<&str> = BTreeSet::new();
        let (mut rows, mut history, mut reborn) = (Vec::new(), Vec::new(), Vec::new());
        for (place, entry) in std::mem::take(&mut self.entries).into_iter().enumerate() {
            let draft = &mut self.drafts[place];
            if !draft.is_changed() || (self.purged[place] && draft.is_dead()) {
                continue;
            }
            is_all_own &= draft.is_all_own() && !self.purged[place];
            if self.purged[place] {
                draft.is_stored = false;
                reborn.push(draft.key);
            }
            let cts = owner.next_cts(self.caller.now);
            let row = draft.finish(cts);
            has_incomplete |= row.row.incomplete;
            collections.insert(row.key.coll);
            history.extend(entry.finish().map(|entry| HistoryOut { key: row.key, cts, entry }));
            rows.push(row);
        }
        if !rows.is_empty() {
            store.write(name, app, &rows)?;
            store.add_history(name, app, &history)?;
            store.finish(name, owner)?;
        }
        if !reborn.is_empty() {
            store.unpurge(name, app, &reborn)?;
        }
        if !self.skew.is_empty() {
            store.add_skew(name, app, &self.skew)?;
        }
        self.keep_stamps(store)?;
        self.keep_conflicts(store, !rows.is_empty())?;
        // Ferry's clients are told change by change, the others record by record.
        let is_old = self.caller.dialect == Dialect::Old;
        let forced = if is_old { self.forced_changes(store)? } else { Vec::new() };
        let results = self.results.iter().zip(&self.told).map(|(result, (place, fields))| Outcome {
            result: *result,
            fields: (!is_old && !fields.is_empty()).then(|| self.fields_now(*place, fields)),
        });
        let results = results.collect();
        let collections = collections.into_iter().map(str::to_owned).collect();
        let (conflicts, marks) = (self.answered, self.marks);
        Ok(Pushed {
            collections,
            results,
            conflicts,
            forced,
            has_incomplete,
            owner,
            before,
            is_all_own,
            marks,
        })
    }

    fn keep_stamps<S: RecordStore>(&mut self, store: &S) -> Result<(), S::Error> {
        if self.stamps.new.is_empty() {
            return Ok(());
        }
        let (name, client, app) = (self.caller.owner, self.caller.client, self.caller.app);
        for (place, oldest) in self.stamps.forget() {
            store.forget_stamps(name, client, app, self.drafts[place].key, oldest)?;
        }
        let new: Vec<_> = std::mem::take(&mut self.stamps.new).into_iter().map(|(_, stamp)| stamp).collect();
        store.set_stamps(name, client, app, &new)
    }

    /// The named fields as they are now, with their writers.
    fn fields_now(&self, place: usize, names: &BTreeSet<String>) -> String {
        let held = names.iter().filter_map(|name| self.drafts[place].field(name));
        let fields = held.map(|field| FieldEntry {
            key: &field.key,
            value: &field.value,
            at: field.at,
            writer: &field.writer,
        });
        let mut out = Vec::new();
        write_fields(&mut out, fields);
        String::from_utf8(out).expect("BUG: fields are made of texts")
    }

    fn forced_changes<S: RecordStore>(&self, store: &S) -> Result<Vec<u8>, S::Error> {
        let mut out = Vec::new();
        for (draft, fields) in self.drafts.iter().zip(&self.forced) {
            if fields.is_empty() {
                continue;
            }
            let row = draft.row();
            let view = RowView {
                app: self.caller.app,
                coll: draft.key.coll,
                id: draft.key.id,
                data: &row.data,
                meta: &row.meta,
                created: row.created,
                cts: row.cts,
                incomplete: row.incomplete,
            };
            let skew = store.skew(self.caller.owner, self.caller.client, self.caller.app, draft.key)?;
            let skew = skew.into_iter().collect();
            let wanted = |field: &super::record::FieldView<'_>| fields.contains(field.key);
            emit::emit(&mut out, Style::Old, &view, wanted, false, &skew).map_err(damaged)?;
        }
        Ok(out)
    }
}
