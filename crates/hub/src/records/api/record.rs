//! Records one by one and listed. Writes are stamped by the hub and win over what is there; `If-Match` guards them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{body::Body, response::Response};
use ferry_core::records::{
    CollectionKey, DeletedShown, ListOrder, Listed, PushReport, RecordQueries as _, UnixNanos,
    intents::{Stamped, stamped},
    query::{self, RecordShown},
};
use ferry_protocol::records::{check_id, check_name, json};
use ferry_types::{
    Error, Reason, Result,
    limits::{RECORDS_LIST_MAX_RECORDS, RECORDS_NOTES_MAX_ENTRIES},
};
use http::{HeaderValue, Method, header};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{
    super::{head::parameter, state::ChangedRecords, storage},
    ApiRequest, HTTP_CLIENT, answer, device, number, whole,
};

/// A record as its path names it.
#[derive(Clone, Copy)]
pub(super) struct Named<'r> {
    pub(super) app: &'r str,
    pub(super) coll: &'r str,
    pub(super) id: &'r str,
}

impl Named<'_> {
    fn check(self, request: &ApiRequest<'_>) -> Result<Owned> {
        check_name(self.app, "app")?;
        check_name(self.coll, "collection")?;
        check_id(self.id, "id")?;
        request.entry.check_table(self.coll)?;
        let owner = Arc::clone(&request.entry.owner);
        Ok(Owned { owner, app: self.app.into(), coll: self.coll.into(), id: self.id.into() })
    }
}

/// The same, for another thread.
struct Owned {
    owner: Arc<str>,
    app: Arc<str>,
    coll: Box<str>,
    id: Box<str>,
}

impl Owned {
    fn collection(&self) -> CollectionKey<'_> {
        CollectionKey { owner: &self.owner, app: &self.app, coll: &self.coll }
    }
}

fn not_found() -> Error {
    Error::new(Reason::NotFound, "record not found")
}

/// `GET /{app}/{collection}`: live records by id, or the newest first; with `deleted` those that are deleted too, or alone; with
/// `incomplete=true` those that wait for their insert.
pub(super) async fn list(request: &ApiRequest<'_>, app: &str, coll: &str) -> Result<Response> {
    let named = Named { app, coll, id: "-" }.check(request)?;
    let after = parameter(request.parts, "after").unwrap_or_default();
    let limit = number(request.parts, "limit", 100, RECORDS_LIST_MAX_RECORDS)?;
    let wanted = conditions(request)?;
    let one_of = |name: &str, words: &[&str]| {
        let Some(given) = parameter(request.parts, name) else { return Ok(0) };
        let found = words.iter().position(|word| *word == given);
        let message = || format!("{name}: expected {}", words.join(" or "));
        found.ok_or_else(|| Error::new(Reason::InvalidArgument, message()))
    };
    let incomplete = one_of("incomplete", &["false", "true"])? == 1;
    let is_newest = one_of("order", &["id", "newest"])? == 1;
    let deleted = match one_of("deleted", &["false", "true", "only"])? {
        0 => DeletedShown::No,
        1 => DeletedShown::Too,
        _ => DeletedShown::Only,
    };
    let before = match &*after {
        _ if !is_newest => UnixNanos::EPOCH,
        "" => UnixNanos(i64::MAX),
        text => text.parse().map(UnixNanos).map_err(|_| {
            let message = "after: with order=newest expected the next of the page before";
            Error::new(Reason::InvalidArgument, message)
        })?,
    };
    let found = storage::read(&request.entry.context.database, move |store| {
        let order = if is_newest { ListOrder::Newest(before) } else { ListOrder::Ids(&after) };
        let listed = Listed { order, deleted, wanted: &wanted, incomplete };
        Ok((query::list(store, named.collection(), &listed, limit)?, store.seq()?))
    });
    let ((records, has_more), seq) = found.await?.unwrap_or_default();
    let listed: Vec<String> = records.iter().map(brief).collect();
    let next = records.last().filter(|_| has_more).map_or_else(
        || "null".to_owned(),
        |last| if is_newest { format!("\"{}\"", last.cts.0) } else { json::string(&last.id) },
    );
    let out = format!("{{\"records\":[{}],\"next\":{next}}}\n", listed.join(","));
    Ok(answer::json(out, Some(seq)))
}

/// `where[field]=value` parameters.
fn conditions(request: &ApiRequest<'_>) -> Result<Vec<(String, String)>> {
    let query = request.parts.uri.query().unwrap_or("");
    let mut wanted = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if let Some(field) = name.strip_prefix("where[").and_then(|rest| rest.strip_suffix(']')) {
            let is_name =
                !field.is_empty() && !field.contains(|c: char| matches!(c, '"' | '\\') || c.is_control());
            if !is_name || wanted.len() == 10 {
                let message = "where[…]: expected at most ten names of fields without quotes, backslashes or control \
                               characters";
                return Err(Error::new(Reason::InvalidArgument, message));
            }
            wanted.push((field.to_owned(), value.into_owned()));
        }
    }
    Ok(wanted)
}

fn brief(record: &RecordShown) -> String {
    let (id, cts, data) = (json::string(&record.id), record.cts.0, &record.data);
    let deleted = record.deleted.map_or_else(String::new, |at| {
        let by = json::string(record.deleted_by.as_deref().unwrap_or_default());
        format!(",\"deletedAt\":\"{}\",\"deletedBy\":{by}", at.text())
    });
    format!("{{\"id\":{id},\"cts\":\"{cts}\"{deleted},\"data\":{data}}}")
}

fn full(record: &RecordShown) -> String {
    let space = record.space.as_deref().unwrap_or("null");
    format!(
        "{{\"id\":{},\"cts\":\"{}\",\"deleted\":{},\"data\":{},\"fields\":{},\"spaceId\":{space}}}\n",
        json::string(&record.id),
        record.cts.0,
        record.deleted.is_some(),
        record.data,
        record.fields
    )
}

fn tagged(mut response: Response, cts: UnixNanos) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", cts.0)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// `GET`, `PUT`, `PATCH`, `DELETE /{app}/{collection}/{id}`.
pub(super) async fn one(
    request: &ApiRequest<'_>,
    named: Named<'_>,
    method: &Method,
    body: Body,
) -> Result<Response> {
    let named = named.check(request)?;
    let verb = match *method {
        Method::PUT => Verb::Put,
        Method::PATCH => Verb::Patch,
        Method::DELETE => Verb::Delete,
        _ => return get(request, named).await,
    };
    if verb == Verb::Delete {
        return write(request, named, verb, None).await;
    }
    let body = whole(request, body).await?;
    let _turn = request.hub.services.records.decoding.turn(body.len()).await?;
    write(request, named, verb, Some(object(&body)?)).await
}

async fn get(request: &ApiRequest<'_>, named: Owned) -> Result<Response> {
    let found = storage::read(&request.entry.context.database, move |store| {
        Ok((query::get(store, named.collection(), &named.id)?, store.seq()?))
    });
    let (shown, seq) = found.await?.unwrap_or_default();
    let shown = shown.ok_or_else(not_found)?;
    Ok(tagged(answer::json(full(&shown), Some(seq)), shown.cts))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Put,
    Patch,
    Delete,
}

/// The text of a JSON object.
fn object(body: &[u8]) -> Result<String> {
    let wrong = |why: String| Error::new(Reason::InvalidArgument, format!("expected a JSON object: {why}"));
    let raw: &RawValue = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
    if raw.get().starts_with('{') {
        Ok(raw.get().to_owned())
    } else {
        Err(wrong("it is another value".into()))
    }
}

/// The commit that the caller expects the record to stand at.
fn expected(request: &ApiRequest<'_>) -> Result<Option<UnixNanos>> {
    let Some(value) = request.parts.headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().ok().map(|text| text.trim_matches('"'));
    let cts = text.and_then(|text| text.parse().ok()).map(UnixNanos);
    cts.map(Some)
        .ok_or_else(|| Error::new(Reason::InvalidArgument, "If-Match: expected the ETag of the record"))
}

async fn write(
    request: &ApiRequest<'_>,
    named: Owned,
    verb: Verb,
    fields: Option<String>,
) -> Result<Response> {
    let expected = expected(request)?;
    let client = device(request)?.unwrap_or_else(|| HTTP_CLIENT.to_owned());
    let hub = Arc::clone(request.hub);
    let committed = storage::write(request.hub, &request.entry, move |store, published| {
        let held = query::get(store, named.collection(), &named.id)?;
        if let Some(expected) = expected
            && held.as_ref().map(|held| held.cts) != Some(expected)
        {
            let message = "the record has changed since: read it again";
            return Err(Error::new(Reason::VersionConflict, message).into());
        }
        let is_alive = held.as_ref().is_some_and(|held| held.deleted.is_none());
        if verb != Verb::Put && !is_alive {
            return Err(not_found().into());
        }
        let (op, fields) = match (verb, fields, &held) {
            (Verb::Put, Some(fields), Some(held)) => ("insert", Some(replacing(&fields, held))),
            (Verb::Put, fields, _) => ("insert", fields),
            (Verb::Patch, fields, _) => ("update", fields),
            (Verb::Delete, ..) => ("delete", None),
        };
        let wanted = Stamped {
            owner: &named.owner,
            app: &named.app,
            client: &client,
            coll: &named.coll,
            id: &named.id,
            op,
            fields: fields.as_deref(),
        };
        let pushed = stamped(store, &wanted, hub.clock.now().into())?;
        published.extend(publication(&named, pushed, &client));
        query::get(store, named.collection(), &named.id)
    });
    let committed = committed.await?;
    metrics::counter!("ferry_records_changes_total").increment(1);
    let shown = committed.value.ok_or_else(Error::internal)?;
    Ok(tagged(answer::json(full(&shown), committed.seq), shown.cts))
}

/// What subscribers must learn, if anything changed.
fn publication(named: &Owned, pushed: PushReport, client: &str) -> Option<ChangedRecords> {
    (!pushed.collections.is_empty()).then(|| ChangedRecords {
        owner: Arc::clone(&named.owner),
        app: Arc::clone(&named.app),
        collections: pushed.collections,
        client: client.into(),
    })
}

/// The members of a `PUT`, and `null` for those that the record has and the body has not.
fn replacing(fields: &str, held: &RecordShown) -> String {
    // Values are skipped, and not read: they may nest deeper than a tree of them can be built.
    let names = |text: &str| {
        let members = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text);
        members.map(|members| members.into_keys().collect::<BTreeSet<_>>()).unwrap_or_default()
    };
    let (new, old) = (names(fields), names(&held.data));
    let missing: Vec<String> =
        old.difference(&new).map(|name| format!("{}:null", json::string(name))).collect();
    if missing.is_empty() {
        return fields.to_owned();
    }
    // Only the object's own brace: the last value may end with others.
    let body = fields.trim_end();
    let body = body.strip_suffix('}').unwrap_or(body);
    let comma = if new.is_empty() { "" } else { "," };
    format!("{body}{comma}{}}}", missing.join(","))
}

/// `GET /{app}/{collection}/{id}/history`.
pub(super) async fn history(request: &ApiRequest<'_>, named: Named<'_>) -> Result<Response> {
    let named = named.check(request)?;
    let limit = number(request.parts, "limit", 100, RECORDS_NOTES_MAX_ENTRIES)?;
    let found = storage::read(&request.entry.context.database, move |store| {
        Ok((store.history(named.collection(), &named.id, limit)?, store.seq()?))
    });
    let (entries, seq) = found.await?.unwrap_or_default();
    let entries: Vec<String> = entries
        .iter()
        .map(|(cts, changes)| format!("{{\"cts\":\"{}\",\"changes\":{changes}}}", cts.0))
        .collect();
    Ok(answer::json(format!("{{\"entries\":[{}]}}\n", entries.join(",")), Some(seq)))
}
