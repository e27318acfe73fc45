//! What is deployed: `GET info`, `schema`, `api.d.ts`.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use ferry_core::functions::{
    deploy::{self, AppliedMigration, DeploymentSummary, StoredDeployment},
    schema::{DatabaseSchema, schema_hash},
};
use ferry_protocol::functions::{BackupView, DeploymentView, InfoAnswer, MigrationView, SchemaAnswer};
use ferry_sqlite::backups::{self, BackupFile};
use ferry_types::{Error, Reason, Result, Seq, UnixMillis};
use http::{HeaderValue, header, request::Parts};
use serde_json::value::RawValue;

use super::{
    super::{auth, response},
    DeployCall, answer,
    refusal::DeployError,
};
use crate::{
    database::{Database, seq_of},
    entry::Carriers,
    hub::Hub,
};

/// What of deployments a database holds.
#[derive(Default)]
struct Deployments {
    active: Option<StoredDeployment>,
    kept: Vec<DeploymentSummary>,
    migrations: Vec<AppliedMigration>,
    seq: Seq,
}

async fn read(database: &Arc<Database>) -> Result<Deployments> {
    if !database.has_file().await {
        return Ok(Deployments::default());
    }
    let read = database.read(|sql| {
        Ok(Deployments {
            active: deploy::active(sql)?,
            kept: deploy::list(sql)?,
            migrations: deploy::applied(sql)?,
            seq: seq_of(sql)?,
        })
    });
    read.await
}

fn hash_of(deployment: &StoredDeployment) -> Option<String> {
    DatabaseSchema::from_json(&deployment.schema_json).ok().map(|schema| schema_hash(&schema))
}

fn raw(json: &str) -> Option<&RawValue> {
    serde_json::from_str(json).ok()
}

/// `GET info`.
pub(super) async fn info(asked: &DeployCall<'_>) -> Result<Response, DeployError> {
    let database = &asked.context.database;
    let found = read(database).await?;
    let folder = backups::folder_of(database.dir());
    let backups = tokio::task::spawn_blocking(move || backups::list(&folder)).await;
    let backups = backups
        .map_err(|_| Error::internal())?
        .map_err(|error| ferry_sqlite::Error::from(error).into_refusal())?;
    let active = found.active.as_ref();
    let hash = active.and_then(hash_of);
    let id = database.id();
    let answer = InfoAnswer {
        deployment: active.map(|deployment| &*deployment.id),
        seq: found.seq.0,
        schema_hash: hash.as_deref(),
        manifest: active.and_then(|deployment| raw(&deployment.manifest)),
        deployments: found.kept.iter().map(kept).collect(),
        migrations: found.migrations.iter().map(migration).collect(),
        backups: backups.iter().map(backup).collect(),
        auth: asked.hub.control.function_auth(id).as_str(),
        secrets: &asked.hub.control.function_secret_names(id),
    };
    Ok(answer::json(&answer, found.seq))
}

fn kept(deployment: &DeploymentSummary) -> DeploymentView<'_> {
    DeploymentView {
        id: &deployment.id,
        created_at: UnixMillis(deployment.created_at).to_string(),
        seq: deployment.seq.0,
        sha256: &deployment.sha256,
        active: deployment.active,
    }
}

fn migration(migration: &AppliedMigration) -> MigrationView<'_> {
    MigrationView {
        id: &migration.id,
        parent: migration.parent.as_deref(),
        name: &migration.name,
        sha256: &migration.sha256,
        kind: migration.kind.as_str(),
    }
}

fn backup(backup: &BackupFile) -> BackupView<'_> {
    BackupView { name: &backup.name, bytes: backup.bytes }
}

/// `GET schema`.
pub(super) async fn schema(asked: &DeployCall<'_>) -> Result<Response, DeployError> {
    let found = read(&asked.context.database).await?;
    let active = found.active.as_ref();
    let hash = active.and_then(hash_of);
    let answer = SchemaAnswer {
        deployment: active.map(|deployment| &*deployment.id),
        hash: hash.as_deref(),
        schema: active.and_then(|deployment| raw(&deployment.schema_json)),
    };
    Ok(answer::json(&answer, found.seq))
}

/// `GET api.d.ts`: whoever may call the functions may know their types.
pub(in super::super) async fn api_types(hub: &Arc<Hub>, parts: &Parts, db: &str) -> Response {
    let database = match auth::enter_admin(hub, parts, Some(db)).await {
        Ok(context) => context.database,
        Err(_) => match auth::enter(hub, parts, Carriers::Request, Some(db)).await {
            Ok(caller) => caller.context.database,
            Err(refusal) => {
                return refusal
                    .response(|error| response::refused(&error.into(), response::RpcDialect::Ferry, parts));
            }
        },
    };
    types_of(&database).await.unwrap_or_else(|error| DeployError::from(error).respond(parts))
}

async fn types_of(database: &Arc<Database>) -> Result<Response> {
    let active =
        if database.has_file().await { database.read(|sql| deploy::active(sql)).await? } else { None };
    let none = || Error::new(Reason::NotFound, "nothing is deployed here yet");
    let mut response = Response::new(Body::from(active.ok_or_else(none)?.api_dts));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
