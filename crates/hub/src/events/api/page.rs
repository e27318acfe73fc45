//! `GET …/events`: a page of the log.

use std::{fmt::Write as _, ops::ControlFlow, sync::Arc};

use ferry_core::events::{StoreRow, log::each_event, store};
use ferry_protocol::events::{LogCursor, write_committed};
use ferry_sqlite::NativeSql;
use ferry_types::{Seq, limits::EVENTS_VIEW_PAGE_MAX_BYTES};
use http::{HeaderMap, StatusCode, header};

use super::{
    answer::{Answer, ViewError},
    request::EventsApiRequest,
};
use crate::{
    database::seq_of,
    events::{metric, store::Store},
    http::{KnownTags, Query},
};

/// Events of a page that asks for no number.
const LIMIT_DEFAULT: i64 = 100;
/// Events of a page at most.
const LIMIT_MAX: i64 = 1000;

/// Where a page ends.
#[derive(Clone, Copy)]
struct PageMax {
    events: i64,
    bytes: usize,
}

/// What one snapshot shows.
struct Page {
    seq: Seq,
    row: StoreRow,
    events: String,
    last: i64,
}

pub(super) async fn get(
    request: &EventsApiRequest,
    query: &Query<'_>,
    headers: &HeaderMap,
) -> Result<Answer, ViewError> {
    let after = query.number("after", 0, i64::MAX)?.unwrap_or(0);
    let limit = query.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    let store = request.store(query.text("store"), false).await?;
    let cursor = LogCursor { backend_id: query.text("backendId").unwrap_or("").into(), seq_num: after };
    request.pusher(&store, "v1").may_pull(Some(&cursor), false).await?;
    let known = KnownTags::of(headers);
    let room = request.context.page_room(&request.hub);
    let (page, held) = {
        let (store, known) = (Arc::clone(&store), known.clone());
        let made = request.context.database.read(move |sql| {
            let make = |bytes| read(sql, &store, (after, PageMax { events: limit, bytes }), &known);
            let bytes = |page: &Option<Page>| page.as_ref().map_or(0, |page| page.events.len());
            room.make(EVENTS_VIEW_PAGE_MAX_BYTES, make, bytes)
        });
        made.await?
    };
    let page = page.ok_or_else(|| ViewError::new(StatusCode::NOT_FOUND, "not_found", "store not found"))?;
    check_cursor(request, &store, &page.row, (after, query.text("backendId"))).await?;
    metric::pulled(false, "ok");
    let etag = etag(&page.row);
    if known.has(&etag) {
        let mut response = axum::response::Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(Answer::new(response, Some(page.seq)).with(header::ETAG, &etag));
    }
    let Page { seq, row, events, last } = page;
    let mut text = String::with_capacity(events.len() + 256);
    text.push_str("{\"store\":");
    text.push_str(&serde_json::Value::from(&*row.key.id).to_string());
    let _ = write!(
        text,
        ",\"backendId\":\"{}\",\"head\":{},\"base\":{},\"hasMore\":{},\"next\":{last},\"events\":[",
        row.backend_id,
        row.head,
        row.base,
        last < row.head
    );
    text.push_str(&events);
    text.push_str("]}");
    Ok(Answer::json(StatusCode::OK, text, Some(seq)).with(header::ETAG, &etag).holding(held))
}

/// A cursor must be one of this log (EVT-25); one behind its end may prove that events are missing (EVT-47).
pub(super) async fn check_cursor(
    request: &EventsApiRequest,
    store: &Arc<Store>,
    row: &StoreRow,
    (after, backend_id): (i64, Option<&str>),
) -> Result<(), ViewError> {
    if backend_id.is_some_and(|named| *named != *row.backend_id) {
        let refused = ViewError::conflict("backend_mismatch", "the store has another identity: read it anew");
        return Err(refused.with("expected", &*row.backend_id));
    }
    if after > row.head {
        request.note_ahead(store, after, backend_id, "pull").await;
        let message = format!("event {after} is not here: the newest is {}", row.head);
        return Err(ViewError::conflict("cursor_ahead", message).with("head", row.head));
    }
    Ok(())
}

fn read(
    sql: &NativeSql<'_>,
    store: &Store,
    (after, most): (i64, PageMax),
    known: &KnownTags,
) -> ferry_sqlite::Result<Option<Page>> {
    let seq = seq_of(sql)?;
    let Some(row) = store::find(sql, store.id())? else { return Ok(None) };
    let (mut events, mut last) = (String::new(), after);
    if !known.has(&etag(&row)) {
        let limit = u32::try_from(most.events).unwrap_or(u32::MAX);
        each_event(sql, &row.key, (after, row.head), limit, &mut |event, commit| {
            if !events.is_empty() {
                events.push(',');
            }
            write_committed(&mut events, event, u64::try_from(commit).unwrap_or(0));
            last = event.seq_num;
            let full = events.len() >= most.bytes;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(Some(Page { seq, row, events, last }))
}

/// Changes with every event and with the store's identity. The time tells apart what stands at one number before and
/// after a file was put back.
fn etag(row: &StoreRow) -> String {
    let digits = row.last_created_at.iter().flat_map(|at| at.chars()).filter(char::is_ascii_digit);
    format!("W/\"{}-{}-{}\"", row.backend_id, row.head, digits.collect::<String>())
}
