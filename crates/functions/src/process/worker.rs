//! The child: it evaluates one program and serves one call after the other, until it is told nothing more.

use std::{io, os::fd::AsFd as _, os::unix::net::UnixStream, process::ExitCode, sync::Arc, time::Duration};

use super::{
    bounds,
    channel::{Channel, ChannelFrame, decode},
    messages::{FromWorker, Sent, ToWorker},
    worker_db::{WorkerDb, unexpected},
};
use crate::{
    MODULES,
    call::{AskAnswer, CallRequest, Step},
    embedded,
    instance::{ContextInstance, ProgramCode},
    run::ContextCall,
};

/// Longest message of the hub: programs, arguments and answers of `fetch` are bounded there.
const FRAME_MAX: usize = 1 << 30;

/// What a child process does: the hub is at its standard output, and its standard input ends when the hub does.
#[must_use]
pub fn run_worker() -> ExitCode {
    bounds::follow_the_hub();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // The hub is gone, or wants no more of this process.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "a process of functions ends");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let stream = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut channel = Channel::new(stream, FRAME_MAX);
    // While files can still be opened, and before there is a program.
    embedded::compiled(MODULES).map_err(|error| io::Error::other(error.to_string()))?;
    let frame = channel.receive(|| Ok(()))?;
    let Sent(_, ToWorker::Load { bundle, positions, limits, now_ms, inspects }) = decode(frame.content())?
    else {
        return Err(unexpected());
    };
    let code = ProgramCode {
        bundle: bundle.into_owned(),
        positions: positions.into_owned(),
        modules: MODULES,
        limits,
    };
    channel.give_back(frame);
    bounds::close(&limits);
    bounds::allow_cpu(bounds::process_us(), limits.cpu_ms);
    let loaded = ContextInstance::load(&Arc::new(code), now_ms);
    let told = match &loaded {
        Ok(instance) if inspects => instance.inspect().map(Some),
        Ok(_) => Ok(None),
        Err(error) => Err(error.clone()),
    };
    channel.send(0, &FromWorker::Loaded(told))?;
    let Ok(mut instance) = loaded else { return Ok(()) };
    loop {
        let frame = channel.receive(|| Ok(()))?;
        let (_, request, _, now_ms) = step_of(&frame)?;
        channel.give_back(frame);
        let call = ContextCall::begin(instance, request.ok_or_else(unexpected)?);
        match run(&mut channel, call, now_ms)? {
            Some(kept) => instance = kept,
            None => return Ok(()),
        }
    }
}

/// What the hub says of the next step: CPU at its end, a call that begins, answers, the clock.
type NextStep = (u64, Option<CallRequest>, Vec<(u32, AskAnswer)>, u64);

fn step_of(frame: &ChannelFrame) -> io::Result<NextStep> {
    let Sent(cpu_us, message): Sent<ToWorker<'_>> = decode(frame.content())?;
    match message {
        ToWorker::Step { request, answers, now_ms } => Ok((cpu_us, request.map(Into::into), answers, now_ms)),
        ToWorker::Load { .. } | ToWorker::Answer(_) => Err(unexpected()),
    }
}

/// Runs a call to its end; the context, if it serves another one.
fn run(channel: &mut Channel, mut call: ContextCall, mut now_ms: u64) -> io::Result<Option<ContextInstance>> {
    let cpu = call.cpu();
    let mut answers = Vec::new();
    let mut asked_at = Duration::ZERO;
    bounds::allow_cpu(bounds::process_us(), call.cpu_ms());
    loop {
        let mut db = WorkerDb { channel, cpu: cpu.clone(), asked_at, broken: None };
        let step = call.step(&mut db, answers, now_ms);
        let (broken, asked) = (db.broken, db.asked_at);
        if let Some(broken) = broken {
            return Err(broken);
        }
        asked_at = asked;
        match step {
            Step::Done(outcome) => {
                let kept = call.into_instance();
                let serves_on = kept.is_some();
                channel.send(cpu.own_us(), &FromWorker::Done { outcome, serves_on })?;
                return Ok(kept);
            }
            Step::Waiting { asks, due_ms } => {
                let heap_bytes = call.heap_bytes();
                channel.send(cpu.own_us(), &FromWorker::Waiting { asks, due_ms, heap_bytes })?;
                let frame = channel.receive(|| Ok(()))?;
                let outside_us;
                (outside_us, _, answers, now_ms) = step_of(&frame)?;
                cpu.set_outside(outside_us);
                channel.give_back(frame);
            }
        }
    }
}
