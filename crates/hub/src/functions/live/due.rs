//! Which results are made again next, and how many at once. Those of functions that take long wait among themselves: nobody
//! else waits for them.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use ferry_core::functions::live::{QueryId, QueryKey};
use tokio::time::Instant;

use super::super::{live_result::Rerun, state::Live};

/// Runs of one database at once that have not taken long yet.
const YOUNG_AT_ONCE: usize = 4;
/// Runs at once of functions that are known to take long.
const LONG_AT_ONCE: usize = 4;
/// Runs at once, whatever they are.
const RUNS_AT_ONCE: usize = 32;
/// How long a run may take until it takes long.
const YOUNG_MAX: Duration = Duration::from_millis(250);
/// Functions of which it is remembered that they take long.
const LONG_FUNCTIONS_MAX: usize = 1000;

pub(super) type DueQuery = (QueryId, QueryKey, Arc<Rerun>);

/// Queries that are due: those that only see whether a result changed come before those that sockets keep.
#[derive(Default)]
pub(super) struct DueQueries {
    gated: VecDeque<DueQuery>,
    kept: VecDeque<DueQuery>,
    /// Of functions that take long, and whether a socket keeps the result.
    long: VecDeque<(DueQuery, bool)>,
    long_functions: HashSet<Arc<str>>,
    running: Vec<RunningQuery>,
}

struct RunningQuery {
    query: QueryId,
    function: Arc<str>,
    began: Instant,
    is_long: bool,
}

impl DueQueries {
    pub(super) fn add(&mut self, live: &Live, due: Vec<DueQuery>) {
        for query in due {
            let is_kept = live.queries.is_kept(query.0);
            (if is_kept { &mut self.kept } else { &mut self.gated }).push_back(query);
        }
    }

    /// The next one that is run, and whether a socket keeps its result. It counts as running until [`Self::ended`].
    pub(super) fn next(&mut self, now: Instant) -> Option<(DueQuery, bool)> {
        self.note_long(now);
        if self.running.len() >= RUNS_AT_ONCE {
            return None;
        }
        let (next, is_long) = match self.next_young() {
            Some(next) => (next, false),
            None if self.count(true) < LONG_AT_ONCE => (self.long.pop_front()?, true),
            None => return None,
        };
        let ((query, key, _), _) = &next;
        let running =
            RunningQuery { query: *query, function: Arc::clone(&key.function), began: now, is_long };
        self.running.push(running);
        Some(next)
    }

    /// The next one that is not known to take long. One place is left to those of which no socket keeps the result.
    fn next_young(&mut self) -> Option<(DueQuery, bool)> {
        let running = self.count(false);
        if running >= YOUNG_AT_ONCE {
            return None;
        }
        loop {
            let next = match self.gated.pop_front() {
                Some(query) => (query, false),
                None if running < YOUNG_AT_ONCE - 1 => (self.kept.pop_front()?, true),
                None => return None,
            };
            if !self.long_functions.contains(&next.0.1.function) {
                return Some(next);
            }
            self.long.push_back(next);
        }
    }

    fn count(&self, is_long: bool) -> usize {
        self.running.iter().filter(|run| run.is_long == is_long).count()
    }

    /// Those that have taken long by now leave their places to others.
    fn note_long(&mut self, now: Instant) {
        for run in self.running.iter_mut().filter(|run| !run.is_long && now >= run.began + YOUNG_MAX) {
            run.is_long = true;
            if self.long_functions.len() < LONG_FUNCTIONS_MAX {
                self.long_functions.insert(Arc::clone(&run.function));
            }
        }
    }

    /// A run is over, or was none.
    pub(super) fn ended(&mut self, query: QueryId, now: Instant) {
        let Some(at) = self.running.iter().position(|run| run.query == query) else { return };
        let run = self.running.swap_remove(at);
        if run.is_long && now < run.began + YOUNG_MAX {
            self.long_functions.remove(&run.function);
        }
    }

    /// Gives all places free.
    pub(super) fn forget_running(&mut self) {
        self.running.clear();
    }

    /// When the next run will have taken long.
    pub(super) fn changes_at(&self) -> Option<Instant> {
        self.running.iter().filter(|run| !run.is_long).map(|run| run.began + YOUNG_MAX).min()
    }
}
