//! Reading a page of the log that is no longer, or not yet, in memory.

use std::ops::ControlFlow;

use bytes::Bytes;
use ferry_protocol::events::{EventRef, PageBody, PageInfo};

use super::{PAGE_MAX_BYTES, PAGE_MAX_EVENTS, schema::LogTable};
use crate::sql::{Damaged, Row, Sql};

/// A page of history, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The bytes behind a Chunk's prefix.
    pub body: Bytes,
    /// Number of its last event.
    pub last: i64,
    /// Events after it, up to the end that was asked for.
    pub remaining: u64,
}

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Events after this number…
    pub after: i64,
    /// …up to this one.
    pub upto: i64,
    /// How many they are, if that is known.
    pub count: Option<u64>,
    /// Whether the page tells how many follow; a live tail says `NoMore` of every page.
    pub tells_remaining: bool,
}

/// Reads the first page of `range`: at most 100 events and 900,000 bytes, one event at least; `None` if there is
/// none. The log is read once; what did not fit is not encoded again but cut off.
///
/// # Errors
/// What storage reports.
pub fn read_page<S: Sql>(
    sql: &S,
    table: &LogTable,
    backend_id: &str,
    range: Range,
) -> Result<Option<HistoryPage>, S::Error> {
    let total = match range.count {
        Some(count) => count,
        None => count(sql, table, range.after, range.upto)?,
    };
    let (mut body, mut last) = (PageBody::with_capacity(4096), range.after);
    // The frame's prefix and the page's end need a few bytes too.
    let most = PAGE_MAX_BYTES - 1024;
    let limit = i64::from(PAGE_MAX_EVENTS);
    sql.query(&table.page, &[range.after.into(), range.upto.into(), limit.into()], &mut |row| {
        let (len, count) = (body.len(), body.count());
        let event = event(row)?;
        body.push(&event);
        if body.len() > most && count > 0 {
            body.truncate(len, count);
            return Ok(ControlFlow::Break(()));
        }
        last = event.seq_num;
        Ok(ControlFlow::Continue(()))
    })?;
    if body.is_empty() {
        return Ok(None);
    }
    let remaining = total.saturating_sub(body.count().into());
    let info = if last == range.upto || remaining == 0 || !range.tells_remaining {
        PageInfo::NoMore
    } else {
        PageInfo::MoreKnown(remaining)
    };
    Ok(Some(HistoryPage { body: body.finish(info, backend_id), last, remaining }))
}

/// How many events lie after `after` up to `upto`: the log is counted only if its numbers have gaps.
///
/// # Errors
/// What storage reports.
pub fn count<S: Sql>(sql: &S, table: &LogTable, after: i64, upto: i64) -> Result<u64, S::Error> {
    let dense = "SELECT base FROM _ferry_event_stores
                 WHERE store_id = ?1 AND head - base = event_count AND base <= ?2 AND ?3 <= head";
    let found = sql.first(dense, &[(*table.store_id).into(), after.into(), upto.into()], |_| Ok(()))?;
    if found.is_some() {
        return Ok(u64::try_from(upto - after).unwrap_or(0));
    }
    let counted = sql.first(&table.count, &[after.into(), upto.into()], |row| Ok(row.integer(0)?))?;
    Ok(u64::try_from(counted.unwrap_or(0)).unwrap_or(0))
}

/// The event of a row of the log.
///
/// # Errors
/// When the row is damaged.
pub fn event(row: &dyn Row) -> Result<EventRef<'_>, Damaged> {
    Ok(EventRef {
        seq_num: row.integer(0)?,
        parent_seq_num: row.integer(1)?,
        name: row.text(2)?,
        args: row.optional_text(3)?,
        created_at: row.text(4)?,
        client_id: row.text(5)?,
        session_id: row.text(6)?,
    })
}

/// The commit that appended the event of a row.
///
/// # Errors
/// When the row is damaged.
pub fn commit_seq(row: &dyn Row) -> Result<i64, Damaged> {
    row.integer(7)
}

/// What [`each_event`] hands an event and the number of its commit to; it may break off.
pub type EachEvent<'a, E> = dyn FnMut(&EventRef<'_>, i64) -> Result<ControlFlow<()>, E> + 'a;

/// Hands every event after `after` up to `upto` to `each`, in order, at most `limit`.
///
/// # Errors
/// What storage or `each` reports.
pub fn each_event<S: Sql>(
    sql: &S,
    table: &LogTable,
    (after, upto): (i64, i64),
    limit: u32,
    each: &mut EachEvent<'_, S::Error>,
) -> Result<(), S::Error> {
    sql.query(&table.page, &[after.into(), upto.into(), i64::from(limit).into()], &mut |row| {
        each(&event(row)?, commit_seq(row)?)
    })
}
