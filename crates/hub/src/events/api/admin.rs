//! Admin calls: what stores there are, who is stuck, and what an operator does to a whole store (section 2.10).

use axum::body::Body;
use ferry_core::events::{
    StoreRow, StoreState, admin,
    ahead::{self, Evidence},
    identity::IdentityChange,
    store,
};
use ferry_protocol::events::export_table;
use ferry_sqlite::NativeSql;
use ferry_types::{Error, Reason, Seq};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{Answer, ViewError},
    request::EventsApiRequest,
};
use crate::{
    database::{Effect, seq_of},
    events::{
        Publication, hooks::deliver, maintenance::maintain, open::new_backend_id, open_store, store::Store,
        watermarks,
    },
    http::metering,
};

/// Largest body of these calls.
const BODY_MAX_BYTES: usize = 64 << 10;

/// Bodies of these calls; each looks at what it needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Call {
    #[serde(rename = "storeId")]
    store_id: Option<String>,
    confirm: Option<String>,
    reason: Option<String>,
}

async fn call(request: &EventsApiRequest, body: Body) -> Result<Call, ViewError> {
    let too_large = || ViewError::too_large(BODY_MAX_BYTES as u64);
    let body = metering::read(body, BODY_MAX_BYTES, &request.context.meter, too_large).await?;
    request.context.requester.recheck()?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Call::default());
    }
    serde_json::from_slice(&body).map_err(|error| ViewError::bad_request(format!("body: {error}")))
}

/// What cannot be undone is asked for with the store's name.
async fn confirmed(request: &EventsApiRequest, body: Body, store_id: &str) -> Result<Call, ViewError> {
    let call = call(request, body).await?;
    if call.confirm.as_deref() == Some(store_id) {
        return Ok(call);
    }
    let message = "this cannot be undone: confirm it with {\"confirm\":\"<storeId>\"}";
    Err(ViewError::new(StatusCode::BAD_REQUEST, "confirm_required", message))
}

pub(super) async fn list(request: &EventsApiRequest) -> Result<Answer, ViewError> {
    if request.context.database.seq().await? == Seq(0) {
        return Ok(Answer::json(StatusCode::OK, json!({"stores": []}).to_string(), Some(Seq(0))));
    }
    let all = request.context.database.read(|sql| store::list(sql)).await?;
    for row in all.iter().filter(|row| row.state != StoreState::Deleted) {
        // Opening a store finds out whether it must be held.
        request.existing(&row.key.id).await?;
    }
    let (rows, evidence, seq) =
        request.context.database.read(|sql| Ok((store::list(sql)?, ahead::all(sql)?, seq_of(sql)?))).await?;
    let shown: Vec<Value> = rows
        .iter()
        .filter(|row| row.state != StoreState::Deleted)
        .map(|row| {
            let store = request.context.database.models().events.get(&row.key.id);
            shown(row, evidence.get(&row.key.id).map_or(&[][..], Vec::as_slice), store.as_deref())
        })
        .collect();
    Ok(Answer::json(StatusCode::OK, json!({ "stores": shown }).to_string(), Some(seq)))
}

pub(super) async fn stat(request: &EventsApiRequest, store_id: &str) -> Result<Answer, ViewError> {
    let store = request.existing(store_id).await?;
    let (row, evidence, seq) = read_store(request, store_id).await?;
    Ok(Answer::json(StatusCode::OK, shown(&row, &evidence, Some(&store)).to_string(), Some(seq)))
}

/// A store as one snapshot shows it.
async fn read_store(
    request: &EventsApiRequest,
    store_id: &str,
) -> Result<(StoreRow, Vec<Evidence>, Seq), ViewError> {
    let id = store_id.to_owned();
    let read = move |sql: &NativeSql<'_>| Ok((store::find(sql, &id)?, ahead::list(sql, &id)?, seq_of(sql)?));
    let (row, evidence, seq) = request.context.database.read(read).await?;
    Ok((row.ok_or_else(not_found)?, evidence, seq))
}

pub(super) async fn clients(request: &EventsApiRequest, store_id: &str) -> Result<Answer, ViewError> {
    let store = request.existing(store_id).await?;
    let (row, evidence, seq) = read_store(request, store_id).await?;
    let (clients, refused) =
        request.hub.services.events.clients.to_json(request.context.database.id(), Some(store_id));
    let reply = json!({
        "clients": clients,
        "refused": refused,
        "cursorsAhead": store.cursors_ahead(),
        "state": row.state.as_str(),
        "holdReason": hold_reason(&row, &evidence),
        "suspect": suspect(&row, &evidence),
    });
    Ok(Answer::json(StatusCode::OK, reply.to_string(), Some(seq)))
}

/// Clients of all stores, and connections that name none.
pub(super) async fn all_clients(request: &EventsApiRequest) -> Result<Answer, ViewError> {
    let seq = request.context.database.seq().await?;
    let (clients, refused) = request.hub.services.events.clients.to_json(request.context.database.id(), None);
    let reply = json!({"clients": clients, "refused": refused});
    Ok(Answer::json(StatusCode::OK, reply.to_string(), Some(seq)))
}

/// Why a store is on hold.
fn hold_reason(row: &StoreRow, evidence: &[Evidence]) -> Option<&'static str> {
    let reason = if evidence.is_empty() { "older_file" } else { "cursors_ahead" };
    (row.state == StoreState::Hold).then_some(reason)
}

/// Which clients hold events that the store has lost (EVT-47), and where its log would reach the first of them.
fn suspect(row: &StoreRow, evidence: &[Evidence]) -> Option<Value> {
    let lowest = evidence.first()?;
    let devices: Vec<Value> = evidence
        .iter()
        .map(|seen| {
            json!({"device": seen.device, "at": seen.at, "aheadBy": seen.at - row.head, "call": seen.call,
                   "since": seen.since})
        })
        .collect();
    Some(json!({"at": lowest.at, "aheadBy": lowest.at - row.head, "devices": devices}))
}

/// A store as these calls show it.
fn shown(row: &StoreRow, evidence: &[Evidence], store: Option<&Store>) -> Value {
    json!({
        "storeId": row.key.id,
        "table": export_table(&row.key.id),
        "backendId": row.backend_id,
        "head": row.head,
        "base": row.base,
        "count": row.event_count,
        "bytes": row.bytes,
        "state": row.state.as_str(),
        "holdReason": hold_reason(row, evidence),
        "suspect": suspect(row, evidence),
        "subscribers": store.map_or(0, Store::connections),
        "lagging": store.map_or(0, Store::lagging),
        "createdAt": row.created_at,
        "lastPushAt": row.last_created_at,
    })
}

fn not_found() -> Error {
    Error::new(Reason::NotFound, "store not found")
}

pub(super) async fn create(request: &EventsApiRequest, body: Body) -> Result<Answer, ViewError> {
    let call = call(request, body).await?;
    let id = call.store_id.ok_or_else(|| ViewError::bad_request("storeId: expected a string"))?;
    request.check_id(&id)?;
    let known = match request.context.database.seq().await? {
        Seq(0) => None,
        _ => {
            let id = id.clone();
            request.context.database.read(move |sql| store::find(sql, &id)).await?
        }
    };
    let (row, seq) = match known {
        Some(row) if row.state == StoreState::Deleted => {
            let work = |sql: &NativeSql<'_>, row: &mut StoreRow, change: &IdentityChange<'_>| {
                if row.state != StoreState::Deleted {
                    return Err(Error::new(Reason::AlreadyExists, "the store exists").into());
                }
                admin::revive(sql, row, change)
            };
            change(request, &id, "created again", work).await?
        }
        Some(_) => return Err(Error::new(Reason::AlreadyExists, "the store exists").into()),
        None => {
            open_store(&request.hub, &request.context.database, &id, Some(&request.context.requester))
                .await?;
            let id = id.clone();
            let row = request.context.database.read(move |sql| store::find(sql, &id));
            (row.await?.ok_or_else(not_found)?, None)
        }
    };
    watermarks::save(&request.hub).await;
    let seq = match seq {
        Some(seq) => seq,
        None => request.context.database.seq().await?,
    };
    let store = request.context.database.models().events.get(&id);
    Ok(Answer::json(StatusCode::CREATED, shown(&row, &[], store.as_deref()).to_string(), Some(seq)))
}

pub(super) async fn delete(
    request: &EventsApiRequest,
    store_id: &str,
    body: Body,
) -> Result<Answer, ViewError> {
    confirmed(request, body, store_id).await?;
    request.existing(store_id).await?;
    let work = |sql: &NativeSql<'_>, row: &mut StoreRow, change: &IdentityChange<'_>| {
        live(row)?;
        admin::delete(sql, row, change)
    };
    let before = lookup(request, store_id).await?;
    let (_, seq) = change(request, store_id, "deleted", work).await?;
    request.hub.services.events.clients.forget(request.context.database.id(), store_id);
    request.hub.control.watermarks.forget(request.context.database.id(), store_id).await?;
    let detail = json!({"head": before.head, "count": before.event_count, "backendId": before.backend_id});
    audit(request, "events.delete", store_id, detail).await?;
    Ok(Answer::json(StatusCode::OK, json!({"storeId": store_id}).to_string(), seq))
}

pub(super) async fn reset(
    request: &EventsApiRequest,
    store_id: &str,
    body: Body,
) -> Result<Answer, ViewError> {
    let reason = confirmed(request, body, store_id).await?.reason.unwrap_or_default();
    let work = |sql: &NativeSql<'_>, row: &mut StoreRow, change: &IdentityChange<'_>| {
        live(row)?;
        admin::reset(sql, row, change)
    };
    replace(request, store_id, "events.reset", &reason, work).await
}

pub(super) async fn remint(
    request: &EventsApiRequest,
    store_id: &str,
    body: Body,
) -> Result<Answer, ViewError> {
    let reason = confirmed(request, body, store_id).await?.reason.unwrap_or_default();
    if reason.is_empty() {
        return Err(ViewError::bad_request("reason: say why, it is kept with the store"));
    }
    let work = |sql: &NativeSql<'_>, row: &mut StoreRow, change: &IdentityChange<'_>| {
        live(row)?;
        admin::remint(sql, row, change)
    };
    replace(request, store_id, "events.remint", &reason, work).await
}

pub(super) async fn resume(request: &EventsApiRequest, store_id: &str) -> Result<Answer, ViewError> {
    let work = |sql: &NativeSql<'_>, row: &mut StoreRow, _: &IdentityChange<'_>| {
        live(row)?;
        if row.state != StoreState::Hold && ahead::lowest(sql, &row.key.id)?.is_none() {
            return Err(Error::new(Reason::FailedPrecondition, NOT_HELD).into());
        }
        admin::resume(sql, row)
    };
    replace(request, store_id, "events.resume", "", work).await.map_err(|error| match error.message() {
        NOT_HELD => ViewError::conflict("not_on_hold", NOT_HELD),
        _ => error,
    })
}

const NOT_HELD: &str = "the store is not on hold";

fn live(row: &StoreRow) -> Result<(), Error> {
    if row.state == StoreState::Deleted { Err(not_found()) } else { Ok(()) }
}

async fn lookup(request: &EventsApiRequest, store_id: &str) -> Result<StoreRow, ViewError> {
    let id = store_id.to_owned();
    let row = request.context.database.read(move |sql| store::find(sql, &id)).await?;
    Ok(row.ok_or_else(not_found)?)
}

/// A change of a store that is open, told to the audit trail; all its connections end (EVT-45).
async fn replace<W>(
    request: &EventsApiRequest,
    store_id: &str,
    action: &'static str,
    reason: &str,
    work: W,
) -> Result<Answer, ViewError>
where
    W: FnOnce(&NativeSql<'_>, &mut StoreRow, &IdentityChange<'_>) -> ferry_sqlite::Result<()>
        + Send
        + 'static,
{
    let store = request.existing(store_id).await?;
    let before = lookup(request, store_id).await?;
    let (row, seq) = change(request, store_id, reason, work).await?;
    request.hub.services.events.clients.forget(request.context.database.id(), store_id);
    // What the hub remembers of the store would hold it again at its next opening.
    watermarks::save(&request.hub).await;
    let detail = json!({
        "oldId": before.backend_id, "newId": row.backend_id,
        "oldHead": before.head, "newHead": row.head, "reason": reason,
    });
    audit(request, action, store_id, detail).await?;
    Ok(Answer::json(StatusCode::OK, shown(&row, &[], Some(&store)).to_string(), seq))
}

/// Runs `work` on the store's row in a request of the writer, and publishes what the store is then.
async fn change<W>(
    request: &EventsApiRequest,
    store_id: &str,
    reason: &str,
    work: W,
) -> Result<(StoreRow, Option<Seq>), ViewError>
where
    W: FnOnce(&NativeSql<'_>, &mut StoreRow, &IdentityChange<'_>) -> ferry_sqlite::Result<()>
        + Send
        + 'static,
{
    let (id, reason, new_id) = (store_id.to_owned(), reason.to_owned(), new_backend_id()?);
    let (actor, now) = (request.context.auth.principal(), request.hub.clock.now().to_string());
    let committed = request
        .context
        .database
        .submit(&request.context.requester, move |transaction| {
            let sql = transaction.sql();
            let mut row = store::find(&sql, &id)?.ok_or_else(not_found)?;
            let commit_seq = transaction.seq().0;
            let change =
                IdentityChange { commit_seq, new_id: &new_id, actor: &actor, reason: &reason, at: &now };
            work(&sql, &mut row, &change)?;
            transaction.effect(Effect::Events(Publication::replaced(row.clone())));
            Ok(row)
        })
        .await?;
    // A long log is removed in steps; and the hook is told of a store that serves again.
    maintain(&request.hub, &request.context.database);
    if let Some(store) = request.context.database.models().events.get(store_id) {
        deliver(&request.hub, &request.context.database, &store);
    }
    Ok((committed.value, committed.seq))
}

pub(super) async fn audit(
    request: &EventsApiRequest,
    action: &'static str,
    store_id: &str,
    detail: Value,
) -> Result<(), ViewError> {
    Ok(ferry_control::AuditAction {
        auth: &request.context.auth,
        origin: request.context.requester.origin.clone(),
        action,
        target: store_id,
        detail,
    }
    .run(&request.hub.control.db)
    .await?)
}
