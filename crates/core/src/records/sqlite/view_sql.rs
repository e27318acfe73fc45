//! The SQL of a collection's view: one over its live records, and triggers that queue what is written to it (REC-50,
//! REC-51, FUN-80).

use std::fmt::Write as _;

use super::super::record::DELETED_AT;
use crate::sql_text::{identifier, literal};

/// What the values of a field are in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// As JSON has it.
    Plain,
    /// 0 and 1 for false and true.
    Boolean,
    /// The text of a JSON value.
    Json,
}

/// What becomes of a row that names no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerWritten {
    /// It is refused.
    Always,
    /// It is queued with an empty owner, for whoever runs the statement to fill in (FUN-83).
    OrCaller,
}

/// A view of a collection.
#[derive(Clone, Debug)]
pub struct ViewSql<'a> {
    /// Its name.
    pub name: &'a str,
    /// The app.
    pub app: &'a str,
    /// The collection.
    pub coll: &'a str,
    /// Its columns beside those that every such view has; each may be a column (see `is_view_column`).
    pub columns: Vec<(&'a str, FieldType)>,
    /// What becomes of a row that names no owner.
    pub owner: OwnerWritten,
}

impl ViewSql<'_> {
    /// What makes the view and its triggers.
    #[must_use]
    pub fn statements(&self) -> [String; 4] {
        let [insert, update, delete] = self.triggers();
        [self.view(), insert, update, delete]
    }

    /// An index by one of its columns; queries of the view find it.
    #[must_use]
    pub fn index(&self, name: &str, column: &str) -> String {
        format!(
            "CREATE INDEX {} ON _ferry_records({}) WHERE {}",
            identifier(name),
            value_of(column),
            self.condition()
        )
    }

    fn condition(&self) -> String {
        let (app, coll) = (literal(self.app), literal(self.coll));
        format!("app = {app} AND coll = {coll} AND state = 0 AND deleted_at IS NULL")
    }

    fn view(&self) -> String {
        let mut text = format!("CREATE VIEW {} AS SELECT id", identifier(self.name));
        for (column, _) in &self.columns {
            let _ = write!(text, ", {} AS {}", value_of(column), identifier(column));
        }
        let columns = self.columns.iter().map(|(column, _)| *column);
        let shown: Vec<String> =
            columns.chain([DELETED_AT, "/space", "/actor", "/origin"]).map(literal).collect();
        let _ = write!(
            text,
            ", owner AS _owner, space ->> '$' AS _space, updated / 1000000 AS _updated_at,
nullif((SELECT json_group_object(key, CASE WHEN type IN ('object', 'array') THEN json(value)
WHEN type IN ('true', 'false') THEN json(type) ELSE value END)
FROM json_each(data) WHERE key NOT IN ({})), '{{}}') AS _extra
FROM _ferry_records WHERE {}",
            shown.join(", "),
            self.condition()
        );
        text
    }

    fn triggers(&self) -> [String; 3] {
        let view = identifier(self.name);
        let queue = |event: &str| {
            format!(
                "CREATE TRIGGER {} INSTEAD OF {event} ON {view} BEGIN",
                identifier(&format!("{}_{}", self.name, event.to_ascii_lowercase()))
            )
        };
        let (app, coll) = (literal(self.app), literal(self.coll));
        let into = "INSERT INTO _ferry_record_intents(owner, app, coll, op, id, fields)";
        let (given, owner) = match self.owner {
            OwnerWritten::Always => (
                "SELECT raise(ABORT, 'records: id and _owner must be given')
WHERE NEW.id IS NULL OR NEW._owner IS NULL;",
                "NEW._owner",
            ),
            OwnerWritten::OrCaller => (
                "SELECT raise(ABORT, 'records: id must be given') WHERE NEW.id IS NULL;",
                "coalesce(NEW._owner, '')",
            ),
        };
        let insert = format!(
            "{} SELECT raise(ABORT, 'records: _space and _extra cannot be written')
WHERE NEW._space IS NOT NULL OR NEW._extra IS NOT NULL;
{given}
{into} VALUES ({owner}, {app}, {coll}, 'insert', NEW.id, {}); END",
            queue("INSERT"),
            self.object(|column| format!("NEW.{column} IS NOT NULL"))
        );
        let update = format!(
            "{} SELECT raise(ABORT, 'records: id, _owner, _space and _extra cannot be changed')
WHERE NEW.id IS NOT OLD.id OR NEW._owner IS NOT OLD._owner OR NEW._space IS NOT OLD._space
OR NEW._extra IS NOT OLD._extra;
{into} VALUES (OLD._owner, {app}, {coll}, 'update', OLD.id, {}); END",
            queue("UPDATE"),
            self.object(|column| format!("NEW.{column} IS NOT OLD.{column}"))
        );
        let delete = format!(
            "{} {into} VALUES (OLD._owner, {app}, {coll}, 'delete', OLD.id, NULL); END",
            queue("DELETE")
        );
        [insert, update, delete]
    }

    /// SQL for a JSON object of the columns that are written.
    fn object(&self, is_written: impl Fn(&str) -> String) -> String {
        if self.columns.is_empty() {
            return "'{}'".to_owned();
        }
        let member = |(column, kind): &(&str, FieldType)| {
            let name = identifier(column);
            let json = match kind {
                FieldType::Plain => format!("json_quote(NEW.{name})"),
                FieldType::Boolean => {
                    format!(
                        "CASE NEW.{name} WHEN 0 THEN 'false' WHEN 1 THEN 'true' ELSE json_quote(NEW.{name}) END"
                    )
                }
                FieldType::Json => {
                    format!(
                        "CASE WHEN json_valid(NEW.{name}) THEN NEW.{name} ELSE json_quote(NEW.{name}) END"
                    )
                }
            };
            format!("SELECT {} AS k, {json} AS v WHERE {}", literal(column), is_written(&name))
        };
        let members: Vec<String> = self.columns.iter().map(member).collect();
        format!("(SELECT json_group_object(k, json(v)) FROM ({}))", members.join(" UNION ALL "))
    }
}

/// The value of a column.
fn value_of(column: &str) -> String {
    format!("data ->> {}", literal(&format!("$.\"{column}\"")))
}
