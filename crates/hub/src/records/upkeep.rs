//! What the hub does to records on its own.

use std::sync::{Arc, atomic::Ordering};

use ferry_core::records::{intents, upkeep};
use ferry_store::{NativeSql, Transaction};

use super::{news::Publication, storage, watermark};
use crate::{
    control::Requester,
    database::{Database, Effect},
    hub::Hub,
};

/// Under which name the hub itself writes.
const HUB_CLIENT: &str = "ferry-hub";

/// Does what is due in every open database.
pub async fn sweep(hub: &Arc<Hub>) {
    for database in hub.databases.all() {
        // Tables of an earlier program are brought up to date first.
        if let Err(error) = watermark::compare(hub, &database).await {
            tracing::warn!(database = %database.id(), %error, "records could not be looked at");
            continue;
        }
        tend(hub, &database).await;
    }
}

/// Gives up waiting for inserts, applies what SQL wrote to the views while nobody was there to apply it, purges and
/// forgets what is due, if the database holds records.
pub(super) async fn tend(hub: &Hub, database: &Arc<Database>) {
    if let Err(error) = run(hub, database).await {
        tracing::warn!(database = %database.id(), %error, "the upkeep of records failed; it is tried again");
    }
}

async fn run(hub: &Hub, database: &Arc<Database>) -> ferry_types::Result<()> {
    let has_tables = &database.records().has_tables;
    if !has_tables.load(Ordering::Acquire) {
        if storage::read(database, |_| Ok(())).await?.is_none() {
            return Ok(());
        }
        has_tables.store(true, Ordering::Release);
    }
    let (now, keep) = (hub.clock.now().into(), hub.config.records.keep);
    // Two requests: what SQL wrote may be refused.
    let by = Requester::hub();
    let drained = storage::commit(hub, database, &by, move |transaction| {
        tell(transaction, |sql| intents::drain(sql, now))
    });
    let drained = drained.await;
    storage::commit(hub, database, &by, move |transaction| {
        tell(transaction, |sql| upkeep::run(sql, now, keep))
    })
    .await?;
    drained.map(drop)
}

/// Publishes the collections that `work` touched.
fn tell(
    transaction: &mut Transaction<'_, Effect>,
    work: impl FnOnce(&NativeSql<'_>) -> ferry_store::Result<Vec<intents::Touched>>,
) -> ferry_store::Result<()> {
    for (owner, app, coll) in work(&NativeSql(transaction.connection()))? {
        transaction.effect(Effect::Records(Publication {
            owner: owner.into(),
            app: app.into(),
            collections: vec![coll],
            client: HUB_CLIENT.into(),
        }));
    }
    Ok(())
}
