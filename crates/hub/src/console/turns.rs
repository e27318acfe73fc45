//! How many statements run at once, lists of an older version's tables too, and how many wait for one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_types::{Error, Reason, Result, UserId};

/// Turns of one user at once.
const USER_MAX: usize = 2;
/// Turns at once.
const HUB_MAX: usize = 8;

/// Who has turns now.
#[derive(Clone)]
pub(super) struct QueryTurns {
    taken: Arc<Mutex<HashMap<UserId, usize>>>,
    /// What somebody is told who has as many as one may have.
    user_busy: &'static str,
    /// What everybody is told while there are no more.
    hub_busy: &'static str,
}

/// The right to run a statement, or to wait for a version, until it is dropped.
pub(super) struct QueryTurn {
    turns: QueryTurns,
    user: UserId,
}

impl QueryTurns {
    /// Those of statements that run.
    pub(super) fn of_statements() -> Self {
        Self {
            taken: Arc::default(),
            user_busy: "two statements of yours are running: wait for one, or stop it",
            hub_busy: "the hub runs as many statements as it may: try again in a second",
        }
    }

    /// Those of requests that wait until an older version is written into a file.
    pub(super) fn of_openings() -> Self {
        Self {
            taken: Arc::default(),
            user_busy: "two requests of yours wait until an older version is opened: try again in a second",
            hub_busy: "as many requests as may wait until an older version is opened: try again in a second",
        }
    }

    /// # Errors
    /// `BUSY`.
    pub(super) fn take(&self, user: UserId) -> Result<QueryTurn> {
        let mut running = self.lock();
        let busy = |message: &'static str| Err(Error::new(Reason::Busy, message).retry_after_ms(1000));
        if running.get(&user).is_some_and(|count| *count >= USER_MAX) {
            return busy(self.user_busy);
        }
        if running.values().sum::<usize>() >= HUB_MAX {
            return busy(self.hub_busy);
        }
        *running.entry(user).or_default() += 1;
        Ok(QueryTurn { turns: self.clone(), user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QueryTurn {
    fn drop(&mut self) {
        let mut running = self.turns.lock();
        if let Some(count) = running.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-57
    #[test]
    fn a_user_has_two_and_the_hub_eight() {
        let turns = QueryTurns::of_statements();
        let user = |number: u8| {
            format!("u_3f2b9c1e-5d44-4a7b-8e11-0a6c7d9021{number:02}").parse::<UserId>().unwrap()
        };
        let mut held: Vec<_> = (0..2).map(|_| turns.take(user(0)).unwrap()).collect();
        assert_eq!(turns.take(user(0)).err().map(|error| error.reason), Some(Reason::Busy));
        held.extend(
            (1..4).flat_map(|number| [turns.take(user(number)).unwrap(), turns.take(user(number)).unwrap()]),
        );
        assert!(turns.take(user(9)).is_err());
        held.remove(0);
        assert!(turns.take(user(9)).is_ok());
        assert!(turns.take(user(0)).is_ok());
        drop(held);
        assert!(turns.lock().is_empty());
    }
}
