//! Devices of an owner, and the end of devices and owners.

use std::sync::Arc;

use axum::response::Response;
use ferry_core::records::{DeviceShown, RecordMaintenance as _, RecordQueries as _, RecordStore as _};
use ferry_protocol::records::{check_name, ferry::RecordsCursor};
use ferry_sqlite::fault;
use ferry_types::{Error, Reason, Result};
use serde_json::json;

use super::{
    super::{owners, storage},
    ApiRequest, answer,
};

/// `GET /devices`.
pub(super) async fn list(request: &ApiRequest<'_>) -> Result<Response> {
    let owner = Arc::clone(&request.entry.owner);
    let found = storage::read(&request.entry.context.database, move |store| {
        Ok((store.devices(&owner)?, store.owner(&owner)?, store.seq()?))
    });
    let (devices, owner, seq) = found.await?.unwrap_or_default();
    let devices: Vec<_> = devices
        .into_iter()
        .map(|DeviceShown { client, app, coll, cursor }| {
            let lag_ms = (owner.last_cts.0.saturating_sub(cursor.delivered.0)).max(0) / 1_000_000;
            json!({
                "client": client,
                "app": app,
                "collection": Some(coll).filter(|coll| !coll.is_empty()),
                "lastSeen": cursor.seen.text(),
                "delivered": RecordsCursor::complete(cursor.delivered, None).to_string(),
                "lagMs": if cursor.delivered.0 == 0 { None } else { Some(lag_ms) },
                "beyondHorizon": cursor.delivered < owner.horizon,
            })
        })
        .collect();
    Ok(answer::json(format!("{}\n", json!({ "devices": devices })), Some(seq)))
}

/// `DELETE /devices/{client}`.
pub(super) async fn forget(request: &ApiRequest<'_>, client: &str) -> Result<Response> {
    check_name(client, "client id")?;
    let (owner, client) = (Arc::clone(&request.entry.owner), client.to_owned());
    let committed =
        storage::write(request.hub, &request.entry, move |store, _| store.remove_device(&owner, &client));
    let committed = committed.await?;
    if !committed.value {
        return Err(Error::new(Reason::NotFound, "device not found"));
    }
    Ok(answer::json("{\"deleted\":true}\n", committed.seq))
}

/// `DELETE /owners/{owner}`: its records, history, devices and conflicts in one commit; its streams end (REC-43).
pub(super) async fn forget_owner(request: &ApiRequest<'_>, owner: &str) -> Result<Response> {
    let owner = owners::named(&request.entry, owner, false).await?;
    let committed = storage::write(request.hub, &request.entry, move |store, published| {
        let was_there = store.remove_owner(&owner)?;
        fault::point("records.owner_removed")?;
        if was_there {
            published.owner_removed(owner);
        }
        Ok(was_there)
    });
    let committed = committed.await?;
    if !committed.value {
        return Err(Error::new(Reason::NotFound, "this owner has no records"));
    }
    // Collections that were its alone are no more.
    let database = Arc::clone(&request.entry.context.database);
    request.hub.tasks.spawn(async move { storage::make_views(&database).await });
    Ok(answer::json("{\"deleted\":true}\n", committed.seq))
}
