//! Appending as a request of the database's writer, and what it publishes.

use std::sync::Arc;

use ferry_core::events::{
    Append, AppendOutcome, Appended, Log as _, StoreRow, append as append_batch,
    append::renumber,
    idempotency::{self, Keyed, Known},
};
use ferry_protocol::events::Event;
use ferry_sqlite::{Transaction, fault};
use ferry_types::{Result, Seq, UnixMillis};
use serde_json::json;

use super::store::Store;

use crate::{
    database::{Database, Effect},
    hub::Hub,
};
use ferry_control::Requester;

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
    Appended {
        batch: Vec<Event>,
        created_at: Arc<str>,
        commit_seq: u64,
    },
    Replaced(StoreRow),
    /// It was made, or found to be as it is; and whether clients may hold events that its log lost.
    Opened(StoreRow, bool),
}

impl Publication {
    /// A batch was appended.
    #[must_use]
    pub fn appended(store_id: &str, batch: Vec<Event>, created_at: &str, commit_seq: u64) -> Self {
        let head = batch.last().map_or(0, |event| event.seq_num);
        let created_at = created_at.into();
        Self { store_id: store_id.into(), head, change: Change::Appended { batch, created_at, commit_seq } }
    }

    /// The store has another identity, position or state: its connections are closed (EVT-45).
    #[must_use]
    pub fn replaced(row: StoreRow) -> Self {
        Self { store_id: (*row.key.id).into(), head: row.head, change: Change::Replaced(row) }
    }

    /// A store was made, or changed by being opened: from this commit on others find it.
    #[must_use]
    pub fn opened(row: StoreRow, is_suspect: bool) -> Self {
        Self { store_id: (*row.key.id).into(), head: row.head, change: Change::Opened(row, is_suspect) }
    }

    /// The store that this commit opens.
    pub(super) fn opens(&self) -> Option<Store> {
        match &self.change {
            Change::Opened(row, is_suspect) => Some(Store::new(row, *is_suspect, None)),
            _ => None,
        }
    }

    pub(super) fn apply(self, store: &Store) {
        match self.change {
            Change::Opened(..) => {}
            Change::Appended { batch, created_at, commit_seq } => {
                store.appended(batch, &created_at, commit_seq);
            }
            Change::Replaced(row) => store.replaced(&row),
        }
    }
}

/// Events to append.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The events; they kept `check_batch`, and there is one at least.
    pub batch: Vec<Event>,
    /// How many of them are the caller's own; a hook added the rest.
    pub own: usize,
    /// Give them the numbers behind the newest event, whatever it is, instead of their own.
    pub at_head: bool,
    /// The store's identity as the client knows it.
    pub backend_id: Option<Box<str>>,
    /// A request that must not append twice (EVT-12).
    pub keyed: Option<Keyed>,
    /// Who appends.
    pub principal: Arc<str>,
}

/// What became of [`Wanted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The engine decided, and here is what it tells if that was to append.
    Decided(AppendOutcome, Option<Receipt>),
    /// The same request was answered so before.
    Answered(Box<str>),
    /// The key was used for another request.
    KeyReused,
}

/// What the caller of an append learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Numbers of the caller's first and last event.
    pub numbers: (i64, i64),
    /// The newest event's number.
    pub head: i64,
    /// The store's identity.
    pub backend_id: Arc<str>,
    /// When they were committed.
    pub created_at: Box<str>,
    /// The commit.
    pub seq: Seq,
}

impl Receipt {
    fn of(batch: &[Event], own: usize, appended: &Appended, store: &Store, seq: u64) -> Self {
        let number = |place: usize| batch.get(place).map_or(appended.head, |event| event.seq_num);
        Self {
            numbers: (number(0), number(own.saturating_sub(1))),
            head: appended.head,
            backend_id: store.position().backend_id,
            created_at: appended.created_at.clone(),
            seq: Seq(seq),
        }
    }

    /// The answer to `POST …/events`.
    pub(super) fn to_json(&self) -> String {
        json!({
            "firstSeqNum": self.numbers.0,
            "lastSeqNum": self.numbers.1,
            "head": self.head,
            "backendId": *self.backend_id,
            "createdAt": self.created_at,
            "seq": self.seq.0,
        })
        .to_string()
    }
}

/// Appends `wanted` in the request that `transaction` is of.
///
/// # Errors
/// A failure of storage.
pub(crate) fn append_in(
    transaction: &mut Transaction<'_, Effect>,
    store: &Store,
    wanted: Wanted,
    at: UnixMillis,
) -> ferry_sqlite::Result<Outcome> {
    let Wanted { mut batch, own, at_head, backend_id, keyed, principal } = wanted;
    let now = at.to_string();
    let commit_seq = transaction.seq().0;
    let sql = transaction.sql();
    if let Some(keyed) = &keyed {
        // Again, here, where two equal requests come one after the other.
        match idempotency::find(&sql, store.id(), keyed, &now)? {
            Known::New => {}
            Known::Answered(text) => return Ok(Outcome::Answered(text)),
            Known::Reused => return Ok(Outcome::KeyReused),
        }
    }
    if at_head && let Some(head) = ferry_core::events::append::head(&sql, store.id())? {
        renumber(&mut batch, head);
    }
    let append = Append {
        store_id: store.id(),
        backend_id: backend_id.as_deref(),
        now: &now,
        commit_seq,
        principal: &principal,
        is_suspect: store.is_suspect(),
    };
    let outcome = append_batch(&sql, &append, &batch)?;
    if let AppendOutcome::Held(row) = &outcome {
        transaction.effect(Effect::Events(Publication::replaced(row.clone())));
        return Ok(Outcome::Decided(outcome, None));
    }
    let AppendOutcome::Appended(appended) = &outcome else {
        return Ok(Outcome::Decided(outcome, None));
    };
    let receipt = Receipt::of(&batch, own, appended, store, commit_seq);
    if let Some(keyed) = &keyed {
        let until = UnixMillis(at.0 + idempotency::KEEP_MS).to_string();
        idempotency::remember(&sql, store.id(), keyed, &receipt.to_json(), (&now, &until))?;
    }
    let publication = Publication::appended(store.id(), batch, &appended.created_at, commit_seq);
    transaction.effect(Effect::Events(publication));
    fault::point("events.append")?;
    Ok(Outcome::Decided(outcome, Some(receipt)))
}

/// Appends `wanted` in the next group and returns once it is on disk and published.
///
/// # Errors
/// What the actor refuses, or a failure of storage; the log is unchanged then.
pub async fn append(
    hub: &Hub,
    database: &Database,
    (store, by): (&Arc<Store>, &Requester),
    wanted: Wanted,
) -> Result<Outcome> {
    let (clock, store) = (Arc::clone(&hub.clock), Arc::clone(store));
    let committed = database
        .submit_beside(by, move |transaction| append_in(transaction, &store, wanted, clock.now()))
        .await?;
    // On disk and published, and nobody has been told.
    fault::point("events.committed").map_err(ferry_sqlite::Error::into_refusal)?;
    Ok(committed.value)
}
