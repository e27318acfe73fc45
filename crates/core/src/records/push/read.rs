//! The first step: what is there of the records that a push touches.

use std::collections::{BTreeSet, HashMap};

use ferry_protocol::records::{Change, UnixNanos, json};

use super::{
    super::{
        history::HistoryEntry,
        merge::Draft,
        record::{self, BadMeta, DELETED_AT, Field},
        store::{DeviceState, Owner, Purged, RecordKey, RecordRow, RecordStore},
    },
    PushCaller,
    stamps::Stamps,
};

/// The records of a push, each once, in the order in which its changes name them.
pub(super) struct NamedRecords<'a> {
    pub(super) keys: Vec<RecordKey<'a>>,
    /// Index of its record, change by change.
    pub(super) of_change: Vec<usize>,
}

impl<'a> NamedRecords<'a> {
    pub(super) fn by(changes: &'a [Change<'a>]) -> Self {
        let mut known = HashMap::with_capacity(changes.len());
        let mut named = Self { keys: Vec::new(), of_change: Vec::with_capacity(changes.len()) };
        for change in changes {
            let key = RecordKey { coll: &change.table, id: &change.id };
            let index = *known.entry(key).or_insert_with(|| {
                named.keys.push(key);
                named.keys.len() - 1
            });
            named.of_change.push(index);
        }
        named
    }
}

/// What is stored of a record.
pub(super) struct StoredRecord {
    row: Option<RecordRow>,
    /// Only a note of its tombstone is left.
    was_purged: bool,
}

/// Reads what is stored. The tombstones of purged records are put back, so that what is older loses against them as ever.
pub(super) fn stored<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    owner: &Owner,
    keys: &[RecordKey<'_>],
) -> Result<Vec<StoredRecord>, S::Error> {
    let rows = store.read(caller.owner, caller.app, keys)?;
    let mut stored: Vec<StoredRecord> =
        rows.into_iter().map(|row| StoredRecord { row, was_purged: false }).collect();
    if owner.horizon > UnixNanos::EPOCH && stored.iter().any(|stored| stored.row.is_none()) {
        for (stored, purged) in stored.iter_mut().zip(store.purged(caller.owner, caller.app, keys)?) {
            if let (None, Some(purged)) = (&stored.row, purged) {
                *stored = StoredRecord { row: Some(tombstone(&purged)), was_purged: true };
            }
        }
    }
    Ok(stored)
}

fn tombstone(purged: &Purged) -> RecordRow {
    let field = Field {
        key: DELETED_AT.into(),
        value: json::string(&purged.at.text()).into(),
        at: purged.at,
        writer: (&*purged.writer).into(),
        cts: purged.cts,
    };
    let (data, meta) = record::encode(&[field], purged.cts);
    RecordRow { data, meta, created: purged.cts, cts: purged.cts, incomplete: false }
}

/// A record in the hands of a push.
pub(super) struct PushedRecord<'a> {
    pub(super) draft: Draft<'a>,
    /// The draft began as the tombstone of a purged record.
    pub(super) was_purged: bool,
    /// What is added to its history.
    pub(super) entry: HistoryEntry,
    /// Names of the fields that the device must be sent.
    pub(super) must_see: BTreeSet<String>,
    /// Times that the hub chose for the device's writes of it.
    pub(super) stamps: Stamps,
    /// The latest times of each field that this push gives and that are taken as they are, if the hub has to choose any.
    pub(super) taken_as_sent: HashMap<&'a str, UnixNanos>,
    /// The push deletes it: what the device had seen then.
    pub(super) end_seen: Option<UnixNanos>,
}

impl<'a> PushedRecord<'a> {
    fn new(key: RecordKey<'a>, stored: &'a StoredRecord) -> Result<Self, BadMeta> {
        Ok(Self {
            draft: Draft::new(key, stored.row.as_ref())?,
            was_purged: stored.was_purged,
            entry: HistoryEntry::default(),
            must_see: BTreeSet::new(),
            stamps: Stamps::default(),
            taken_as_sent: HashMap::new(),
            end_seen: None,
        })
    }
}

/// The records of a push, as they are before it.
pub(super) fn drafts<'a>(
    keys: &[RecordKey<'a>],
    stored: &'a [StoredRecord],
) -> Result<Vec<PushedRecord<'a>>, BadMeta> {
    keys.iter().zip(stored).map(|(key, stored)| PushedRecord::new(*key, stored)).collect()
}

/// Reads the times that the hub chose before. What was stamped once keeps its time, also when it comes again and needs no
/// stamp any more.
pub(super) fn stamps<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    device: &DeviceState,
    keys: &[RecordKey<'_>],
    records: &mut [PushedRecord<'_>],
) -> Result<(), S::Error> {
    if device.has_stamps {
        for (index, stamp) in store.stamps(caller.owner, caller.client, caller.app, keys)? {
            records[index].stamps.take(&stamp);
        }
    }
    Ok(())
}
