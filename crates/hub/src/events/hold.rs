//! Telling the operator of a store that is put on hold.

use super::store::Store;
use crate::database::Database;

/// Clients hold what the store has lost.
pub(super) fn report(database: &Database, store: &Store, head: i64) {
    metrics::counter!("ferry_events_holds_total").increment(1);
    tracing::error!(
        database = %database.id(), store = ?store.id(), head,
        "an event store is on hold: clients hold events that it has lost; end that by `ferry events remint` or `resume`"
    );
}
