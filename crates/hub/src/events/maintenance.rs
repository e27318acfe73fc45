//! Brings the event tables of a database up to date, step by step, while they are read and written
//! (`ferry_core::events::maintenance`).

use std::{sync::Arc, time::Duration};

use ferry_core::events::maintenance::{MaintenanceProgress, step};
use ferry_sqlite::fault;
use ferry_types::Result;

use crate::{database::Database, hub::Hub};
use ferry_control::Requester;

/// Between two steps, so that others have the writer and the processor too.
const PAUSE: Duration = Duration::from_millis(5);

/// Begins it, unless it goes on already. What is left when the hub stops is done at the next opening.
pub(super) fn maintain(hub: &Hub, database: &Arc<Database>) {
    if !database.models().events.begin_maintenance() {
        return;
    }
    let (stopping, closed) = (hub.stopping.clone(), database.closed().clone());
    let database = Arc::clone(database);
    hub.tasks.spawn(async move {
        let outcome = tokio::select! {
            biased;
            () = stopping.cancelled() => Ok(()),
            () = closed.cancelled() => Ok(()),
            outcome = run(&database) => outcome,
        };
        database.models().events.end_maintenance();
        if let Err(error) = outcome {
            tracing::warn!(
                database = %database.id(), %error,
                "event tables cannot be brought up to date now: it is tried again when the next store is opened"
            );
        }
    });
}

async fn run(database: &Database) -> Result<()> {
    let (by, mut progress) = (Requester::hub(), MaintenanceProgress::default());
    loop {
        let submitted = database.submit(&by, move |transaction| {
            let more = step(&transaction.sql(), &mut progress)?;
            fault::point("events.maintenance")?;
            Ok((more, progress))
        });
        let (more, next) = submitted.await?.value;
        if !more {
            database.models().events.set_up_to_date(true);
            return Ok(());
        }
        progress = next;
        tokio::time::sleep(PAUSE).await;
    }
}
