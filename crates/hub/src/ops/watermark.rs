//! What the hub remembers of logs outside their files, so that an older file is noticed (OPS-31).

use std::sync::Arc;

use ferry_core::{
    events::Watermark,
    ops::{epoch::begin_epoch, meta},
};
use ferry_protocol::ops::EpochPolicy;
use ferry_types::{DatabaseId, Error, Model, Result};

use super::{
    log::LogPosition,
    storage::{self, LogOutcome},
};
use crate::{database::Database, hub::Hub};
use ferry_control::Requester;

/// In place of a store: the log of a database.
const WHOLE: &str = "";

/// Compares the file with what is remembered of it, once. One that is older, or another, was put back and may lack
/// acknowledged ops: it begins a new epoch, in which spokes send again what they hold. True for the caller who compared.
///
/// # Errors
/// What the control plane or storage reports.
pub(super) async fn compare(hub: &Hub, database: &Arc<Database>) -> Result<bool> {
    let mut is_first = false;
    let compared = &mut is_first;
    let begin = || async move {
        look(hub, database).await?;
        *compared = true;
        Ok::<(), Error>(())
    };
    database.models().ops.compared.get_or_try_init(begin).await?;
    Ok(is_first)
}

async fn look(hub: &Hub, database: &Arc<Database>) -> Result<()> {
    // Without a log there is no epoch either: the next one made is a new one.
    let Some(Some(log)) = storage::read(database, |sql| meta::read(sql)).await? else { return Ok(()) };
    let state = &database.models().ops;
    let found = LogPosition::new(&log.hub_id, &log.epoch, log.head);
    state.found(found.clone());
    let Some(known) = hub.control.watermarks.get(database.id(), Model::Ops, WHOLE).await? else {
        return Ok(());
    };
    if known == found.watermark() {
        state.saved(found);
        return Ok(());
    }
    if !found.is_older_than(&known) {
        return Ok(());
    }
    tracing::warn!(
        database = %database.id(), file = log.head.0, remembered = known.head,
        "the file is not the one whose ops were acknowledged last: the log begins a new epoch, and spokes send again \
         what they hold"
    );
    begin_anew(hub, database, &Requester::hub(), EpochPolicy::Repush).await
}

/// Begins a new epoch, and tells the control plane at once: the file has it, and must not seem to be another one.
///
/// # Errors
/// What storage or the control plane reports.
pub(super) async fn begin_anew(
    hub: &Hub,
    database: &Arc<Database>,
    by: &Requester,
    policy: EpochPolicy,
) -> Result<()> {
    let epoch = storage::new_epoch()?;
    let begun = storage::write_existing(database, by, move |writer| {
        begin_epoch(&writer.sql, &epoch, policy)?;
        if let Some(log) = meta::read(&writer.sql)? {
            writer.begun(&log);
        }
        Ok(LogOutcome::Keep(()))
    });
    begun.await?;
    save(hub).await;
    Ok(())
}

/// Brings the control plane up to date with every log in use, in one commit; does nothing if nothing changed.
pub(super) async fn save(hub: &Hub) {
    let all = hub.databases.all();
    let changed: Vec<(Arc<Database>, LogPosition)> = all
        .into_iter()
        .filter_map(|database| database.models().ops.unsaved().map(|position| (database, position)))
        .collect();
    if changed.is_empty() {
        return;
    }
    let row = |(database, position): &(Arc<Database>, LogPosition)| {
        (database.id(), WHOLE.to_owned(), position.watermark())
    };
    let rows: Vec<(DatabaseId, String, Watermark)> = changed.iter().map(row).collect();
    match hub.control.watermarks.save(Model::Ops, rows).await {
        Ok(()) => {
            changed.into_iter().for_each(|(database, position)| database.models().ops.saved(position));
        }
        Err(error) => tracing::warn!(%error, "the positions of logs of ops could not be saved"),
    }
}
