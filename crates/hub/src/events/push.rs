//! The way of a push behind the machine's own checks: rate, then the writer (EVT-11).

use std::sync::Arc;

use ferry_core::events::{
    AppendOutcome, Bucket, FirstEvent, Log as _, Position, StoreState,
    append::{check_backend, check_head, renumber},
};
use ferry_protocol::events::{ErrorCode, Event, Hook, HookContext, LogCursor, PushCall, RpcError};
use tokio::time::Duration;

use super::{
    commit::{self, Outcome, Receipt, Wanted},
    hold,
    hooks::{self, Asking},
    now_ms, refusal,
    store::Store,
};

use crate::{database::Database, hub::Hub};
use ferry_control::Requester;

/// Longest wait for a rate before the push is refused (EVT-55).
const RATE_WAIT_MAX_MS: u64 = 5_000;

/// Where pushes of a connection go.
#[derive(Clone)]
pub(super) struct Pusher {
    pub(super) hub: Arc<Hub>,
    pub(super) database: Arc<Database>,
    pub(super) store: Arc<Store>,
    pub(super) requester: Arc<Requester>,
    /// `ws`, `http` or `v1`, for hooks.
    pub(super) transport: &'static str,
}

/// What became of a push that was not refused.
pub(super) enum AppendEnd {
    /// It is in the log.
    Appended(Receipt),
    /// It was answered so before.
    Answered(Box<str>),
    /// Its key was used for another request.
    KeyReused,
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
    /// Appends what a LiveStore client pushed. `wait_ms`: what the connection's own rate asks.
    pub(super) async fn run(self, call: PushCall, wait_ms: u64) -> Result<(), RpcError> {
        let wanted = Wanted {
            own: call.batch.len(),
            batch: call.batch,
            at_head: false,
            backend_id: call.backend_id,
            keyed: None,
            principal: Arc::clone(&self.requester.principal),
        };
        self.push(wanted, wait_ms).await.map(drop)
    }

    /// Waits for the rates, asks the hook, appends (EVT-11).
    pub(super) async fn push(&self, wanted: Wanted, wait_ms: u64) -> Result<AppendEnd, RpcError> {
        let started = tokio::time::Instant::now();
        let first = FirstEvent::of(&wanted.batch);
        let outcome = self.decide(wanted, wait_ms).await;
        super::metric::push_seconds(started.elapsed());
        if let Some(first) = first {
            self.record(first, outcome.as_ref().err());
        }
        outcome
    }

    async fn decide(&self, wanted: Wanted, wait_ms: u64) -> Result<AppendEnd, RpcError> {
        self.wait_for_rates(&wanted.batch, wait_ms).await?;
        self.append(self.ask(wanted).await?).await
    }

    /// Notes how a push ended, for people who look for stuck clients.
    pub(super) fn record(&self, first: FirstEvent, outcome: Option<&RpcError>) {
        let now = self.hub.clock.now();
        self.hub.services.events.clients.pushed((self.database.id(), self.store.id()), first, outcome, now);
    }

    async fn wait_for_rates(&self, batch: &[Event], wait_ms: u64) -> Result<(), RpcError> {
        let config = &self.hub.config.events;
        let client_id = batch.first().map_or("", |event| &event.client_id);
        let events = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let rates = (config.store_rate, config.client_rate);
        let charged = self.store.charge(rates, client_id, events, now_ms(), RATE_WAIT_MAX_MS);
        let wait_ms = charged.map_err(too_fast)?.max(wait_ms);
        if wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
        Ok(())
    }

    /// Asks the hook, if there is one, about a batch that fits the log now; what it adds goes behind.
    async fn ask(&self, mut wanted: Wanted) -> Result<Wanted, RpcError> {
        let hooks = &self.hub.services.events.hooks;
        if !hooks.may_ask(Hook::OnPush, &self.database) {
            return Ok(wanted);
        }
        let Position { head, backend_id } = self.store.position();
        if wanted.at_head {
            renumber(&mut wanted.batch, head);
        }
        check_backend(wanted.backend_id.as_deref(), &backend_id)?;
        check_head(wanted.batch.first().map_or(head, |event| event.parent_seq_num), head)?;
        let database = self.database.id().to_string();
        let asked = self.asked(&database, &backend_id);
        let added = hooks.on_push(&self.asking(), &asked, &wanted.batch).await?;
        wanted.batch.extend(added);
        Ok(wanted)
    }

    /// Asks the hook, if there is one, whether the caller may read (EVT-59).
    pub(super) async fn may_pull(&self, cursor: Option<&LogCursor>, live: bool) -> Result<(), RpcError> {
        let hooks = &self.hub.services.events.hooks;
        if !hooks.may_ask(Hook::OnPull, &self.database) {
            return Ok(());
        }
        let (database, backend_id) = (self.database.id().to_string(), self.store.position().backend_id);
        let asked = self.asked(&database, &backend_id);
        hooks.on_pull(&self.asking(), &asked, (cursor, live), self.store.verdicts()).await
    }

    /// For whom, and where, hooks are asked.
    pub(super) fn asking(&self) -> Asking<'_> {
        Asking { hub: &self.hub, database: &self.database, by: &self.requester }
    }

    fn asked<'a>(&'a self, database: &'a str, backend_id: &'a str) -> HookContext<'a> {
        let (store, principal) = (self.store.id(), &*self.requester.principal);
        HookContext { database, store, principal, transport: self.transport, backend_id }
    }

    async fn append(&self, wanted: Wanted) -> Result<AppendEnd, RpcError> {
        let count = wanted.batch.len() as u64;
        let outcome = commit::append(&self.hub, &self.database, (&self.store, &self.requester), wanted).await;
        match outcome.map_err(|error| refusal::rpc_error(&error))? {
            Outcome::Answered(text) => Ok(AppendEnd::Answered(text)),
            Outcome::KeyReused => Ok(AppendEnd::KeyReused),
            Outcome::Decided(AppendOutcome::Appended(_), receipt) => {
                super::metric::appended(count);
                hooks::deliver(&self.hub, &self.database, &self.store);
                Ok(AppendEnd::Appended(receipt.expect("BUG: what is appended has a receipt")))
            }
            Outcome::Decided(AppendOutcome::Refused(error), _) => Err(error),
            Outcome::Decided(AppendOutcome::Unserved(StoreState::Hold), _) => {
                Err(refusal::rpc_error(&refusal::on_hold()))
            }
            Outcome::Decided(AppendOutcome::Held(row), _) => {
                hold::report(&self.database, &self.store, row.head);
                Err(refusal::rpc_error(&refusal::on_hold()))
            }
            Outcome::Decided(AppendOutcome::Unserved(_), _) => {
                Err(RpcError::new(ErrorCode::StoreNotFound, "store not found"))
            }
        }
    }
}
