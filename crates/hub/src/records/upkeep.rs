//! What the hub does to records on its own.

use std::sync::{Arc, atomic::Ordering};

use ferry_core::records::upkeep;
use ferry_store::NativeSql;

use super::news::Publication;
use crate::{
    database::{Database, Effect},
    hub::Hub,
};

/// Under which name the hub itself writes.
const HUB_CLIENT: &str = "ferry-hub";

/// Gives up waiting for inserts, purges and forgets what is due, in every open database that holds records.
pub async fn sweep(hub: &Hub) {
    for database in hub.databases.all() {
        if database.records().has_tables.load(Ordering::Acquire)
            && let Err(error) = run(hub, &database).await
        {
            tracing::warn!(database = %database.id(), %error, "the upkeep of records failed; it is tried again");
        }
    }
}

async fn run(hub: &Hub, database: &Arc<Database>) -> ferry_types::Result<()> {
    let (now, keep) = (hub.clock.now().into(), hub.config.records.keep);
    database
        .submit(move |transaction| {
            let touched = upkeep::run(&NativeSql(transaction.connection()), now, keep)?;
            for (owner, app, coll) in touched {
                transaction.effect(Effect::Records(Publication {
                    owner: owner.into(),
                    app: app.into(),
                    collections: vec![coll],
                    client: HUB_CLIENT.into(),
                }));
            }
            Ok(())
        })
        .await?;
    Ok(())
}
