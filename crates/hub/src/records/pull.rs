//! `GET /sync/{appId}/pull`: one page of one collection.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use ferry_core::records::{Page, PageBounds, PullRequest, pull};
use ferry_protocol::records::{CONTENT_TYPE, UnixNanos, check_name, pull_answer};
use ferry_types::{Error, Reason, Result};
use http::{HeaderValue, header, request::Parts};

use super::{
    access,
    entry::RecordsEntry,
    head::{client_header, parameter},
    loss,
    push::cursor,
    refusal, storage,
};
use crate::{entry::Carriers, http::metering, hub::Hub, rights::RECORDS_PULL};

impl storage::Cut for Page {
    fn is_cut(&self) -> bool {
        self.has_more
    }
}

/// Serves a pull.
pub(super) async fn serve(hub: &Arc<Hub>, parts: &Parts, app: &str) -> Response {
    let entry = match access::enter(hub, parts, Carriers::Request, None, &[RECORDS_PULL]).await {
        Ok(entry) => entry,
        Err(error) => return refusal::response(&error),
    };
    if !hub.services.records.billing.admits(&entry.owner).await {
        return refusal::payment_required();
    }
    let answer = answer(hub, parts, app, &entry).await;
    answer
        .and_then(|response| metering::admit(response, &entry.context.meter))
        .unwrap_or_else(|error| metering::reply(refusal::response(&error), &entry.context.meter))
}

/// What a device asks for.
#[derive(Clone)]
struct Wanted {
    app: String,
    coll: String,
    client: Option<String>,
    since: UnixNanos,
}

async fn page(hub: &Hub, entry: &RecordsEntry, wanted: Wanted) -> Result<Page> {
    let (owner, now) = (Arc::clone(&entry.owner), UnixNanos::from(hub.clock.now()));
    let page = storage::page(
        &entry.context.database,
        storage::page_bounds(hub, &entry.context, PageBounds::PAGE),
        move |store, bounds| {
            let Wanted { app, coll, client, since } = &wanted;
            let asked = PullRequest {
                owner: &owner,
                app,
                coll,
                client: client.as_deref(),
                since: *since,
                now,
                bounds,
            };
            pull(store, &asked)
        },
    );
    Ok(page.await?.unwrap_or_default())
}

async fn answer(hub: &Arc<Hub>, parts: &Parts, app: &str, entry: &RecordsEntry) -> Result<Response> {
    let (Some(coll), Some(since)) =
        (parameter(parts, "collection").filter(|coll| !coll.is_empty()), parameter(parts, "since"))
    else {
        return Err(Error::new(Reason::InvalidArgument, "missing collection or since parameter"));
    };
    check_name(&coll, "collection")?;
    entry.check_table(&coll)?;
    let wanted =
        Wanted { app: app.to_owned(), coll, client: client_header(parts), since: cursor(Some(&since)) };
    let mut page = page(hub, entry, wanted.clone()).await?;
    if let Some(loss) = page.loss {
        loss::begin_anew(hub, entry, wanted.client.as_deref(), loss).await?;
        page = self::page(hub, entry, Wanted { since: UnixNanos::EPOCH, ..wanted }).await?;
    }
    let Page { changes, until, has_more, note, .. } = page;
    storage::note(hub, entry, note);
    let mut response = Response::new(Body::from(pull_answer(&changes, has_more, until)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}
