//! How many statements run at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_types::{Error, Reason, Result, UserId};

/// Statements of one user at once.
const USER_MAX: usize = 2;
/// Statements at once.
const HUB_MAX: usize = 8;

/// Who runs statements now.
#[derive(Clone, Default)]
pub(super) struct QueryTurns(Arc<Mutex<HashMap<UserId, usize>>>);

/// The right to run one, until it is dropped.
pub(super) struct QueryTurn {
    turns: QueryTurns,
    user: UserId,
}

impl QueryTurns {
    /// # Errors
    /// `BUSY`.
    pub(super) fn take(&self, user: UserId) -> Result<QueryTurn> {
        let mut running = self.lock();
        let busy = |message: &'static str| Err(Error::new(Reason::Busy, message).retry_after_ms(1000));
        if running.get(&user).is_some_and(|count| *count >= USER_MAX) {
            return busy("two statements of yours are running: wait for one, or stop it");
        }
        if running.values().sum::<usize>() >= HUB_MAX {
            return busy("the hub runs as many statements as it may: try again in a second");
        }
        *running.entry(user).or_default() += 1;
        Ok(QueryTurn { turns: self.clone(), user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let turns = QueryTurns::default();
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
