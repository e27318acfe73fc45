//! When each table was changed.

use std::{collections::HashMap, sync::Arc};

use ferry_types::Seq;

/// Names that are kept apart; beyond it all count as changed. Functions may make names up (FUN-28).
const NAMES_MAX: usize = 10_000;

/// The newest commit that changed each table.
#[derive(Debug)]
pub struct TableChanges {
    /// What was changed by this commit or an earlier one is not known: everything may have been.
    all: Seq,
    newest: Seq,
    tables: HashMap<Arc<str>, Seq>,
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

    pub(super) fn committed<'t>(&mut self, seq: Seq, tables: impl Iterator<Item = &'t Arc<str>>) {
        self.newest = self.newest.max(seq);
        for table in tables {
            match self.tables.get_mut(table) {
                Some(known) => *known = seq,
                None => {
                    if self.tables.len() >= NAMES_MAX {
                        self.reset(seq);
                    }
                    self.tables.insert(Arc::clone(table), seq);
                }
            }
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

    /// Whether one of `tables` may have been changed after the commit `seq`.
    #[must_use]
    pub fn changed_after(&self, tables: &[Arc<str>], seq: Seq) -> bool {
        !tables.is_empty() && self.all > seq
            || tables.iter().any(|table| self.tables.get(table).is_some_and(|changed| *changed > seq))
    }
}
