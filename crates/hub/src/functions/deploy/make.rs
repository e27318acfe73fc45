//! `POST deploy` (FUN-60 to FUN-68).

use std::sync::Arc;

use axum::response::Response;
use ferry_core::functions::deploy::{MigrationFile, NewDeployment, WantedSchema, sha256_hex};
use ferry_protocol::functions::{DeployAnswer, DeployBody, MigrationBody};
use ferry_sqlite::{
    backups,
    deploy::{DeployOutcome, MadeDeployment, deploy_on_copy, deploy_on_empty},
};
use ferry_types::{DatabaseKind, Error, Model, Reason, Result};

use tokio::runtime::Handle;

use super::{
    super::state::FunctionsEffect,
    DeployCall, answer,
    check::{self, DeclaredSchema},
    refusal::DeployError,
    settings::DeploySettings,
};
use crate::{
    database::{Database, Effect},
    entry::FirstWrite,
    hub::Hub,
    monotonic::now_ms,
};
use ferry_control::Requester;

/// Descriptors of a copy that a deployment is tried on: the file, its WAL and that one's index.
const COPY_DESCRIPTORS: u32 = 4;
/// Bytes of randomness in the id of a deployment, and in the name of an epoch of records.
const ID_BYTES: usize = 12;

pub(super) async fn run(asked: &DeployCall<'_>) -> Result<Response, DeployError> {
    let mut body = DeployBody::decode(asked.body)?;
    let settings = DeploySettings::read(body.auth.take(), body.env.take())?;
    settings.check(&asked.context.requester, asked.context.database.id())?;
    let is_dry = body.dry_run;
    let new = read(asked.hub, body).await?;
    let database = &asked.context.database;
    let (outcome, warnings) = if is_dry {
        (try_on_copy(asked.hub, database, new.clone()).await?, Vec::new())
    } else {
        make(asked.hub, database, &asked.context.requester, new.clone(), settings).await?
    };
    let made = match outcome {
        DeployOutcome::Made(made) => made,
        DeployOutcome::Refused(refusal) => return Err(refusal.into()),
    };
    if is_dry {
        let answer = DeployAnswer {
            deployment: None,
            seq: None,
            applied: &made.deployed.applied,
            backup: None,
            dry_run: true,
            steps: made.decision.steps.iter().map(answer::step).collect(),
            warnings,
        };
        return Ok(answer::json(&answer, database.seq().await?));
    }
    report(database, &asked.context.requester, &new, &made);
    let answer = DeployAnswer {
        deployment: Some(&new.id),
        seq: Some(made.seq.0),
        applied: &made.deployed.applied,
        backup: made.backup.as_deref(),
        dry_run: false,
        steps: made.decision.steps.iter().map(answer::step).collect(),
        warnings,
    };
    Ok(answer::json(&answer, made.seq))
}

/// What is asked, checked as far as that goes without the database.
async fn read(hub: &Arc<Hub>, body: DeployBody) -> Result<NewDeployment, DeployError> {
    let source_map = body.source_map();
    let exported = check::bundle(hub, body.bundle.clone(), source_map.clone()).await?;
    let DeclaredSchema { json, schema } = check::schema(body.schema.as_deref(), exported.as_deref())?;
    let hints = check::hints(body.hints.as_deref())?;
    Ok(NewDeployment {
        id: format!("dep_{}", random_hex()?),
        now: hub.clock.now(),
        wanted: WantedSchema {
            base: body.base,
            schema_json: json,
            schema,
            hints,
            accepts_drift: body.accept_drift,
        },
        files: body.migrations.into_iter().map(file).collect(),
        allow_destructive: body.allow_destructive,
        sha256: sha256_hex(&body.bundle),
        bundle: body.bundle,
        source_map,
        manifest: body.manifest.map_or_else(|| "null".to_owned(), |manifest| manifest.get().to_owned()),
        api_dts: body.api_dts,
        records_epoch: random_hex()?,
    })
}

fn file(body: MigrationBody) -> MigrationFile {
    let MigrationBody { id, parent, name, sha256, sql } = body;
    MigrationFile { id, parent, name, sha256, sql }
}

pub(super) fn random_hex() -> Result<String> {
    let mut bytes = [0; ID_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gave no random bytes");
        Error::internal()
    })?;
    Ok(hex::encode(bytes))
}

/// Makes it on a copy (FUN-61).
async fn try_on_copy(hub: &Arc<Hub>, database: &Arc<Database>, new: NewDeployment) -> Result<DeployOutcome> {
    if !database.has_file().await {
        return on_empty(hub, new).await;
    }
    let _held = database.hold_files(COPY_DESCRIPTORS).await?;
    let folder = backups::folder_of(database.dir());
    let mut watch = watch(hub);
    database.read(move |sql| deploy_on_copy(*sql, &new, &folder, &mut watch)).await
}

/// Ends migrations whose time is over, and those of a hub that stops: others wait for the writer.
fn watch(hub: &Arc<Hub>) -> impl FnMut() -> Result<()> + Send + 'static {
    let most_ms = hub.config.functions.migration_ms;
    let (until_ms, stopping) = (now_ms() + most_ms, hub.stopping.clone());
    move || {
        if stopping.is_cancelled() {
            return Err(Error::new(Reason::ShuttingDown, "the hub is stopping: deploy again"));
        }
        if now_ms() >= until_ms {
            let message = format!(
                "the migrations ran longer than {most_ms} ms and are undone: change fewer rows in one deployment, or raise functions.migration_ms"
            );
            return Err(Error::new(Reason::TooLarge, message));
        }
        Ok(())
    }
}

async fn on_empty(hub: &Arc<Hub>, new: NewDeployment) -> Result<DeployOutcome> {
    let mut watch = watch(hub);
    let tried = tokio::task::spawn_blocking(move || deploy_on_empty(&new, &mut watch));
    tried.await.map_err(|_| Error::internal())?.map_err(ferry_sqlite::Error::into_refusal)
}

/// Makes it, in a job of its own; calls that are under way finish on the code that they began with.
async fn make(
    hub: &Arc<Hub>,
    database: &Arc<Database>,
    by: &Requester,
    new: NewDeployment,
    settings: DeploySettings,
) -> Result<(DeployOutcome, Vec<String>)> {
    if !database.has_file().await {
        // What is refused must not leave a file.
        let tried = on_empty(hub, new.clone()).await?;
        if let DeployOutcome::Refused(_) = tried {
            return Ok((tried, Vec::new()));
        }
    }
    let first = FirstWrite::claim(hub, database.id(), DatabaseKind::Hub, by).await?;
    database.begins_with(Model::Functions);
    let folder = backups::folder_of(database.dir());
    let (setting, runtime) = ((Arc::clone(hub), by.clone(), database.id()), Handle::current());
    let mut watch = watch(hub);
    let made = database.exclusive(by, move |writer| {
        let effect = Effect::Functions(FunctionsEffect::Deployed { deployment: new.id.as_str().into() });
        let (outcome, effects) = writer.writer()?.deploy(&new, &folder, effect, &mut watch)?;
        let mut warnings = Vec::new();
        if let DeployOutcome::Made(made) = &outcome {
            // The functions are called once they are published: with what comes with them.
            let (hub, by, id) = &setting;
            if let Err(refusal) = runtime.block_on(settings.apply(hub, by, *id)) {
                warnings.push(format!("auth and env were not set: {}. Deploy again.", refusal.message));
            }
            writer.committed(made.seq, effects);
        }
        Ok((outcome, warnings))
    });
    let made = made.await;
    if !matches!(made, Ok((DeployOutcome::Made(_), _))) {
        first.release().await;
    }
    made
}

fn report(database: &Database, by: &Requester, new: &NewDeployment, made: &MadeDeployment) {
    tracing::info!(
        database = %database.id(), by = %by.principal, deployment = %new.id, seq = made.seq.0,
        migrations = made.deployed.applied.len(), backup = made.backup.as_deref(), "functions are deployed"
    );
}
