//! A deployment, made: migrations and activation, in the running transaction (FUN-68).

use ferry_types::Seq;

use super::{
    apply, checks,
    decide::{Decision, NewDeployment, left, owned},
    deployments::{self, StoredDeployment},
    failure::{DeployRefusal, MigrationFailure},
    files::sha256_hex,
    history::{self, AppliedMigration, Applying, MigrationKind},
    raw,
    statement::RunStatement,
    tables,
};
use crate::{
    empty_views,
    events::schema as events,
    functions::schema::{ExistingSchema, Facts, Hints, PlanStep, diff},
    ops::schema as ops,
    records::{RecordMaintenance as _, sqlite::SqliteRecords},
    sql::Sql,
};

/// A deployment that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Ids of the migrations that were applied.
    pub applied: Vec<String>,
}

/// Makes a deployment as it was decided. No foreign key may act in the transaction. On `Ok(Err(…))` it holds a part, and
/// must be undone.
///
/// # Errors
/// What storage reports.
pub fn run<S: Sql>(
    sql: &S,
    statement: &mut RunStatement<'_, S::Error>,
    new: &NewDeployment,
    decision: &Decision,
    seq: Seq,
) -> Result<Result<Deployed, DeployRefusal>, S::Error> {
    let baseline = if history::applied(sql)?.is_empty() { history::baseline(sql)? } else { None };
    tables::create(sql)?;
    if !new.wanted.schema.collections.is_empty() {
        let records = SqliteRecords::create(sql)?;
        if records.epoch()?.is_none() {
            records.set_epoch(&new.records_epoch)?;
        }
    }
    let migrated = if decision.pending.is_empty() {
        apply::apply(sql, statement, &decision.plan)?.map_err(DeployRefusal::Failed)
    } else {
        run_files(sql, statement, new, decision)?
    };
    if let Err(refusal) = migrated {
        return Ok(Err(refusal));
    }
    if let Some(refusal) = verify(sql, new, decision)? {
        return Ok(Err(refusal));
    }
    let applied = note_migrations(sql, new, decision, baseline, seq)?;
    deployments::store(
        sql,
        &StoredDeployment {
            id: new.id.clone(),
            created_at: new.now.0,
            seq,
            bundle: new.bundle.clone(),
            source_map: new.source_map.clone(),
            manifest: new.manifest.clone(),
            api_dts: new.api_dts.clone(),
            schema_json: new.wanted.schema_json.clone(),
            sha256: new.sha256.clone(),
        },
    )?;
    // Code that reads them is deployed before the first event, as a rule.
    empty_views::create(sql, events::VIEW_NAME, events::VIEW_COLUMNS)?;
    for (view, columns) in ops::VIEW_COLUMNS {
        empty_views::create(sql, view, columns)?;
    }
    tables::note_schema(sql, &ExistingSchema::read(sql)?.fingerprint())?;
    Ok(Ok(Deployed { applied }))
}

/// Runs the files, and then what of collections they cannot hold.
fn run_files<S: Sql>(
    sql: &S,
    statement: &mut RunStatement<'_, S::Error>,
    new: &NewDeployment,
    decision: &Decision,
) -> Result<Result<(), DeployRefusal>, S::Error> {
    let of_id = |id: &String| new.files.iter().find(|file| file.id == *id);
    let files: Vec<_> = decision.pending.iter().filter_map(of_id).collect();
    let owned = owned(sql)?;
    let declared = owned.iter().chain([&new.wanted.schema]).flat_map(|schema| &schema.collections);
    let collections: Vec<String> = declared.map(|collection| collection.name.clone()).collect();
    if let Err(refusal) = raw::run(sql, statement, &files, &collections, new.allow_destructive)? {
        return Ok(Err(refusal));
    }
    let existing = ExistingSchema::read(sql)?;
    let mut rest = diff(&Facts::of(sql), &existing, owned.as_ref(), &new.wanted.schema, &Hints::default())?;
    rest.steps.retain(|step| step.of_hub);
    rest.renames.clear();
    rest.sets_aside = false;
    if let Err(failure) = apply::apply(sql, statement, &rest)? {
        return Ok(Err(DeployRefusal::Failed(failure)));
    }
    let found = checks::all_work(sql, statement, &ExistingSchema::read(sql)?, &rest.collections)?;
    Ok(found.map_or(Ok(()), |failure| Err(DeployRefusal::Failed(failure))))
}

/// Whether the database is what the schema says.
fn verify<S: Sql>(
    sql: &S,
    new: &NewDeployment,
    decision: &Decision,
) -> Result<Option<DeployRefusal>, S::Error> {
    let existing = ExistingSchema::read(sql)?;
    let rest =
        diff(&Facts::of(sql), &existing, Some(&new.wanted.schema), &new.wanted.schema, &Hints::default())?;
    if rest.is_empty() && rest.impossible.is_empty() {
        return Ok(None);
    }
    let message = if decision.pending.is_empty() {
        format!("the plan did not lead to the schema:{}", left(&rest))
    } else {
        let impossible = rest.impossible.join("\n");
        format!(
            "the migration files do not lead to the schema that is deployed; left to do:{}{impossible}",
            left(&rest)
        )
    };
    Ok(Some(DeployRefusal::Failed(MigrationFailure::new(message))))
}

fn note_migrations<S: Sql>(
    sql: &S,
    new: &NewDeployment,
    decision: &Decision,
    baseline: Option<AppliedMigration>,
    seq: Seq,
) -> Result<Vec<String>, S::Error> {
    let applying = Applying { at: new.now.0, seq, schema_json: &new.wanted.schema_json };
    if let Some(baseline) = baseline {
        history::note(sql, &baseline, &applying)?;
    }
    let mut applied = Vec::new();
    for id in decision.pending.iter().chain(&decision.taken_over) {
        let Some(file) = new.files.iter().find(|file| file.id == *id) else { continue };
        let migration = AppliedMigration {
            id: file.id.clone(),
            parent: file.parent.clone(),
            name: file.name.clone(),
            sha256: file.sha256.to_ascii_lowercase(),
            kind: MigrationKind::File,
        };
        history::note(sql, &migration, &applying)?;
        applied.push(file.id.clone());
    }
    if decision.plan.all_steps().any(|step| !step.of_hub) {
        let text: Vec<String> = decision.plan.all_steps().map(PlanStep::sql).collect();
        let parent = history::applied(sql)?.pop().map(|last| last.id);
        let migration = AppliedMigration {
            id: format!("dev_{}", new.id),
            parent,
            name: "dev".to_owned(),
            sha256: sha256_hex(&text.join(";\n")),
            kind: MigrationKind::Dev,
        };
        history::note(sql, &migration, &applying)?;
        applied.push(migration.id);
    }
    Ok(applied)
}
