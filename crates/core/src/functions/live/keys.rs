//! Which rows of a table a result depends on, and which rows a commit changed (FUN-34). Both are told by what rows hold in
//! columns of integers and of short texts; whatever else a row holds may be anything. What is not sure counts as affected.

use std::{ops::Bound, sync::Arc};

/// Longest text by which rows are told apart, bytes.
pub const KEY_TEXT_MAX_BYTES: usize = 128;
/// Ranges of a table that are told apart in one result; beyond it it depends on all rows.
pub const RANGES_MAX: usize = 128;

/// Names of tables, each once.
pub type TableNames = Arc<[Arc<str>]>;

/// A value of a column by which rows are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ColumnKey {
    /// An integer.
    Integer(i64),
    /// The bytes of a text, which are compared as such.
    Text(Arc<[u8]>),
}

/// What the keys of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ColumnKeyKind {
    Integer,
    Text,
}

impl ColumnKey {
    pub(super) const fn kind(&self) -> ColumnKeyKind {
        match self {
            Self::Integer(_) => ColumnKeyKind::Integer,
            Self::Text(_) => ColumnKeyKind::Text,
        }
    }
}

/// What a changed row holds in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowValue {
    /// NULL, which satisfies no condition.
    Null,
    /// A key.
    ColumnKey(ColumnKey),
    /// Anything else: a long text, a real, a blob.
    Other,
}

/// A changed row as it was before, or is now: its columns in the order of the table.
pub type RowImage = Box<[RowValue]>;

/// What a row must hold in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column, by its place in the table.
    pub column: usize,
    /// What it must hold.
    pub keys: ColumnKeys,
}

/// ColumnKeys of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnKeys {
    /// One of these.
    Points(Arc<[ColumnKey]>),
    /// All between these.
    Span(Bound<ColumnKey>, Bound<ColumnKey>),
}

impl ColumnKeys {
    /// `None`: it names no key.
    pub(super) fn kind(&self) -> Option<ColumnKeyKind> {
        let key = match self {
            Self::Points(points) => points.first(),
            Self::Span(Bound::Included(key) | Bound::Excluded(key), _)
            | Self::Span(_, Bound::Included(key) | Bound::Excluded(key)) => Some(key),
            Self::Span(Bound::Unbounded, Bound::Unbounded) => None,
        };
        key.map(ColumnKey::kind)
    }

    fn holds(&self, key: &ColumnKey) -> bool {
        match self {
            Self::Points(points) => points.contains(key),
            Self::Span(low, high) => {
                let is_above = match low {
                    Bound::Included(low) => key >= low,
                    Bound::Excluded(low) => key > low,
                    Bound::Unbounded => true,
                };
                is_above
                    && match high {
                        Bound::Included(high) => key <= high,
                        Bound::Excluded(high) => key < high,
                        Bound::Unbounded => true,
                    }
            }
        }
    }
}

impl Condition {
    /// Whether a row that holds this may satisfy it.
    fn may_hold(&self, cell: &RowValue) -> bool {
        match cell {
            RowValue::Null => false,
            // A value of another kind is compared by rules that are SQLite's.
            RowValue::ColumnKey(key) if self.keys.kind() == Some(key.kind()) => self.keys.holds(key),
            RowValue::ColumnKey(_) | RowValue::Other => true,
        }
    }
}

/// The rows that satisfy all of these conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange(pub Arc<[Condition]>);

impl KeyRange {
    /// Whether a row may be one of them.
    #[must_use]
    pub fn may_hold(&self, row: &[RowValue]) -> bool {
        let may_hold =
            |condition: &Condition| row.get(condition.column).is_none_or(|cell| condition.may_hold(cell));
        self.0.iter().all(may_hold)
    }
}

/// Rows of a table that a result depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsRead {
    /// Any.
    All,
    /// Those that are in one of these ranges.
    Of(Arc<[KeyRange]>),
}

/// A table that a result depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRead {
    /// Its name.
    pub table: Arc<str>,
    /// Which of its rows.
    pub rows: RowsRead,
}

/// Rows of a table that a commit changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsChanged {
    /// It is not known which.
    Any,
    /// These, before and after.
    Of(Arc<[RowImage]>),
}

/// A table of which a commit changed rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableWrite {
    /// Its name.
    pub table: Arc<str>,
    /// Which of its rows.
    pub rows: RowsChanged,
}

impl TableWrite {
    /// It is not known which rows of the table.
    #[must_use]
    pub const fn any(table: Arc<str>) -> Self {
        Self { table, rows: RowsChanged::Any }
    }
}

impl TableRead {
    /// Whether one of these changed rows may be among those of the table that it depends on.
    #[must_use]
    pub fn is_affected(&self, changed: &RowsChanged) -> bool {
        match (&self.rows, changed) {
            (RowsRead::All, _) | (_, RowsChanged::Any) => true,
            (RowsRead::Of(ranges), RowsChanged::Of(rows)) => {
                rows.iter().any(|row| ranges.iter().any(|range| range.may_hold(row)))
            }
        }
    }
}

/// What a result depends on: tables, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reads(Arc<[TableRead]>);

impl Default for Reads {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl FromIterator<TableRead> for Reads {
    fn from_iter<T: IntoIterator<Item = TableRead>>(reads: T) -> Self {
        let mut all: Vec<TableRead> = Vec::new();
        for read in reads {
            match all.iter_mut().find(|known| known.table == read.table) {
                Some(known) => known.rows = union(&known.rows, &read.rows),
                None => all.push(read),
            }
        }
        Self(all.into())
    }
}

impl Reads {
    /// All rows of these tables.
    pub fn whole(tables: impl IntoIterator<Item = Arc<str>>) -> Self {
        tables.into_iter().map(|table| TableRead { table, rows: RowsRead::All }).collect()
    }

    /// The same tables, all rows of each.
    #[must_use]
    pub(super) fn widened(&self) -> Self {
        Self::whole(self.tables().cloned())
    }

    /// Each table.
    pub fn iter(&self) -> impl Iterator<Item = &TableRead> {
        self.0.iter()
    }

    /// The names of the tables.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|read| &read.table)
    }

    pub(super) fn has(&self, table: &str) -> bool {
        self.tables().any(|known| **known == *table)
    }

    /// What either depends on.
    pub(super) fn union(&self, other: &Self) -> Self {
        if other.iter().all(|read| self.0.contains(read)) {
            self.clone()
        } else {
            self.iter().chain(other.iter()).cloned().collect()
        }
    }
}

fn union(one: &RowsRead, other: &RowsRead) -> RowsRead {
    match (one, other) {
        (RowsRead::Of(one), RowsRead::Of(other)) => {
            let mut ranges = one.to_vec();
            ranges.extend(other.iter().filter(|range| !one.contains(range)).cloned());
            if ranges.len() > RANGES_MAX { RowsRead::All } else { RowsRead::Of(ranges.into()) }
        }
        _ => RowsRead::All,
    }
}
