//! `POST ops`: a batch, and what became of each of its ops.

use axum::body::Body;
use ferry_protocol::ops::{AtomicDetails, PushBody, PushResults};
use http::StatusCode;
use serde_json::Value;

use super::{
    super::{
        error::OpsError,
        push::{OpsBatch, PushEnd, push},
        storage,
    },
    Asked,
    answer::{OpsAnswer, refused},
    whole,
};

pub(super) async fn post(asked: &Asked<'_>, body: Body) -> Result<OpsAnswer, OpsError> {
    let config = &asked.hub.config.ops;
    let is_atomic = match asked.query.text("atomic") {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => return Err(OpsError::bad_request("atomic: expected 1 or 0")),
    };
    let body = whole(asked, body, config.body_max_bytes).await?;
    let turn = asked.hub.services.ops.decoding.turn(body.len()).await?;
    let read = PushBody::decode(&body).map_err(|bad| OpsError::bad_request(bad.0))?;
    if read.ops.len() > config.batch_max_ops {
        let most = config.batch_max_ops;
        return Err(OpsError::body_too_large(format!("a push may have at most {most} ops: send several")));
    }
    let named = |name: Option<std::borrow::Cow<'_, str>>| {
        name.filter(|name| !name.is_empty()).map(std::borrow::Cow::into_owned)
    };
    let batch = OpsBatch {
        origin: read.origin,
        hub_id: named(read.hub_id),
        epoch: named(read.epoch),
        ops: read.ops.into_iter().map(str::to_owned).collect(),
        via_shim: false,
        is_atomic,
        turn: Some(turn),
    };
    let tells_stamp = read.stamps;
    drop(body);
    let committed = push(asked.hub, &asked.context, batch).await?;
    match committed.value {
        PushEnd::Pushed { pushed, log } => {
            let seq = match committed.seq {
                Some(seq) => seq,
                None => asked.context.database.seq().await?,
            };
            let head = asked.head(log)?;
            let stamp = pushed.stamp.filter(|_| tells_stamp);
            Ok(OpsAnswer::json(&head, &PushResults { stamp, results: pushed.results }, seq))
        }
        PushEnd::AtomicFailed(pushed) => {
            let message = "an op of the batch was not accepted, so none is stored: see details.results";
            let details = AtomicDetails { results: pushed.results };
            let results = serde_json::to_value(details).unwrap_or_default();
            let refused = OpsError::new(StatusCode::UNPROCESSABLE_ENTITY, "atomic_failed", message);
            Err(refused.with("results", results.get("results").cloned().unwrap_or(Value::Null)))
        }
        PushEnd::Refused(refusal) => {
            let database = &asked.context.database;
            let log = storage::read(database, storage::log_of).await?;
            Err(refused(&log.map_or_else(|| storage::log_to_come(database), Ok)?, refusal))
        }
    }
}
