//! How far a call has come: what it read and wrote, and why it ended if the database ended it.

use std::sync::Arc;

use ferry_core::{
    functions::live::{Reads, TableNames},
    records::intents::view_name,
};
use ferry_functions::CpuMeter;
use ferry_sqlite::tracked::{SqlAccess, SqlLimits, TrackedRun};
use ferry_types::Seq;

use super::{PlannedCall, end::CallEnd, resources::CallResources};
use crate::events::Store;

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
    pub(super) cpu: CpuMeter,
    pub(super) resources: CallResources,
    /// Of runs that are over: an action's.
    earlier: Vec<(TableNames, TableNames, TableNames)>,
    was_volatile: bool,
    pub(super) end: Option<CallEnd>,
    pub(super) stored: Option<StoredAnswer>,
    /// It used `fetch`: it cannot begin again unseen.
    pub(super) has_fetched: bool,
    /// Event stores that it appended to: open until its end.
    pub(super) stores: Vec<Arc<Store>>,
}

impl CallProgress {
    pub(super) fn new(
        plan: &PlannedCall,
        access: SqlAccess,
        cpu: CpuMeter,
        resources: CallResources,
    ) -> Self {
        Self {
            run: tracked_run(plan, access, &cpu, &resources),
            cpu,
            resources,
            earlier: Vec::new(),
            was_volatile: false,
            end: None,
            stored: None,
            has_fetched: false,
            stores: Vec::new(),
        }
    }

    /// Lets others come first, if the call has run for long. False if it ends here.
    pub(super) fn go_on(&mut self) -> bool {
        let goes_on = self.resources.go_on(&self.cpu);
        if !goes_on && self.end.is_none() {
            self.end = self.resources.end();
        }
        goes_on
    }

    /// Begins a part of its own; what the call did before stays known.
    pub(super) fn begin_part(&mut self, run: TrackedRun) {
        let before = std::mem::replace(&mut self.run, run);
        self.was_volatile |= before.is_volatile();
        self.earlier.push((before.reads().into(), before.selected().into(), before.written().into()));
    }

    pub(super) fn reads(&self) -> TableNames {
        union(self.earlier.iter().map(|(reads, ..)| reads), self.run.reads())
    }

    /// The commit that the result shows, and whether the call made it: a commit that only keeps its answer is another matter.
    pub(super) fn made(&self, before: Seq, committed: Option<Seq>) -> (Seq, bool) {
        committed.filter(|_| !self.written().is_empty()).map_or((before, false), |seq| (seq, true))
    }

    /// What it depends on, and which rows of it where that is known: of calls in parts it is not.
    pub(super) fn depends_on(&self) -> Reads {
        if self.earlier.is_empty() {
            self.run.depends_on()
        } else {
            Reads::whole(self.reads().iter().cloned())
        }
    }

    pub(super) fn selected(&self) -> TableNames {
        union(self.earlier.iter().map(|(_, selected, _)| selected), self.run.selected())
    }

    pub(super) fn written(&self) -> TableNames {
        union(self.earlier.iter().map(|(.., written)| written), self.run.written())
    }

    /// What it wrote, as callers are told: collections by the names that the schema gives them (FUN-82).
    pub(super) fn shown_written(&self, plan: &PlannedCall) -> TableNames {
        let collections = &plan.deployed.collections;
        let is_engines = |table: &str| collections.iter().any(|(view, app)| view_name(app, view) == table);
        let written = self.written();
        if collections.is_empty() || !written.iter().any(|table| is_engines(table)) {
            return written;
        }
        written.iter().filter(|table| !is_engines(table)).cloned().collect()
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
pub(super) fn tracked_run(
    plan: &PlannedCall,
    access: SqlAccess,
    cpu: &CpuMeter,
    resources: &CallResources,
) -> TrackedRun {
    let (cpu, resources, is_in_group) = (cpu.clone(), resources.clone(), matches!(access, SqlAccess::Group));
    let config = &plan.hub.config.functions;
    let limits = SqlLimits { statements: config.max_statements, rows: config.max_rows };
    TrackedRun::new(access, limits, move || {
        // In a group nobody waits while a statement runs.
        !cpu.left().is_zero() && (is_in_group || resources.go_on(&cpu))
    })
}

fn union<'t>(earlier: impl Iterator<Item = &'t TableNames>, last: &[Arc<str>]) -> TableNames {
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
