//! The deployment API (functions specification, 2.4): plans, deployments, ways back, and what is deployed.
//!
//! What a deployment does to the database is decided in `ferry_core::functions::deploy`; here its bundle is loaded once
//! before anything is changed, and it is made in a job of its own of the database's writer.

mod answer;
mod check;
mod info;
mod make;
mod plan;
mod refusal;
mod restore;
mod rollback;
mod settings;

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;

pub(super) use info::api_types;
use refusal::DeployError;

use crate::{entry::RequestContext, hub::Hub};

/// A call of this API, by somebody who may make it.
struct DeployCall<'r> {
    hub: &'r Arc<Hub>,
    context: &'r RequestContext,
    body: &'r Bytes,
}

/// Serves `plan`, `deploy`, `rollback`, `restore`, `info` and `schema`.
pub(super) async fn serve(
    hub: &Arc<Hub>,
    context: &RequestContext,
    call: &str,
    parts: &Parts,
    body: &Bytes,
) -> Response {
    let asked = DeployCall { hub, context, body };
    let answer = match call {
        "plan" => plan::run(&asked).await,
        "deploy" => make::run(&asked).await,
        "rollback" => rollback::run(&asked).await,
        "restore" => restore::run(&asked).await,
        "info" => info::info(&asked).await,
        "schema" => info::schema(&asked).await,
        _ => Err(ferry_types::Error::new(ferry_types::Reason::NotFound, "no such call").into()),
    };
    answer.unwrap_or_else(|error: DeployError| error.respond(parts))
}
