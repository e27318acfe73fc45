//! `/changes`: the wire of Ferry's own client (docs/records-wire.md).

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use ferry_core::records::{
    self, ChangeResult, Changes, ChangesPage, Dialect, Note, PageBounds, PushCaller, PushReport,
    ReachedTables, RecordStore as _, Whom,
    live::StreamRead,
    restore::{self, Given, Loss},
};
use ferry_protocol::records::{
    Change, UnixNanos, check_name,
    ferry::{self, PageOut, RecordsCursor, ResultOut, Resync},
};
use ferry_sqlite::fault;
use ferry_types::{
    Error, Reason, Result, Seq,
    limits::{RECORDS_CHANGES_MAX_RECORDS, RECORDS_PAGE_MAX_RECORDS},
};

use super::{
    super::{
        batch::PushedBatch,
        entry::RecordsEntry,
        head::parameter,
        live::{self, END, Source, position_of},
        loss, maintenance,
        state::ChangedRecords,
        storage,
    },
    ApiRequest, answer, device, number,
};
use crate::{http::HttpRequestId, hub::Hub, rights::RECORDS_PUSH};

/// What a device asks for.
#[derive(Clone)]
struct Query {
    app: Option<String>,
    cursor: RecordsCursor,
    limit: usize,
    collections: Vec<String>,
    epoch: Option<String>,
    device: Option<String>,
    /// Also what the device wrote itself.
    own: bool,
    /// Positions that the hub gave out, as the device says; looked at once.
    given: Vec<Given>,
}

impl Query {
    fn of(request: &ApiRequest<'_>) -> Result<Self> {
        let parts = request.parts;
        let text = |name: &str| parameter(parts, name).filter(|value| !value.is_empty());
        let app = text("app");
        if let Some(app) = &app {
            check_name(app, "app")?;
        }
        let last =
            parts.headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let since = last.or_else(|| parameter(parts, "since")).unwrap_or_default();
        let cursor = since.parse().map_err(|error: ferry::BadCursor| {
            Error::new(Reason::InvalidArgument, format!("since: {error}"))
        })?;
        let head: RecordsCursor =
            text("head").unwrap_or_default().parse().map_err(|error: ferry::BadCursor| {
                Error::new(Reason::InvalidArgument, format!("head: {error}"))
            })?;
        let listed = text("collections").unwrap_or_default();
        let collections: Vec<String> =
            listed.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        for coll in &collections {
            request.entry.check_table(coll)?;
        }
        Ok(Self {
            app,
            cursor,
            limit: number(parts, "limit", RECORDS_PAGE_MAX_RECORDS, RECORDS_CHANGES_MAX_RECORDS)?,
            collections,
            epoch: text("epoch"),
            device: device(request)?,
            own: parameter(parts, "own").is_some_and(|own| own == "1"),
            given: [cursor, head].into_iter().flat_map(|cursor| loss::given(request.hub, cursor)).collect(),
        })
    }
}

/// What a look at the state found.
enum Found {
    Page {
        body: Vec<u8>,
        cursor: RecordsCursor,
        has_more: bool,
        is_empty: bool,
        note: Option<Note>,
        seq: Seq,
        whom: Whom,
    },
    Resync(Vec<u8>),
    /// The hub has lost what a position was given out for.
    Lost(Loss),
}

impl storage::Cut for Found {
    fn is_cut(&self) -> bool {
        matches!(self, Self::Page { has_more: true, .. })
    }
}

/// A page; where the device shows that the hub was put back, the wish that it begins anew (REC-22). Who may not write changes
/// nothing for other devices by that.
async fn find(hub: &Arc<Hub>, entry: &RecordsEntry, query: Query, most: PageBounds) -> Result<Found> {
    let device = query.device.clone();
    match read(hub, entry, query, most).await? {
        Found::Lost(lost) => {
            if RECORDS_PUSH.check(&entry.context.auth).is_ok() {
                loss::begin_anew(hub, entry, device.as_deref(), lost).await?;
            }
            let owner = Arc::clone(&entry.owner);
            let epoch = storage::read(&entry.context.database, move |store| {
                restore::epoch_of(store, &store.owner(&owner)?)
            });
            let epoch = epoch.await?;
            Ok(Found::Resync(ferry::resync(loss::reason(&lost), &epoch.flatten().unwrap_or_default())))
        }
        found => Ok(found),
    }
}

async fn read(hub: &Arc<Hub>, entry: &RecordsEntry, query: Query, most: PageBounds) -> Result<Found> {
    let (owner, now) = (Arc::clone(&entry.owner), UnixNanos::from(hub.clock.now()));
    let (restrictions, request) = (Arc::clone(&entry.context.auth.restrictions), query.clone());
    let run = loss::run(hub);
    let found = storage::page(
        &entry.context.database,
        storage::page_bounds(hub, &entry.context, most),
        move |store, bounds| {
            let known = store.owner(&owner)?;
            let epoch = restore::epoch_of(store, &known)?.unwrap_or_default();
            if request.epoch.as_ref().is_some_and(|known| *known != epoch) {
                return Ok(Found::Resync(ferry::resync(Resync::Epoch, &epoch)));
            }
            for given in &request.given {
                if let Some(lost) = restore::loss(store, &known, *given, request.epoch.is_some())? {
                    return Ok(Found::Lost(lost));
                }
            }
            let records =
                if bounds == PageBounds::INLINE { bounds.records.min(request.limit) } else { request.limit };
            let tables = ReachedTables(&restrictions.table_prefixes);
            let wanted = Changes {
                owner: &owner,
                app: request.app.as_deref(),
                cursor: request.cursor,
                skips: request.device.as_deref().filter(|_| !request.own),
                bounds: PageBounds { records, ..bounds },
            };
            let listed = |coll: &str| {
                request.collections.is_empty() || request.collections.iter().any(|name| name == coll)
            };
            let page = records::changes(store, &wanted, |coll| tables.contain(coll) && listed(coll))?;
            let ChangesPage::Page { changes, cursor, has_more, whom } = page else {
                return Ok(Found::Resync(ferry::resync(Resync::Horizon, &epoch)));
            };
            let note = match &request.device {
                Some(device) => {
                    Note::of_cursor(store, &owner, device, request.app.as_deref(), request.cursor.floor, now)?
                }
                None => None,
            };
            let seq = store.seq()?;
            let is_snapshot = request.cursor.floor == UnixNanos::EPOCH;
            let cursor = RecordsCursor { run, ..cursor };
            let page =
                PageOut { epoch: &epoch, is_snapshot, now, seq: seq.0, changes: &changes, cursor, has_more };
            let (body, is_empty) = (page.encode(), changes.is_empty());
            Ok(Found::Page { body, cursor, has_more, is_empty, note, seq, whom })
        },
    );
    Ok(found.await?.unwrap_or_else(|| {
        // There is no store yet, and so no epoch. What a device knows of one is lost.
        if query.epoch.is_some() || query.given.iter().any(|given| given.at > UnixNanos::EPOCH) {
            return Found::Resync(ferry::resync(Resync::Epoch, ""));
        }
        let page = PageOut {
            epoch: "",
            is_snapshot: query.cursor.floor == UnixNanos::EPOCH,
            now,
            seq: 0,
            changes: &[],
            cursor: query.cursor,
            has_more: false,
        };
        let (body, cursor) = (page.encode(), query.cursor);
        let whom = Whom::default();
        Found::Page { body, cursor, has_more: false, is_empty: true, note: None, seq: Seq(0), whom }
    }))
}

/// Whether the account may sync; else the answer.
async fn unpaid(request: &ApiRequest<'_>) -> Option<Response> {
    if request.hub.services.records.billing.admits(&request.entry.owner).await {
        return None;
    }
    Some(answer::payment_required(request.parts.extensions.get::<HttpRequestId>()))
}

/// `GET /changes`.
pub(super) async fn get(request: &ApiRequest<'_>) -> Result<Response> {
    if let Some(unpaid) = unpaid(request).await {
        return Ok(unpaid);
    }
    match find(request.hub, &request.entry, Query::of(request)?, PageBounds::PAGE).await? {
        Found::Page { body, note, seq, .. } => {
            storage::note(request.hub, &request.entry, note);
            Ok(answer::json(body, Some(seq)))
        }
        Found::Resync(body) => Ok(answer::json(body, None)),
        Found::Lost(_) => Err(Error::internal()),
    }
}

/// `GET /changes/stream`.
pub(super) async fn stream(request: &ApiRequest<'_>) -> Result<Response> {
    if let Some(unpaid) = unpaid(request).await {
        return Ok(unpaid);
    }
    let query = Query::of(request)?;
    let source = Live { hub: Arc::clone(request.hub), entry: request.entry.clone(), query, is_first: true };
    Ok(live::respond(request.hub, &request.entry, request.parts, source))
}

#[derive(Clone)]
struct Live {
    hub: Arc<Hub>,
    entry: RecordsEntry,
    query: Query,
    is_first: bool,
}

impl Source for Live {
    fn app(&self) -> &str {
        self.query.app.as_deref().unwrap_or_default()
    }

    async fn read(&mut self, position: u64) -> Result<StreamRead> {
        if position != position_of(self.query.cursor.since) {
            // It was sent everything up to there since.
            let since = UnixNanos(i64::try_from(position).unwrap_or(i64::MAX));
            self.query.cursor = RecordsCursor::complete(since, None);
        }
        let found = find(&self.hub, &self.entry, self.query.clone(), PageBounds::STREAM).await?;
        self.query.given.clear();
        match found {
            Found::Page { body, cursor, has_more, is_empty, note, whom, .. } => {
                storage::note(&self.hub, &self.entry, note);
                // The first one says that the device has caught up, even if it is empty.
                let is_sent = !is_empty || std::mem::take(&mut self.is_first) || has_more;
                self.is_first = false;
                // Nothing is stored yet: the end is the beginning.
                self.query.cursor = if cursor.since == END { RecordsCursor::default() } else { cursor };
                let events = is_sent.then(|| event("changes", Some(&cursor.to_string()), &body));
                let until = position_of(self.query.cursor.since);
                Ok(StreamRead { events: events.into_iter().collect(), has_more, is_last: false, until, whom })
            }
            Found::Resync(body) => {
                let events = vec![event("resync", None, &body)];
                Ok(StreamRead { events, is_last: true, until: position, ..StreamRead::default() })
            }
            Found::Lost(_) => Err(Error::internal()),
        }
    }

    fn view(&self) -> String {
        let Query { app, limit, collections, epoch, .. } = &self.query;
        let prefixes = &self.entry.context.auth.restrictions.table_prefixes;
        format!("changes {app:?} {limit} {collections:?} {epoch:?} {prefixes:?}")
    }

    fn device(&self) -> Option<&str> {
        self.query.device.as_deref().filter(|_| !self.query.own)
    }

    fn cursor(&self) -> UnixNanos {
        self.query.cursor.since
    }

    fn for_all(&self) -> Self {
        let cursor = RecordsCursor::complete(END, None);
        let query = Query { device: None, cursor, given: Vec::new(), ..self.query.clone() };
        Self { query, is_first: false, ..self.clone() }
    }
}

fn event(name: &str, id: Option<&str>, data: &[u8]) -> Bytes {
    // What grew by doubling would be held at twice its length.
    let mut out = Vec::with_capacity(data.len() + 256);
    out.extend_from_slice(format!("event: {name}\n").as_bytes());
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
    out.into()
}

/// What a push came to inside the writer.
enum Done {
    Pushed {
        pushed: PushReport,
        epoch: String,
    },
    OtherEpoch(String),
    /// The device shows that the hub was put back: it begins this epoch.
    Lost(String, Loss),
}

/// `POST /changes`.
pub(super) async fn post(request: &ApiRequest<'_>, body: Bytes) -> Result<Response> {
    if let Some(unpaid) = unpaid(request).await {
        return Ok(unpaid);
    }
    let device =
        device(request)?.ok_or_else(|| Error::new(Reason::InvalidArgument, "missing X-Client-Id"))?;
    let mut batch =
        PushedBatch { client: Some(device.clone()), app: String::new(), first: None, rejection: None };
    let pushed = push(request, device, body, &mut batch).await;
    let all_rejected = batch.rejection.take();
    let outcome = all_rejected.as_ref().map_or_else(|| pushed.as_ref().map(drop), Err);
    batch.note(request.hub, &request.entry, outcome);
    pushed
}

async fn push(
    request: &ApiRequest<'_>,
    device: String,
    body: Bytes,
    batch: &mut PushedBatch,
) -> Result<Response> {
    let turn = request.hub.services.records.decoding.turn(body.len()).await?;
    let ferry::FerryPush { app, epoch, since, head, changes } = ferry::decode(&body)?;
    batch.read((&device, &app), changes.first().and_then(|first| first.as_ref().ok()));
    let (wanted, refused) = sorted(request, changes);
    let (owner, hub) = (Arc::clone(&request.entry.owner), Arc::clone(request.hub));
    let (app, device): (Arc<str>, Arc<str>) = (app.into(), device.into());
    let told = Arc::clone(&device);
    let run = loss::run(request.hub);
    let given = [since, head].map(|cursor| loss::given(request.hub, cursor));
    let epoch = epoch.filter(|epoch| !epoch.is_empty());
    let committed = storage::write(request.hub, &request.entry, move |store, published| {
        let _turn = &turn;
        let state = store.begin(&owner, &device, &app)?;
        let current = restore::epoch_of(store, &state.owner)?.unwrap_or_default();
        let is_of_epoch = epoch.is_some();
        if epoch.is_some_and(|known| known != current) {
            return Ok(Done::OtherEpoch(current));
        }
        for given in given.as_flattened() {
            if let Some(lost) = restore::loss(store, &state.owner, *given, is_of_epoch)? {
                loss::begin(store, published, &owner, hub.clock.now().into())?;
                let epoch = restore::epoch_of(store, &store.owner(&owner)?)?;
                return Ok(Done::Lost(epoch.unwrap_or_default(), lost));
            }
        }
        let caller = PushCaller {
            owner: &owner,
            app: &app,
            client: &device,
            now: hub.clock.now().into(),
            since: since.since,
            dialect: Dialect::Ferry,
            max_changes: 0,
            tables: ReachedTables::default(),
        };
        let pushed = records::apply(store, &caller, state, &wanted)?;
        fault::point("records.applied")?;
        if !pushed.collections.is_empty() {
            let collections = pushed.collections.clone();
            let (owner, app, client) = (Arc::clone(&owner), Arc::clone(&app), Arc::clone(&device));
            published.push(ChangedRecords { owner, app, collections, client });
        }
        Ok(Done::Pushed { pushed, epoch: current })
    });
    let committed = committed.await?;
    let (pushed, epoch) = match committed.value {
        Done::OtherEpoch(epoch) => return Ok(answer::json(ferry::resync(Resync::Epoch, &epoch), None)),
        Done::Lost(epoch, lost) => {
            loss::tell(&request.entry.context.database, &request.entry.owner, Some(&told), lost);
            return Ok(answer::json(ferry::resync(loss::reason(&lost), &epoch), None));
        }
        Done::Pushed { pushed, epoch } => (pushed, epoch),
    };
    if pushed.has_incomplete {
        maintenance::complete_in_time(request.hub, &request.entry.context.database);
    }
    let seq = match committed.seq {
        Some(seq) => seq,
        None => storage::seq(&request.entry.context.database).await?.unwrap_or_default(),
    };
    let results = in_their_places(refused, pushed.results);
    batch.rejection = rejection(&results);
    let taken = results.iter().filter(|result| matches!(result, ResultOut::Ok(_))).count();
    metrics::counter!("ferry_records_changes_total").increment(taken as u64);
    metrics::counter!("ferry_records_conflicts_total").increment(pushed.conflicts.len() as u64);
    let now = request.hub.clock.now().into();
    let head = RecordsCursor::complete(pushed.owner.last_cts, run);
    let body = ferry::push_answer(&epoch, now, seq.0, head, &results, &pushed.conflicts);
    Ok(answer::json(body, Some(seq)))
}

/// Changes for the engine, and in the place of each refused one its refusal.
fn sorted(
    request: &ApiRequest<'_>,
    changes: Vec<Result<Change<'static>, ResultOut>>,
) -> (Vec<Change<'static>>, Vec<Option<ResultOut>>) {
    let mut wanted = Vec::with_capacity(changes.len());
    let mut refused = Vec::with_capacity(changes.len());
    for change in changes {
        match change {
            Ok(change) if request.entry.tables().contain(&change.table) => {
                wanted.push(change);
                refused.push(None);
            }
            Ok(change) => {
                let message =
                    format!("this credential does not reach the collection {}", change.table).into();
                refused.push(Some(ResultOut::Rejected { reason: "forbidden", message }));
            }
            Err(rejected) => refused.push(Some(rejected)),
        }
    }
    (wanted, refused)
}

/// One result per change: the refusals where they stand, the outcomes of the others in order.
fn in_their_places(refused: Vec<Option<ResultOut>>, outcomes: Vec<records::ChangeOutcome>) -> Vec<ResultOut> {
    let mut outcomes = outcomes.into_iter();
    let mut next = || result(outcomes.next().expect("BUG: each change has an outcome"));
    refused.into_iter().map(|refused| refused.unwrap_or_else(&mut next)).collect()
}

/// Why nothing of a batch was taken, if nothing was.
fn rejection(results: &[ResultOut]) -> Option<Error> {
    if results.iter().any(|result| matches!(result, ResultOut::Ok(_))) {
        return None;
    }
    let ResultOut::Rejected { reason, message } = results.first()? else { return None };
    let family = match *reason {
        "forbidden" => Reason::PermissionDenied,
        "beyond_horizon" => Reason::FailedPrecondition,
        _ => Reason::InvalidArgument,
    };
    Some(Error::new(family, format!("every change is rejected, the first so: {message}")))
}

fn result(outcome: records::ChangeOutcome) -> ResultOut {
    match outcome.result {
        ChangeResult::Quarantined => ResultOut::Rejected {
            reason: "beyond_horizon",
            message: "the record was deleted long ago; the change is kept as a conflict".into(),
        },
        _ => ResultOut::Ok(outcome.fields),
    }
}
