//! Views and triggers that are put out of the way, and back. A table that is copied is gone for a moment, and SQLite renames
//! nothing while a view or trigger names what is not there.

use super::{
    failure::MigrationFailure,
    statement::{RunStatement, statements},
};
use crate::{
    functions::schema::{ExistingSchema, SchemaObject, same_name},
    sql::Sql,
    sql_text::identifier,
};

/// Views and triggers as they were.
pub(super) struct Aside(Vec<SchemaObject>);

impl Aside {
    /// All that there are, but those of collections, which know no table of the application, and views that are dropped
    /// anyway.
    pub(super) fn of<S: Sql>(sql: &S, collections: &[String], dropped: &[&str]) -> Result<Self, S::Error> {
        let is_collection = |name: &str| collections.iter().any(|collection| same_name(collection, name));
        let is_dropped = |name: &str| dropped.iter().any(|view| same_name(view, name));
        let all = ExistingSchema::read(sql)?.objects.into_iter();
        let objects = all.filter(|object| match &*object.kind {
            "trigger" => !is_collection(&object.table),
            "view" => !is_collection(&object.name) && !is_dropped(&object.name),
            _ => false,
        });
        Ok(Self(objects.collect()))
    }

    /// What drops them: triggers first, since those of a view go with it.
    pub(super) fn drops(&self) -> Vec<String> {
        let of_kind = |kind: &'static str| {
            let all = self.0.iter().filter(move |object| object.kind == kind);
            all.map(move |object| format!("DROP {kind} {}", identifier(&object.name)))
        };
        of_kind("trigger").chain(of_kind("view")).collect()
    }

    /// Makes again what is missing and still has its table.
    pub(super) fn restore<S: Sql>(
        self,
        sql: &S,
        run: &mut RunStatement<'_, S::Error>,
    ) -> Result<Result<(), MigrationFailure>, S::Error> {
        for kind in ["view", "trigger"] {
            let there = ExistingSchema::read(sql)?;
            let is_missing = |object: &&SchemaObject| {
                !there.objects.iter().any(|other| other.kind == kind && same_name(&other.name, &object.name))
            };
            let has_table = |object: &&SchemaObject| kind == "view" || there.object(&object.table).is_some();
            let of_kind = self.0.iter().filter(|object| object.kind == kind);
            let missing: Vec<String> =
                of_kind.filter(is_missing).filter(has_table).map(|object| object.sql.clone()).collect();
            if let Err(failure) = statements(sql, run, &missing)? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }
}
