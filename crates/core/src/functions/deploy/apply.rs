//! A plan, run step by step.

use super::{
    aside::Aside,
    checks::{self, RowCounts},
    failure::MigrationFailure,
    statement::{RunStatement, statements},
};
use crate::{
    functions::schema::{ExistingSchema, PlanOp, SchemaPlan},
    sql::Sql,
};

/// Runs a plan whose questions are answered. On `Ok(Err(…))` the transaction holds a part of it, and must be undone.
///
/// # Errors
/// What storage reports.
pub(super) fn apply<S: Sql>(
    sql: &S,
    run: &mut RunStatement<'_, S::Error>,
    plan: &SchemaPlan,
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
    let dropped: Vec<&str> =
        plan.steps.iter().filter(|step| step.op == PlanOp::DropView).map(|step| &*step.table).collect();
    let aside = Aside::of(sql, &plan.collections, &dropped)?;
    if plan.sets_aside
        && let Err(failure) = statements(sql, run, &aside.drops())?
    {
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
