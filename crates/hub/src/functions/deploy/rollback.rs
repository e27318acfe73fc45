//! `POST rollback`: the code of an earlier deployment, where the schema is its own.

use axum::response::Response;
use ferry_core::functions::deploy;
use ferry_protocol::functions::{MovedAnswer, RollbackBody};

use super::{super::state::FunctionsEffect, DeployCall, answer, refusal::DeployError};
use crate::database::Effect;
use ferry_core::functions::deploy::DeployRefusal;

pub(super) async fn run(asked: &DeployCall<'_>) -> Result<Response, DeployError> {
    let RollbackBody { deployment } = RollbackBody::decode(asked.body)?;
    let database = &asked.context.database;
    if !database.has_file().await {
        let message = "nothing was deployed here yet".to_owned();
        return Err(DeployRefusal::Invalid(message).into());
    }
    let id = deployment.clone();
    let moved = database.submit(&asked.context.requester, move |transaction| {
        let outcome = deploy::rollback(&transaction.sql(), &id)?;
        if outcome.is_ok() {
            transaction.effect(Effect::Functions(FunctionsEffect::Deployed { deployment: id.into() }));
        }
        Ok(outcome)
    });
    let moved = moved.await?;
    moved.value?;
    tracing::info!(
        database = %database.id(), by = %asked.context.requester.principal, %deployment, "functions are rolled back"
    );
    let seq = match moved.seq {
        Some(seq) => seq,
        None => database.seq().await?,
    };
    let answer = MovedAnswer { deployment: Some(&deployment), seq: seq.0, lost: None };
    Ok(answer::json(&answer, seq))
}
