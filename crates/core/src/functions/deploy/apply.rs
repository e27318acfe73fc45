//! A plan, run step by step.

use super::{
    checks::{self, RowCounts},
    failure::MigrationFailure,
    sample,
};
use crate::{
    functions::schema::{ExistingSchema, Plan, PlanOp, SchemaObject, same_name},
    sql::Sql,
    sql_text::identifier,
};

/// Runs a statement of the application's to its end: what it may not touch is refused. `Ok(Err(…))`: what SQLite says
/// against it.
pub type RunStatement<'a, E> = dyn FnMut(&str) -> Result<Result<(), String>, E> + 'a;

/// Runs a plan whose questions are answered. On `Ok(Err(…))` the transaction holds a part of it, and must be undone.
///
/// # Errors
/// What storage reports.
pub(super) fn apply<S: Sql>(
    sql: &S,
    run: &mut RunStatement<'_, S::Error>,
    plan: &Plan,
) -> Result<Result<(), MigrationFailure>, S::Error> {
    if plan.is_empty() {
        return Ok(Ok(()));
    }
    let tables = plan.kept.iter().map(|(now, then)| (&**now, &**then));
    let counts = if plan.sets_aside { Some(RowCounts::of(sql, tables)?) } else { None };
    for step in &plan.renames {
        if let Err(failure) = statements(sql, run, &step.statements)? {
            return Ok(Err(failure));
        }
    }
    let aside = Aside::take(sql, plan)?;
    if let Err(failure) = statements(sql, run, &aside.drops)? {
        return Ok(Err(failure));
    }
    for step in &plan.steps {
        let done = if step.of_hub {
            step.statements.iter().try_for_each(|statement| sql.execute(statement, &[]).map(drop))?;
            Ok(())
        } else {
            statements(sql, run, &step.statements)?
        };
        if let Err(failure) = done {
            return Ok(Err(failure));
        }
    }
    if let Err(failure) = aside.restore(sql, run)? {
        return Ok(Err(failure));
    }
    let found = match checks::all_work(sql, run, &ExistingSchema::read(sql)?, &plan.collections)? {
        None if plan.sets_aside => checks::is_sound(sql)?,
        found => found,
    };
    let found = match (found, counts) {
        (None, Some(counts)) => counts.compare(sql)?,
        (found, _) => found,
    };
    Ok(found.map_or(Ok(()), Err))
}

/// Runs statements until one fails.
fn statements<S: Sql>(
    sql: &S,
    run: &mut RunStatement<'_, S::Error>,
    statements: &[String],
) -> Result<Result<(), MigrationFailure>, S::Error> {
    for statement in statements {
        if let Err(message) = run(statement)? {
            let rows = sample::of_failure(sql, &message)?;
            let failure =
                MigrationFailure { sql: Some(statement.clone()), rows, ..MigrationFailure::new(message) };
            return Ok(Err(failure));
        }
    }
    Ok(Ok(()))
}

/// Views and triggers that are put out of the way, and back. A table that is copied is gone for a moment, and SQLite renames
/// nothing while a view or trigger names what is not there.
struct Aside {
    drops: Vec<String>,
    objects: Vec<SchemaObject>,
}

impl Aside {
    fn take<S: Sql>(sql: &S, plan: &Plan) -> Result<Self, S::Error> {
        let existing = ExistingSchema::read(sql)?;
        let is_collection =
            |name: &str| plan.collections.iter().any(|collection| same_name(collection, name));
        let is_dropped = |name: &str| {
            plan.steps.iter().any(|step| step.op == PlanOp::DropView && same_name(&step.table, name))
        };
        let objects: Vec<SchemaObject> = existing
            .objects
            .into_iter()
            .filter(|object| match &*object.kind {
                "trigger" => !is_collection(&object.table),
                "view" => !is_collection(&object.name) && !is_dropped(&object.name),
                _ => false,
            })
            .collect();
        // Triggers of a view go with it.
        let drops = |kind: &'static str| {
            let of_kind = objects.iter().filter(move |object| object.kind == kind);
            of_kind.map(move |object| format!("DROP {kind} {}", identifier(&object.name)))
        };
        let drops =
            if plan.sets_aside { drops("trigger").chain(drops("view")).collect() } else { Vec::new() };
        Ok(Self { drops, objects })
    }

    /// Makes again what is missing and still has its table.
    fn restore<S: Sql>(
        self,
        sql: &S,
        run: &mut RunStatement<'_, S::Error>,
    ) -> Result<Result<(), MigrationFailure>, S::Error> {
        let missing = |kind: &str, there: &ExistingSchema| -> Vec<String> {
            let of_kind = self.objects.iter().filter(|object| object.kind == kind);
            let is_missing = |object: &&SchemaObject| {
                !there.objects.iter().any(|other| other.kind == kind && same_name(&other.name, &object.name))
            };
            let has_table = |object: &&SchemaObject| kind == "view" || there.object(&object.table).is_some();
            of_kind.filter(is_missing).filter(has_table).map(|object| object.sql.clone()).collect()
        };
        for kind in ["view", "trigger"] {
            let missing = missing(kind, &ExistingSchema::read(sql)?);
            if let Err(failure) = statements(sql, run, &missing)? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }
}
