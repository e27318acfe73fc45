//! What the hub does to the files of page sync on its own: old versions and staged pages that nobody came back for go
//! (PAG-03, PAG-49). Databases that are pushed to do it at every push.

use std::{fs, sync::Arc};

use ferry_sqlite::pages::expire_closed_stage;

use super::state::blocking;
use crate::hub::Hub;

/// Once an hour.
pub(super) async fn sweep(hub: &Arc<Hub>) {
    for database in hub.databases.all() {
        let Some(replica) = database.models().pages.open_replica() else { continue };
        let maintained = blocking(move || replica.maintain()).await;
        if let Err(error) = maintained {
            tracing::warn!(database = %database.id(), %error, "old pages were not dropped; it is tried again");
        }
    }
    let hub = Arc::clone(hub);
    let expired = tokio::task::spawn_blocking(move || expire_closed(&hub)).await;
    if expired.is_err() {
        tracing::error!("BUG: the sweep of staged pages panicked");
    }
}

/// Databases that nobody has open.
fn expire_closed(hub: &Hub) {
    let (now, hours) = (hub.clock.now(), hub.config.pages.files().stage_hours);
    let Ok(entries) = fs::read_dir(hub.config.process.data_dir.join("databases")) else { return };
    for dir in entries.flatten().map(|entry| entry.path()) {
        let id = dir.file_name().and_then(|name| name.to_str()?.parse().ok());
        if id.is_none_or(|id| hub.databases.held(id).is_some()) {
            continue;
        }
        if let Err(error) = expire_closed_stage(&dir, now, hours) {
            tracing::warn!(dir = %dir.display(), %error, "staged pages were not dropped; it is tried again");
        }
    }
}
