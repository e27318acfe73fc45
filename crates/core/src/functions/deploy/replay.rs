//! What migration files lead to, and what is left from there to a schema: for whoever writes the next file.

use serde::{Deserialize, Serialize};

use super::{
    failure::DeployRefusal,
    files::{self, BadFiles, MigrationFile},
    raw,
    statement::RunStatement,
};
use crate::{
    functions::schema::{
        CollectionSchema, DatabaseSchema, ExistingSchema, Facts, Hints, IndexSchema, SchemaPlan, TableSchema,
        ViewSchema, diff,
    },
    sql::Sql,
};

/// Names that a schema declares: of these alone a later one may remove something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeclaredNames {
    /// Of tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Of indexes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<String>,
    /// Of views.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<String>,
    /// Of collections.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<String>,
}

impl DeclaredNames {
    /// Those of a schema.
    #[must_use]
    pub fn of(schema: &DatabaseSchema) -> Self {
        Self {
            tables: schema.tables.iter().map(|table| table.name.clone()).collect(),
            indexes: schema.indexes.iter().map(|index| index.name.clone()).collect(),
            views: schema.views.iter().map(|view| view.name.clone()).collect(),
            collections: schema.collections.iter().map(|collection| collection.name.clone()).collect(),
        }
    }

    /// Takes in those of another one.
    pub fn extend(&mut self, other: Self) {
        self.tables.extend(other.tables);
        self.indexes.extend(other.indexes);
        self.views.extend(other.views);
        self.collections.extend(other.collections);
    }

    /// A schema of which nothing but the names is known, which is all that a comparison asks of what was declared.
    fn schema(&self) -> DatabaseSchema {
        DatabaseSchema {
            tables: self
                .tables
                .iter()
                .cloned()
                .map(|name| TableSchema { name, ..TableSchema::default() })
                .collect(),
            indexes: self
                .indexes
                .iter()
                .cloned()
                .map(|name| IndexSchema {
                    name,
                    table: String::new(),
                    columns: Vec::new(),
                    unique: false,
                    condition: None,
                })
                .collect(),
            views: self.views.iter().cloned().map(|name| ViewSchema { name, sql: String::new() }).collect(),
            collections: self
                .collections
                .iter()
                .cloned()
                .map(|name| CollectionSchema { name, app: String::new(), fields: Vec::new() })
                .collect(),
        }
    }
}

/// Runs all files, in their order, in a database that holds nothing of an application.
///
/// # Errors
/// What storage reports.
pub fn replay<S: Sql>(
    sql: &S,
    statement: &mut RunStatement<'_, S::Error>,
    files: &[MigrationFile],
) -> Result<Result<(), DeployRefusal>, S::Error> {
    let chain = match files::pending(files, &[]) {
        Ok(chain) => chain,
        Err(BadFiles::Invalid(message)) => return Ok(Err(DeployRefusal::Invalid(message))),
        Err(BadFiles::Conflict(message)) => return Ok(Err(DeployRefusal::conflict(message))),
    };
    raw::run(sql, statement, &chain, &[], true)
}

/// What is left to do from the files that were run to `target`, without what the hub does by itself.
///
/// # Errors
/// What storage reports.
pub fn plan_of_files<S: Sql>(
    facts: &Facts<'_, S>,
    existing: &ExistingSchema,
    declared: &DeclaredNames,
    target: &DatabaseSchema,
    hints: &Hints,
) -> Result<SchemaPlan, S::Error> {
    let mut plan = diff(facts, existing, Some(&declared.schema()), target, hints)?;
    plan.steps.retain(|step| !step.of_hub);
    Ok(plan)
}
