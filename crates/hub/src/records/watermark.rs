//! What the hub remembers of records outside their file, so that an older file is noticed (REC-44).

use std::sync::Arc;

use ferry_core::{events::Watermark, records::maintenance::begin_epoch};
use ferry_types::{DatabaseId, Error, Model, Result, Seq};

use super::{owners, storage};

use crate::{database::Database, hub::Hub};
use ferry_control::Requester;

/// In place of a store: all records of a database.
const WHOLE: &str = "";

/// Compares the file with what is remembered of it, once. One that is older was put back and has lost acknowledged
/// writes: it begins a new epoch, in which devices send again what they wrote. True for the caller who compared them.
///
/// # Errors
/// What the control plane or storage reports.
pub(super) async fn compare(hub: &Hub, database: &Arc<Database>) -> Result<bool> {
    let mut is_first = false;
    let compared = &mut is_first;
    let begin = || async move {
        owners::migrate(hub, database).await?;
        begin_anew_if_older(hub, database).await?;
        *compared = true;
        Ok::<(), Error>(())
    };
    database.models().records.compared.get_or_try_init(begin).await?;
    Ok(is_first)
}

async fn begin_anew_if_older(hub: &Hub, database: &Arc<Database>) -> Result<()> {
    let Some(mark) = hub.control.watermarks.get(database.id(), Model::Records, WHOLE).await? else {
        return Ok(());
    };
    // Without records there is no epoch either: the next one made is a new one.
    let Some(seq) = storage::seq(database).await? else { return Ok(()) };
    if i64::try_from(seq.0).unwrap_or(i64::MAX) >= mark.head {
        return Ok(());
    }
    tracing::warn!(
        database = %database.id(), file = seq.0, remembered = mark.head,
        "the file is older than what was acknowledged: records begin a new epoch"
    );
    let (epoch, now) = (storage::new_epoch()?, hub.clock.now().into());
    let by = Requester::hub();
    let begun = storage::submit(database, &by, move |store, _| begin_epoch(store, &epoch, now)).await?;
    if let Some(seq) = begun.seq {
        database.models().records.reached(seq);
    }
    save(hub).await;
    Ok(())
}

/// Brings the control plane up to date with every database in use, in one commit; does nothing if nothing changed.
pub(super) async fn save(hub: &Hub) {
    let all = hub.databases.all();
    let changed: Vec<(Arc<Database>, Seq)> = all
        .into_iter()
        .filter_map(|database| database.models().records.unsaved().map(|seq| (database, seq)))
        .collect();
    if changed.is_empty() {
        return;
    }
    let rows: Vec<(DatabaseId, String, Watermark)> = changed
        .iter()
        .map(|(database, seq)| {
            let head = i64::try_from(seq.0).unwrap_or(i64::MAX);
            (database.id(), WHOLE.to_owned(), Watermark { backend_id: String::new().into(), head })
        })
        .collect();
    match hub.control.watermarks.save(Model::Records, rows).await {
        Ok(()) => changed.iter().for_each(|(database, seq)| database.models().records.saved(*seq)),
        Err(error) => tracing::warn!(%error, "the positions of records could not be saved"),
    }
}
