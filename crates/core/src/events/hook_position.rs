//! How far a store's log was told to a hook (EVT-58): kept beside the log, so that a restart goes on there and a
//! restored file tells again what it does not know to be told.

use super::schema::Later;
use crate::sql::Sql;

/// First pause after a delivery failed.
const BACKOFF_FIRST_MS: i64 = 1_000;
/// Longest pause between two tries.
const BACKOFF_MAX_MS: i64 = 300_000;

/// Where a hook stands in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookPosition {
    /// Number of the last event that was taken.
    pub position: i64,
    /// Tries of what follows that failed.
    pub tries: i64,
}

impl HookPosition {
    /// Pause after the failure that made `tries` what it is.
    #[must_use]
    pub fn backoff_ms(&self) -> i64 {
        let doublings = u32::try_from(self.tries - 1).unwrap_or(0).min(20);
        (BACKOFF_FIRST_MS << doublings).min(BACKOFF_MAX_MS)
    }
}

/// Where `hook` stands; a new one at the beginning, so that nothing is left out.
///
/// # Errors
/// What storage reports.
pub fn find<S: Sql>(sql: &S, hook: &str, store_id: &str) -> Result<HookPosition, S::Error> {
    if !Later::Hooks.exists(sql)? {
        return Ok(HookPosition::default());
    }
    let text = "SELECT position, tries FROM _ferry_event_hooks WHERE hook = ?1 AND store_id = ?2";
    let found = sql.first(text, &[hook.into(), store_id.into()], |row| {
        Ok(HookPosition { position: row.integer(0)?, tries: row.integer(1)? })
    })?;
    Ok(found.unwrap_or_default())
}

/// Writes down where `hook` stands, unless the store is no longer the one of `backend_id`: then the position means
/// nothing. `next_at`: when the next try is due.
///
/// # Errors
/// What storage reports.
pub fn save<S: Sql>(
    sql: &S,
    hook: &str,
    (store_id, backend_id): (&str, &str),
    at: &HookPosition,
    next_at: Option<&str>,
) -> Result<(), S::Error> {
    Later::Hooks.make(sql)?;
    let text = "INSERT OR REPLACE INTO _ferry_event_hooks(hook, store_id, position, tries, next_at)
                SELECT ?1, store_id, ?3, ?4, ?5 FROM _ferry_event_logs WHERE store_id = ?2 AND backend_id = ?6";
    let values = [
        hook.into(),
        store_id.into(),
        at.position.into(),
        at.tries.into(),
        next_at.into(),
        backend_id.into(),
    ];
    sql.execute(text, &values).map(drop)
}

/// Moves hooks that stood at the end of the log, `head`, to its new end without telling them what lies between.
///
/// # Errors
/// What storage reports.
pub fn skip<S: Sql>(
    sql: &S,
    hook: &str,
    store_id: &str,
    (head, new_head): (i64, i64),
) -> Result<(), S::Error> {
    let stood = find(sql, hook, store_id)?;
    if stood.position != head {
        return Ok(());
    }
    Later::Hooks.make(sql)?;
    let text =
        "INSERT OR REPLACE INTO _ferry_event_hooks(hook, store_id, position, tries) VALUES (?1, ?2, ?3, 0)";
    sql.execute(text, &[hook.into(), store_id.into(), new_head.into()]).map(drop)
}

/// No hook of the store stands behind the end of its log.
///
/// # Errors
/// What storage reports.
pub fn cap<S: Sql>(sql: &S, store_id: &str, head: i64) -> Result<(), S::Error> {
    if !Later::Hooks.exists(sql)? {
        return Ok(());
    }
    let text = "UPDATE _ferry_event_hooks SET position = ?2 WHERE store_id = ?1 AND position > ?2";
    sql.execute(text, &[store_id.into(), head.into()]).map(drop)
}

/// Forgets all hooks of a store: they begin anew.
///
/// # Errors
/// What storage reports.
pub fn forget<S: Sql>(sql: &S, store_id: &str) -> Result<(), S::Error> {
    if !Later::Hooks.exists(sql)? {
        return Ok(());
    }
    sql.execute("DELETE FROM _ferry_event_hooks WHERE store_id = ?1", &[store_id.into()]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: EVT-58
    #[test]
    fn pauses_double_up_to_five_minutes() {
        let pauses: Vec<i64> = [1, 2, 3, 9, 10, 1_000_000]
            .into_iter()
            .map(|tries| HookPosition { position: 0, tries }.backoff_ms())
            .collect();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 256_000, 300_000, 300_000]);
    }
}
