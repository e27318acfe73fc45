//! A client that names an event which the hub does not have (EVT-25, EVT-47): counted, and where it proves that
//! acknowledged events are missing, written down before the client is answered.

use std::{sync::Arc, time::Duration};

use ferry_core::events::{
    Ahead, OnCursorAhead,
    ahead::{Evidence, Noted, note},
};
use ferry_types::{Model, Result};
use tokio::task::JoinHandle;

use super::{Publication, hold, metric, push::Pusher, store::Store};

use crate::{
    database::{Database, Effect},
    lineage::count_evidence,
};
use ferry_control::{ClientIp, Requester};

/// How long an answer waits for what it says to be written down; a Ping waits behind it (EVT-30).
const NOTE_WAIT_MAX: Duration = Duration::from_millis(500);

/// Whose a connection is, where it names no client.
pub(super) fn whose(principal: &str, address: ClientIp) -> String {
    format!("{principal} at {address}")
}

impl Pusher {
    /// Counts `ahead`, and begins to write it down if it is evidence.
    pub(super) fn ahead(&self, ahead: Ahead) -> Option<JoinHandle<()>> {
        if ahead.call == "pull" {
            self.store.count_cursor_ahead();
        }
        metric::cursor_ahead();
        let on_ahead = self.hub.config.events.on_cursor_ahead;
        if !ahead.is_evidence || on_ahead == OnCursorAhead::Refuse {
            return None;
        }
        // Before it is written: an append behind it, in the same group too, looks.
        self.store.set_suspect();
        let by = Arc::clone(&self.requester);
        let whose = || whose(&by.principal, by.origin.ip).into();
        let evidence = Evidence {
            device: ahead.client_id.unwrap_or_else(whose),
            at: ahead.at,
            call: ahead.call.into(),
            since: self.hub.clock.now().to_string().into(),
        };
        let (database, store) = (Arc::clone(&self.database), Arc::clone(&self.store));
        let holds = on_ahead == OnCursorAhead::Hold;
        Some(self.hub.tasks.spawn(async move {
            if let Err(error) = write(&database, (&store, &by), &ahead.backend_id, evidence, holds).await {
                tracing::warn!(database = %database.id(), %error, "what a client is ahead by cannot be written down");
            }
        }))
    }
}

/// Waits until it is written down, or has waited long enough.
pub(super) async fn settled(noting: JoinHandle<()>) {
    let _ = tokio::time::timeout(NOTE_WAIT_MAX, noting).await;
}

async fn write(
    database: &Database,
    (store, by): (&Arc<Store>, &Requester),
    backend_id: &str,
    evidence: Evidence,
    holds: bool,
) -> Result<()> {
    let (id, backend_id) = (store.id().to_owned(), backend_id.to_owned());
    let (device, at) = (evidence.device.clone(), evidence.at);
    let committed = database
        .submit(by, move |transaction| {
            let sql = transaction.sql();
            let noted = note(&sql, (&id, &backend_id), &evidence, holds)?;
            if let Noted::Held(row) = &noted {
                transaction.effect(Effect::Events(Publication::replaced(row.clone())));
            }
            Ok(noted)
        })
        .await?;
    if matches!(committed.value, Noted::New(_) | Noted::Held(_)) {
        count_evidence(Model::Events);
    }
    match committed.value {
        Noted::Nothing | Noted::Known => {}
        Noted::New(head) => tracing::warn!(
            database = %database.id(), store = ?store.id(), ?device, at, head, ahead_by = at - head,
            "a client holds acknowledged events that this hub has lost: the store goes on up to there, then it is held"
        ),
        Noted::Held(row) => {
            tracing::warn!(
                database = %database.id(), store = ?store.id(), ?device, at, head = row.head,
                ahead_by = at - row.head, "a client holds acknowledged events that this hub has lost"
            );
            hold::report(database, store, row.head);
        }
    }
    Ok(())
}
