//! How far a call has come: what it read and wrote, and why it ended if the database ended it.

use std::sync::Arc;

use ferry_core::functions::live::Tables;
use ferry_functions::CpuMeter;
use ferry_sqlite::tracked::{SqlAccess, SqlLimit, SqlLimits, TrackedRun};
use ferry_types::{Error, Seq};

use super::PlannedCall;
use crate::events::Store;

/// Why the database ended a call.
#[derive(Clone, Debug)]
pub(in crate::functions) enum CallEnd {
    /// It writes, and reads a snapshot: it is run again where it may.
    NeedsWriter,
    /// What it read has changed before it could write: it is run again.
    Restart,
    /// The same, and it has used `fetch` (FUN-13).
    Conflict,
    /// It came by GET, and writes.
    WriteByGet,
    /// It was run to see whether its result changed, and writes.
    WriteByGate,
    /// It used more of SQL than it may.
    Limit(SqlLimit),
    /// It waited for too long while it held the writer.
    HeldTooLong,
    /// It ran for too long.
    RanTooLong,
    /// The hub refuses: the disk is full, a right ended, the database is busy.
    Refused(Error),
    /// A stored answer belongs to another call of the same key.
    OtherCallOfKey,
    /// It appends to an event store that is not open: the call is run again once it is.
    OpenStore(Box<str>),
}

/// An answer that was given before.
#[derive(Clone, Debug)]
pub(in crate::functions) struct StoredAnswer {
    /// As `outcome::stored` wrote it.
    pub(in crate::functions) text: String,
    /// The commit that it answers for.
    pub(in crate::functions) seq: Seq,
}

/// How far a call has come.
pub(super) struct CallProgress {
    pub(super) run: TrackedRun,
    /// Of runs that are over: an action's.
    earlier: Vec<(Tables, Tables, Tables)>,
    was_volatile: bool,
    pub(super) end: Option<CallEnd>,
    pub(super) stored: Option<StoredAnswer>,
    /// It used `fetch`: it cannot begin again unseen.
    pub(super) has_fetched: bool,
    /// Event stores that it appended to: open until its end.
    pub(super) stores: Vec<Arc<Store>>,
}

impl CallProgress {
    pub(super) fn new(plan: &PlannedCall, access: SqlAccess, cpu: CpuMeter) -> Self {
        Self {
            run: tracked_run(plan, access, cpu),
            earlier: Vec::new(),
            was_volatile: false,
            end: None,
            stored: None,
            has_fetched: false,
            stores: Vec::new(),
        }
    }

    /// Begins a part of its own; what the call did before stays known.
    pub(super) fn begin_part(&mut self, run: TrackedRun) {
        let before = std::mem::replace(&mut self.run, run);
        self.was_volatile |= before.is_volatile();
        self.earlier.push((before.reads().into(), before.selected().into(), before.written().into()));
    }

    pub(super) fn reads(&self) -> Tables {
        union(self.earlier.iter().map(|(reads, ..)| reads), self.run.reads())
    }

    pub(super) fn selected(&self) -> Tables {
        union(self.earlier.iter().map(|(_, selected, _)| selected), self.run.selected())
    }

    pub(super) fn written(&self) -> Tables {
        union(self.earlier.iter().map(|(.., written)| written), self.run.written())
    }

    /// It asked for what is another value after each commit.
    pub(super) const fn used_seq(&mut self) {
        self.was_volatile = true;
    }

    /// It was refused what another caller may do.
    pub(super) const fn depends_on_caller(&mut self) {
        self.was_volatile = true;
    }

    pub(super) fn is_volatile(&self) -> bool {
        self.was_volatile || self.run.is_volatile()
    }
}

/// A run of SQL that is bounded as calls are.
pub(super) fn tracked_run(plan: &PlannedCall, access: SqlAccess, cpu: CpuMeter) -> TrackedRun {
    let config = &plan.hub.config.functions;
    let limits = SqlLimits { statements: config.max_statements, rows: config.max_rows };
    TrackedRun::new(access, limits, move || !cpu.left().is_zero())
}

fn union<'t>(earlier: impl Iterator<Item = &'t Tables>, last: &[Arc<str>]) -> Tables {
    let mut all: Vec<Arc<str>> = last.to_vec();
    for tables in earlier {
        for table in tables.iter() {
            if !all.contains(table) {
                all.push(Arc::clone(table));
            }
        }
    }
    all.into()
}
