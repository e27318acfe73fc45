//! A call as a machine without I/O: it runs until it is done or waits, and says for what.

use rquickjs::{Ctx, Object, Promise, TypedArray, Value};

use crate::{
    call::{AskAnswer, CallFailure, CallRequest, FetchResponse, FunctionOutcome, Limit, LogLevel, Step},
    cpu::CpuMeter,
    db::FunctionDb,
    instance::{self, ContextInstance, kernel, run_jobs},
    json::{JsonFailure, to_json},
    native, rejections,
    state::State,
    thrown,
};

/// Calls between two looks at a context's heap.
const CALLS_PER_HEAP_LOOK: u32 = 256;
/// How much of a heap a call fills in a microsecond at most, bytes: with small objects, as where no memory is left for an error.
const FILLED_PER_US: u64 = 1000;
/// A call of so much CPU may have made a large heap: it is looked at, too.
const HEAP_LOOK_CPU_US: u64 = 20_000;
/// A context whose heap is larger after a call is not kept: it would cost more than making it anew.
const IDLE_HEAP_MAX: u64 = 16 * 1024 * 1024;

/// One call of a function, in a context of this process.
pub(crate) struct ContextCall {
    instance: ContextInstance,
    /// Taken by the first step.
    request: Option<CallRequest>,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Running,
    /// Done, and the context can serve another call.
    Done,
    /// Done, and the context is to be dropped.
    Spent,
}

type Settled = Result<Option<String>, CallFailure>;

impl ContextCall {
    /// Nothing runs yet.
    pub(crate) fn begin(instance: ContextInstance, request: CallRequest) -> Self {
        instance.state.begin(instance.code.limits.fetches);
        Self { instance, request: Some(request), progress: Progress::Running }
    }

    /// Measures the call's CPU.
    pub(crate) fn cpu(&self) -> CpuMeter {
        self.instance.state.meter.clone()
    }

    /// CPU that it may use.
    pub(crate) fn cpu_ms(&self) -> u64 {
        self.instance.code.limits.cpu_ms
    }

    /// Bytes of the context's heap. Looks at every object.
    pub(crate) fn heap_bytes(&self) -> u64 {
        self.instance.heap_bytes()
    }

    /// As [`crate::FunctionCall::step`].
    pub(crate) fn step(
        &mut self,
        db: &mut dyn FunctionDb,
        answers: Vec<(u32, AskAnswer)>,
        now_ms: u64,
    ) -> Step {
        if self.progress != Progress::Running {
            return Step::Done(self.outcome(Err(CallFailure::Aborted)));
        }
        let state = &self.instance.state;
        state.call().set_now(now_ms);
        state.meter.start();
        let request = self.request.take();
        let settled = native::DATABASE.set(db, || {
            let context = &self.instance.context;
            context.with(|ctx| Run { ctx: &ctx, instance: &self.instance }.advance(request, answers))
        });
        state.meter.stop();
        let Some(result) = settled else {
            let mut call = state.call();
            return Step::Waiting { asks: call.take_asks(), due_ms: call.next_timer_ms() };
        };
        let (result, is_null) = self.null_thrown(result);
        let state = &self.instance.state;
        let is_spent = is_null
            || state.is_ended()
            || matches!(result, Err(CallFailure::Limit(_) | CallFailure::Aborted));
        self.progress = if is_spent { Progress::Spent } else { Progress::Done };
        Step::Done(self.outcome(result))
    }

    /// Whether null was thrown; then by the engine, as it looks, if the heap is full, or the call has worked long enough to
    /// have filled it: what a call has filled is free again once it has thrown.
    fn null_thrown(&self, result: Settled) -> (Settled, bool) {
        let is_null =
            matches!(&result, Err(CallFailure::Thrown { message, .. }) if message == thrown::NULL_THROWN);
        let limit = u64::try_from(self.instance.code.limits.heap_bytes).unwrap_or(u64::MAX);
        let has_worked = self.instance.state.meter.used_us() > limit / FILLED_PER_US;
        if is_null && (has_worked || self.heap_bytes() > limit / 2) {
            // Who threw null himself finds it in the log.
            self.instance.state.call().log(LogLevel::Warn, thrown::NULL_THROWN.to_owned());
            return (Err(CallFailure::Limit(Limit::Memory)), true);
        }
        (result, is_null)
    }

    fn outcome(&self, result: Settled) -> FunctionOutcome {
        let mut call = self.instance.state.call();
        let mut log = std::mem::take(&mut call.log);
        for line in &mut log {
            line.text = self.instance.code.positions.of_text(std::mem::take(&mut line.text));
        }
        FunctionOutcome {
            result,
            ended_at: std::mem::take(&mut call.ended_at),
            log,
            warnings: std::mem::take(&mut call.warnings),
            subscribe_to: std::mem::take(&mut call.subscribe_to),
            invalidate: std::mem::take(&mut call.invalidate),
            used: call.used,
            cpu_us: self.instance.state.meter.used_us(),
        }
    }

    /// The context, if it can serve another call.
    pub(crate) fn into_instance(self) -> Option<ContextInstance> {
        let mut instance = self.instance;
        instance.calls += 1;
        let is_looked_at = instance.calls.is_multiple_of(CALLS_PER_HEAP_LOOK)
            || instance.state.meter.used_us() > HEAP_LOOK_CPU_US;
        let is_good = self.progress == Progress::Done
            && instance.calls < instance.code.limits.calls_per_context
            && (!is_looked_at || instance.heap_bytes() <= IDLE_HEAP_MAX);
        is_good.then_some(instance)
    }
}

/// A step at work.
struct Run<'a, 'js> {
    ctx: &'a Ctx<'js>,
    instance: &'a ContextInstance,
}

impl<'js> Run<'_, 'js> {
    fn state(&self) -> &State {
        &self.instance.state
    }

    /// Runs until the handler has settled, or waits (`None`).
    fn advance(&self, request: Option<CallRequest>, answers: Vec<(u32, AskAnswer)>) -> Option<Settled> {
        let promise = match self.promise(request) {
            Ok(promise) => promise,
            Err(error) => return Some(Err(self.failure(&error))),
        };
        for (id, answer) in answers {
            if self.state().call().answered(id) {
                self.told(&self.answer(id, answer));
            }
        }
        loop {
            run_jobs(self.ctx, self.state(), Some(&promise));
            if let Some(failure) = self.state().failure() {
                // What ended it is thrown where it was, which may be what the promise was rejected with.
                let _ = promise.result::<Value<'js>>();
                self.note_end(&self.ctx.catch());
                return Some(Err(failure));
            }
            if let Some(result) = promise.result::<Value<'js>>() {
                return Some(self.settle(result, &promise));
            }
            let now_us = self.state().now_us();
            let due = self.state().call().due_timer(now_us);
            match due {
                Some(id) => self.told(&self.kernel("fire", (id,))),
                None if self.state().call().waits() => return None,
                None => return Some(Err(CallFailure::Limit(Limit::NeverSettles))),
            }
        }
    }

    /// The handler's promise; the first step starts the handler.
    fn promise(&self, request: Option<CallRequest>) -> rquickjs::Result<Promise<'js>> {
        let Some(request) = request else {
            return Ok(self.ctx.userdata::<Promise<'js>>().expect("BUG: it began").clone());
        };
        rejections::clear(self.ctx);
        let promise = self.start(&request)?;
        self.ctx.store_userdata(promise.clone()).map_err(|_| rquickjs::Error::Unknown)?;
        Ok(promise)
    }

    fn start(&self, request: &CallRequest) -> rquickjs::Result<Promise<'js>> {
        let ctx = self.ctx;
        let of = Object::new(ctx.clone())?;
        of.set("args", ctx.json_parse(&*request.args)?)?;
        of.set("headers", texts(ctx, request.headers.iter().map(|(name, value)| (name, value)))?)?;
        let user = request.user.as_ref().map(|user| ctx.json_parse(&**user)).transpose()?;
        of.set("user", user.unwrap_or_else(|| Value::new_null(ctx.clone())))?;
        of.set("owner", &*request.owner)?;
        of.set("env", texts(ctx, request.env.iter())?)?;
        of.set("requestId", &*request.request_id)?;
        of.set("guardPrefix", request.guard_prefix)?;
        of.set("canSign", request.can_sign)?;
        self.kernel("begin", (&*request.function, of))
    }

    /// Calls a function of the prelude.
    fn kernel<A, R>(&self, name: &str, arguments: A) -> rquickjs::Result<R>
    where
        A: rquickjs::function::IntoArgs<'js>,
        R: rquickjs::FromJs<'js>,
    {
        instance::call(&kernel(self.ctx)?, name, arguments)
    }

    /// What the prelude throws is dropped: it has handed on what concerns the function.
    fn told(&self, result: &rquickjs::Result<()>) {
        if result.is_err() {
            self.ctx.catch();
        }
    }

    fn answer(&self, id: u32, answer: AskAnswer) -> rquickjs::Result<()> {
        match answer {
            AskAnswer::Fetch(Ok(response)) => {
                self.kernel("answer", (id, true, response_to_js(self.ctx, response)?))
            }
            AskAnswer::Sign(Ok(text)) | AskAnswer::Verify(Ok(text)) => {
                self.kernel("answer", (id, true, text))
            }
            AskAnswer::Fetch(Err(message))
            | AskAnswer::Sign(Err(message))
            | AskAnswer::Verify(Err(message)) => self.kernel("answer", (id, false, message)),
        }
    }

    /// The handler has settled: the result as JSON, then what it left behind runs out (FUN-17).
    fn settle(&self, result: rquickjs::Result<Value<'js>>, promise: &Promise<'js>) -> Settled {
        self.state().call().settle();
        self.told(&self.kernel("end", ()));
        let result = match result {
            Ok(value) => self.json(value),
            Err(error) => Err(self.failure(&error)),
        };
        let result = self.state().failure().map_or(result, Err);
        run_jobs(self.ctx, self.state(), None);
        rejections::tell(self.ctx, self.state(), promise);
        result
    }

    /// Keeps where the code was that came to its end.
    fn note_end(&self, thrown: &Value<'js>) {
        let place = thrown::place(self.ctx, thrown, &self.instance.code.positions);
        self.state().call().ended_at = place;
    }

    /// The result as JSON; `toJSON` and getters of the function run here.
    fn json(&self, value: Value<'js>) -> Settled {
        let bytes_max = self.instance.code.limits.result_bytes;
        let json = to_json(self.ctx, self.state(), value, bytes_max).map_err(|failure| match failure {
            JsonFailure::Limit(limit) => CallFailure::Limit(limit),
            JsonFailure::Engine(error) => self.failure(&error),
        });
        if self.state().must_stop() { Err(CallFailure::Limit(Limit::Cpu)) } else { json }
    }

    fn failure(&self, error: &rquickjs::Error) -> CallFailure {
        if let Some(failure) = self.state().failure() {
            self.note_end(&self.ctx.catch());
            return failure;
        }
        match error {
            rquickjs::Error::Exception => {
                let value = self.ctx.catch();
                let code = &self.instance.code;
                let failure = thrown::failure(self.ctx, &value, (&code.bundle, &code.positions));
                if matches!(failure, CallFailure::Limit(_)) {
                    self.note_end(&value);
                }
                // Reading the error may have run code of the function.
                self.state().failure().unwrap_or(failure)
            }
            rquickjs::Error::Allocation => CallFailure::Limit(Limit::Memory),
            other => CallFailure::Thrown {
                class: crate::call::ThrownClass::Internal,
                message: other.to_string(),
                stack: String::new(),
            },
        }
    }
}

/// An object of texts.
fn texts<'js, 'a>(
    ctx: &Ctx<'js>,
    pairs: impl Iterator<Item = (&'a String, &'a String)>,
) -> rquickjs::Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    for (name, value) in pairs {
        let value = rquickjs::object::Property::from(value.as_str());
        object.prop(name.as_str(), value.writable().enumerable().configurable())?;
    }
    Ok(object)
}

fn response_to_js<'js>(ctx: &Ctx<'js>, response: FetchResponse) -> rquickjs::Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    object.set("status", response.status)?;
    object.set("statusText", response.status_text)?;
    let headers: Vec<String> = response.headers.into_iter().flat_map(|(name, value)| [name, value]).collect();
    object.set("headers", headers)?;
    object.set("body", TypedArray::<u8>::new_copy(ctx.clone(), response.body)?)?;
    object.set("url", response.url)?;
    object.set("redirected", response.redirected)?;
    Ok(object)
}
