//! A store's identity: how it changes, and how an older file is noticed (EVT-40…45).

use super::{
    ahead,
    schema::Later,
    store::{self, OnRollback, StoreRow, StoreState, Watermark},
};
use crate::sql::Sql;

/// Who changes an identity, and why; kept for ever in `_ferry_event_identities`.
#[derive(Clone, Copy, Debug)]
pub struct IdentityChange<'a> {
    /// The commit, under whose number the log is filed that begins with the change, if one does.
    pub commit_seq: u64,
    /// The new identity, drawn by the caller.
    pub new_id: &'a str,
    /// Who asked.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
    /// When: RFC 3339, UTC.
    pub at: &'a str,
}

impl IdentityChange<'_> {
    /// The number of a log that begins now.
    pub(super) fn number(&self) -> i64 {
        i64::try_from(self.commit_seq).unwrap_or(i64::MAX)
    }
}

/// Gives the store a new identity and keeps its log; a store on hold serves again.
///
/// # Errors
/// What storage reports.
pub fn remint<S: Sql>(sql: &S, row: &mut StoreRow, change: &IdentityChange<'_>) -> Result<(), S::Error> {
    record(sql, row, change)?;
    // Clients begin anew: what they held of the old identity says nothing of this one.
    ahead::forget(sql, &row.key.id)?;
    let text = "UPDATE _ferry_event_logs SET backend_id = ?2, state = 'ok' WHERE store_id = ?1";
    sql.execute(text, &[(*row.key.id).into(), change.new_id.into()])?;
    row.backend_id = change.new_id.into();
    row.state = StoreState::Ok;
    Ok(())
}

/// Writes a change of identity down.
///
/// # Errors
/// What storage reports.
pub fn record<S: Sql>(sql: &S, row: &StoreRow, change: &IdentityChange<'_>) -> Result<(), S::Error> {
    Later::Identities.make(sql)?;
    let text = "INSERT INTO _ferry_event_identities(store_id, old_id, new_id, head, actor, reason, at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let values = [
        (*row.key.id).into(),
        (*row.backend_id).into(),
        change.new_id.into(),
        row.head.into(),
        change.actor.into(),
        change.reason.into(),
        change.at.into(),
    ];
    sql.execute(text, &values).map(drop)
}

/// Whether the store's identity comes, through recorded changes, from `older`.
///
/// # Errors
/// What storage reports.
pub fn descends_from<S: Sql>(sql: &S, row: &StoreRow, older: &str) -> Result<bool, S::Error> {
    if *row.backend_id == *older {
        return Ok(true);
    }
    if !Later::Identities.exists(sql)? {
        return Ok(false);
    }
    // UNION, not UNION ALL: a chain that bites its tail ends all the same.
    let text = "WITH RECURSIVE chain(id) AS (
                    VALUES (?2)
                    UNION SELECT new_id FROM _ferry_event_identities, chain WHERE store_id = ?1 AND old_id = id)
                SELECT 1 FROM chain WHERE id = ?3";
    let values = [(*row.key.id).into(), older.into(), (*row.backend_id).into()];
    Ok(sql.first(text, &values, |_| Ok(()))?.is_some())
}

/// What opening a store found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Row, log and watermark agree.
    Sound,
    /// The file is older than what was acknowledged; the store is on hold now.
    Held,
    /// The file is older; the store has a new identity now.
    Reminted,
}

/// Whether the hub remembers more of the store than its file holds.
fn is_lost<S: Sql>(sql: &S, row: &StoreRow, watermark: Option<&Watermark>) -> Result<bool, S::Error> {
    Ok(match watermark {
        None => false,
        // After a change of identity a lower head is what a reset leaves.
        Some(known) if known.backend_id == row.backend_id => known.head > row.head,
        Some(known) => !descends_from(sql, row, &known.backend_id)?,
    })
}

/// Whether opening the store changes nothing: what it is can be read without the writer.
///
/// # Errors
/// What storage reports.
pub fn is_sound<S: Sql>(sql: &S, row: &StoreRow, watermark: Option<&Watermark>) -> Result<bool, S::Error> {
    Ok(row.state != StoreState::Ok || (store::agrees(sql, row)? && !is_lost(sql, row, watermark)?))
}

/// Checks a store that is being opened: row against log, and both against what the hub remembers.
///
/// # Errors
/// What storage reports.
pub fn check<S: Sql>(
    sql: &S,
    row: &mut StoreRow,
    watermark: Option<&Watermark>,
    on_rollback: OnRollback,
    change: &IdentityChange<'_>,
) -> Result<Opened, S::Error> {
    if row.state != StoreState::Ok {
        return Ok(if row.state == StoreState::Hold { Opened::Held } else { Opened::Sound });
    }
    let whole = store::reconcile(sql, row)?;
    let lost = is_lost(sql, row, watermark)?;
    if whole && !lost {
        return Ok(Opened::Sound);
    }
    // What the log lost it cannot serve under a new identity either, unless the head follows it.
    if on_rollback == OnRollback::Remint && whole {
        remint(sql, row, change)?;
        return Ok(Opened::Reminted);
    }
    store::set_state(sql, &row.key.id, StoreState::Hold)?;
    row.state = StoreState::Hold;
    Ok(Opened::Held)
}
