//! The ops of a log behind a position, read for a stream that lags.

use std::sync::Arc;

use bytes::Bytes;
use ferry_core::ops::{Prefixes, meta, pull::tail as read_tail};
use ferry_protocol::ops::op_event;
use ferry_types::{
    OpSeq, Result,
    limits::{OPS_TAIL_MAX_BYTES, OPS_TAIL_MAX_OPS},
};

use super::super::storage;
use crate::entry::RequestContext;

/// What was read.
pub(super) enum LogTail {
    Page {
        /// The events of the ops that the credential may see.
        events: Bytes,
        /// Everything up to there was looked at.
        upto: OpSeq,
    },
    /// Ops behind the position were dropped: only a snapshot tells what they did.
    Gone,
}

/// Reads a page behind `after`.
///
/// # Errors
/// What storage reports.
pub(super) async fn tail(context: &RequestContext, after: OpSeq) -> Result<LogTail> {
    let restrictions = Arc::clone(&context.auth.restrictions);
    let read = storage::read(&context.database, move |sql| {
        let Some(log) = meta::read(sql)? else { return Ok(None) };
        if after < log.floor {
            return Ok(Some(LogTail::Gone));
        }
        let mut events = String::new();
        let mut count = 0;
        let prefixes = Prefixes(&restrictions.table_prefixes);
        let upto = read_tail(sql, after, prefixes, &mut |seq, raw| {
            events.push_str(&op_event(seq, raw));
            count += 1;
            count < OPS_TAIL_MAX_OPS && events.len() < OPS_TAIL_MAX_BYTES
        })?;
        // Behind the last op that is kept there may be numbers that were dropped.
        Ok(Some(LogTail::Page { events: events.into(), upto: upto.unwrap_or(log.head) }))
    });
    Ok(read.await?.flatten().unwrap_or(LogTail::Gone))
}
