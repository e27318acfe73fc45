//! What lies in quarantine and what is in conflict, for the metrics (OPS-54): of the databases that were used since the
//! hub was started.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use ferry_core::ops::{conflict, quarantine};
use ferry_protocol::ops::OpCode;
use ferry_types::DatabaseId;

use super::storage;
use crate::{database::Database, hub::Hub};

/// Of each database that has any.
#[derive(Default)]
pub(super) struct OpsCounts(Mutex<HashMap<DatabaseId, Counted>>);

/// Of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counted {
    quarantined: Vec<(OpCode, u64)>,
    conflicts_open: u64,
}

impl OpsCounts {
    /// Whether the database had any when it was counted last.
    pub(super) fn has(&self, database: DatabaseId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&database)
    }

    fn set(&self, database: DatabaseId, counted: Counted) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted == Counted::default() {
            all.remove(&database);
        } else {
            all.insert(database, counted);
        }
    }

    /// Sets the gauges to what all have together.
    pub(super) fn set_gauges(&self) {
        let mut quarantined: BTreeMap<&'static str, u64> = [
            OpCode::ClockAhead,
            OpCode::BeforeHorizon,
            OpCode::Unreadable,
            OpCode::Invalid,
            OpCode::TooLarge,
        ]
        .into_iter()
        .map(|code| (code.as_str(), 0))
        .collect();
        let mut conflicts_open = 0;
        for counted in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            for (code, count) in &counted.quarantined {
                *quarantined.entry(code.as_str()).or_default() += count;
            }
            conflicts_open += counted.conflicts_open;
        }
        for (code, count) in quarantined {
            metrics::gauge!("ferry_ops_quarantined", "code" => code).set(count as f64);
        }
        metrics::gauge!("ferry_ops_conflicts_open").set(conflicts_open as f64);
    }
}

/// Counts again in a database.
pub(super) async fn count(hub: &Hub, database: &Arc<Database>) {
    // Before looking, so that what changes meanwhile is counted the next time.
    database.models().ops.is_uncounted.store(false, Ordering::Release);
    let counted = storage::read(database, |sql| {
        Ok(Counted { quarantined: quarantine::counts(sql)?, conflicts_open: conflict::open_count(sql)? })
    });
    match counted.await {
        Ok(counted) => hub.services.ops.counts.set(database.id(), counted.unwrap_or_default()),
        Err(error) => {
            tracing::debug!(database = %database.id(), %error, "quarantine and conflicts were not counted");
        }
    }
}

/// Counts again where something may have changed.
pub(super) async fn count_changed(hub: &Hub) {
    for database in hub.databases.all() {
        if database.models().ops.is_uncounted.load(Ordering::Acquire) {
            count(hub, &database).await;
        }
    }
}
