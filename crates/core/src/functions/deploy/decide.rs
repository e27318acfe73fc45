//! What a deployment would do, and what stands against it. Nothing is changed here.

use ferry_types::UnixMillis;

use super::{
    deployments::{active, active_id},
    failure::DeployRefusal,
    files::{self, BadFiles, MigrationFile},
    history::{self, MigrationKind},
    raw, sample,
    tables::noted_schema,
};
use crate::{
    functions::schema::{
        DatabaseSchema, ExistingSchema, Facts, Hints, PlanOp, PlanStep, SchemaPlan, diff, statements,
    },
    sql::Sql,
};

/// What is asked of the schema.
#[derive(Clone, Debug)]
pub struct WantedSchema {
    /// The deployment that the developer started from; `None`: there was none.
    pub base: Option<String>,
    /// The schema, as it was declared.
    pub schema_json: String,
    /// The same, read.
    pub schema: DatabaseSchema,
    /// What is decided.
    pub hints: Hints,
    /// Take the schema as it is now, though no deployment made it so.
    pub accepts_drift: bool,
}

/// A deployment that is asked for.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    /// `dep_…`, drawn by the hub.
    pub id: String,
    /// When.
    pub now: UnixMillis,
    /// What is asked of the schema.
    pub wanted: WantedSchema,
    /// All migration files of the project; empty: the difference is applied as it is.
    pub files: Vec<MigrationFile>,
    /// Whether filled tables and columns may go.
    pub allow_destructive: bool,
    /// One ES module.
    pub bundle: String,
    /// Its source map.
    pub source_map: Option<String>,
    /// JSON.
    pub manifest: String,
    /// TypeScript.
    pub api_dts: String,
    /// SHA-256 of the bundle, hex.
    pub sha256: String,
    /// Name of an epoch of records, drawn by the hub, for a database that gets their tables.
    pub records_epoch: String,
}

/// What a deployment will do.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// Ids of files that are run.
    pub pending: Vec<String>,
    /// Ids of files whose changes are there already, since they were applied as differences.
    pub taken_over: Vec<String>,
    /// The difference, where no file is run.
    pub plan: SchemaPlan,
    /// What is shown of both.
    pub steps: Vec<PlanStep>,
    /// Whether a backup comes first (FUN-67).
    pub needs_backup: bool,
}

/// The plan from the database as it is to what is wanted; `Err`: it cannot be told.
///
/// # Errors
/// What storage reports.
pub fn plan<S: Sql>(sql: &S, wanted: &WantedSchema) -> Result<Result<SchemaPlan, DeployRefusal>, S::Error> {
    if let Err(bad) = wanted.hints.check() {
        return Ok(Err(DeployRefusal::Invalid(bad.to_string())));
    }
    if let Some(refusal) = base(sql, wanted.base.as_deref())? {
        return Ok(Err(refusal));
    }
    let existing = ExistingSchema::read(sql)?;
    let owned = owned(sql)?;
    diff(&Facts::of(sql), &existing, owned.as_ref(), &wanted.schema, &wanted.hints).map(Ok)
}

/// What was declared before.
pub(super) fn owned<S: Sql>(sql: &S) -> Result<Option<DatabaseSchema>, S::Error> {
    Ok(active(sql)?.and_then(|deployment| DatabaseSchema::from_json(&deployment.schema_json).ok()))
}

fn base<S: Sql>(sql: &S, base: Option<&str>) -> Result<Option<DeployRefusal>, S::Error> {
    let active = active_id(sql)?;
    if active.as_deref() == base {
        return Ok(None);
    }
    let name = |id: Option<&str>| id.map_or("no deployment".to_owned(), str::to_owned);
    Ok(Some(DeployRefusal::conflict(format!(
        "you started from {}, and {} is active by now: fetch what was deployed meanwhile, then deploy again",
        name(base),
        name(active.as_deref())
    ))))
}

/// Whether somebody changed the schema since the last deployment, and not by one (FUN-68).
fn drift<S: Sql>(sql: &S, existing: &ExistingSchema) -> Result<Option<DeployRefusal>, S::Error> {
    let Some(noted) = noted_schema(sql)? else { return Ok(None) };
    if noted == existing.fingerprint() {
        return Ok(None);
    }
    let mut message = "the database's schema is not the one that the last deployment left: undo what changed it, or deploy \
                       with acceptDrift to go on from what is there"
        .to_owned();
    if let Some(owned) = owned(sql)? {
        let back = diff(&Facts::of(sql), existing, Some(&owned), &owned, &Hints::default())?;
        for step in back.all_steps().take(20) {
            let place =
                step.column.as_ref().map_or(step.table.clone(), |column| format!("{}.{column}", step.table));
            message.push_str(&format!("\n  {} {place} would undo a part of it", step.op.as_str()));
        }
    }
    Ok(Some(DeployRefusal::conflict(message)))
}

/// What a deployment will do; `Err`: why it does nothing.
///
/// # Errors
/// What storage reports.
pub fn decide<S: Sql>(sql: &S, new: &NewDeployment) -> Result<Result<Decision, DeployRefusal>, S::Error> {
    let plan = match plan(sql, &new.wanted)? {
        Ok(plan) => plan,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if !new.wanted.accepts_drift
        && let Some(refusal) = drift(sql, &ExistingSchema::read(sql)?)?
    {
        return Ok(Err(refusal));
    }
    let mut applied = history::applied(sql)?;
    if applied.is_empty() {
        applied.extend(history::baseline(sql)?);
    }
    let pending = match files::pending(&new.files, &applied) {
        Ok(pending) => pending,
        Err(BadFiles::Invalid(message)) => return Ok(Err(DeployRefusal::Invalid(message))),
        Err(BadFiles::Conflict(message)) => return Ok(Err(DeployRefusal::conflict(message))),
    };
    if !pending.is_empty() {
        let ids = pending.iter().map(|file| file.id.clone()).collect();
        let is_dev = applied.last().is_some_and(|last| last.kind == MigrationKind::Dev);
        return Ok(match (is_dev, plan.is_empty()) {
            (true, true) => Ok(Decision { taken_over: ids, ..Decision::default() }),
            (true, false) => Err(DeployRefusal::conflict(
                "`ferry dev` applied differences here that are not what these files lead to: apply the rest with it too, then \
                 write one file for all",
            )),
            (false, _) => Ok(Decision {
                needs_backup: pending.iter().any(|file| raw::changes_what_is_there(file)),
                steps: pending.iter().flat_map(|file| raw_steps(file)).collect(),
                pending: ids,
                ..Decision::default()
            }),
        });
    }
    // What the hub does by itself stands in no file.
    if !new.files.is_empty() && plan.all_steps().any(|step| !step.of_hub) {
        return Ok(Err(DeployRefusal::conflict(format!(
            "the schema asks for changes that no migration file makes; run `ferry migrations`:{}",
            left(&plan)
        ))));
    }
    if let Some(message) = plan.open_decisions(new.allow_destructive) {
        let mut rows = Vec::new();
        for lossy in &plan.lossy {
            rows.extend(sample::rows(sql, &lossy.table, &lossy.condition)?);
        }
        return Ok(Err(DeployRefusal::Conflict { message, rows }));
    }
    let steps = plan.all_steps().cloned().collect();
    Ok(Ok(Decision { needs_backup: plan.needs_backup(), steps, plan, ..Decision::default() }))
}

/// What a plan still does, as lines.
pub(super) fn left(plan: &SchemaPlan) -> String {
    let lines = plan.all_steps().take(20).map(|step| {
        let column = step.column.as_ref().map(|column| format!(".{column}")).unwrap_or_default();
        format!("\n  {} {}{column}", step.op.as_str(), step.table)
    });
    lines.collect()
}

fn raw_steps(file: &MigrationFile) -> Vec<PlanStep> {
    let all = statements(&file.sql).into_iter();
    all.map(|statement| PlanStep {
        op: PlanOp::RawSql,
        table: String::new(),
        column: None,
        statements: vec![statement.text.to_owned()],
        destructive: false,
        rebuild: false,
        rows: 0,
        of_hub: false,
    })
    .collect()
}
