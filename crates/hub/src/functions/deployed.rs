//! The functions of a database that are called: loaded from its file by the first call, until others are deployed.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use ferry_core::{
    functions::deploy::{self, CollectionView},
    records::intents::view_name,
};
use ferry_functions::{LoadError, LoadErrorKind, MODULES, Pool, Program, ProgramSource, RunLimits};
use ferry_types::{Error, Reason, Result};
use tokio::sync::{Notify, Semaphore};

use super::service;
use crate::{config::FunctionsConfig, database::Database, events::FunctionHook, hub::Hub};

/// Part of the hub's processes that one database has.
const PROCESSES_DIVISOR: usize = 4;

/// The functions that are called.
pub(super) struct LoadedFunctions {
    /// Id of their deployment.
    pub(super) id: Arc<str>,
    /// Their contexts.
    pub(super) pool: Pool,
    /// A place for each call that may run.
    pub(super) running: Arc<Semaphore>,
    /// And for each that may wait meanwhile: for the outside, for the writer, for CPU.
    pub(super) waiting: Arc<Semaphore>,
    /// Steps at once that do not hold the writer.
    pub(super) threads: Arc<Semaphore>,
    /// Apps of the collections that the schema shows, by their views, which are called as they are.
    pub(super) collections: HashMap<String, String>,
}

/// The place of a hook in a set of them.
pub(super) const fn hook_bit(hook: FunctionHook) -> u8 {
    1 << hook as u8
}

impl LoadedFunctions {
    /// Their hooks, by [`hook_bit`].
    pub(super) fn hooks(&self) -> u8 {
        let hooks = FunctionHook::ALL.into_iter();
        let has = |hook: &FunctionHook| self.pool.program().hooks().iter().any(|name| name == hook.as_str());
        hooks.filter(has).fold(0, |bits, hook| bits | hook_bit(hook))
    }
}

impl Drop for LoadedFunctions {
    fn drop(&mut self) {
        self.pool.retire();
    }
}

/// What is loaded of a database.
pub(super) struct DeployedSlot {
    loaded: Mutex<Option<Loaded>>,
    /// Counts deployments, so that what was read before one is not kept after it.
    generation: AtomicU64,
    loading: tokio::sync::Mutex<()>,
    /// The hooks that there are, by [`hook_bit`]; all, as long as nobody has looked.
    hooks: AtomicU8,
    /// Others were deployed.
    changed: Notify,
}

impl Default for DeployedSlot {
    fn default() -> Self {
        Self {
            loaded: Mutex::default(),
            generation: AtomicU64::default(),
            loading: tokio::sync::Mutex::default(),
            hooks: AtomicU8::new(u8::MAX),
            changed: Notify::new(),
        }
    }
}

#[derive(Clone)]
enum Loaded {
    Functions(Arc<LoadedFunctions>),
    None,
}

impl DeployedSlot {
    /// Others are deployed: what is loaded serves no further call.
    pub(super) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        *loaded = None;
        self.hooks.store(u8::MAX, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Whether there is such a hook, or nobody has looked yet.
    pub(super) fn may_have(&self, hook: FunctionHook) -> bool {
        self.hooks.load(Ordering::Acquire) & hook_bit(hook) != 0
    }

    /// Completes when others are deployed.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Whether these are the functions that are called.
    pub(super) fn is_current(&self, functions: &Arc<LoadedFunctions>) -> bool {
        matches!(self.get(), Some(Loaded::Functions(current)) if Arc::ptr_eq(&current, functions))
    }

    fn get(&self) -> Option<Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, generation: u64, loaded: Loaded) {
        let mut slot = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if self.generation.load(Ordering::Acquire) == generation {
            let hooks = match &loaded {
                Loaded::Functions(functions) => functions.hooks(),
                Loaded::None => 0,
            };
            self.hooks.store(hooks, Ordering::Release);
            *slot = Some(loaded);
        }
    }
}

/// What a call may use.
pub(super) const fn run_limits(config: &FunctionsConfig) -> RunLimits {
    RunLimits {
        cpu_ms: config.cpu_ms,
        heap_bytes: config.heap_bytes,
        stack_bytes: config.stack_bytes,
        result_bytes: config.result_max_bytes,
        fetches: config.fetches,
        calls_per_context: config.context_calls,
    }
}

/// Loads a program: where functions run, and as a call would.
///
/// # Errors
/// When the hub stops.
pub(super) async fn load(
    hub: &Arc<Hub>,
    bundle: String,
    source_map: Option<String>,
) -> Result<std::result::Result<Program, LoadError>> {
    let (limits, now_ms) = (run_limits(&hub.config.functions), hub.clock.now().0.unsigned_abs());
    let processes = hub.services.functions.processes.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        let source = ProgramSource { bundle: &bundle, source_map: source_map.as_deref(), modules: MODULES };
        Program::load_in(&source, limits, now_ms, processes)
    });
    loaded.await.map_err(|_| Error::internal())
}

/// What callers are told while a program does not load.
pub(super) fn refusal_of_load(error: &LoadError) -> Error {
    match error.kind {
        LoadErrorKind::NoProcess => {
            let message = "all processes of functions are at work (functions.processes).";
            Error::new(Reason::Busy, message).retry_after_ms(1000)
        }
        LoadErrorKind::Died => {
            let message = "the process that was to run this call ended; the call changed nothing. Try again.";
            Error::new(Reason::Unavailable, message).retry_after_ms(1000)
        }
        _ => Error::internal(),
    }
}

/// The functions of a database; `None`: there are none.
///
/// # Errors
/// When they cannot be read or loaded.
pub(super) async fn current(
    hub: &Arc<Hub>,
    database: &Arc<Database>,
) -> Result<Option<Arc<LoadedFunctions>>> {
    let state = &database.models().functions;
    let known = |loaded| match loaded {
        Loaded::Functions(deployed) => Some(deployed),
        Loaded::None => None,
    };
    if let Some(loaded) = state.deployed.get() {
        return Ok(known(loaded));
    }
    let _turn = state.deployed.loading.lock().await;
    if let Some(loaded) = state.deployed.get() {
        return Ok(known(loaded));
    }
    let generation = state.deployed.generation.load(Ordering::Acquire);
    if !database.has_file().await {
        // It may be made by a deployment at any time, which says so.
        return Ok(None);
    }
    let found = database
        .read(|sql| match deploy::exists(sql)? {
            true => deploy::active(sql)?.map(|stored| Ok((stored, deploy::collections(sql)?))).transpose(),
            false => Ok(None),
        })
        .await?;
    let Some((stored, views)) = found else {
        state.deployed.set(generation, Loaded::None);
        return Ok(None);
    };
    let id: Arc<str> = stored.id.as_str().into();
    let loaded = load(hub, stored.bundle, stored.source_map.filter(|map| !map.is_empty())).await?;
    let program = loaded.map_err(|error| {
        tracing::error!(database = %database.id(), deployment = %id, %error, "deployed functions do not load");
        refusal_of_load(&error)
    })?;
    let mut aliases: HashMap<String, Vec<Arc<str>>> = HashMap::new();
    let mut collections = HashMap::new();
    for CollectionView { view, app } in views {
        aliases.entry(view_name(&app, &view)).or_default().push(view.as_str().into());
        collections.insert(view, app);
    }
    state.set_aliases(aliases);
    let FunctionsConfig { mut contexts, waiting_calls, processes, .. } = hub.config.functions;
    // The rest of the calls is for those that run.
    let mut waiting = waiting_calls.div_ceil(2);
    if program.is_isolated() {
        // Each takes a process, and the other databases are to have some.
        let most = (processes / PROCESSES_DIVISOR).max(2);
        contexts = contexts.min(most / 2);
        waiting = waiting.min(most - contexts);
    }
    let deployed = Arc::new(LoadedFunctions {
        id,
        pool: Pool::new(program, contexts + waiting),
        running: Arc::new(Semaphore::new(contexts)),
        waiting: Arc::new(Semaphore::new(waiting)),
        threads: Arc::new(Semaphore::new(service::threads_of_database())),
        collections,
    });
    state.deployed.set(generation, Loaded::Functions(Arc::clone(&deployed)));
    Ok(Some(deployed))
}
