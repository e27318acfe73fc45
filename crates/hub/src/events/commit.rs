//! Appending as a request of the database's writer, and what it publishes.

use std::sync::Arc;

use ferry_core::events::{Append, AppendOutcome, StoreRow, append as append_batch, append::renumber};
use ferry_protocol::events::Event;
use ferry_store::{NativeSql, fault};
use ferry_types::Result;

use super::store::Store;
use crate::{
    database::{Committed, Database, Effect},
    hub::Hub,
};

/// What a commit did to a store, for its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Which store.
    pub store_id: Arc<str>,
    /// Its newest event now.
    pub head: i64,
    change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    /// Told already.
    Told,
    Appended {
        batch: Vec<Event>,
        created_at: Arc<str>,
    },
    Replaced(StoreRow),
}

impl Publication {
    /// A batch was appended.
    #[must_use]
    pub fn appended(store_id: &str, batch: Vec<Event>, created_at: &str) -> Self {
        let head = batch.last().map_or(0, |event| event.seq_num);
        let created_at = created_at.into();
        Self { store_id: store_id.into(), head, change: Change::Appended { batch, created_at } }
    }

    /// The store has another identity, position or state: its connections are closed (EVT-45).
    #[must_use]
    pub fn replaced(row: StoreRow) -> Self {
        Self { store_id: (*row.store_id).into(), head: row.head, change: Change::Replaced(row) }
    }

    pub(super) fn apply(&mut self, store: &Store) {
        match std::mem::replace(&mut self.change, Change::Told) {
            Change::Told => {}
            Change::Appended { batch, created_at } => store.appended(batch, &created_at),
            Change::Replaced(row) => store.replaced(&row),
        }
    }

    pub(super) fn clear(&mut self) {
        self.change = Change::Told;
    }
}

/// Events to append.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The events; they kept `check_batch`, and there is one at least.
    pub batch: Vec<Event>,
    /// Give them the numbers behind the newest event, whatever it is, instead of their own.
    pub at_head: bool,
    /// The store's identity as the client knows it.
    pub backend_id: Option<Box<str>>,
    /// Who appends.
    pub principal: Arc<str>,
}

/// Appends `wanted` in the next group and returns once it is on disk and published.
///
/// # Errors
/// What the actor refuses, or a failure of storage; the log is unchanged then.
pub async fn append(
    hub: &Hub,
    database: &Database,
    store: &Arc<Store>,
    wanted: Wanted,
) -> Result<Committed<AppendOutcome>> {
    let (clock, store) = (Arc::clone(&hub.clock), Arc::clone(store));
    let committed = database
        .submit(move |transaction| {
            let Wanted { mut batch, at_head, backend_id, principal } = wanted;
            let now = clock.now().to_string();
            let commit_seq = transaction.seq().0;
            let sql = NativeSql(transaction.connection());
            if at_head && let Some(head) = ferry_core::events::append::head(&sql, store.id())? {
                renumber(&mut batch, head);
            }
            let append = Append {
                store_id: store.id(),
                table: store.table(),
                backend_id: backend_id.as_deref(),
                now: &now,
                commit_seq,
                principal: &principal,
            };
            let outcome = append_batch(&sql, &append, &batch)?;
            if let AppendOutcome::Appended(appended) = &outcome {
                let publication = Publication::appended(store.id(), batch, &appended.created_at);
                transaction.effect(Effect::Events(publication));
                fault::point("events.append")?;
            }
            Ok(outcome)
        })
        .await?;
    // On disk and published, and nobody has been told.
    fault::point("events.committed").map_err(ferry_store::Error::into_refusal)?;
    Ok(committed)
}
