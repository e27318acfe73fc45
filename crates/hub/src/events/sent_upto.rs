//! How far a connection has come in its log, for whoever looks at it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use super::store::Store;
use crate::connections::{ConnectionPosition, OpenConnection};

/// What is counted for a connection that pulls nothing.
const NOTHING: i64 = -1;

/// The last event that a connection was sent.
pub(super) struct SentUpto(Arc<AtomicI64>);

impl SentUpto {
    /// That of a connection to `store`, which shows it from now on; it has been sent nothing yet.
    pub(super) fn shown_by(connection: &OpenConnection, store: &Arc<Store>) -> Self {
        let sent_upto = Arc::new(AtomicI64::new(NOTHING));
        let (shown, store) = (Arc::clone(&sent_upto), Arc::downgrade(store));
        connection.follows(move || {
            // Below zero there is nothing to be behind with.
            let cursor = u64::try_from(shown.load(Ordering::Relaxed)).ok()?;
            let head = u64::try_from(store.upgrade()?.head()).ok()?;
            Some(ConnectionPosition { cursor, head, unit: "events" })
        });
        Self(sent_upto)
    }

    /// It has been sent everything up to this event; `None`: it pulls nothing.
    pub(super) fn reached(&self, seq_num: Option<i64>) {
        self.0.store(seq_num.unwrap_or(NOTHING), Ordering::Relaxed);
    }
}
