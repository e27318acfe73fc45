//! A context in a child process, at the hub's end.

use std::{borrow::Cow, fs, io, os::unix::process::ExitStatusExt as _, sync::Arc, time::Duration};

use ferry_core::sql::Row;
use serde::Serialize as _;

use super::{
    channel::{Channel, FrameKind, decode, encode},
    messages::{DbAnswer, DbAsk, FromWorker, Sent, ToWorker, ValueMessage},
    processes::{Process, Processes},
    worker_db::unexpected,
};
use crate::{
    call::{Ask, AskAnswer, CallFailure, CallRequest, FunctionOutcome, Limit, Step, Used},
    cpu::CpuMeter,
    db::{DbFailure, FunctionDb, RowSink},
    instance::ProgramCode,
    load_error::{LoadError, LoadErrorKind},
};

/// A child that says nothing for so long is looked at.
const SILENCE: Duration = Duration::from_millis(50);
/// Looks at a child that loads its program, before it is ended: 30 seconds.
const LOOKS_WHILE_LOADING: u32 = 600;
/// A child that does not read for so long is ended.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages of a child beside what its heap holds.
const FRAME_OVERHEAD: usize = 1 << 20;
/// Rows are sent when they are so many bytes.
const ROWS_BYTES: usize = 32 * 1024;
/// The signal of a process that used more CPU than its limit, on every system that has it.
const SIGXCPU: i32 = 24;

/// A process with a program evaluated in it, between two calls.
pub(crate) struct ProcessContext {
    process: Process,
    channel: Channel,
    code: Arc<ProgramCode>,
}

/// A call in it.
pub(crate) struct ProcessCall {
    context: ProcessContext,
    /// Taken by the first step.
    request: Option<CallRequest>,
    cpu: CpuMeter,
    heap_bytes: u64,
    fetches_left: u32,
    /// The call is over; whether its process serves another one.
    done: Option<bool>,
}

impl ProcessContext {
    /// Starts a process and has it evaluate the program; and what that exports, if it is asked.
    pub(crate) fn load(
        processes: &Processes,
        code: &Arc<ProgramCode>,
        now_ms: u64,
        inspects: bool,
    ) -> Result<(Self, Option<String>), LoadError> {
        let no_process = |error: io::Error| LoadError {
            message: format!("no process could be started for functions: {error}"),
            ..LoadError::new(LoadErrorKind::NoProcess)
        };
        let process = processes.start().map_err(no_process)?;
        let ready = || {
            process.stream.set_read_timeout(Some(SILENCE))?;
            process.stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
            process.stream.try_clone()
        };
        let frame_max = code.limits.heap_bytes.saturating_mul(2).saturating_add(FRAME_OVERHEAD);
        let channel = Channel::new(ready().map_err(no_process)?, frame_max);
        let mut context = Self { process, channel, code: Arc::clone(code) };
        match context.loaded(now_ms, inspects) {
            Ok(exports) => Ok((context, exports?)),
            Err(error) => Err(match context.end(&error) {
                CallFailure::Limit(limit) => LoadError::new(LoadErrorKind::Limit(limit)),
                _ => LoadError::new(LoadErrorKind::Died),
            }),
        }
    }

    fn loaded(&mut self, now_ms: u64, inspects: bool) -> io::Result<Result<Option<String>, LoadError>> {
        let ProgramCode { bundle, positions, limits, .. } = &*self.code;
        let (bundle, positions) = (Cow::Borrowed(bundle.as_str()), Cow::Borrowed(positions));
        self.channel.send(0, &ToWorker::Load { bundle, positions, limits: *limits, now_ms, inspects })?;
        let mut looks = 0;
        let frame = self.channel.receive(|| {
            looks += 1;
            if looks < LOOKS_WHILE_LOADING { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
        })?;
        let Sent(_, message): Sent<FromWorker<'_>> = decode(frame.content())?;
        let FromWorker::Loaded(loaded) = message else { return Err(unexpected()) };
        self.channel.give_back(frame);
        Ok(loaded)
    }

    /// Ends the process; what that means to who waited for it.
    fn end(&mut self, why: &io::Error) -> CallFailure {
        let Some(mut child) = self.process.child.take() else { return CallFailure::Died };
        let _ = child.kill();
        let status = child.wait().ok();
        if status.and_then(|status| status.signal()) == Some(SIGXCPU) {
            return CallFailure::Limit(Limit::Cpu);
        }
        let status = status.map(|status| status.to_string());
        tracing::warn!(pid = child.id(), status, error = %why, "a process of functions ended with the call that it served");
        CallFailure::Died
    }
}

impl ProcessCall {
    /// Nothing runs yet.
    pub(crate) fn begin(context: ProcessContext, request: CallRequest) -> Self {
        let limits = &context.code.limits;
        let (cpu, fetches_left) = (CpuMeter::new(limits.cpu_ms), limits.fetches);
        Self { context, request: Some(request), cpu, heap_bytes: 0, fetches_left, done: None }
    }

    pub(crate) fn cpu(&self) -> CpuMeter {
        self.cpu.clone()
    }

    pub(crate) fn heap_bytes(&self) -> u64 {
        self.heap_bytes
    }

    /// As [`crate::FunctionCall::step`].
    pub(crate) fn step(
        &mut self,
        db: &mut dyn FunctionDb,
        answers: Vec<(u32, AskAnswer)>,
        now_ms: u64,
    ) -> Step {
        if self.done.is_some() {
            return Step::Done(self.ended(CallFailure::Aborted));
        }
        self.cpu.start();
        let stepped = self.exchange(db, answers, now_ms);
        self.cpu.stop();
        match stepped {
            Ok(Step::Done(mut outcome)) => {
                outcome.cpu_us = self.cpu.used_us();
                Step::Done(outcome)
            }
            Ok(waiting) => waiting,
            Err(Broken::Ended(failure)) => {
                self.done = Some(false);
                // It goes on, and nobody listens.
                if let Some(child) = &mut self.context.process.child {
                    let _ = child.kill();
                }
                Step::Done(self.ended(failure))
            }
            Err(Broken::Channel(error)) => {
                self.done = Some(false);
                let failure = self.context.end(&error);
                Step::Done(self.ended(failure))
            }
        }
    }

    /// The process, if it serves another call.
    pub(crate) fn into_context(self) -> Option<ProcessContext> {
        (self.done == Some(true)).then_some(self.context)
    }

    fn ended(&self, failure: CallFailure) -> FunctionOutcome {
        FunctionOutcome {
            result: Err(failure),
            ended_at: String::new(),
            log: Vec::new(),
            warnings: Vec::new(),
            subscribe_to: Vec::new(),
            invalidate: Vec::new(),
            used: Used::default(),
            cpu_us: self.cpu.used_us(),
        }
    }

    /// One step: what the child asks of the database is answered until it is done or waits.
    fn exchange(
        &mut self,
        db: &mut dyn FunctionDb,
        answers: Vec<(u32, AskAnswer)>,
        now_ms: u64,
    ) -> Result<Step, Broken> {
        let request = self.request.take();
        let step = ToWorker::Step { request: request.as_ref().map(Into::into), answers, now_ms };
        self.context.channel.send(self.cpu.own_us(), &step)?;
        loop {
            let frame = self.receive(db)?;
            if frame.kind != FrameKind::Message {
                return Err(unexpected().into());
            }
            let Sent(cpu_us, message): Sent<FromWorker<'_>> = decode(frame.content())?;
            self.cpu.set_outside(cpu_us);
            let step = match message {
                FromWorker::Ask(question) => {
                    answer(&mut self.context.channel, &self.cpu, db, question)?;
                    None
                }
                FromWorker::Done { outcome, serves_on } => {
                    self.done = Some(serves_on);
                    Some(Step::Done(outcome))
                }
                FromWorker::Waiting { asks, due_ms, heap_bytes } => {
                    self.heap_bytes = heap_bytes;
                    self.count_fetches(&asks)?;
                    Some(Step::Waiting { asks, due_ms })
                }
                FromWorker::Loaded(_) => return Err(unexpected().into()),
            };
            self.context.channel.give_back(frame);
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// What the child says next. One that is silent is asked for its CPU, and its call whether it may go on.
    fn receive(&mut self, db: &mut dyn FunctionDb) -> Result<super::channel::ChannelFrame, Broken> {
        let Self { context, cpu, .. } = self;
        let pid = context.process.child.as_ref().map(std::process::Child::id);
        let told_us = cpu.outside_us();
        let (mut first_us, mut end) = (None, None);
        let received = context.channel.receive(|| {
            if let Some(now_us) = pid.and_then(cpu_of) {
                let first_us = *first_us.get_or_insert(now_us);
                cpu.set_outside(told_us + now_us.saturating_sub(first_us));
            }
            if cpu.is_over() {
                end = Some(CallFailure::Limit(Limit::Cpu));
            } else if !db.go_on() {
                end = Some(CallFailure::Aborted);
            }
            if end.is_none() { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
        });
        match end {
            Some(failure) => Err(Broken::Ended(failure)),
            None => Ok(received?),
        }
    }

    fn count_fetches(&mut self, asks: &[(u32, Ask)]) -> io::Result<()> {
        for (_, ask) in asks {
            if matches!(ask, Ask::Fetch(_)) {
                self.fetches_left = self.fetches_left.checked_sub(1).ok_or_else(unexpected)?;
            }
        }
        Ok(())
    }
}

/// Why a step has no end.
enum Broken {
    /// Its call may not go on.
    Ended(CallFailure),
    /// The child is gone, or says what it must not.
    Channel(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Channel(error)
    }
}

/// Answers what a child asks of its database.
fn answer(
    channel: &mut Channel,
    cpu: &CpuMeter,
    db: &mut dyn FunctionDb,
    question: DbAsk<'_>,
) -> io::Result<()> {
    let mut rows = RowsOut { channel, columns: 0, batch: Vec::new(), count: 0, error: None };
    let answered = match question {
        DbAsk::Execute { sql, parameters } => {
            let parameters: Vec<_> = parameters.iter().map(|value| value.0).collect();
            db.execute(sql, &parameters, &mut rows).map(DbAnswer::Executed)
        }
        DbAsk::Savepoint(step) => db.savepoint(step).map(|()| DbAnswer::Savepoint),
        DbAsk::Model(call) => db.model(&call).map(|json| DbAnswer::Model(json.into())),
        DbAsk::Seq => db.seq().map(DbAnswer::Seq),
        DbAsk::GoOn => Ok(DbAnswer::GoesOn(db.go_on())),
    };
    rows.finish()?;
    let answer = answered.unwrap_or_else(|failure| match failure {
        DbFailure::Thrown(kind, text) => DbAnswer::Thrown(kind, text.into()),
        DbFailure::Abort => DbAnswer::Abort,
    });
    channel.send(cpu.own_us(), &ToWorker::Answer(answer))
}

/// Sends rows while SQLite steps.
struct RowsOut<'a> {
    channel: &'a mut Channel,
    columns: usize,
    /// Values of rows that were not sent yet.
    batch: Vec<u8>,
    count: u32,
    error: Option<io::Error>,
}

impl RowsOut<'_> {
    fn add(&mut self, row: &dyn Row) -> io::Result<()> {
        if self.batch.is_empty() {
            self.batch.extend_from_slice(&[0; 4]);
        }
        let mut values = rmp_serde::Serializer::new(&mut self.batch);
        for column in 0..self.columns {
            ValueMessage(row.value(column)).serialize(&mut values).map_err(io::Error::other)?;
        }
        self.count += 1;
        if self.batch.len() >= ROWS_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> io::Result<()> {
        let Self { channel, batch, count, .. } = self;
        if *count > 0 {
            batch[..4].copy_from_slice(&count.to_le_bytes());
            channel.frame(FrameKind::Rows, |out| {
                out.extend_from_slice(batch);
                Ok(())
            })?;
            batch.clear();
            *count = 0;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let sent = self.send();
        self.error.take().map_or(sent, Err)
    }
}

impl RowSink for RowsOut<'_> {
    fn columns(&mut self, names: &[&str]) {
        self.columns = names.len();
        if let Err(error) = self.channel.frame(FrameKind::Columns, |out| encode(out, &names)) {
            self.error = Some(error);
        }
    }

    fn row(&mut self, row: &dyn Row) -> bool {
        if self.error.is_none()
            && let Err(error) = self.add(row)
        {
            self.error = Some(error);
        }
        self.error.is_none()
    }
}

/// CPU of a process's first thread, which runs its engine, microseconds; where the system tells.
fn cpu_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let nanoseconds: u64 = stat.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1000)
}
