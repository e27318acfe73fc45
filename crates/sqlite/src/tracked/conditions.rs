//! Which rows of its tables a SELECT depends on (FUN-34): what [`PlainSelect`] finds, for columns whose values are compared as
//! keys are. Those are columns of whole numbers compared with a whole number, and columns of text, in the order of its
//! bytes, compared with a text: then no affinity changes what is compared. What such a column may hold beside is `Other` in
//! a changed row, which counts as any.

use std::{ops::Bound, sync::Arc};

use ferry_core::{
    functions::live::{ColumnKey, ColumnKeys, Condition, KEY_TEXT_MAX_BYTES, KeyRange},
    sql::Value,
};
use rusqlite::Connection;

use super::{
    catalog::Catalog,
    select::{ColumnComparison, ColumnName, Operand, PlainSelect},
};

/// Largest whole number up to which a real tells which it is.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// Longest pattern of LIKE that SQLite takes, bytes.
const PATTERN_MAX_BYTES: usize = 50_000;

/// What the rows of a statement's tables must satisfy to count.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    tables: Vec<(Arc<str>, Vec<ColumnCondition>)>,
    has_like: bool,
}

#[derive(Clone, Debug)]
struct ColumnCondition {
    column: usize,
    kind: ColumnKind,
    comparison: ColumnComparison,
}

/// How a column compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnKind {
    Integer,
    Text,
}

/// A table in FROM.
struct JoinedTable {
    name: Arc<str>,
    alias: String,
    /// Names and kinds in the order of the table.
    columns: Vec<(String, Option<ColumnKind>)>,
}

impl Conditions {
    /// Those of a statement that SQLite has prepared; `None`: nothing is sure but the tables.
    pub(super) fn of(
        connection: &Connection,
        catalog: &Catalog,
        text: &str,
    ) -> rusqlite::Result<Option<Self>> {
        let Some(plain) = PlainSelect::of(text) else { return Ok(None) };
        let mut joined = Vec::new();
        for (name, alias) in plain.tables {
            // A column that is made of others may fail where it is looked at.
            let table = catalog.table(&name).filter(|_| catalog.is_plain(&name));
            let Some(name) = table.map(Arc::clone) else { return Ok(None) };
            let columns = columns(connection, &name)?;
            joined.push(JoinedTable { name, alias, columns });
        }
        let mut tables: Vec<(Arc<str>, Vec<ColumnCondition>)> = Vec::new();
        for table in &joined {
            // One that is joined with itself may be read anywhere.
            if joined.iter().filter(|other| other.name == table.name).count() == 1 {
                tables.push((Arc::clone(&table.name), Vec::new()));
            }
        }
        for (column, comparison) in plain.compared {
            let Some((table, column, kind)) = resolved(&joined, &column) else { continue };
            if let Some((_, conditions)) = tables.iter_mut().find(|(name, _)| name == table) {
                conditions.push(ColumnCondition { column, kind, comparison });
            }
        }
        tables.retain(|(_, conditions)| !conditions.is_empty());
        Ok((!tables.is_empty()).then_some(Self { tables, has_like: plain.has_like }))
    }

    /// The rows of this table that count with these parameters; `None`: any.
    pub(super) fn range_of(&self, table: &Arc<str>, parameters: &[Value<'_>]) -> Option<KeyRange> {
        let (_, conditions) = self.tables.iter().find(|(name, _)| name == table)?;
        let is_long = |value: &Value<'_>| match value {
            Value::Text(text) => text.len() > PATTERN_MAX_BYTES,
            Value::Blob(bytes) => bytes.len() > PATTERN_MAX_BYTES,
            _ => false,
        };
        if self.has_like && parameters.iter().any(is_long) {
            return None;
        }
        let conditions: Vec<Condition> =
            conditions.iter().filter_map(|condition| condition.with(parameters)).collect();
        (!conditions.is_empty()).then(|| KeyRange(conditions.into()))
    }
}

impl ColumnCondition {
    fn with(&self, parameters: &[Value<'_>]) -> Option<Condition> {
        let key = |operand: &Operand| self.kind.key(operand, parameters);
        let within = |key, is_within| if is_within { Bound::Included(key) } else { Bound::Excluded(key) };
        let keys = match &self.comparison {
            ColumnComparison::Points(points) => {
                ColumnKeys::Points(points.iter().map(key).collect::<Option<_>>()?)
            }
            ColumnComparison::Above(low, is_within) => {
                ColumnKeys::Span(within(key(low)?, *is_within), Bound::Unbounded)
            }
            ColumnComparison::Below(high, is_within) => {
                ColumnKeys::Span(Bound::Unbounded, within(key(high)?, *is_within))
            }
            ColumnComparison::Between(low, high) => {
                ColumnKeys::Span(Bound::Included(key(low)?), Bound::Included(key(high)?))
            }
        };
        Some(Condition { column: self.column, keys })
    }
}

impl ColumnKind {
    /// The kind of a column by its declared type (SQLite documentation, "Determination Of Column Affinity").
    fn of(declared: &str, is_binary: bool) -> Option<Self> {
        let declared = declared.to_ascii_uppercase();
        let has = |part| declared.contains(part);
        if has("INT") {
            Some(Self::Integer)
        } else if (has("CHAR") || has("CLOB") || has("TEXT")) && is_binary {
            Some(Self::Text)
        } else {
            None
        }
    }

    fn key(self, operand: &Operand, parameters: &[Value<'_>]) -> Option<ColumnKey> {
        let value = match operand {
            Operand::Parameter(number) => *parameters.get(*number)?,
            Operand::Integer(integer) => Value::Integer(*integer),
            Operand::Text(text) => Value::Text(text),
        };
        match (self, value) {
            (Self::Integer, Value::Integer(integer)) => Some(ColumnKey::Integer(integer)),
            (Self::Integer, Value::Real(real)) if real.fract() == 0.0 && real.abs() < EXACT_MAX =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within ±2^53")]
                Some(ColumnKey::Integer(real as i64))
            }
            (Self::Text, Value::Text(text)) if text.len() <= KEY_TEXT_MAX_BYTES => {
                Some(ColumnKey::Text(text.as_bytes().into()))
            }
            _ => None,
        }
    }
}

/// The columns of a table.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, Option<ColumnKind>)>> {
    let mut statement =
        connection.prepare_cached("SELECT name, type FROM pragma_table_xinfo(?1) ORDER BY cid")?;
    let declared = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let declared = declared.collect::<rusqlite::Result<Vec<(String, String)>>>()?;
    let column = |(name, declared): (String, String)| {
        let (_, collation, ..) = connection.column_metadata(Some("main"), table, name.as_str())?;
        let is_binary =
            collation.is_some_and(|collation| collation.to_bytes().eq_ignore_ascii_case(b"BINARY"));
        let kind = ColumnKind::of(&declared, is_binary);
        Ok((name, kind))
    };
    declared.into_iter().map(column).collect()
}

/// The table, place and kind of a column that is written so.
fn resolved<'t>(joined: &'t [JoinedTable], column: &ColumnName) -> Option<(&'t Arc<str>, usize, ColumnKind)> {
    let table = match &column.of {
        Some(of) => {
            let mut called = joined.iter().filter(|table| table.alias.eq_ignore_ascii_case(of));
            called.next().filter(|_| called.next().is_none())?
        }
        // Among several tables SQLite decides.
        None => joined.first().filter(|_| joined.len() == 1)?,
    };
    let is_called = |(name, _): &(String, Option<ColumnKind>)| name.eq_ignore_ascii_case(&column.name);
    let place = table.columns.iter().position(is_called)?;
    Some((&table.name, place, table.columns[place].1?))
}
