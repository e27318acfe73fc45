//! Who reads what: from a changed row to those whose result may depend on it, whoever else there is (FUN-34).

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use super::{
    Reads,
    keys::{
        ColumnKey, ColumnKeyKind, ColumnKeys, Condition, KeyRange, RowImage, RowValue, RowsChanged, RowsRead,
        TableWrite,
    },
    spans::Spans,
};

/// ReaderIndex, by what they read.
pub(super) struct ReaderIndex<I> {
    tables: HashMap<Arc<str>, TableReaders<I>>,
}

struct TableReaders<I> {
    /// Of any row.
    whole: HashSet<I>,
    /// Of some rows, and of which.
    ranges: HashMap<I, Arc<[KeyRange]>>,
    /// Those of some rows, by one of the conditions of each range.
    columns: HashMap<(usize, ColumnKeyKind), ColumnReaders<I>>,
}

struct ColumnReaders<I> {
    points: HashMap<ColumnKey, HashSet<I>>,
    spans: Spans<I>,
}

impl<I> Default for ReaderIndex<I> {
    fn default() -> Self {
        Self { tables: HashMap::new() }
    }
}

impl<I> Default for TableReaders<I> {
    fn default() -> Self {
        Self { whole: HashSet::new(), ranges: HashMap::new(), columns: HashMap::new() }
    }
}

impl<I> Default for ColumnReaders<I> {
    fn default() -> Self {
        Self { points: HashMap::new(), spans: Spans::default() }
    }
}

/// The condition by which a range is found; `None`: it has none.
fn main_condition(range: &KeyRange) -> Option<(&Condition, ColumnKeyKind)> {
    let is_points = |condition: &&Condition| matches!(condition.keys, ColumnKeys::Points(_));
    let conditions = range.0.iter();
    let main = conditions.clone().find(is_points).or_else(|| conditions.clone().next())?;
    Some((main, main.keys.kind()?))
}

impl<I: Copy + Ord + Hash> ReaderIndex<I> {
    /// It reads this.
    pub(super) fn insert(&mut self, reader: I, reads: &Reads) {
        for read in reads.iter() {
            let table = self.tables.entry(Arc::clone(&read.table)).or_default();
            match &read.rows {
                RowsRead::Of(ranges) if ranges.iter().all(|range| main_condition(range).is_some()) => {
                    table.insert(reader, ranges);
                }
                _ => {
                    table.whole.insert(reader);
                }
            }
        }
    }

    /// It reads nothing of this any more.
    pub(super) fn remove(&mut self, reader: I, reads: &Reads) {
        for name in reads.tables() {
            let Some(table) = self.tables.get_mut(name) else { continue };
            table.whole.remove(&reader);
            table.remove(reader);
            if table.whole.is_empty() && table.ranges.is_empty() {
                self.tables.remove(name);
            }
        }
    }

    /// Who reads any row of the table.
    pub(super) fn of_table(&self, table: &str) -> HashSet<I> {
        let Some(table) = self.tables.get(table) else { return HashSet::new() };
        table.whole.iter().chain(table.ranges.keys()).copied().collect()
    }

    /// How many these are.
    pub(super) fn count_of_table(&self, table: &str) -> usize {
        self.tables.get(table).map_or(0, |table| table.whole.len() + table.ranges.len())
    }

    /// Who may read a row that was changed.
    pub(super) fn affected(&self, write: &TableWrite) -> HashSet<I> {
        match (&write.rows, self.tables.get(&write.table)) {
            (_, None) => HashSet::new(),
            (RowsChanged::Any, _) => self.of_table(&write.table),
            (RowsChanged::Of(rows), Some(table)) => {
                let mut found = table.whole.clone();
                if !table.ranges.is_empty() {
                    rows.iter().for_each(|row| table.affected(row, &mut found));
                }
                found
            }
        }
    }
}

impl<I: Copy + Ord + Hash> TableReaders<I> {
    fn insert(&mut self, reader: I, ranges: &Arc<[KeyRange]>) {
        for (condition, kind) in ranges.iter().filter_map(main_condition) {
            let column = self.columns.entry((condition.column, kind)).or_default();
            match &condition.keys {
                ColumnKeys::Points(points) => {
                    for point in points.iter() {
                        column.points.entry(point.clone()).or_default().insert(reader);
                    }
                }
                ColumnKeys::Span(low, high) => column.spans.insert(low, high, reader),
            }
        }
        self.ranges.insert(reader, Arc::clone(ranges));
    }

    fn remove(&mut self, reader: I) {
        let Some(ranges) = self.ranges.remove(&reader) else { return };
        for (condition, kind) in ranges.iter().filter_map(main_condition) {
            let place = (condition.column, kind);
            let Some(column) = self.columns.get_mut(&place) else { continue };
            match &condition.keys {
                ColumnKeys::Points(points) => {
                    for point in points.iter() {
                        if let Some(readers) = column.points.get_mut(point) {
                            readers.remove(&reader);
                            if readers.is_empty() {
                                column.points.remove(point);
                            }
                        }
                    }
                }
                ColumnKeys::Span(low, high) => column.spans.remove(low, high, reader),
            }
            if column.points.is_empty() && column.spans.is_empty() {
                self.columns.remove(&place);
            }
        }
    }

    fn affected(&self, row: &RowImage, found: &mut HashSet<I>) {
        let mut meet = |reader: I| {
            let reads = || self.ranges.get(&reader).is_none_or(|all| all.iter().any(|of| of.may_hold(row)));
            if !found.contains(&reader) && reads() {
                found.insert(reader);
            }
        };
        for ((place, kind), column) in &self.columns {
            match row.get(*place) {
                Some(RowValue::Null) => {}
                Some(RowValue::ColumnKey(key)) if key.kind() == *kind => {
                    column.points.get(key).into_iter().flatten().copied().for_each(&mut meet);
                    column.spans.holding(key, &mut meet);
                }
                // It may be equal to any of them.
                _ => {
                    column.points.values().flatten().copied().for_each(&mut meet);
                    column.spans.each(&mut meet);
                }
            }
        }
    }
}
