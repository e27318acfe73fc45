//! Reading a page of the log that is no longer, or not yet, in memory.

use std::ops::ControlFlow;

use bytes::Bytes;
use ferry_protocol::events::{PageBody, PageInfo};

use super::{
    PAGE_MAX_BYTES, PAGE_MAX_EVENTS, arrivals,
    log::{self, each_event},
    store_key::StoreKey,
};
use crate::sql::Sql;

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
/// none. The log is read once; what did not fit is not encoded again but cut off. Wants one snapshot.
///
/// # Errors
/// What storage reports.
pub fn read_page<S: Sql>(
    sql: &S,
    key: &StoreKey,
    backend_id: &str,
    range: Range,
) -> Result<Option<HistoryPage>, S::Error> {
    let total = match range.count {
        Some(count) => count,
        None => count(sql, key, range.after, range.upto)?,
    };
    let (mut body, mut last) = (PageBody::with_capacity(4096), range.after);
    // The frame's prefix and the page's end need a few bytes too.
    let most = PAGE_MAX_BYTES - 1024;
    each_event(sql, key, (range.after, range.upto), PAGE_MAX_EVENTS, &mut |event, _| {
        let (len, count) = (body.len(), body.count());
        body.push(event);
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
pub fn count<S: Sql>(sql: &S, key: &StoreKey, after: i64, upto: i64) -> Result<u64, S::Error> {
    let dense = "SELECT head FROM _ferry_event_logs
                 WHERE store_id = ?1 AND head - base = event_count AND base <= ?2";
    let filed = sql.first(dense, &[(*key.id).into(), after.into()], |row| Ok(row.integer(0)?))?;
    let counted = match filed {
        Some(head) if upto <= head => upto - after,
        Some(head) => (head - after).max(0) + arrivals::count(sql, key, after.max(head), upto)?,
        None => log::count(sql, key, after, upto)?,
    };
    Ok(u64::try_from(counted).unwrap_or(0))
}
