//! What the hub remembers of each store outside its file, so that an older file is noticed (EVT-43).

use std::sync::Arc;

use ferry_core::events::Watermark;
use ferry_types::{DatabaseId, Model};

use super::store::Store;
use crate::hub::Hub;

/// Brings the control plane up to date with every open store, in one commit; does nothing if nothing changed.
pub(super) async fn save(hub: &Hub) {
    let mut changed: Vec<(DatabaseId, Arc<Store>, Watermark)> = Vec::new();
    for database in hub.databases.all() {
        for store in database.models().events.all() {
            if let Some(watermark) = store.unsaved() {
                changed.push((database.id(), store, watermark));
            }
        }
    }
    if changed.is_empty() {
        return;
    }
    let rows = changed.iter().map(|(id, store, mark)| (*id, store.id().to_owned(), mark.clone())).collect();
    match hub.control.watermarks.save(Model::Events, rows).await {
        Ok(()) => changed.into_iter().for_each(|(_, store, watermark)| store.saved(watermark)),
        Err(error) => tracing::warn!(%error, "the positions of event stores could not be saved"),
    }
}
