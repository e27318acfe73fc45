//! Which statements stand in the audit trail already: a page that is read again and again is one act.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ferry_types::{DatabaseId, UserId};

/// How long one that is repeated is not written down again.
const QUIET_MS: u64 = 10 * 60 * 1000;
/// Statements that are remembered.
const NOTED_MAX: usize = 4096;

/// Statements that were written down, and when.
#[derive(Default)]
pub(super) struct NotedStatements(Mutex<HashMap<[u8; 32], u64>>);

impl NotedStatements {
    /// Whether it is to be written down now, which counts as done.
    pub(super) fn is_new(&self, user: UserId, database: DatabaseId, sql: &str, now_ms: u64) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(user.to_string().as_bytes())
            .update(database.to_string().as_bytes())
            .update(sql.as_bytes());
        let key = *hasher.finalize().as_bytes();
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(&key).is_some_and(|at| now_ms - at < QUIET_MS) {
            return false;
        }
        if noted.len() >= NOTED_MAX {
            noted.retain(|_, at| now_ms - *at < QUIET_MS);
        }
        if noted.len() >= NOTED_MAX {
            // Rather twice than never.
            noted.clear();
        }
        noted.insert(key, now_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-57
    #[test]
    fn a_statement_is_noted_once_in_a_while_for_each_user() {
        let noted = NotedStatements::default();
        let user = |last: char| format!("u_3f2b9c1e-5d44-4a7b-8e11-0a6c7d90215{last}").parse().unwrap();
        let database = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap();
        assert!(noted.is_new(user('1'), database, "SELECT 1", 0));
        assert!(!noted.is_new(user('1'), database, "SELECT 1", QUIET_MS - 1));
        assert!(noted.is_new(user('1'), database, "SELECT 1", QUIET_MS));
        assert!(noted.is_new(user('2'), database, "SELECT 1", QUIET_MS));
        assert!(noted.is_new(user('2'), database, "SELECT 2", QUIET_MS));
        for number in 0..2 * NOTED_MAX {
            assert!(noted.is_new(user('3'), database, &number.to_string(), QUIET_MS));
        }
        assert!(noted.0.lock().unwrap().len() <= NOTED_MAX);
    }
}
