//! What the statements of a call have read so far, table by table.

use std::sync::Arc;

use ferry_core::{
    functions::live::{KeyRange, RANGES_MAX, Reads, RowsRead, TableRead},
    sql::Value,
};

use super::attempt::StatementFacts;

/// In the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct ReadTables {
    tables: Vec<Arc<str>>,
    /// Of each of these the ranges; `None`: any row.
    ranges: Vec<Option<Vec<KeyRange>>>,
}

impl ReadTables {
    /// A statement has read what it reads.
    pub(super) fn add(&mut self, facts: &StatementFacts, parameters: &[Value<'_>], is_select: bool) {
        for table in &facts.reads {
            let conditions = facts.conditions.as_ref().filter(|_| is_select);
            let range = conditions.and_then(|conditions| conditions.range_of(table, parameters));
            self.add_range(table, range);
        }
    }

    /// Any row of this table may have been read.
    pub(super) fn add_whole(&mut self, table: &Arc<str>) {
        self.add_range(table, None);
    }

    fn add_range(&mut self, table: &Arc<str>, range: Option<KeyRange>) {
        let Some(place) = self.tables.iter().position(|known| known == table) else {
            self.tables.push(Arc::clone(table));
            self.ranges.push(range.map(|range| vec![range]));
            return;
        };
        match (&mut self.ranges[place], range) {
            (Some(ranges), Some(range)) if ranges.contains(&range) => {}
            (Some(ranges), Some(range)) if ranges.len() < RANGES_MAX => ranges.push(range),
            (ranges, _) => *ranges = None,
        }
    }

    /// The tables.
    pub(super) fn tables(&self) -> &[Arc<str>] {
        &self.tables
    }

    /// The tables and which of their rows.
    pub(super) fn reads(&self) -> Reads {
        let read = |(table, ranges): (&Arc<str>, &Option<Vec<KeyRange>>)| {
            let rows = ranges.as_ref().map_or(RowsRead::All, |ranges| RowsRead::Of(ranges.as_slice().into()));
            TableRead { table: Arc::clone(table), rows }
        };
        self.tables.iter().zip(&self.ranges).map(read).collect()
    }
}
