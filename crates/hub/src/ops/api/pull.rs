//! `GET ops`: a page of the log behind a cursor.

use std::sync::Arc;

use bytes::Bytes;
use ferry_core::ops::{
    Prefixes,
    epoch::{CursorClaim, LogRefusal, prove_cursor},
    meta::LogMeta,
    pull::{OpsPull, pull},
};
use ferry_protocol::ops::{BadSkip, PageBuffer, PageEnd, Skip};
use ferry_sqlite::NativeSql;
use ferry_types::{
    OpSeq, Seq, UnixMillis,
    limits::{OPS_INLINE_MAX_BYTES, OPS_INLINE_MAX_OPS},
};

use super::{
    super::{error::OpsError, storage},
    Asked,
    answer::{OpsAnswer, head_of, refused},
    cursor::{note_loss, prove_without_log},
};
use crate::database::seq_of;

/// What a request asks for.
#[derive(Clone)]
struct PageQuery {
    after: OpSeq,
    after_id: Option<String>,
    after_stamp: Option<String>,
    hub_id: Option<String>,
    epoch: Option<String>,
    skip: Skip,
    limit: usize,
    bytes: usize,
    prefixes: Arc<ferry_auth::Restrictions>,
    now: UnixMillis,
}

/// What a look at the log found.
enum Found {
    Page { body: Bytes, has_more: bool, seq: Seq },
    Refused(LogMeta, LogRefusal),
}

impl Found {
    /// How long the answer is.
    const fn bytes(&self) -> usize {
        match self {
            Self::Page { body, .. } => body.len(),
            Self::Refused(..) => 0,
        }
    }
}

impl PageQuery {
    fn of(asked: &Asked<'_>) -> Result<Self, OpsError> {
        let (query, config) = (&asked.query, &asked.hub.config.ops);
        let number = |name: &str, default: usize, most: usize| -> Result<usize, OpsError> {
            let found = query.number(name, 1, i64::try_from(most).unwrap_or(i64::MAX))?;
            Ok(found.and_then(|number| usize::try_from(number).ok()).unwrap_or(default.min(most)))
        };
        let after = query.number("after_seq", 0, i64::MAX)?.and_then(|after| u64::try_from(after).ok());
        let skip = query.text("skip").unwrap_or_default().parse();
        let text = |name: &str| query.text(name).map(str::to_owned);
        Ok(Self {
            after: OpSeq(after.unwrap_or(0)),
            after_id: text("after_id"),
            // Empty, it asks for the next one.
            after_stamp: query.raw("after_stamp").map(str::to_owned),
            hub_id: text("hub_id"),
            epoch: text("epoch"),
            skip: skip.map_err(|bad: BadSkip| OpsError::bad_request(bad.to_string()))?,
            limit: number("limit", config.pull_ops, config.pull_max_ops)?,
            bytes: number("bytes", config.pull_bytes, config.pull_max_bytes)?,
            prefixes: Arc::clone(&asked.context.auth.restrictions),
            now: asked.hub.clock.now(),
        })
    }

    /// The same in so small a page that it is read at once.
    fn inline(&self) -> Self {
        Self {
            limit: self.limit.min(OPS_INLINE_MAX_OPS),
            bytes: self.bytes.min(OPS_INLINE_MAX_BYTES),
            ..self.clone()
        }
    }

    /// A page of at most so many bytes.
    fn read(&self, sql: &NativeSql<'_>, bytes: usize) -> ferry_sqlite::Result<Found> {
        let log = storage::log_of(sql)?;
        let claim = CursorClaim {
            hub_id: self.hub_id.as_deref(),
            epoch: self.epoch.as_deref(),
            after: self.after,
            after_id: self.after_id.as_deref(),
            after_stamp: self.after_stamp.as_deref(),
        };
        if let Err(refusal) = prove_cursor(sql, &log, &claim)? {
            return Ok(Found::Refused(log, refusal));
        }
        let wanted = OpsPull {
            after: self.after,
            after_id: self.after_id.as_deref(),
            after_stamp: self.after_stamp.as_deref(),
            limit: u32::try_from(self.limit).unwrap_or(u32::MAX),
            bytes,
            skip: &self.skip,
            prefixes: Prefixes(&self.prefixes.table_prefixes),
        };
        let page = pull(sql, &wanted, log.floor)?;
        let has_more = page.end.has_more;
        let body = page.ops.finish(&head_of(&log, self.now), &page.end);
        Ok(Found::Page { body, has_more, seq: seq_of(sql)? })
    }
}

pub(super) async fn get(asked: &Asked<'_>) -> Result<OpsAnswer, OpsError> {
    let query = PageQuery::of(asked)?;
    let database = &asked.context.database;
    let (inline, is_whole) = (query.inline(), query.limit <= OPS_INLINE_MAX_OPS);
    let found = match storage::read_inline(database, |sql| inline.read(sql, inline.bytes)) {
        // What was cut short is read again as it was asked for.
        Some(Ok(Found::Page { has_more: true, .. })) if !is_whole || query.bytes > inline.bytes => None,
        Some(Ok(found)) => Some((found, None)),
        Some(Err(error)) => return Err(error.into_refusal().into()),
        None => None,
    };
    let found = match found {
        Some(found) => Some(found),
        None => {
            let (query, room) = (query.clone(), asked.context.page_room(asked.hub));
            let made = storage::read(database, move |sql| {
                room.make(query.bytes, |bytes| query.read(sql, bytes), Found::bytes)
            });
            made.await?.map(|(found, held)| (found, Some(held)))
        }
    };
    let (found, held) = match found {
        Some(found) => found,
        None => (nothing(&query, storage::log_to_come(database)?, database.seq().await?), None),
    };
    match found {
        Found::Page { body, seq, .. } => Ok(OpsAnswer::text(body, seq).holding(held)),
        Found::Refused(log, refusal) => {
            note_loss(asked, &log, refusal);
            Err(refused(&log, refusal))
        }
    }
}

/// The page of a log that nobody has made yet.
fn nothing(query: &PageQuery, log: LogMeta, seq: Seq) -> Found {
    let names = (query.hub_id.as_deref(), query.epoch.as_deref());
    if let Err(refusal) = prove_without_log(&log, names, query.after) {
        return Found::Refused(log, refusal);
    }
    let end =
        PageEnd { floor: OpSeq(0), next: query.after, next_id: None, next_stamp: None, has_more: false };
    let body = PageBuffer::with_capacity(0).finish(&head_of(&log, query.now), &end);
    Found::Page { body, has_more: false, seq }
}
