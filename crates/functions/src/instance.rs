//! One context with a program evaluated in it. It serves one call at a time (FUN-19).

use std::sync::Arc;

use rquickjs::{Context, Ctx, Function, Module, Object, Promise, Runtime, Value, promise::PromiseState};

use crate::{
    call::{CallFailure, Limit, RunLimits},
    embedded::{self, Embedded, Modules},
    load_error::{LoadError, LoadErrorKind},
    native,
    positions::{BUNDLE, Positions},
    rejections,
    state::{Phase, State},
    thrown::Thrown,
};

/// Promise jobs between two looks at the clock; each is short or looks itself.
const JOBS_PER_LOOK: u32 = 64;
/// What every context of a program is made from.
pub(crate) struct ProgramCode {
    pub(crate) bundle: String,
    pub(crate) positions: Positions,
    pub(crate) modules: Modules,
    pub(crate) limits: RunLimits,
}

/// A context of this process that is ready for a call.
pub(crate) struct ContextInstance {
    pub(crate) context: Context,
    pub(crate) state: Arc<State>,
    pub(crate) code: Arc<ProgramCode>,
    /// Calls that it has served.
    pub(crate) calls: u32,
}

impl ContextInstance {
    /// Makes a context and evaluates the program in it, under the limits of a call.
    pub(crate) fn load(code: &Arc<ProgramCode>, now_ms: u64) -> Result<Self, LoadError> {
        let state = Arc::new(State::new(code.limits.cpu_ms));
        let context = empty_context(code, &state).map_err(|error| LoadError::engine(&error))?;
        let runtime = context.runtime();
        runtime.set_memory_limit(code.limits.heap_bytes);
        let of = Arc::clone(&state);
        runtime.set_interrupt_handler(Some(Box::new(move || of.must_stop() || !native::may_go_on(&of))));
        state.call().set_now(now_ms);
        state.meter.start();
        let loaded = context.with(|ctx| evaluate(&ctx, code, &state));
        state.meter.stop();
        loaded?;
        state.call().phase = Phase::Idle;
        Ok(Self { context, state, code: Arc::clone(code), calls: 0 })
    }

    /// Asks the embedded runtime what the program exports.
    pub(crate) fn inspect(&self) -> Result<String, LoadError> {
        self.state.meter.reset();
        self.state.meter.start();
        let answer = self.context.with(|ctx| {
            let inspected = kernel(&ctx).and_then(|kernel| call(&kernel, "inspect", ()));
            inspected.map_err(|error| load_error(&ctx, &self.code, &self.state, error))
        });
        self.state.meter.stop();
        answer
    }

    /// Bytes of its heap. Looks at every object.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let usage = self.context.runtime().memory_usage();
        u64::try_from(usage.malloc_size).unwrap_or(u64::MAX)
    }
}

/// The language, Ferry's globals, and nothing of the program. Without limits: this is our own code.
fn empty_context(code: &ProgramCode, state: &Arc<State>) -> rquickjs::Result<Context> {
    let compiled = embedded::compiled(code.modules)?;
    let runtime = Runtime::new()?;
    runtime.set_max_stack_size(code.limits.stack_bytes);
    let (resolver, loader) = Embedded::of(compiled);
    runtime.set_loader(resolver, loader);
    let context = Context::full(&runtime)?;
    context.with(|ctx| {
        let native = native::object(&ctx, state)?;
        let module: Object<'_> = Module::import(&ctx, "ferry:prelude/kernel")?.finish()?;
        let kernel: Object<'_> = module.get::<_, Function<'_>>("install")?.call((native,))?;
        let runtime: Object<'_> = Module::import(&ctx, "ferry:runtime")?.finish()?;
        kernel.set("runtime", runtime)?;
        ctx.store_userdata(kernel).map_err(|_| rquickjs::Error::Unknown)?;
        rejections::remember(&ctx)
    })?;
    rejections::watch(&runtime);
    Ok(context)
}

/// The functions of the prelude that the host calls.
pub(crate) fn kernel<'js>(ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
    Ok(ctx.userdata::<Object<'js>>().expect("BUG: every context has a kernel").clone())
}

/// Calls one of them.
pub(crate) fn call<'js, A, R>(kernel: &Object<'js>, name: &str, arguments: A) -> rquickjs::Result<R>
where
    A: rquickjs::function::IntoArgs<'js>,
    R: rquickjs::FromJs<'js>,
{
    kernel.get::<_, Function<'js>>(name)?.call(arguments)
}

/// Runs promise jobs until there are none, `promise` has settled, or the run was ended.
pub(crate) fn run_jobs(ctx: &Ctx<'_>, state: &State, promise: Option<&Promise<'_>>) {
    let is_pending = || promise.is_none_or(|promise| promise.state() == PromiseState::Pending);
    let mut jobs = 0_u32;
    while is_pending() && !state.is_ended() && ctx.execute_pending_job() {
        jobs = jobs.wrapping_add(1);
        if jobs.is_multiple_of(JOBS_PER_LOOK) && state.must_stop() {
            break;
        }
    }
}

/// Evaluates the bundle.
fn evaluate(ctx: &Ctx<'_>, code: &ProgramCode, state: &State) -> Result<(), LoadError> {
    let failed = |error| load_error(ctx, code, state, error);
    let module = Module::declare(ctx.clone(), BUNDLE, code.bundle.as_str()).map_err(failed)?;
    let (module, promise) = module.eval().map_err(failed)?;
    run_jobs(ctx, state, Some(&promise));
    match promise.result::<Value<'_>>() {
        Some(result) => drop(result.map_err(failed)?),
        None if state.is_ended() => return Err(failed(rquickjs::Error::Exception)),
        None => return Err(LoadError::new(LoadErrorKind::NeverSettles)),
    }
    run_jobs(ctx, state, None);
    if state.is_ended() {
        return Err(failed(rquickjs::Error::Exception));
    }
    let namespace = module.namespace().map_err(failed)?;
    call(&kernel(ctx).map_err(failed)?, "load", (namespace,)).map_err(failed)
}

/// Why the program could not be loaded, with the place in its sources.
fn load_error(ctx: &Ctx<'_>, code: &ProgramCode, state: &State, error: rquickjs::Error) -> LoadError {
    let thrown = match error {
        rquickjs::Error::Exception => Thrown::of(ctx, &ctx.catch()),
        rquickjs::Error::InvalidString(_) => {
            let message = "the module holds a NUL character".to_owned();
            return LoadError { message, ..LoadError::new(LoadErrorKind::Syntax) };
        }
        rquickjs::Error::Allocation => return LoadError::new(LoadErrorKind::Limit(Limit::Memory)),
        other => return LoadError::engine(&other),
    };
    let limit = match state.failure() {
        Some(CallFailure::Limit(limit)) => Some(limit),
        _ => thrown.limit(),
    };
    if let Some(limit) = limit {
        return LoadError::new(LoadErrorKind::Limit(limit));
    }
    let position = code.positions.first_of(&thrown.stack).or_else(|| importer(code, &thrown.message));
    LoadError {
        kind: if thrown.name == "SyntaxError" { LoadErrorKind::Syntax } else { LoadErrorKind::Thrown },
        message: thrown.headline(),
        position,
        stack: code.positions.of_stack(&thrown.stack),
    }
}

/// Where the bundle imports what the message names: the engine tells no place for imports.
fn importer(code: &ProgramCode, message: &str) -> Option<crate::positions::SourcePosition> {
    let specifier = message.split_once("import ")?.1.split_once(", which")?.0.trim_matches('"');
    let offset =
        ['"', '\''].iter().find_map(|quote| code.bundle.find(&format!("{quote}{specifier}{quote}")))?;
    code.positions.of_offset(&code.bundle, offset)
}
