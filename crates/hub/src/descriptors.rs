//! File descriptors: how many the process may hold, and who gets them. Sockets, databases and the processes of functions have
//! a share each, so that no crowd of one kind takes the last one from another (WEB-10).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process without any hard limit asks for.
const ASKED_FOR_MAX: u64 = 1 << 20;
/// Share of the limit that is neither for sockets nor for databases: the control plane, logs, spooled files, calls to
/// hooks and key sets.
const KEPT_BACK_DIVISOR: u64 = 8;
const KEPT_BACK_MIN: u64 = 24;
const KEPT_BACK_MAX: u64 = 512;
/// What a process of functions takes: the hub's end of its socket, to read and to write.
const PROCESS_DESCRIPTORS: u64 = 2;
/// Share of what is left that processes of functions may take.
const PROCESSES_DIVISOR: u64 = 4;

/// How the descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The limit of the process.
    pub limit: u64,
    /// Connections that may be open at once.
    pub sockets: u64,
    /// Descriptors that files of open databases may take, all databases together.
    pub databases: u64,
    /// Processes of functions that may live at once.
    pub processes: u64,
}

impl Descriptors {
    /// Raises the limit of this process to its hard value, and shares it out. `max_connections`: sockets wanted at most;
    /// they get it if as much is left for databases; `processes`: those of functions that are wanted.
    #[must_use]
    pub fn claim(max_connections: u64, processes: u64) -> Self {
        Self::share(raise(), max_connections, processes)
    }

    /// Shares out `limit`.
    #[must_use]
    pub fn share(limit: u64, max_connections: u64, processes: u64) -> Self {
        let kept_back = (limit / KEPT_BACK_DIVISOR).clamp(KEPT_BACK_MIN, KEPT_BACK_MAX);
        let left = limit.saturating_sub(kept_back);
        let room = left / PROCESSES_DIVISOR / PROCESS_DESCRIPTORS;
        let processes = processes.min(room.max(1));
        let left = left.saturating_sub(processes * PROCESS_DESCRIPTORS);
        let sockets = max_connections.min(left / 2).max(1);
        Self { limit, sockets, databases: left.saturating_sub(sockets).max(1), processes }
    }
}

/// The limit after it was raised as far as it goes.
fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(ASKED_FOR_MAX);
    // `None`: there is no limit.
    let Some(now) = current.filter(|now| *now < wanted) else { return current.unwrap_or(ASKED_FOR_MAX) };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, now, wanted, "the limit of open files could not be raised");
            now
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: WEB-10
    #[test]
    fn sockets_get_what_they_may_have_and_never_more_than_databases() {
        for (limit, sockets, databases) in [
            (64, 20, 20),
            (256, 112, 112),
            (1024, 448, 448),
            (20_000, 9744, 9744),
            (1 << 20, 20_000, 1_028_064),
        ] {
            let expected = Descriptors { limit, sockets, databases, processes: 0 };
            assert_eq!(Descriptors::share(limit, 20_000, 0), expected);
        }
        let shared = |limit, sockets, databases| Descriptors { limit, sockets, databases, processes: 0 };
        assert_eq!(Descriptors::share(1024, 100, 0), shared(1024, 100, 796));
        // Too few for anything, and still not none.
        assert_eq!(Descriptors::share(8, 20_000, 0), shared(8, 1, 1));
    }

    // With 64 processes, all sockets and all databases a hub was out of descriptors.
    // Verifies: WEB-10, FUN-19
    #[test]
    fn processes_of_functions_take_from_both_and_at_most_a_quarter() {
        for (limit, wanted, processes, sockets) in
            [(1024, 64, 64, 384), (1024, 10_000, 112, 336), (64, 64, 5, 15), (8, 64, 1, 1)]
        {
            let shared = Descriptors::share(limit, 20_000, wanted);
            assert_eq!((shared.processes, shared.sockets), (processes, sockets), "of {limit}");
            if limit > 8 {
                let taken = shared.sockets + shared.databases + processes * PROCESS_DESCRIPTORS;
                assert!(taken <= limit - KEPT_BACK_MIN, "{shared:?}");
            }
        }
    }
}
