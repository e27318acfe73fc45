//! A push: validated changes of one client in, one commit out (REC-18). Its steps: what is there of its records is *read*;
//! each change gets the *times* that count; its writes *merge* with what is there; what changed is *written*; the device gets
//! its *report*.

mod conflicts;
mod merge;
mod read;
mod report;
mod stamps;
mod times;
mod write;

use ferry_protocol::records::{Change, ConflictOut, UnixNanos};

use super::{
    Dialect, damaged,
    store::{DeliveryCursor, DeviceState, Owner, RecordStore},
};

use merge::{MergeFindings, PushingDevice};
use read::NamedRecords;

/// In place of a field: all of a change's `data`, whose members have one time. An escaped solidus stands in no
/// field's name.
pub const WHOLE_DATA: &str = r"\u002fdata";

/// Who pushes, to where, and what it has seen.
#[derive(Clone, Copy, Debug)]
pub struct PushCaller<'a> {
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
    pub tables: ReachedTables<'a>,
}

/// Collections that a credential reaches: those whose names begin with every one of these (REC-33).
#[derive(Clone, Copy, Debug, Default)]
pub struct ReachedTables<'a>(pub &'a [String]);

impl ReachedTables<'_> {
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
pub struct ChangeOutcome {
    /// What became of it.
    pub result: ChangeResult,
    /// What the hub has now for those of its fields that lost, or are stored at another time: a JSON object. The
    /// device must take it over in place of what it sent.
    pub fields: Option<String>,
}

/// What a push did.
#[derive(Debug)]
pub struct PushReport {
    /// Collections whose records changed.
    pub collections: Vec<String>,
    /// Per change, in their order.
    pub results: Vec<ChangeOutcome>,
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
    /// How far the device is remembered to be.
    pub(super) cursors: Vec<(String, DeliveryCursor)>,
}

/// Applies the changes of one client in the running transaction.
///
/// # Errors
/// What storage reports.
pub fn push<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    changes: &[Change<'_>],
) -> Result<PushReport, S::Error> {
    apply(store, caller, store.begin(caller.owner, caller.client, caller.app)?, changes)
}

/// The same for a device whose state was read in the running transaction.
///
/// # Errors
/// What storage reports.
pub fn apply<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    device: DeviceState,
    changes: &[Change<'_>],
) -> Result<PushReport, S::Error> {
    let NamedRecords { keys, of_change } = NamedRecords::by(changes);
    let stored = read::stored(store, caller, &device.owner, &keys)?;
    let mut records = read::drafts(&keys, &stored).map_err(damaged)?;
    read::stamps(store, caller, &device, &keys, &mut records)?;
    times::note_taken_as_sent(&mut records, changes, &of_change, caller.now);

    let pusher = PushingDevice { caller, cursors: &device.cursors };
    let mut found = MergeFindings::default();
    let mut merged = Vec::with_capacity(changes.len());
    for (change, index) in changes.iter().zip(&of_change) {
        let record = &mut records[*index];
        let writes = times::judge(record, change, caller);
        merged.push(merge::merge(&pusher, record, change, &writes, &mut found));
    }
    for record in &mut records {
        conflicts::ended_edits(&pusher, record, &mut found);
    }

    let mut owner = device.owner;
    let written = write::write(store, caller, &mut owner, &mut records, &mut found)?;
    // Ferry's clients are told change by change, the others record by record.
    let is_old = caller.dialect == Dialect::Old;
    Ok(PushReport {
        collections: written.collections,
        results: report::outcomes(merged, &of_change, &records, !is_old),
        conflicts: found.answered,
        forced: if is_old { report::forced(store, caller, &records)? } else { Vec::new() },
        has_incomplete: written.has_incomplete,
        before: device.owner.last_cts,
        is_all_own: written.is_all_own,
        owner,
        cursors: device.cursors,
    })
}
