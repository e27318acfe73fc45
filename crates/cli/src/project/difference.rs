//! From what the migration files lead to, to the schema that the code declares: the next file (FUN-60).

use ferry_client::{ClientError, functions::PlanQuestion};
use ferry_core::functions::{
    deploy::{DeclaredNames, DeployRefusal},
    schema::{DatabaseSchema, Hints, PlanStep, SchemaPlan, SchemaQuestion},
};
use ferry_sqlite::deploy::ReplayedFiles;
use serde_json::Value;

use super::migrations::{Migration, Migrations};
use crate::{decisions::Decisions, failure::Failure, system};

/// What of times is part of a file's name: `20261129T230752`.
const TIME_CHARS: usize = 15;
/// Words of a name that is made of what a migration does, and their length together.
const SLUG_STEPS: usize = 2;
const SLUG_MAX_CHARS: usize = 60;

/// What files lead to, and the schema that they should.
pub(crate) struct Difference<'p> {
    migrations: &'p Migrations,
    replayed: ReplayedFiles,
    schema: DatabaseSchema,
}

impl<'p> Difference<'p> {
    /// Runs the files. Takes some milliseconds.
    pub(crate) fn of(migrations: &'p Migrations, schema: Option<&Value>) -> Result<Self, Failure> {
        let schema = match schema {
            Some(schema) => DatabaseSchema::from_json(&schema.to_string())
                .map_err(|bad| Failure::from(ClientError::argument(format!("schema.ts: {bad}"))))?,
            None => DatabaseSchema::default(),
        };
        let replayed = ReplayedFiles::of(&migrations.files()).map_err(|error| stored(&error))?;
        Ok(Self { migrations, replayed: replayed.map_err(refused)?, schema })
    }

    /// What is left to do. `assumes_rows`: in databases whose tables are filled.
    pub(crate) fn plan(&mut self, decisions: &Decisions, assumes_rows: bool) -> Result<SchemaPlan, Failure> {
        let hints: Hints = serde_json::from_value(decisions.to_json())
            .map_err(|error| Failure::Usage(format!("the decisions: {error}")))?;
        hints.check().map_err(|bad| Failure::Usage(bad.to_string()))?;
        let declared = self.migrations.declared();
        self.replayed.plan(&declared, &self.schema, &hints, assumes_rows).map_err(|error| stored(&error))
    }

    /// The file that does the rest.
    pub(crate) fn migration(
        &self,
        plan: &SchemaPlan,
        decided: Decisions,
        name: Option<&str>,
    ) -> Result<Migration, Failure> {
        let statements: Vec<String> = plan.all_steps().flat_map(|step| step.statements.clone()).collect();
        let name = name.map_or_else(|| slug_of(plan), str::to_owned);
        let time: String = ferry_types::UnixMillis(i64::try_from(system::unix_millis()).unwrap_or(i64::MAX))
            .to_string()
            .replace(['-', ':'], "")
            .chars()
            .take(TIME_CHARS)
            .collect();
        let id = format!("{time}_{}_{}", system::random_hex::<4>()?, slug(&name));
        let parent = self.migrations.last().map(|last| last.id.clone());
        Ok(Migration::new(id, parent, (decided, DeclaredNames::of(&self.schema)), &statements))
    }
}

/// What has to be decided, as people are asked it.
pub(crate) fn questions(plan: &SchemaPlan) -> Vec<PlanQuestion> {
    let question = |question: &SchemaQuestion| match question {
        SchemaQuestion::Renamed { from, to } => PlanQuestion::Rename { from: from.clone(), to: to.clone() },
        SchemaQuestion::Required { column, rows } => {
            PlanQuestion::Required { column: column.clone(), rows: *rows }
        }
        SchemaQuestion::Cast { column, from, to } => PlanQuestion::Cast {
            column: column.clone(),
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
            rows: 0,
        },
    };
    let impossible =
        plan.impossible.iter().map(|message| PlanQuestion::Impossible { message: message.clone() });
    plan.questions.iter().map(question).chain(impossible).collect()
}

/// Refuses a plan with open questions, with the flags that answer them.
pub(crate) fn check_decided(plan: &SchemaPlan) -> Result<(), Failure> {
    match plan.open_decisions(true) {
        Some(message) => Err(ClientError::conflict("DECISION_NEEDED", message).into()),
        None => Ok(()),
    }
}

/// What a migration does, as a name: `add_todos_done`.
fn slug_of(plan: &SchemaPlan) -> String {
    let word = |step: &PlanStep| {
        let verb = step.op.as_str().split('_').next().unwrap_or_default();
        let column = step.column.as_deref().map_or_else(String::new, |column| format!("_{column}"));
        format!("{verb}_{}{column}", step.table)
    };
    let words: Vec<String> = plan.all_steps().take(SLUG_STEPS).map(word).collect();
    words.join("_")
}

fn slug(name: &str) -> String {
    let name: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(SLUG_MAX_CHARS)
        .collect();
    let words: Vec<&str> = name.split('_').filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "change".to_owned() } else { words.join("_") }
}

fn stored(error: &ferry_sqlite::Error) -> Failure {
    ClientError::store("the migration files", error).into()
}

/// Why files do not run.
fn refused(refusal: DeployRefusal) -> Failure {
    match refusal {
        DeployRefusal::Invalid(message) => ClientError::argument(message).into(),
        DeployRefusal::Conflict { message, .. } => ClientError::conflict("MIGRATIONS", message).into(),
        DeployRefusal::Failed(failure) => {
            let sql =
                failure.sql.map_or_else(String::new, |sql| format!("\n  {}", sql.replace('\n', "\n  ")));
            ClientError::argument(format!("{}{sql}", failure.message)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(
            ["Add  users!", "add_users_email", "…"].map(slug),
            ["add_users", "add_users_email", "change"]
        );
    }
}
