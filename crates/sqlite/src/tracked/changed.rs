//! The rows that a call's statements change.

use std::sync::Arc;

use ferry_core::functions::live::{
    ColumnKey, KEY_TEXT_MAX_BYTES, RowImage, RowValue, RowsChanged, TableWrite,
};

use super::catalog::Catalog;
use crate::ffi::{HeldValue, RowChange};

/// Values of a table's changed rows that one call keeps; beyond it it is not known which rows it changed.
const CELLS_MAX: usize = 4_096;
/// Columns of a row that are kept.
const COLUMNS_MAX: usize = 64;

/// A table of which a statement changes rows, and these.
#[derive(Debug)]
pub(super) struct ChangedTable {
    /// As SQLite calls it.
    pub(super) name: String,
    rows: ChangedRows,
}

/// Rows before and after.
#[derive(Debug, Default)]
struct ChangedRows {
    /// `None`: it is not known which.
    images: Option<Vec<RowImage>>,
    cells: usize,
}

impl ChangedRows {
    fn add(&mut self, image: RowImage) {
        self.cells += image.len();
        match &mut self.images {
            Some(images) if self.cells <= CELLS_MAX => images.push(image),
            images => *images = None,
        }
    }
}

/// Notes that a row is changed.
pub(super) fn note(tables: &mut Vec<ChangedTable>, change: &RowChange<'_>) {
    let name = change.table().to_bytes();
    // Rows of a table come one after another.
    let place = tables.iter().rposition(|table| table.name.as_bytes() == name).unwrap_or_else(|| {
        let name = change.table().to_string_lossy().into_owned();
        tables.push(ChangedTable { name, rows: ChangedRows { images: Some(Vec::new()), cells: 0 } });
        tables.len() - 1
    });
    let Some(ChangedTable { rows, .. }) = tables.get_mut(place) else { return };
    if rows.images.is_none() {
        return;
    }
    let columns = change.columns().min(COLUMNS_MAX);
    let image = |is_now| (0..columns).map(|column| change.held(is_now, column, cell)).collect::<RowImage>();
    let (was, is) = change.has();
    let before = was.then(|| image(false));
    let after = is.then(|| image(true)).filter(|after| before.as_ref() != Some(after));
    before.into_iter().chain(after).for_each(|image| rows.add(image));
}

fn cell(held: HeldValue<'_>) -> RowValue {
    match held {
        HeldValue::Null => RowValue::Null,
        HeldValue::Integer(integer) => RowValue::ColumnKey(ColumnKey::Integer(integer)),
        HeldValue::Text(text) if text.len() <= KEY_TEXT_MAX_BYTES => {
            RowValue::ColumnKey(ColumnKey::Text(text.into()))
        }
        HeldValue::Text(_) | HeldValue::Other => RowValue::Other,
    }
}

/// What a call has written so far, in the order in which it was met.
#[derive(Debug, Default)]
pub(super) struct WrittenTables {
    tables: Vec<Arc<str>>,
    /// Of each of these.
    rows: Vec<ChangedRows>,
}

impl WrittenTables {
    fn place(&mut self, table: &Arc<str>) -> usize {
        self.tables.iter().position(|known| known == table).unwrap_or_else(|| {
            self.tables.push(Arc::clone(table));
            self.rows.push(ChangedRows { images: Some(Vec::new()), cells: 0 });
            self.tables.len() - 1
        })
    }

    /// Rows of this table, and nobody knows which.
    pub(super) fn add_any(&mut self, table: &Arc<str>) {
        let place = self.place(table);
        self.rows[place].images = None;
    }

    /// Rows that SQLite told of.
    pub(super) fn add(&mut self, catalog: &Catalog, changed: ChangedTable) {
        let Some(table) = catalog.changed(&changed.name) else { return };
        let images = changed.rows.images.filter(|_| catalog.is_plain(&changed.name));
        let Some(images) = images else { return self.add_any(table) };
        let place = self.place(table);
        images.into_iter().for_each(|image| self.rows[place].add(image));
    }

    pub(super) fn has(&self, table: &Arc<str>) -> bool {
        self.tables.contains(table)
    }

    /// The tables.
    pub(super) fn tables(&self) -> &[Arc<str>] {
        &self.tables
    }

    /// Forgets what was met last, beyond so many tables.
    pub(super) fn truncate(&mut self, tables: usize) {
        self.tables.truncate(tables);
        self.rows.truncate(tables);
    }

    /// The tables and their rows.
    pub(super) fn writes(&self) -> Vec<TableWrite> {
        let write = |(table, rows): (&Arc<str>, &ChangedRows)| {
            let rows = rows.images.as_ref();
            let rows = rows.map_or(RowsChanged::Any, |images| RowsChanged::Of(images.as_slice().into()));
            TableWrite { table: Arc::clone(table), rows }
        };
        self.tables.iter().zip(&self.rows).map(write).collect()
    }
}
