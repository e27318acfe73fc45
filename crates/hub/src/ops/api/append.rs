//! `POST ops/append`: drafts, which the hub makes ops of.

use std::sync::Arc;

use axum::body::Body;
use ferry_core::ops::append::append;
use ferry_protocol::ops::{AppendParams, read_body};

use super::{
    super::{access::check_entity, error::OpsError, storage},
    Asked,
    answer::OpsAnswer,
    whole,
    write::{Drawn, answer},
};

pub(super) async fn post(asked: &Asked<'_>, body: Body) -> Result<OpsAnswer, OpsError> {
    let config = asked.hub.config.ops;
    let body = whole(asked, body, config.body_max_bytes).await?;
    let turn = asked.hub.services.ops.decoding.turn(body.len()).await?;
    let AppendParams { ops: drafts } = read_body(&body).map_err(|bad| OpsError::bad_request(bad.0))?;
    drop(body);
    if drafts.len() > config.batch_max_ops {
        let most = config.batch_max_ops;
        return Err(OpsError::body_too_large(format!("a call may write at most {most} ops: send several")));
    }
    for draft in &drafts {
        match &draft.entity {
            Some(entity) => check_entity(&asked.context, entity)?,
            None => check_entity(&asked.context, "")?,
        }
    }
    let context = &asked.context;
    let (mut drawn, hub) = (Drawn::new()?, Arc::clone(asked.hub));
    let owner = context.auth.principal.owner();
    let committed = storage::write(asked.hub, &context.database, &context.requester, move |writer| {
        let _turn = &turn;
        drawn.write(writer, &hub, &owner, |sql, by, texts, new_id| append(sql, &drafts, by, texts, new_id))
    });
    answer(asked, committed.await?).await
}
