//! The calls of the socket (2.8 of the specification), over the daemon's own store.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ferry_core::ops::{
    self, Prefixes, Texts,
    spoke::{self, SpokeStep},
};
use ferry_protocol::ops::{
    AppendParams, Health, OpCode, OpProblem, RPC_LINE_MAX_BYTES, ResolveParams, RpcFault, RpcFaultData,
    RpcRequest, SYNC_NOW_TIMEOUT_MS, SpokeCall, SpokeErrorCode, SyncNowParams, SyncStatus, rpc_answer,
    rpc_code,
};
use ferry_sqlite::NativeSql;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    connection::{AnswerLine, Answering},
    environment::Environment,
    hub::{HubFailure, HubFailureKind},
    store::SpokeStore,
    sync::SpokeSync,
};

/// Longest that `sync.now` waits.
const SYNC_NOW_TIMEOUT_MAX: Duration = Duration::from_mins(10);

/// The result of a call, as JSON.
pub type CallOutcome = Result<Box<RawValue>, RpcFault>;
/// A call that is being answered.
pub type CallFuture<'a> = Pin<Box<dyn Future<Output = CallOutcome> + Send + 'a>>;

/// What does the calls: the daemon's store, or a hub.
pub trait SpokeCalls: Send + Sync + 'static {
    /// Does a call.
    fn call(&self, call: SpokeCall) -> CallFuture<'_>;
}

/// Answers lines by doing the calls that they ask for.
pub(super) struct CallLines(pub(super) Arc<dyn SpokeCalls>);

impl AnswerLine for CallLines {
    fn answer<'a>(&'a self, line: &'a [u8]) -> Answering<'a> {
        Box::pin(async move {
            let RpcRequest { id, call } = RpcRequest::read(line);
            let outcome = match call {
                Ok(call) => self.0.call(call).await,
                Err(fault) => Err(fault),
            };
            id.map(|id| rpc_answer(&id, &outcome))
        })
    }

    fn too_long(&self) -> String {
        let message = format!("a line may have {RPC_LINE_MAX_BYTES} bytes: send fewer ops at once");
        rpc_answer::<()>("null", &Err(RpcFault::new(rpc_code::INVALID_REQUEST, message)))
    }
}

/// `result` as the result of a call.
///
/// # Errors
/// Never: what a call gives is JSON.
pub fn call_result(result: &impl Serialize) -> CallOutcome {
    serde_json::value::to_raw_value(result)
        .map_err(|error| RpcFault::new(rpc_code::INTERNAL_ERROR, error.to_string()))
}

/// The daemon's own store, with or without a hub.
pub(super) struct StoreCalls {
    pub(super) store: Arc<SpokeStore>,
    pub(super) sync: Option<Arc<SpokeSync>>,
    pub(super) environment: Environment,
    pub(super) version: &'static str,
    /// Texts that this process edits (OPS-24).
    pub(super) texts: Arc<Mutex<Texts>>,
}

impl SpokeCalls for StoreCalls {
    fn call(&self, call: SpokeCall) -> CallFuture<'_> {
        Box::pin(async move {
            match call {
                SpokeCall::Health => self.health().await,
                SpokeCall::SyncNow(params) => self.sync_now(params).await,
                SpokeCall::SyncStatus => self.sync_status().await,
                SpokeCall::OpAppend(params) => self.append(params).await,
                SpokeCall::EntityGet(params) => {
                    let name = params.entity.clone();
                    let view = self.read(move |sql| ops::entity::get(sql, &params.entity)).await?;
                    let view = view.ok_or_else(|| {
                        RpcFault::refused(
                            SpokeErrorCode::NotFound,
                            format!("there is no such entity: {name}"),
                        )
                    })?;
                    call_result(&view)
                }
                SpokeCall::EntityList(params) => {
                    call_result(&self.read(move |sql| ops::entity::list(sql, &params, Prefixes(&[]))).await?)
                }
                SpokeCall::ConflictsList(params) => call_result(
                    &self.read(move |sql| ops::conflict::list(sql, &params, Prefixes(&[]))).await?,
                ),
                SpokeCall::ConflictsResolve(params) => self.resolve(params).await,
            }
        })
    }
}

impl StoreCalls {
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&NativeSql<'_>) -> ferry_sqlite::Result<T> + Send + 'static,
    ) -> Result<T, RpcFault> {
        self.store.read(work).await.map_err(fault)
    }

    async fn health(&self) -> CallOutcome {
        let origin = self.read(|sql| ops::meta::origin(sql)).await?;
        call_result(&Health {
            ok: true,
            version: self.version.to_owned(),
            mode: self.mode().to_owned(),
            origin: origin.map(|origin| origin.to_string()).unwrap_or_default(),
            pid: std::process::id(),
        })
    }

    const fn mode(&self) -> &'static str {
        if self.sync.is_some() { "spoke" } else { "local" }
    }

    async fn sync_now(&self, params: SyncNowParams) -> CallOutcome {
        let Some(sync) = &self.sync else {
            let message = "this spoke has no hub: start it with --hub-url URL to give it one";
            return Err(RpcFault::refused(SpokeErrorCode::NoHub, message));
        };
        if params.accept_hub.as_deref().is_some_and(|hub| !is_hub_id(hub)) {
            let message =
                "accept_hub is no hub's id, which has 32 hex digits: take the one that hub_foreign names";
            return Err(RpcFault::refused(SpokeErrorCode::Invalid, message));
        }
        let timeout = Duration::from_millis(params.timeout_ms.unwrap_or(SYNC_NOW_TIMEOUT_MS));
        let timeout = timeout.min(SYNC_NOW_TIMEOUT_MAX);
        match tokio::time::timeout(timeout, sync.now(params.accept_hub)).await {
            Ok(Ok(counts)) => call_result(&counts),
            Ok(Err(failure)) => Err(hub_fault(failure)),
            Err(_) => {
                let message = format!(
                    "the exchange has not ended within {} ms, and goes on: ask sync.status how it ends",
                    timeout.as_millis()
                );
                Err(RpcFault::refused(SpokeErrorCode::Timeout, message))
            }
        }
    }

    async fn sync_status(&self) -> CallOutcome {
        let (state, conflicts) =
            self.read(|sql| Ok((spoke::state(sql)?, ops::conflict::open_count(sql)?))).await?;
        let attempts = self.sync.as_ref().map(|sync| sync.attempts()).unwrap_or_default();
        let problem =
            |problem: spoke::OutboxProblem| OpProblem { id: problem.id, code: OpCode::of(&problem.code) };
        call_result(&SyncStatus {
            mode: self.mode().to_owned(),
            hub_url: self.sync.as_ref().map(|sync| sync.address().url.to_string()),
            hub_id: state.peer.as_ref().map(|peer| peer.hub_id.clone()),
            epoch: state.peer.as_ref().map(|peer| peer.epoch.clone()),
            cursor: state.peer.map_or(0, |peer| peer.cursor.0),
            pending: state.pending,
            last_attempt_ms: attempts.last_attempt_ms,
            last_success_ms: attempts.last_success_ms,
            last_error: attempts.last_error,
            auth_failed: attempts.auth_failed,
            next_attempt_ms: attempts.next_attempt_ms,
            clock_offset_ms: self.environment.offset_ms(),
            conflicts,
            problems: state.problems.into_iter().map(problem).collect(),
        })
    }

    async fn append(&self, params: AppendParams) -> CallOutcome {
        self.written(move |sql, texts, step| spoke::append(sql, &params.ops, texts, step)).await
    }

    async fn resolve(&self, params: ResolveParams) -> CallOutcome {
        self.written(move |sql, texts, step| spoke::resolve(sql, &params, texts, step)).await
    }

    /// Writes ops, which are durable when this returns, and has them pushed soon.
    async fn written(
        &self,
        work: impl FnOnce(
            &NativeSql<'_>,
            &mut Texts,
            &mut SpokeStep<'_>,
        ) -> ferry_sqlite::Result<spoke::WriteOutcome>
        + Send
        + 'static,
    ) -> CallOutcome {
        let (environment, texts) = (self.environment.clone(), Arc::clone(&self.texts));
        let refusal = Arc::new(Mutex::new(None));
        let refused = Arc::clone(&refusal);
        let written = self.store.write(move |sql, commit| {
            let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
            match environment.step(commit, |step| work(sql, &mut texts, step))? {
                Ok(written) => Ok(written),
                Err(refusal) => {
                    *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                    // Whatever it had written is rolled back.
                    Err(ferry_types::Error::internal().into())
                }
            }
        });
        match written.await {
            Ok(written) => {
                if let Some(sync) = &self.sync {
                    sync.appended();
                }
                call_result(&written)
            }
            Err(error) => {
                let refusal = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(refusal
                    .map_or_else(|| fault(error), |refusal| RpcFault::refused(refusal.code, refusal.message)))
            }
        }
    }
}

fn is_hub_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a caller learns of an exchange that failed.
fn hub_fault(failure: HubFailure) -> RpcFault {
    let (code, reason) = match failure.kind {
        HubFailureKind::NoAnswer => (SpokeErrorCode::HubUnreachable, None),
        HubFailureKind::Unauthenticated => (SpokeErrorCode::Invalid, Some("unauthenticated")),
        HubFailureKind::Forbidden => (SpokeErrorCode::Invalid, Some("permission_denied")),
        HubFailureKind::NotFound => (SpokeErrorCode::NotFound, Some("not_found")),
        HubFailureKind::Foreign => (SpokeErrorCode::Invalid, Some("hub_foreign")),
    };
    let data = RpcFaultData { code, reason: reason.map(str::to_owned) };
    RpcFault { code: rpc_code::APPLICATION, message: failure.message, data: Some(data) }
}

/// What a caller learns of a failure of the store.
fn fault(error: ferry_sqlite::Error) -> RpcFault {
    if error.is_storage_full() {
        tracing::error!(%error, "the store cannot be written");
        let message = "this machine's disk, where the spoke's store lies, is full or failing: free space on it, then \
                       try again";
        return RpcFault::new(rpc_code::INTERNAL_ERROR, message);
    }
    RpcFault::new(rpc_code::INTERNAL_ERROR, error.into_refusal().message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_this_machines() {
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        let full = ferry_sqlite::Error::Sqlite(rusqlite::Error::SqliteFailure(full, None));
        let told = fault(full).message;
        assert!(told.contains("this machine's disk") && !told.contains("hub"), "{told}");
    }
}
