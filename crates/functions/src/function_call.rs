//! A call, wherever its context lives: in this process, or in one of its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    call::{AskAnswer, CallRequest, Step},
    cpu::CpuMeter,
    db::FunctionDb,
    instance::ContextInstance,
    process::{ProcessCall, ProcessContext},
    run::ContextCall,
};

/// A context that is ready for a call. It serves one at a time (FUN-19).
pub struct Instance {
    pub(crate) home: Home,
    /// Its place in a pool; given back when it is dropped.
    pub(crate) place: Option<PoolPlace>,
    /// When it was last used, as its pool counts.
    pub(crate) used: u64,
}

/// Where a context lives.
pub(crate) enum Home {
    Here(Box<ContextInstance>),
    Process(Box<ProcessContext>),
}

/// Counts a context of a pool for as long as it lives.
pub(crate) struct PoolPlace(pub(crate) Arc<AtomicUsize>);

impl Drop for PoolPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One call of a function, in a context of its own.
pub struct FunctionCall {
    run: CallRun,
    place: Option<PoolPlace>,
}

enum CallRun {
    Here(Box<ContextCall>),
    Process(Box<ProcessCall>),
}

impl FunctionCall {
    /// Nothing runs yet.
    #[must_use]
    pub fn begin(instance: Instance, request: CallRequest) -> Self {
        let Instance { home, place, .. } = instance;
        let run = match home {
            Home::Here(context) => CallRun::Here(Box::new(ContextCall::begin(*context, request))),
            Home::Process(context) => CallRun::Process(Box::new(ProcessCall::begin(*context, request))),
        };
        Self { run, place }
    }

    /// Measures the call's CPU.
    #[must_use]
    pub fn cpu(&self) -> CpuMeter {
        match &self.run {
            CallRun::Here(call) => call.cpu(),
            CallRun::Process(call) => call.cpu(),
        }
    }

    /// Bytes of the context's heap. Looks at every object; of a process, when the call began to wait.
    #[must_use]
    pub fn heap_bytes(&self) -> u64 {
        match &self.run {
            CallRun::Here(call) => call.heap_bytes(),
            CallRun::Process(call) => call.heap_bytes(),
        }
    }

    /// Runs on with `answers` to what it asked for, until it is done or waits. `now_ms` is the clock; it must not go
    /// backwards from step to step.
    pub fn step(&mut self, db: &mut dyn FunctionDb, answers: Vec<(u32, AskAnswer)>, now_ms: u64) -> Step {
        match &mut self.run {
            CallRun::Here(call) => call.step(db, answers, now_ms),
            CallRun::Process(call) => call.step(db, answers, now_ms),
        }
    }

    /// The context, if it can serve another call.
    pub(crate) fn into_instance(self) -> Option<Instance> {
        let home = match self.run {
            CallRun::Here(call) => Home::Here(Box::new(call.into_instance()?)),
            CallRun::Process(call) => Home::Process(Box::new(call.into_context()?)),
        };
        Some(Instance { home, place: self.place, used: 0 })
    }
}
