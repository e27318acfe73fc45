//! What one context keeps of the call that it serves. The native functions write here, the call's machine reads it.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    call::{Ask, CallFailure, FunctionLogLine, Limit, LogLevel, Used},
    cpu::CpuMeter,
};

/// Most lines that a call logs.
const LOG_LINES_MAX: usize = 1000;
/// Most bytes that a call logs.
const LOG_BYTES_MAX: usize = 256 * 1024;
/// Longest line of a log, bytes.
const LOG_LINE_MAX: usize = 16 * 1024;
/// Most warnings of a call.
const WARNINGS_MAX: usize = 100;
/// Most names that a call gives to `subscribeTo` and `invalidate` each.
const NAMES_MAX: usize = 1000;
/// Longest of these names, bytes.
const NAME_BYTES_MAX: usize = 256;
/// Most timers of a call at one time.
const TIMERS_MAX: usize = 1000;
/// Most `signJwt` that a call awaits at one time.
const ASKS_OPEN_MAX: usize = 100;

/// What a context is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It evaluates its program.
    Loading,
    /// It waits for a call.
    Idle,
    /// It serves one.
    Running,
    /// The call's handler has settled; what it left behind runs out.
    Settled,
}

/// Shared by a context, its native functions and its interrupt handler.
pub(crate) struct State {
    /// CPU of the call, or of loading.
    pub(crate) meter: CpuMeter,
    /// Set for good when JavaScript may not go on: a limit, or the database ended the call.
    ended: AtomicBool,
    call: Mutex<CallState>,
}

/// The call.
pub(crate) struct CallState {
    pub(crate) phase: Phase,
    end: Option<CallFailure>,
    /// The clock at the step's beginning, milliseconds.
    now_ms: u64,
    /// The clock at the call's beginning.
    began_ms: u64,
    fetches_left: u32,
    next_id: u32,
    asks: Vec<(u32, Ask)>,
    open: HashSet<u32>,
    timers: BTreeSet<(u64, u32)>,
    /// Where the code was that a limit or the database ended, if that is known.
    pub(crate) ended_at: String,
    pub(crate) log: Vec<FunctionLogLine>,
    log_bytes: usize,
    pub(crate) warnings: Vec<String>,
    pub(crate) subscribe_to: Vec<String>,
    pub(crate) invalidate: Vec<String>,
    pub(crate) used: Used,
}

impl State {
    pub(crate) fn new(cpu_ms: u64) -> Self {
        Self {
            meter: CpuMeter::new(cpu_ms),
            ended: AtomicBool::new(false),
            call: Mutex::new(CallState::new(Phase::Loading, 0)),
        }
    }

    /// The call. Held for moments, never while JavaScript or the database runs.
    pub(crate) fn call(&self) -> MutexGuard<'_, CallState> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins.
    pub(crate) fn begin(&self, fetches: u32) {
        self.meter.reset();
        *self.call() = CallState::new(Phase::Running, fetches);
    }

    /// Nothing of JavaScript goes on after this. The first reason stays.
    pub(crate) fn end(&self, failure: CallFailure) {
        self.ended.store(true, Ordering::Relaxed);
        self.call().end.get_or_insert(failure);
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Why it ended, if it did.
    pub(crate) fn failure(&self) -> Option<CallFailure> {
        self.is_ended().then(|| self.call().end.clone().unwrap_or(CallFailure::Aborted))
    }

    /// What the engine asks now and then while it runs: whether it must stop.
    pub(crate) fn must_stop(&self) -> bool {
        if !self.is_ended() && self.meter.is_over() {
            self.end(CallFailure::Limit(Limit::Cpu));
        }
        self.is_ended()
    }

    /// The clock of JavaScript: that of the step, moved on by the CPU time since.
    pub(crate) fn now_us(&self) -> u64 {
        let now_ms = self.call().now_ms;
        now_ms.saturating_mul(1000).saturating_add(self.meter.step_us())
    }

    /// Time since the call began, microseconds.
    pub(crate) fn since_beginning_us(&self) -> u64 {
        let began_ms = self.call().began_ms;
        self.now_us().saturating_sub(began_ms.saturating_mul(1000))
    }
}

impl CallState {
    fn new(phase: Phase, fetches_left: u32) -> Self {
        Self {
            phase,
            end: None,
            now_ms: 0,
            began_ms: 0,
            fetches_left,
            next_id: 1,
            asks: Vec::new(),
            open: HashSet::new(),
            timers: BTreeSet::new(),
            ended_at: String::new(),
            log: Vec::new(),
            log_bytes: 0,
            warnings: Vec::new(),
            subscribe_to: Vec::new(),
            invalidate: Vec::new(),
            used: Used::default(),
        }
    }

    /// A step begins at this time.
    pub(crate) fn set_now(&mut self, now_ms: u64) {
        if self.began_ms == 0 {
            self.began_ms = now_ms;
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    fn id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    /// Sends an ask off; `Err` is for the function.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<u32, String> {
        match (self.phase, &ask) {
            (Phase::Running, Ask::Fetch(_)) if self.fetches_left == 0 => {
                return Err("fetch() was called too often in this call; see functions.fetches.".to_owned());
            }
            (Phase::Running, _) if self.open.len() >= ASKS_OPEN_MAX => {
                return Err(format!("more than {ASKS_OPEN_MAX} requests are open in this call."));
            }
            (Phase::Running, Ask::Fetch(_)) => {
                self.fetches_left -= 1;
                self.used.fetch = true;
            }
            (Phase::Running, _) => {}
            (Phase::Settled, _) => return Err("the function has returned.".to_owned()),
            (Phase::Loading | Phase::Idle, _) => {
                return Err("this works inside a function, not while its module loads.".to_owned());
            }
        }
        let id = self.id();
        self.open.insert(id);
        self.asks.push((id, ask));
        Ok(id)
    }

    /// The answer to an ask is not wanted any more.
    pub(crate) fn cancel(&mut self, id: u32) {
        if !self.open.remove(&id) {
            return;
        }
        let before = self.asks.len();
        self.asks.retain(|(asked, _)| *asked != id);
        if self.asks.len() == before {
            let cancel = self.id();
            self.asks.push((cancel, Ask::Cancel(id)));
        }
    }

    /// An answer came; false: nobody waits for it any more.
    pub(crate) fn answered(&mut self, id: u32) -> bool {
        self.open.remove(&id)
    }

    /// What was asked for since the last time.
    pub(crate) fn take_asks(&mut self) -> Vec<(u32, Ask)> {
        std::mem::take(&mut self.asks)
    }

    /// Sets a timer; `now_us` is JavaScript's clock.
    pub(crate) fn set_timer(&mut self, now_us: u64, delay_ms: u64) -> Result<u32, String> {
        match self.phase {
            Phase::Running => {}
            Phase::Settled => return Err("the function has returned.".to_owned()),
            Phase::Loading | Phase::Idle => {
                return Err("timers work inside a function, not while its module loads.".to_owned());
            }
        }
        if self.timers.len() >= TIMERS_MAX {
            return Err(format!("more than {TIMERS_MAX} timers are set in this call."));
        }
        let id = self.id();
        self.timers.insert(((now_us / 1000).saturating_add(delay_ms), id));
        Ok(id)
    }

    pub(crate) fn clear_timer(&mut self, id: u32) {
        self.timers.retain(|(_, timer)| *timer != id);
    }

    /// The timer that is due, if one is; `now_us` is JavaScript's clock.
    pub(crate) fn due_timer(&mut self, now_us: u64) -> Option<u32> {
        let (due_ms, id) = *self.timers.first()?;
        (due_ms <= now_us / 1000).then(|| {
            self.timers.pop_first();
            id
        })
    }

    /// When the next timer is due.
    pub(crate) fn next_timer_ms(&self) -> Option<u64> {
        self.timers.first().map(|(due_ms, _)| *due_ms)
    }

    /// Whether anything from outside can still wake it.
    pub(crate) fn waits(&self) -> bool {
        !self.open.is_empty() || !self.timers.is_empty()
    }

    /// The handler has settled: its timers and asks are over (FUN-17).
    pub(crate) fn settle(&mut self) {
        self.phase = Phase::Settled;
        self.timers.clear();
        self.open.clear();
        self.asks.clear();
    }

    /// Writes a line; what is too much is left out, and said so once.
    pub(crate) fn log(&mut self, level: LogLevel, mut text: String) {
        if self.log.len() >= LOG_LINES_MAX || self.log_bytes >= LOG_BYTES_MAX {
            return;
        }
        shorten(&mut text, LOG_LINE_MAX);
        self.log_bytes += text.len();
        self.log.push(FunctionLogLine { level, text });
        if self.log.len() == LOG_LINES_MAX || self.log_bytes >= LOG_BYTES_MAX {
            let text = format!("the log ends here: more than {LOG_LINES_MAX} lines or {LOG_BYTES_MAX} bytes");
            self.log.push(FunctionLogLine { level: LogLevel::Warn, text });
        }
    }

    /// Warns the caller; each text once.
    pub(crate) fn warn(&mut self, mut text: String) {
        shorten(&mut text, LOG_LINE_MAX);
        if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    pub(crate) fn subscribe_to(&mut self, names: Vec<String>) -> Result<(), String> {
        add_names(&mut self.subscribe_to, names)
    }

    pub(crate) fn invalidate(&mut self, names: Vec<String>) -> Result<(), String> {
        add_names(&mut self.invalidate, names)
    }
}

fn add_names(list: &mut Vec<String>, names: Vec<String>) -> Result<(), String> {
    for name in names {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("a name has more than {NAME_BYTES_MAX} bytes."));
        }
        if !list.contains(&name) {
            if list.len() >= NAMES_MAX {
                return Err(format!("more than {NAMES_MAX} names in one call."));
            }
            list.push(name);
        }
    }
    Ok(())
}

/// Cuts a text at `bytes_max`, between two characters.
pub(crate) fn shorten(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}
