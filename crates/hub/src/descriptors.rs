//! File descriptors: how many the process may hold, and who gets them. Sockets and databases have a share each, so that
//! neither a crowd of clients nor a crowd of open databases takes the last one from the other (WEB-10).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process without any hard limit asks for.
const ASKED_FOR_MAX: u64 = 1 << 20;
/// Share of the limit that is neither for sockets nor for databases: the control plane, logs, spooled files, calls to
/// hooks and key sets.
const KEPT_BACK_DIVISOR: u64 = 8;
const KEPT_BACK_MIN: u64 = 24;
const KEPT_BACK_MAX: u64 = 512;

/// How the descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The limit of the process.
    pub limit: u64,
    /// Connections that may be open at once.
    pub sockets: u64,
    /// Descriptors that files of open databases may take, all databases together.
    pub databases: u64,
}

impl Descriptors {
    /// Raises the limit of this process to its hard value, and shares it out. `max_connections`: sockets wanted at most;
    /// they get it if as much is left for databases.
    #[must_use]
    pub fn claim(max_connections: u64) -> Self {
        Self::share(raise(), max_connections)
    }

    /// Shares out `limit`.
    #[must_use]
    pub fn share(limit: u64, max_connections: u64) -> Self {
        let kept_back = (limit / KEPT_BACK_DIVISOR).clamp(KEPT_BACK_MIN, KEPT_BACK_MAX);
        let left = limit.saturating_sub(kept_back);
        let sockets = max_connections.min(left / 2).max(1);
        Self { limit, sockets, databases: left.saturating_sub(sockets).max(1) }
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
            let expected = Descriptors { limit, sockets, databases };
            assert_eq!(Descriptors::share(limit, 20_000), expected);
        }
        assert_eq!(Descriptors::share(1024, 100), Descriptors { limit: 1024, sockets: 100, databases: 796 });
        // Too few for anything, and still not none.
        assert_eq!(Descriptors::share(8, 20_000), Descriptors { limit: 8, sockets: 1, databases: 1 });
    }
}
