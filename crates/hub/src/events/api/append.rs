//! `POST …/events`: an append, on the way of every push (EVT-70).

use std::sync::Arc;

use axum::body::Body;
use ferry_core::events::{
    FirstEvent, Log as _,
    append::{check_backend, check_head, find_mistake},
    idempotency::{self, KEY_MAX_BYTES, Keyed, Known},
};
use ferry_protocol::events::{AppendCall, RpcError};
use http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};

use super::{
    answer::{Answer, ViewError},
    request::EventsApiRequest,
};
use crate::{
    events::{
        commit::Wanted,
        push::{AppendEnd, Pusher},
        store::Store,
    },
    http::{Query, metering, refuse_compressed},
};

pub(super) async fn post(
    request: &EventsApiRequest,
    query: &Query<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Answer, ViewError> {
    let config = &request.hub.config.events;
    refuse_compressed(headers)?;
    let most = config.max_frame_bytes;
    let body =
        metering::read(body, most, &request.context.meter, || ViewError::too_large(most as u64)).await?;
    request.context.requester.recheck()?;
    let text = std::str::from_utf8(&body).map_err(|_| ViewError::bad_request("expected UTF-8"))?;
    let call = AppendCall::decode(text).map_err(|bad| ViewError::bad_request(bad.0))?;
    let keyed = keyed(headers, &body)?;
    let named = named(query.raw("store"), call.store.as_deref())?;
    let store = request.store(named, config.auto_create).await?;
    if let Some(known) = replay(request, store.id(), keyed.as_ref()).await? {
        return Ok(known);
    }
    if call.events.is_empty() {
        let message = "events: must hold one at least";
        return Err(ViewError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_batch", message));
    }
    let pusher = request.pusher(&store, "v1");
    check(request, &store, &call, &pusher).await?;
    let wanted = Wanted {
        own: call.events.len(),
        batch: call.events,
        at_head: call.parent_seq_num.is_none(),
        backend_id: call.backend_id,
        keyed,
        principal: Arc::clone(&pusher.requester.principal),
    };
    match pusher.push(wanted, 0).await {
        Ok(AppendEnd::Appended(receipt)) => {
            metric("ok");
            Ok(Answer::json(StatusCode::CREATED, receipt.to_json(), Some(receipt.seq)))
        }
        Ok(AppendEnd::Answered(text)) => answered(request, &text).await,
        Ok(AppendEnd::KeyReused) => Err(key_reused()),
        Err(error) => {
            metric(error.word());
            // A right that ended meanwhile is told as at the door.
            request.context.requester.recheck()?;
            Err(error.into())
        }
    }
}

/// The checks before the writer, in the order of EVT-11.
async fn check(
    request: &EventsApiRequest,
    store: &Arc<Store>,
    call: &AppendCall,
    pusher: &Pusher,
) -> Result<(), ViewError> {
    let position = store.position();
    let parent = call.parent_seq_num.unwrap_or(position.head);
    check_backend(call.backend_id.as_deref(), &position.backend_id)?;
    let found = find_mistake(&call.events, request.hub.config.events.limits.push_events);
    let outcome = found.clone().map_err(RpcError::from).and_then(|()| check_head(parent, position.head));
    let (Err(error), Some(first)) = (&outcome, FirstEvent::of(&call.events)) else { return Ok(outcome?) };
    // Being late is no trouble.
    if !matches!(error, RpcError::ServerAhead { .. }) {
        pusher.record(first, Some(error));
    }
    if found.is_ok() && parent > position.head {
        request.note_ahead(store, parent, call.backend_id.as_deref(), "push").await;
    }
    // The mistake itself tells its place in the body.
    found?;
    Ok(outcome?)
}

/// The store that the request names, as parameter, as member, or both. One that is named empty is no default.
fn named<'r>(parameter: Option<&'r str>, member: Option<&'r str>) -> Result<Option<&'r str>, ViewError> {
    match (parameter, member) {
        (Some(one), Some(other)) if one != other => {
            let message = format!("the query names the store {one:?}, the body {other:?}: name one");
            Err(ViewError::bad_request(message))
        }
        _ => Ok(parameter.or(member)),
    }
}

fn metric(result: &'static str) {
    metrics::counter!("ferry_events_pushes_total", "result" => result, "transport" => "v1", "dialect" => "v1")
        .increment(1);
}

/// The key of the request, if it has one.
fn keyed(headers: &HeaderMap, body: &[u8]) -> Result<Option<Keyed>, ViewError> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=KEY_MAX_BYTES).contains(&key.len()));
    let wrong = || ViewError::bad_request("Idempotency-Key: expected 1 to 255 visible ASCII characters");
    Ok(Some(Keyed { key: key.ok_or_else(wrong)?.into(), body_hash: Sha256::digest(body).into() }))
}

/// The first answer to the same key (EVT-12), before anybody is asked about the batch.
async fn replay(
    request: &EventsApiRequest,
    store_id: &str,
    keyed: Option<&Keyed>,
) -> Result<Option<Answer>, ViewError> {
    let Some(keyed) = keyed.cloned() else { return Ok(None) };
    let (store_id, now) = (store_id.to_owned(), request.hub.clock.now().to_string());
    let known =
        request.context.database.read(move |sql| idempotency::find(sql, &store_id, &keyed, &now)).await?;
    match known {
        Known::New => Ok(None),
        Known::Answered(text) => answered(request, &text).await.map(Some),
        Known::Reused => Err(key_reused()),
    }
}

async fn answered(request: &EventsApiRequest, text: &str) -> Result<Answer, ViewError> {
    Ok(Answer::json(StatusCode::CREATED, text.to_owned(), Some(request.context.database.seq().await?)))
}

fn key_reused() -> ViewError {
    ViewError::conflict("key_reused", "this Idempotency-Key was used for another request: take a new one")
}
