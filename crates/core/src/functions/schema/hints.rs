//! What the developer has decided where a comparison of two schemas would have to guess (FUN-64 to FUN-66).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    HINTS_MAX,
    model::{ColumnType, same_name},
};
use crate::sql_text::literal;

/// Decisions, by `table` or `table.column`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hints {
    /// What is called otherwise now: `users.name` → `users.full_name`, `users` → `people`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub renames: BTreeMap<String, String>,
    /// The value of rows that have none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub backfills: BTreeMap<String, Value>,
    /// The type that values are converted to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub casts: BTreeMap<String, String>,
    /// What is gone, and was not renamed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub drops: BTreeSet<String>,
}

/// A hint that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hints.{0}")]
pub struct BadHint(pub String);

impl Hints {
    /// Whether they can be followed at all.
    ///
    /// # Errors
    /// Which one cannot, and why.
    pub fn check(&self) -> Result<(), BadHint> {
        let all = self.renames.len() + self.backfills.len() + self.casts.len() + self.drops.len();
        if all > HINTS_MAX {
            return Err(BadHint(format!("renames: {all} hints; at most {HINTS_MAX}")));
        }
        for (column, kind) in &self.casts {
            if ColumnType::of_word(kind).is_none() {
                return Err(BadHint(format!(
                    "casts: {column}: type {kind} is none of integer, text, real, blob, numeric"
                )));
            }
        }
        if let Some((column, _)) =
            self.backfills.iter().find(|(_, value)| value.to_string().contains("\\u0000"))
        {
            return Err(BadHint(format!("backfills: {column}: the value holds a NUL character")));
        }
        for (from, to) in &self.renames {
            if from.contains('.') != to.contains('.') {
                let message = "a table is renamed to a table, and a column (table.column) to a column";
                return Err(BadHint(format!("renames: {from}: {to}: {message}")));
            }
        }
        Ok(())
    }

    /// The value for rows that have none in this column, as SQL.
    pub(super) fn backfill(&self, table: &str, column: &str) -> Option<String> {
        find(&self.backfills, table, column).and_then(sql_of)
    }

    /// The type that this column's values are converted to.
    pub(super) fn cast(&self, table: &str, column: &str) -> Option<ColumnType> {
        find(&self.casts, table, column).and_then(|word| ColumnType::of_word(word))
    }

    /// Whether this table is known to be gone.
    pub(super) fn drops_table(&self, table: &str) -> bool {
        self.drops.iter().any(|name| same_name(name, table))
    }

    /// Whether this column is known to be gone.
    pub(super) fn drops_column(&self, table: &str, column: &str) -> bool {
        self.drops.iter().any(|name| names(name, table, column))
    }
}

/// Whether `name` is `table.column`.
pub(super) fn names(name: &str, table: &str, column: &str) -> bool {
    let split = name.len().checked_sub(column.len());
    split.and_then(|at| Some((name.get(..at)?.strip_suffix('.')?, name.get(at..)?))).is_some_and(
        |(found_table, found_column)| same_name(found_table, table) && same_name(found_column, column),
    )
}

fn find<'h, T>(hints: &'h BTreeMap<String, T>, table: &str, column: &str) -> Option<&'h T> {
    hints.iter().find(|(name, _)| names(name, table, column)).map(|(_, value)| value)
}

/// A JSON value as SQL; `None`: NULL, which is no value for rows that need one.
fn sql_of(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => u8::from(*value).to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => literal(text),
        Value::Array(_) | Value::Object(_) => literal(&value.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_found_by_table_and_column() {
        let json = r#"{"backfills":{"Users.a.b":true,"users.n":{"x":"it's"}},"casts":{"users.zip":"TEXT"},"drops":["t"]}"#;
        let hints: Hints = serde_json::from_str(json).unwrap();
        hints.check().unwrap();
        assert_eq!(hints.backfill("users", "A.b").as_deref(), Some("1"));
        assert_eq!(hints.backfill("users", "n").as_deref(), Some("'{\"x\":\"it''s\"}'"));
        assert_eq!(hints.backfill("users", "b"), None);
        assert_eq!(hints.cast("users", "zip"), Some(ColumnType::Text));
        assert!(hints.drops_table("T") && !hints.drops_column("t", ""));
        for wrong in [r#"{"casts":{"a.b":"varchar"}}"#, r#"{"renames":{"a.b":"c"}}"#] {
            assert!(serde_json::from_str::<Hints>(wrong).unwrap().check().is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Hints>(r#"{"rename":{}}"#).is_err());
    }
}
