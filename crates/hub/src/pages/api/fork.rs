//! `POST /v1/databases/{db}/fork`: a version becomes a database of its own (PAG-31).
//!
//! The files are made first, in a folder that says so; the row in `control.db` makes them a database. What a crash leaves
//! between the two is removed at the next start.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Json,
    body::Body,
    response::{IntoResponse as _, Response},
};
use ferry_control::ForkDatabase;
use ferry_sqlite::pages::{VersionInfo, make_captured_fork, make_fork};
use ferry_types::{DatabaseId, DatabaseKind, Error, Reason, Result, Tag};
use http::{StatusCode, request::Parts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::PagesError,
    push,
    request::{PagesRequest, Served},
    restore::{at_of, read},
};
use crate::{
    clock,
    hub::Hub,
    pages::{
        commit,
        remint::Forked,
        state::{REPLICA_DESCRIPTORS, SESSION_DESCRIPTORS, blocking, is_hub_written},
        unfinished::{begin_database, finish_database},
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    at: Option<Value>,
    name: String,
}

pub(super) async fn post(request: &PagesRequest, parts: &Parts, body: Body) -> Result<Response, PagesError> {
    let question: Question = read(request, body).await?;
    let place = push::place(request)?;
    let served = match &question.at {
        None => request.newest(&parts.headers).await?,
        Some(at) => request.at(at_of(at)?, &parts.headers).await?,
    };
    let fork = Fork {
        hub: Arc::clone(&request.hub),
        request: PagesRequest { hub: Arc::clone(&request.hub), context: request.context.clone() },
        id: DatabaseId::from_uuid(clock::new_id()),
        name: question.name,
    };
    let id = fork.id;
    let name = fork.name.clone();
    let forked = request.hub.tasks.spawn(async move {
        let _place = place;
        fork.run(served).await
    });
    let tag = forked.await.map_err(|_| Error::internal())??;
    let answer = json!({ "id": id.to_string(), "name": name, "tag": tag.to_string() });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

struct Fork {
    hub: Arc<Hub>,
    request: PagesRequest,
    id: DatabaseId,
    name: String,
}

impl Fork {
    async fn run(self, served: Served) -> Result<Tag, PagesError> {
        let context = &self.request.context;
        let of = context.database.id();
        let gone = || Error::new(Reason::NotFound, "database not found");
        let row = ForkDatabase {
            by: &context.requester,
            of,
            org_id: self.hub.control.database(of).ok_or_else(gone)?.org_id,
            backup: None,
            id: self.id,
            name: &self.name,
            kind: if is_hub_written(&self.hub, &context.database) {
                DatabaseKind::Hub
            } else {
                DatabaseKind::Replica
            },
        };
        row.check(&self.hub.control.db)?;
        let _files = context.database.hold_files(REPLICA_DESCRIPTORS + SESSION_DESCRIPTORS).await?;
        let dir = self.hub.databases.dir_of(self.id);
        let made = self.make(served, &dir, row).await;
        if made.is_err() {
            let left = tokio::task::spawn_blocking(move || fs::remove_dir_all(dir)).await;
            if !matches!(left, Ok(Ok(()))) {
                tracing::warn!(database = %self.id, "what is left of a fork is removed at the next start");
            }
        }
        made
    }

    async fn make(&self, served: Served, dir: &Path, row: ForkDatabase<'_>) -> Result<Tag, PagesError> {
        let info = match row.kind {
            DatabaseKind::Hub => self.copy_captured(served, dir.to_owned()).await?,
            DatabaseKind::Replica => self.copy(served, dir.to_owned()).await?,
        };
        ferry_sqlite::fault::point("fork.made").map_err(ferry_sqlite::Error::into_refusal)?;
        let id = row.id;
        row.run(&self.hub.control.db, self.hub.control.max_databases_per_org).await?;
        self.hub.databases.file_changed(id);
        ferry_sqlite::fault::point("fork.named").map_err(ferry_sqlite::Error::into_refusal)?;
        if let Err(error) = finish_database(dir) {
            tracing::warn!(database = %self.id, %error, "a fork stays marked as unfinished until the next start");
        }
        Ok(info.tag())
    }

    /// Of a database that is pushed.
    async fn copy(&self, served: Served, to: PathBuf) -> Result<VersionInfo, PagesError> {
        let (config, clock) = (self.hub.config.pages.files(), Arc::clone(&self.hub.clock));
        let made = commit::blocking(move || {
            begin_database(&to)?;
            make_fork(&to, served.source, config, clock)
        });
        made.await.map_err(|error| match error {
            ferry_sqlite::pages::PushError::Store(error) => error.into_refusal().into(),
            error => {
                tracing::error!(%error, "a fork failed");
                Error::internal().into()
            }
        })
    }

    /// Of a database that the hub writes.
    async fn copy_captured(&self, served: Served, to: PathBuf) -> Result<VersionInfo, PagesError> {
        let (config, clock) = (self.hub.config.pages.files(), Arc::clone(&self.hub.clock));
        let context = &self.request.context;
        let forked = Forked {
            reason: format!("fork of {}", context.database.id()),
            by: context.auth.principal(),
            at: self.hub.clock.now().to_string(),
        };
        let lineage = self.hub.lineage.clone();
        let made = blocking(move || {
            begin_database(&to)?;
            make_captured_fork(&to, &*served.source, config, clock, |sql, seq| {
                forked.remint(sql, seq)?;
                lineage.map_or(Ok(()), |lineage| lineage.adopt(sql))
            })
        });
        Ok(made.await?)
    }
}
