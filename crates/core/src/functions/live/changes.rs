//! When each table was changed, and which rows of it lately.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use ferry_types::Seq;

use super::{
    Reads,
    keys::{RowImage, RowsChanged, TableRead, TableWrite},
};

/// Names that are kept apart; beyond it all count as changed. Functions may make names up (FUN-28).
const NAMES_MAX: usize = 10_000;
/// Commits of a table whose rows are remembered: as many as may come while a result is being made.
const REMEMBERED_COMMITS: usize = 64;
/// Values of a table's rows that are remembered.
const REMEMBERED_CELLS: usize = 8_192;

/// The newest commit that changed each table.
#[derive(Debug)]
pub struct TableChanges {
    /// What was changed by this commit or an earlier one is not known: everything may have been.
    all: Seq,
    newest: Seq,
    tables: HashMap<Arc<str>, TableHistory>,
}

/// The newest commits to a table.
#[derive(Debug, Default)]
struct TableHistory {
    newest: Seq,
    /// Which rows this commit and earlier ones changed is not known.
    unknown: Seq,
    /// The rows of all commits since.
    rows: VecDeque<(Seq, Arc<[RowImage]>)>,
    cells: usize,
}

impl TableHistory {
    fn committed(&mut self, seq: Seq, changed: &RowsChanged) {
        self.newest = seq;
        match changed {
            RowsChanged::Any => {
                self.unknown = seq;
                self.rows.clear();
                self.cells = 0;
            }
            RowsChanged::Of(rows) => {
                self.cells += cells(rows);
                self.rows.push_back((seq, Arc::clone(rows)));
                while self.rows.len() > REMEMBERED_COMMITS || self.cells > REMEMBERED_CELLS {
                    let Some((forgotten, rows)) = self.rows.pop_front() else { break };
                    self.unknown = forgotten;
                    self.cells -= cells(&rows);
                }
            }
        }
    }

    fn has_changed(&self, read: &TableRead, seq: Seq) -> bool {
        if self.newest <= seq {
            return false;
        }
        let is_affected = |rows: &Arc<[RowImage]>| read.is_affected(&RowsChanged::Of(Arc::clone(rows)));
        self.unknown > seq || self.rows.iter().any(|(changed, rows)| *changed > seq && is_affected(rows))
    }
}

fn cells(rows: &[RowImage]) -> usize {
    rows.iter().map(|row| row.len()).sum()
}

impl TableChanges {
    /// Knows nothing of commits up to `seq`.
    #[must_use]
    pub fn new(seq: Seq) -> Self {
        Self { all: seq, newest: seq, tables: HashMap::new() }
    }

    /// Knows nothing yet, not even which commits there were: every table may have been changed at any time.
    #[must_use]
    pub fn unknown() -> Self {
        Self { all: Seq(u64::MAX), newest: Seq(0), tables: HashMap::new() }
    }

    /// `seq` was the newest commit at some time since this began: all later ones are known.
    pub(super) fn known_since(&mut self, seq: Seq) {
        if self.all == Seq(u64::MAX) {
            self.all = seq;
        }
        self.newest = self.newest.max(seq);
    }

    /// The newest commit that is known of.
    #[must_use]
    pub const fn newest(&self) -> Seq {
        self.newest
    }

    /// A commit changed these rows.
    pub(super) fn committed(&mut self, seq: Seq, writes: &[TableWrite]) {
        self.newest = self.newest.max(seq);
        for TableWrite { table, rows } in writes {
            if self.tables.len() >= NAMES_MAX && !self.tables.contains_key(table) {
                self.reset(seq);
            }
            self.tables.entry(Arc::clone(table)).or_default().committed(seq, rows);
        }
    }

    /// Everything may have been changed up to `seq`.
    pub(super) fn reset(&mut self, seq: Seq) {
        if self.all != Seq(u64::MAX) {
            self.all = self.all.max(seq);
        }
        self.newest = self.newest.max(seq);
        self.tables.clear();
    }

    /// Whether everything may have been changed after the commit `seq`.
    pub(super) fn is_all_changed_after(&self, seq: Seq) -> bool {
        self.all > seq
    }

    /// Whether one of `tables` may have been changed after the commit `seq`.
    #[must_use]
    pub fn changed_after(&self, tables: &[Arc<str>], seq: Seq) -> bool {
        !tables.is_empty() && self.all > seq
            || tables.iter().any(|table| self.table_changed_after(table, seq))
    }

    pub(super) fn table_changed_after(&self, table: &str, seq: Seq) -> bool {
        self.tables.get(table).is_some_and(|history| history.newest > seq)
    }

    /// Whether a result that depends on this may have been changed after the commit `seq`.
    #[must_use]
    pub fn affected_after(&self, reads: &Reads, seq: Seq) -> bool {
        reads.iter().any(|read| self.is_affected_after(read, seq))
    }

    pub(super) fn is_affected_after(&self, read: &TableRead, seq: Seq) -> bool {
        self.all > seq || self.tables.get(&read.table).is_some_and(|history| history.has_changed(read, seq))
    }
}
