//! The way of a push behind the machine's own checks: rate, then the writer (EVT-11).

use std::sync::Arc;

use ferry_core::events::{AppendOutcome, Bucket, StoreState};
use ferry_protocol::events::{ErrorCode, PushCall, RpcError};
use tokio::time::Duration;

use super::{
    commit::{self, Wanted},
    now_ms, refusal,
    store::Store,
};
use crate::{database::Database, hub::Hub};

/// Longest wait for a rate before the push is refused (EVT-55).
const RATE_WAIT_MAX_MS: u64 = 5_000;

/// Where pushes of a connection go.
#[derive(Clone)]
pub(super) struct Pusher {
    pub(super) hub: Arc<Hub>,
    pub(super) database: Arc<Database>,
    pub(super) store: Arc<Store>,
    pub(super) principal: Arc<str>,
}

/// Takes a push from the connection's own rate: how long it must wait.
pub(super) fn charge_connection(bucket: &mut Option<Bucket>) -> Result<u64, RpcError> {
    let Some(bucket) = bucket else { return Ok(0) };
    bucket.take(1, now_ms(), RATE_WAIT_MAX_MS).map_err(too_fast)
}

fn too_fast(retry_after_ms: u64) -> RpcError {
    metrics::counter!("ferry_rate_limited_total", "bucket" => "events").increment(1);
    RpcError::Unknown {
        code: ErrorCode::RateLimited,
        message: "too many events at once: send them later".into(),
        retry_after_ms: Some(retry_after_ms),
    }
}

impl Pusher {
    /// Waits for the rates and appends. `wait_ms`: what the connection's own rate asks.
    pub(super) async fn run(self, call: PushCall, wait_ms: u64) -> Result<(), RpcError> {
        let started = tokio::time::Instant::now();
        self.wait_for_rates(&call, wait_ms).await?;
        let outcome = self.append(call).await;
        super::metric::push_seconds(started.elapsed());
        outcome
    }

    async fn wait_for_rates(&self, call: &PushCall, wait_ms: u64) -> Result<(), RpcError> {
        let config = &self.hub.config.events;
        let client_id = call.batch.first().map_or("", |event| &event.client_id);
        let events = u32::try_from(call.batch.len()).unwrap_or(u32::MAX);
        let rates = (config.store_rate, config.client_rate);
        let charged = self.store.charge(rates, client_id, events, now_ms(), RATE_WAIT_MAX_MS);
        let wait_ms = charged.map_err(too_fast)?.max(wait_ms);
        if wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
        Ok(())
    }

    async fn append(self, call: PushCall) -> Result<(), RpcError> {
        let count = call.batch.len() as u64;
        let wanted = Wanted {
            batch: call.batch,
            at_head: false,
            backend_id: call.backend_id,
            principal: self.principal,
        };
        let committed = commit::append(&self.hub, &self.database, &self.store, wanted).await;
        match committed.map_err(|error| refusal::rpc_error(&error))?.value {
            AppendOutcome::Appended(_) => {
                super::metric::appended(count);
                Ok(())
            }
            AppendOutcome::Refused(error) => Err(error),
            AppendOutcome::Unserved(StoreState::Hold) => Err(refusal::rpc_error(&refusal::on_hold())),
            AppendOutcome::Unserved(_) => Err(RpcError::new(ErrorCode::StoreNotFound, "store not found")),
        }
    }
}
