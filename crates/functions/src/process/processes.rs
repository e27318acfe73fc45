//! The child processes of a hub: started, bounded in number, and ended.

use std::{
    io::{self, PipeReader, PipeWriter},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// The only argument of a child: the program then does [`crate::run_worker`], and nothing else.
pub const WORKER_ARGUMENT: &str = "__functions-worker";
/// What a child knows of the hub's environment: how local times are written.
const TIME_ZONE: &str = "TZ";

/// Who holds processes for calls to come.
pub(crate) trait HoldsProcesses: Send + Sync {
    /// Ends the one that was not used for the longest time. False if all are at work.
    fn end_one(&self) -> bool;

    /// Ends those that were not used since the last time; how many.
    fn end_idle(&self) -> usize;
}

/// The processes in which functions run. Cheap to clone.
#[derive(Clone)]
pub struct Processes(Arc<Inner>);

struct Inner {
    most: usize,
    live: Arc<AtomicUsize>,
    /// Made with the first process.
    ends: Mutex<Option<Ends>>,
    /// The pools that may hold processes which nobody uses.
    pools: Mutex<Vec<Weak<dyn HoldsProcesses>>>,
}

/// What ends processes.
struct Ends {
    /// Standard input of every child ends with the writer, which is the hub's alone.
    lifeline: (PipeReader, PipeWriter),
    /// Takes children that were killed, and waits for their end.
    killed: mpsc::Sender<Child>,
}

impl Ends {
    fn new() -> io::Result<Self> {
        let (killed, children) = mpsc::channel::<Child>();
        let wait = move || children.into_iter().for_each(|mut child| drop(child.wait()));
        thread::Builder::new().name("functions-ended".to_owned()).spawn(wait)?;
        Ok(Self { lifeline: io::pipe()?, killed })
    }
}

/// A child and the hub's end of its socket.
pub(super) struct Process {
    pub(super) child: Option<Child>,
    pub(super) stream: UnixStream,
    killed: mpsc::Sender<Child>,
    live: Arc<AtomicUsize>,
}

impl Processes {
    /// At most so many at once; none is started yet.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, live: Arc::default(), ends: Mutex::default(), pools: Mutex::default() }))
    }

    /// Processes that live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.0.live.load(Ordering::Relaxed)
    }

    /// Most processes at once.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// Ends the processes that no call has used since this was last called.
    pub fn end_idle(&self) {
        let pools: Vec<_> = {
            let mut known = self.pools();
            known.retain(|pool| pool.strong_count() > 0);
            known.iter().filter_map(Weak::upgrade).collect()
        };
        let ended: usize = pools.iter().map(|pool| pool.end_idle()).sum();
        tracing::debug!(ended, live = self.live(), "idle processes of functions");
    }

    /// This one may hold processes.
    pub(crate) fn known(&self, pool: Weak<dyn HoldsProcesses>) {
        self.pools().push(pool);
    }

    fn pools(&self) -> MutexGuard<'_, Vec<Weak<dyn HoldsProcesses>>> {
        self.0.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one; where there are as many as may be, one that nobody uses makes room.
    ///
    /// # Errors
    /// When all are at work, or the system starts none.
    pub(super) fn start(&self) -> io::Result<Process> {
        let inner = &self.0;
        let grow = |live| (live < inner.most).then_some(live + 1);
        while inner.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).is_err() {
            // One that ends a process may be the last who holds its pool: not under the lock.
            let pools: Vec<_> = self.pools().iter().filter_map(Weak::upgrade).collect();
            if !pools.iter().any(|pool| pool.end_one()) {
                let message = "all processes of functions are at work";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
            }
        }
        let spawned = self.spawn();
        if spawned.is_err() {
            inner.live.fetch_sub(1, Ordering::Relaxed);
        }
        spawned
    }

    fn spawn(&self) -> io::Result<Process> {
        let (lifeline, killed) = {
            let mut ends = self.0.ends.lock().unwrap_or_else(PoisonError::into_inner);
            let ends = if let Some(ends) = &*ends { ends } else { ends.insert(Ends::new()?) };
            (ends.lifeline.0.try_clone()?, ends.killed.clone())
        };
        let (stream, theirs) = UnixStream::pair()?;
        let mut command = Command::new(own_program()?);
        command.arg(WORKER_ARGUMENT).env_clear().current_dir("/");
        if let Some(zone) = std::env::var_os(TIME_ZONE) {
            command.env(TIME_ZONE, zone);
        }
        // In a group of its own, so that Ctrl-C ends the hub in order, and calls with it.
        command.process_group(0).stdin(lifeline).stdout(OwnedFd::from(theirs)).stderr(Stdio::inherit());
        let child = command.spawn()?;
        Ok(Process { child: Some(child), stream, killed, live: Arc::clone(&self.0.live) })
    }
}

/// This program. On Linux by a name that stays when the file is replaced by a newer one.
fn own_program() -> io::Result<PathBuf> {
    let linux = PathBuf::from("/proc/self/exe");
    if linux.exists() { Ok(linux) } else { std::env::current_exe() }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            // Without its thread there is no hub any more.
            let _ = self.killed.send(child);
        }
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}
