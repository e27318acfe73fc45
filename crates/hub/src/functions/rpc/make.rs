//! Making a result: kept, or by running the function; and keeping it fresh for who wants that.

use std::sync::Arc;

use ferry_control::FunctionEnv;
use ferry_core::functions::live::{
    CachedResult, EDGEPOD_GRACE_MS, Evaluated, Gate, QueryKey, Reads, Registration, result_hash,
};
use ferry_functions::{CallFailure, CallRequest, FunctionKind, FunctionLogLine, LogLevel};
use ferry_protocol::functions::table_hashes;
use ferry_types::{DatabaseId, Seq};
use http::HeaderMap;

use crate::{
    functions::{
        answer::refusal_of,
        call::{CallDone, Idempotency, PlannedCall, StoredAnswer, StoredBody, Writes, answer_tables, run},
        deployed::LoadedFunctions,
        live_result::{LiveAnswer, LiveCaller, Rerun},
        logs::LoggedCall,
        refusal::CallRefusal,
        response::RpcDialect,
        state::{FunctionsState, Live},
    },
    http::shown_headers,
    hub::Hub,
    monotonic::now_ms,
};

/// Longest arguments that are remembered, bytes. Results of longer ones are not kept, and their pages are told without a run.
const KEPT_ARGS_MAX_BYTES: usize = 16 << 10;

/// A result that is wanted.
pub(in crate::functions) struct WantedResult<'a> {
    pub(in crate::functions) hub: &'a Arc<Hub>,
    pub(in crate::functions) caller: LiveCaller,
    pub(in crate::functions) deployed: Arc<LoadedFunctions>,
    pub(in crate::functions) function: &'a str,
    pub(in crate::functions) kind: FunctionKind,
    /// Canonical JSON.
    pub(in crate::functions) args: String,
    pub(in crate::functions) headers: Arc<[(String, String)]>,
    pub(in crate::functions) request_id: Arc<str>,
    pub(in crate::functions) writes: Writes,
    pub(in crate::functions) idempotency: Option<Idempotency>,
    /// The session that wants it kept fresh.
    pub(in crate::functions) session: Option<&'a str>,
    pub(in crate::functions) dialect: RpcDialect,
}

impl WantedResult<'_> {
    fn logged(&self) -> LoggedCall<'_> {
        LoggedCall {
            hub: self.hub,
            database: self.caller.context.database.id(),
            function: self.function,
            request_id: &self.request_id,
            deployment: &self.deployed.id,
        }
    }
}

/// The headers that a function sees.
pub(super) fn headers_of(headers: &HeaderMap) -> Arc<[(String, String)]> {
    shown_headers(headers).collect()
}

/// A result, and what it depends on.
struct Made {
    answer: LiveAnswer,
    depends: Reads,
    gate: Gate,
    /// It is the result for this user alone.
    is_of_user: bool,
}

/// Why there is no result.
pub(in crate::functions) struct NotMade {
    pub(in crate::functions) refusal: CallRefusal,
    /// What the failure depends on, and the commit that it shows.
    pub(in crate::functions) failed: Option<(Reads, Seq)>,
}

impl From<CallRefusal> for NotMade {
    fn from(refusal: CallRefusal) -> Self {
        Self { refusal, failed: None }
    }
}

impl From<ferry_types::Error> for NotMade {
    fn from(error: ferry_types::Error) -> Self {
        CallRefusal::from(error).into()
    }
}

/// Makes it.
pub(super) async fn make(wanted: WantedResult<'_>) -> Result<LiveAnswer, CallRefusal> {
    made(wanted).await.map(|made| made.answer).map_err(|not| not.refusal)
}

/// What a result is made with.
struct Making<'a> {
    wanted: &'a WantedResult<'a>,
    state: Arc<FunctionsState>,
    env: FunctionEnv,
    user: Arc<str>,
    session: Option<Arc<str>>,
    /// How long after the answer its page is told of nothing, ms (FUN-24).
    grace_ms: u64,
    /// Its result may be one that is kept.
    may_be_kept: bool,
}

async fn made(wanted: WantedResult<'_>) -> Result<Made, NotMade> {
    let (hub, database) = (wanted.hub, &wanted.caller.context.database);
    FunctionsState::track(hub, database).await?;
    let making = Making {
        state: Arc::clone(&database.models().functions),
        env: hub.control.function_env(database.id())?,
        user: wanted.caller.claims_key(),
        session: wanted.session.map(Arc::from),
        grace_ms: match wanted.dialect {
            RpcDialect::EdgePod => EDGEPOD_GRACE_MS,
            RpcDialect::Ferry => 0,
        },
        may_be_kept: wanted.idempotency.is_none()
            && wanted.args.len() <= KEPT_ARGS_MAX_BYTES
            && !matches!(wanted.kind, FunctionKind::Mutation | FunctionKind::Action),
        wanted: &wanted,
    };
    if let Some(made) = making.kept() {
        metrics::counter!("ferry_functions_cached_total").increment(1);
        if making.session.is_some() {
            hub.services.functions.look_after(database);
        }
        return Ok(made);
    }
    let done = run(making.plan()).await?;
    wanted.logged().wrote(&done.outcome.log);
    log_lines(&wanted.request_id, database.id(), wanted.function, &done.outcome.log);
    if let Some(stored) = &done.stored {
        return Ok(answered_before(stored)?);
    }
    if let Some(failure) = done.failure() {
        // What the function threw depends on what it had read; what ended its call is another matter.
        let failed = done.end.is_none().then(|| (done.depends_on.clone(), done.seq));
        return Err(NotMade { refusal: making.refused(&done, failure), failed });
    }
    if wanted.writes == Writes::Get && !done.outcome.invalidate.is_empty() {
        // Who follows a link makes nobody fetch anew (FUN-03).
        return Err(CallRefusal::writes(wanted.function).into());
    }
    let made = making.took(&done);
    hub.services.functions.look_after(database);
    Ok(made)
}

/// The answer to an equal call before.
fn answered_before(stored: &StoredAnswer) -> Result<Made, CallRefusal> {
    let body: StoredBody = serde_json::from_str(&stored.text).map_err(|_| ferry_types::Error::internal())?;
    let data: Option<Arc<str>> = body.data.first().map(|data| data.get().into());
    let hash = result_hash(data.as_deref()).into();
    let (tables, warnings) = (body.tables, body.warnings.into());
    let answer = LiveAnswer { data, hash, seq: stored.seq, tables, warnings, cpu_us: 0 };
    Ok(Made { answer, depends: Reads::default(), gate: Gate::Open, is_of_user: true })
}

impl Making<'_> {
    fn key(&self, user: Option<Arc<str>>) -> QueryKey {
        let args = match self.wanted.args.as_str() {
            args if args.len() > KEPT_ARGS_MAX_BYTES => {
                format!("#{}", blake3::hash(args.as_bytes()).to_hex()).into()
            }
            args => args.into(),
        };
        QueryKey { function: self.wanted.function.into(), args, user }
    }

    /// That the session wants a result kept fresh.
    fn registration(&self, session: &Arc<str>, key: QueryKey, made: &Made) -> Registration<Arc<Rerun>> {
        Registration {
            session: Arc::clone(session),
            key,
            reads: made.depends.clone(),
            hash: u64::from_str_radix(&made.answer.hash, 16).unwrap_or(0),
            seq: made.answer.seq,
            gate: made.gate,
            not_before_ms: if self.grace_ms == 0 { 0 } else { now_ms() + self.grace_ms },
            payload: Arc::new(Rerun { caller: self.wanted.caller.clone(), kind: self.wanted.kind }),
        }
    }

    /// The result that is kept, if it holds still.
    fn kept(&self) -> Option<Made> {
        if !self.may_be_kept {
            return None;
        }
        let look = |live: &mut Live| {
            live.env_is(self.env.version);
            for key in [self.key(None), self.key(Some(Arc::clone(&self.user)))] {
                let Some(kept) = live.cache.get(&key, live.queries.changes()) else { continue };
                let seq = kept.seq.max(live.queries.changes().newest());
                let tables = table_hashes(kept.reads.tables().map(|table| &**table));
                let CachedResult { data, hash, warnings, reads: depends, .. } = kept;
                let made = Made {
                    answer: LiveAnswer { data, hash, seq, tables, warnings, cpu_us: 0 },
                    depends,
                    gate: Gate::Run,
                    is_of_user: key.user.is_some(),
                };
                if let Some(session) = &self.session {
                    live.queries.register(self.registration(session, key, &made), now_ms());
                }
                return Some(made);
            }
            None
        };
        self.state.with_live(look).flatten()
    }

    /// Whether running it again would tell whether it changed (FUN-31).
    fn gate_of(&self, done: &CallDone) -> Gate {
        let used = done.outcome.used;
        let is_open = used.fetch || used.headers || used.sign || !done.outcome.subscribe_to.is_empty();
        if is_open || self.wanted.args.len() > KEPT_ARGS_MAX_BYTES { Gate::Open } else { Gate::Run }
    }

    fn plan(&self) -> PlannedCall {
        let WantedResult { hub, caller, deployed, kind, writes, .. } = self.wanted;
        PlannedCall {
            hub: Arc::clone(hub),
            database: Arc::clone(&caller.context.database),
            by: Arc::clone(&caller.context.requester),
            owner: caller.owner_of_writes(),
            deployed: Arc::clone(deployed),
            request: CallRequest {
                function: self.wanted.function.into(),
                args: self.wanted.args.as_str().into(),
                headers: Arc::clone(&self.wanted.headers),
                user: caller.claims.clone(),
                owner: Arc::clone(&caller.owner),
                env: Arc::clone(&self.env.values),
                request_id: Arc::clone(&self.wanted.request_id),
                guard_prefix: caller.guard_prefix,
                can_sign: caller.can_sign,
                is_dev: hub.config.dev,
            },
            kind: *kind,
            writes: *writes,
            idempotency: self.wanted.idempotency.clone(),
        }
    }

    /// What the caller is told of a call that failed; the rest is for the log.
    fn refused(&self, done: &CallDone, failure: &CallFailure) -> CallRefusal {
        let WantedResult { hub, function, request_id, .. } = self.wanted;
        let refusal = refusal_of(done, failure, function, &hub.config.functions, hub.config.dev);
        self.wanted.logged().failed(done, failure, &refusal);
        if refusal.code.status == 500 {
            let database = self.wanted.caller.context.database.id();
            tracing::warn!(%request_id, %database, function, ?failure, end = ?done.end, "a function failed");
        }
        refusal
    }

    /// Keeps the result, and keeps it fresh for the session.
    fn took(&self, done: &CallDone) -> Made {
        let outcome = &done.outcome;
        let result = outcome.result.as_ref().ok().and_then(Option::as_ref);
        let data: Option<Arc<str>> = result.map(|data| data.as_str().into());
        let hash: Arc<str> = result_hash(data.as_deref()).into();
        let kind = self.wanted.kind;
        let tables = answer_tables(done.wrote, kind, (&done.reads, &done.selected, &done.written), outcome);
        let warnings: Arc<[String]> = outcome.warnings.as_slice().into();
        let answer = LiveAnswer { data, hash, seq: done.seq, tables, warnings, cpu_us: outcome.cpu_us };
        let is_of_user = outcome.used.user;
        let made = Made { answer, depends: depends_on(done), gate: self.gate_of(done), is_of_user };
        if done.wrote || kind == FunctionKind::Action {
            return made;
        }
        let key = self.key(outcome.used.user.then(|| Arc::clone(&self.user)));
        self.state.with_live(|live| {
            // A run that nobody asked for tells nobody.
            if !outcome.invalidate.is_empty() && self.wanted.writes != Writes::Gate {
                let named: Vec<Arc<str>> =
                    outcome.invalidate.iter().map(|name| name.as_str().into()).collect();
                live.committed(live.queries.changes().newest(), &[], &named);
            }
            // What code gave that is called no more says nothing of the code that is.
            let is_current = self.state.deployed.is_current(&self.wanted.deployed);
            if is_current && self.may_be_kept && made.gate == Gate::Run && is_repeatable(done) {
                live.env_is(self.env.version);
                let kept = CachedResult {
                    data: made.answer.data.clone(),
                    hash: Arc::clone(&made.answer.hash),
                    reads: made.depends.clone(),
                    seq: done.seq,
                    warnings: Arc::clone(&made.answer.warnings),
                };
                live.cache.put(key.clone(), kept, live.queries.changes());
            }
            if let Some(session) = &self.session {
                let registration = self.registration(session, key, &made);
                let seq = if is_current { registration.seq } else { Seq(0) };
                live.queries.register(Registration { seq, ..registration }, now_ms());
            }
        });
        made
    }
}

/// Makes a live result again, to see whether it changed. `None`: it was the same for all, and now depends on who asks.
pub(in crate::functions) async fn evaluate(
    hub: &Arc<Hub>,
    deployed: Arc<LoadedFunctions>,
    key: &QueryKey,
    rerun: &Rerun,
) -> Result<Option<(Evaluated, LiveAnswer)>, NotMade> {
    let wanted = WantedResult {
        hub,
        caller: rerun.caller.clone(),
        deployed,
        function: &key.function,
        kind: rerun.kind,
        args: (*key.args).to_owned(),
        headers: Arc::from([]),
        request_id: "live".into(),
        writes: Writes::Gate,
        idempotency: None,
        session: None,
        dialect: RpcDialect::Ferry,
    };
    let Made { answer, depends, gate, is_of_user } = made(wanted).await?;
    if is_of_user && key.user.is_none() {
        return Ok(None);
    }
    let hash = u64::from_str_radix(&answer.hash, 16).unwrap_or(0);
    Ok(Some((Evaluated { reads: depends, hash, seq: answer.seq, gate }, answer)))
}

fn depends_on(done: &CallDone) -> Reads {
    let named = Reads::whole(done.outcome.subscribe_to.iter().map(|name| Arc::from(name.as_str())));
    done.depends_on.iter().chain(named.iter()).cloned().collect()
}

/// Whether it would be the same as long as no row changes (FUN-33).
fn is_repeatable(done: &CallDone) -> bool {
    let used = done.outcome.used;
    // What it tells others it must tell them each time.
    !(used.clock || used.random || done.is_volatile) && done.outcome.invalidate.is_empty()
}

/// Writes what a function logged into the hub's log.
pub(in crate::functions) fn log_lines(
    id: &str,
    database: DatabaseId,
    function: &str,
    lines: &[FunctionLogLine],
) {
    for FunctionLogLine { level, text } in lines {
        let text = ferry_types::printable(text);
        match level {
            LogLevel::Debug => {
                tracing::debug!(target: "ferry::functions", request_id = id, %database, function, "{text}");
            }
            LogLevel::Info => {
                tracing::info!(target: "ferry::functions", request_id = id, %database, function, "{text}");
            }
            LogLevel::Warn => {
                tracing::warn!(target: "ferry::functions", request_id = id, %database, function, "{text}");
            }
            LogLevel::Error => {
                tracing::error!(target: "ferry::functions", request_id = id, %database, function, "{text}");
            }
        }
    }
}
