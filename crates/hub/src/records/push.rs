//! `POST /sync/{appId}`: changes in, the delta out.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use ferry_core::records::{Delta, Dialect, PushCaller, ReachedTables, exchange};
use ferry_protocol::records::{CONTENT_TYPE, Change, UnixNanos, check_name, decode_push, push_answer};
use ferry_sqlite::fault;
use ferry_types::{
    Error, Reason, Result,
    limits::{RECORDS_BODY_MAX_BYTES, RECORDS_DELTA_MAX_CHANGES},
};
use http::{HeaderValue, header, request::Parts};

use super::{
    access, batch::PushedBatch, entry::RecordsEntry, head::client_header, loss, maintenance, refusal,
    state::ChangedRecords, storage,
};
use crate::{
    database::Committed,
    entry::Carriers,
    http::{Turn, metering},
    hub::Hub,
    rights::{RECORDS_PULL, RECORDS_PUSH},
};

/// Serves a push.
pub(super) async fn serve(hub: &Arc<Hub>, parts: &Parts, app: &str, body: Body) -> Response {
    let entry = match access::enter(hub, parts, Carriers::Request, None, &[RECORDS_PUSH, RECORDS_PULL]).await
    {
        Ok(entry) => entry,
        Err(error) => return refusal::response(&error),
    };
    if !hub.services.records.billing.admits(&entry.owner).await {
        return refusal::payment_required();
    }
    let mut batch =
        PushedBatch { client: client_header(parts), app: app.to_owned(), first: None, rejection: None };
    // Refused after the commit as before it: what is pushed again alters nothing (REC-18).
    let served = push(hub, parts, app, body, &entry, &mut batch).await;
    batch.note(hub, &entry, served.as_ref().map(drop));
    served
        .and_then(|response| metering::admit(response, &entry.context.meter))
        .unwrap_or_else(|error| metering::reply(refusal::response(&error), &entry.context.meter))
}

/// A push that may be applied.
struct Wanted {
    app: Arc<str>,
    client: Arc<str>,
    since: UnixNanos,
    changes: Vec<Change<'static>>,
    /// For as long as there are changes.
    turn: Turn,
}

async fn push(
    hub: &Arc<Hub>,
    parts: &Parts,
    app: &str,
    body: Body,
    entry: &RecordsEntry,
    batch: &mut PushedBatch,
) -> Result<Response> {
    let too_large = || {
        let message = format!(
            "the body is over {RECORDS_BODY_MAX_BYTES} bytes, or broke off: send fewer changes at once"
        );
        Error::new(Reason::TooLarge, message)
    };
    let body = metering::read(body, RECORDS_BODY_MAX_BYTES, &entry.context.meter, too_large).await?;
    let turn = hub.services.records.decoding.turn(body.len()).await?;
    entry.context.requester.recheck()?;
    let read = decode_push(&body)?;
    let client =
        client_header(parts).or_else(|| read.client.as_deref().map(str::to_owned)).unwrap_or_default();
    batch.read((&client, app), read.changes.first());
    if client.is_empty() && !read.changes.is_empty() {
        return Err(Error::new(Reason::InvalidArgument, "missing clientId"));
    }
    if !client.is_empty() {
        check_name(&client, "clientId")?;
    }
    for change in &read.changes {
        entry.check_table(&change.table)?;
    }
    let since = cursor(read.since.as_deref());
    let changes = read.changes.into_iter().map(Change::into_owned).collect();
    let device = client.clone();
    let wanted = Wanted { app: app.into(), client: client.into(), since, changes, turn };
    let count = wanted.changes.len() as u64;
    let committed = commit(hub, entry, wanted).await?;
    // On disk and published, and nobody has been told.
    fault::point("records.committed").map_err(ferry_sqlite::Error::into_refusal)?;
    metrics::counter!("ferry_records_changes_total").increment(count);
    let Delta { pushed, page } = &committed.value;
    if pushed.has_incomplete {
        maintenance::complete_in_time(hub, &entry.context.database);
    }
    if let Some(loss) = page.loss {
        loss::tell(&entry.context.database, &entry.owner, Some(&device), loss);
    }
    metrics::counter!("ferry_records_conflicts_total").increment(pushed.conflicts.len() as u64);
    let body = push_answer(&page.changes, &pushed.conflicts, page.has_more, page.until);
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if let Some(seq) = committed.seq {
        response.headers_mut().insert("ferry-seq", HeaderValue::from(seq.0));
    }
    Ok(response)
}

async fn commit(hub: &Arc<Hub>, entry: &RecordsEntry, wanted: Wanted) -> Result<Committed<Delta>> {
    let (owner, clock) = (Arc::clone(&entry.owner), Arc::clone(&hub.clock));
    let restrictions = Arc::clone(&entry.context.auth.restrictions);
    storage::write(hub, entry, move |store, published| {
        let _turn = &wanted.turn;
        let caller = PushCaller {
            owner: &owner,
            app: &wanted.app,
            client: &wanted.client,
            now: clock.now().into(),
            since: wanted.since,
            dialect: Dialect::Old,
            max_changes: RECORDS_DELTA_MAX_CHANGES,
            tables: ReachedTables(&restrictions.table_prefixes),
        };
        let done = exchange(store, &caller, &wanted.changes)?;
        fault::point("records.applied")?;
        if !done.pushed.collections.is_empty() || done.page.loss.is_some() {
            published.push(ChangedRecords {
                owner: Arc::clone(&owner),
                app: Arc::clone(&wanted.app),
                collections: done.pushed.collections.clone(),
                client: Arc::clone(&wanted.client),
            });
        }
        Ok(done)
    })
    .await
}

/// A cursor as clients send it; what is no time means the epoch, and is counted.
pub(super) fn cursor(since: Option<&str>) -> UnixNanos {
    let Some(text) = since.filter(|text| !text.is_empty()) else { return UnixNanos::EPOCH };
    UnixNanos::parse(text).unwrap_or_else(|| {
        metrics::counter!("ferry_records_bad_cursors_total").increment(1);
        UnixNanos::EPOCH
    })
}
