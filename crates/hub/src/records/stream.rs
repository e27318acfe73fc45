//! `GET /sync/{appId}/stream`: server-sent events of compatible clients (REC-20).

use std::sync::Arc;

use axum::response::Response;
use ferry_core::records::{PageBounds, PullRequest, ReachedTables, Stream, live::StreamRead, stream_page};
use ferry_protocol::records::{UnixNanos, changes_event, check_name};
use ferry_types::Result;
use http::request::Parts;

use super::{
    access,
    entry::RecordsEntry,
    head::{client_header, parameter},
    live::{self, END, Source, position_of},
    loss,
    push::cursor,
    refusal, storage,
};
use crate::{entry::Carriers, hub::Hub, rights::RECORDS_PULL};

/// Serves a stream.
pub(super) async fn serve(hub: &Arc<Hub>, parts: &Parts, app: &str) -> Response {
    let entry = match access::enter(hub, parts, Carriers::Stream, None, &[RECORDS_PULL]).await {
        Ok(entry) => entry,
        Err(error) => return refusal::response(&error),
    };
    if !hub.services.records.billing.admits(&entry.owner).await {
        return refusal::payment_required();
    }
    let colls = match collections(parts, &entry) {
        Ok(colls) => colls,
        Err(error) => return refusal::response(&error),
    };
    let last = parts.headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let since = cursor(last.or_else(|| parameter(parts, "since")).as_deref());
    let (app, client) = (app.to_owned(), client_header(parts));
    let source = Changes {
        hub: Arc::clone(hub),
        entry: entry.clone(),
        app,
        colls,
        client,
        cursor: since,
        is_first: true,
    };
    live::respond(hub, &entry, parts, source)
}

/// The collections that the request names, all of them reachable; none: all that are.
fn collections(parts: &Parts, entry: &RecordsEntry) -> Result<Vec<String>> {
    let listed = parameter(parts, "collections").unwrap_or_default();
    let colls: Vec<String> = listed.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    for coll in &colls {
        check_name(coll, "collection")?;
        entry.check_table(coll)?;
    }
    Ok(colls)
}

impl storage::Cut for Stream {
    fn is_cut(&self) -> bool {
        self.has_more
    }
}

/// What is new in an app.
#[derive(Clone)]
struct Changes {
    hub: Arc<Hub>,
    entry: RecordsEntry,
    app: String,
    colls: Vec<String>,
    client: Option<String>,
    cursor: UnixNanos,
    is_first: bool,
}

impl Changes {
    /// One page behind the cursor; `None` where nothing is stored.
    async fn page(&self) -> Result<Option<Stream>> {
        let (owner, app, client) = (Arc::clone(&self.entry.owner), self.app.clone(), self.client.clone());
        let (colls, restrictions) = (self.colls.clone(), Arc::clone(&self.entry.context.auth.restrictions));
        let (since, now, is_first) = (self.cursor, self.hub.clock.now().into(), self.is_first);
        let most = storage::page_bounds(&self.hub, &self.entry.context, PageBounds::STREAM);
        let page = storage::page(&self.entry.context.database, most, move |store, bounds| {
            let asked = PullRequest {
                owner: &owner,
                app: &app,
                coll: "",
                client: client.as_deref(),
                since,
                now,
                bounds,
            };
            let tables = ReachedTables(&restrictions.table_prefixes);
            let only = if let [only] = &colls[..] { Some(&**only) } else { None };
            let wants = |coll: &str| {
                tables.contain(coll) && (colls.is_empty() || colls.iter().any(|name| name == coll))
            };
            stream_page(store, &asked, only, wants, is_first)
        });
        page.await
    }
}

impl Source for Changes {
    fn app(&self) -> &str {
        &self.app
    }

    /// Events of a page carry the cursor before it, the last one that behind it: a reader that is cut off in between
    /// gets the page again.
    async fn read(&mut self, position: u64) -> Result<StreamRead> {
        if position != position_of(self.cursor) {
            // It was sent everything up to there since.
            self.cursor = UnixNanos(i64::try_from(position).unwrap_or(i64::MAX));
        }
        let mut page = self.page().await?;
        if let Some(loss) = page.as_ref().and_then(|page| page.loss) {
            loss::begin_anew(&self.hub, &self.entry, self.client.as_deref(), loss).await?;
            self.cursor = UnixNanos::EPOCH;
            page = self.page().await?;
        }
        let Some(Stream { tables, until, has_more, note, whom, .. }) = page else {
            // There is nothing yet.
            self.cursor = UnixNanos::EPOCH;
            return Ok(StreamRead::default());
        };
        storage::note(&self.hub, &self.entry, note);
        let (count, before) = (tables.len(), self.cursor);
        let events = tables.into_iter().enumerate().map(|(place, page)| {
            let is_last = place + 1 == count;
            let id = if is_last { until } else { before };
            changes_event(&page.table, &page.changes, has_more || !is_last, id, until).into()
        });
        let events = events.collect();
        self.cursor = until;
        self.is_first = false;
        Ok(StreamRead { events, has_more, is_last: false, until: position_of(until), whom })
    }

    fn view(&self) -> String {
        let prefixes = &self.entry.context.auth.restrictions.table_prefixes;
        format!("sync {:?} {:?} {prefixes:?}", self.app, self.colls)
    }

    fn device(&self) -> Option<&str> {
        self.client.as_deref()
    }

    fn cursor(&self) -> UnixNanos {
        self.cursor
    }

    fn for_all(&self) -> Self {
        Self { client: None, cursor: END, is_first: false, ..self.clone() }
    }
}
