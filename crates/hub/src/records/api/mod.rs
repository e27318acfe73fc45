//! Ferry's own interface to records: `/v1/databases/{db}/records/…` (records specification, 2.8).

mod answer;
mod census;
mod changes;
mod conflicts;
mod devices;
mod export;
mod record;

use std::{borrow::Cow, sync::Arc};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_protocol::records::check_name;
use ferry_types::{Error, Reason, Result, limits::RECORDS_BODY_MAX_BYTES};
use http::{HeaderName, HeaderValue, Method, request::Parts};
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

use super::{access, entry::RecordsEntry, head::parameter, owners};
use crate::{
    entry::Carriers,
    http::{HttpRequestId, Query, metering, options, takes},
    hub::Hub,
    rights::{RECORDS_ADMIN, RECORDS_PULL, RECORDS_PUSH, Right},
};

/// Under which name writes of this interface are merged that name no device.
const HTTP_CLIENT: &str = "ferry-http";

/// In answers: whose records they speak of. In requests: whose records the device holds.
const OWNER: HeaderName = HeaderName::from_static("ferry-owner");
/// Enough that no two owners share a name.
const OWNER_NAME_BYTES: usize = 16;

/// A request to this interface.
pub(super) struct ApiRequest<'r> {
    pub(super) hub: &'r Arc<Hub>,
    pub(super) parts: &'r Parts,
    pub(super) entry: RecordsEntry,
}

/// Serves `/v1/databases/{db}/records/{rest…}`.
pub(super) async fn serve(hub: &Arc<Hub>, parts: &Parts, body: Body) -> Response {
    let refused = |error: &Error| answer::refused(error, parts.extensions.get::<HttpRequestId>());
    let path = parts.uri.path().trim_start_matches("/v1/databases/");
    let names: Option<Vec<_>> =
        path.split('/').map(|name| percent_decode_str(name).decode_utf8().ok()).collect();
    let names = names.unwrap_or_default();
    let names: Vec<&str> = names.iter().map(Cow::as_ref).collect();
    let [db, "records", rest @ ..] = &names[..] else { return refused(&no_such_endpoint()) };
    let Some(allow) = allow(rest) else { return refused(&no_such_endpoint()) };
    if parts.method == Method::OPTIONS {
        return options(allow);
    }
    if !takes(allow, &parts.method) {
        return answer::method_not_allowed(allow, parts.extensions.get::<HttpRequestId>());
    }
    let (request, owner) = match enter(hub, parts, db, rights(parts, rest)).await {
        Ok(entered) => entered,
        Err(error) => return refused(&error),
    };
    let meter = &request.entry.context.meter;
    let mut answer = match dispatch(&request, rest, body).await {
        // It charges what it sends, and takes leave where the budget ends.
        Ok(stream) if rest == ["changes", "stream"] => stream,
        answer => answer
            .and_then(|answer| metering::answer(&parts.method, answer, meter))
            .unwrap_or_else(|error| metering::reply(refused(&error), meter)),
    };
    answer.headers_mut().insert(OWNER, owner);
    answer
}

/// What a request asks of its credential.
fn rights(parts: &Parts, rest: &[&str]) -> &'static [Right] {
    let wants_own = parameter(parts, "owner").is_none();
    match rest {
        ["import"] | ["owners", ..] => &[RECORDS_ADMIN],
        _ if !wants_own => &[RECORDS_ADMIN],
        _ if parts.method == Method::GET => &[RECORDS_PULL],
        _ => &[RECORDS_PUSH, RECORDS_PULL],
    }
}

async fn dispatch(request: &ApiRequest<'_>, rest: &[&str], body: Body) -> Result<Response> {
    let method = &request.parts.method;
    if method != Method::GET {
        Query::of(request.parts).check(parameters(rest))?;
    }
    match (method.as_str(), rest) {
        ("GET", ["changes"]) => changes::get(request).await,
        (_, ["changes"]) => changes::post(request, whole(request, body).await?).await,
        (_, ["changes", "stream"]) => changes::stream(request).await,
        (_, ["conflicts"]) => conflicts::list(request).await,
        (_, ["conflicts", number, "resolve"]) => {
            conflicts::resolve(request, number, whole(request, body).await?).await
        }
        (_, ["export"]) => export::export(request).await,
        (_, ["import"]) => export::import(request, body).await,
        (_, ["owners"]) => census::owners(request).await,
        (_, ["apps"]) => census::apps(request).await,
        (_, ["collections"]) => census::collections(request).await,
        (_, ["devices"]) => devices::list(request).await,
        (_, ["devices", client]) => devices::forget(request, client).await,
        (_, ["owners", owner]) => devices::forget_owner(request, owner).await,
        (_, [app, coll]) => record::list(request, app, coll).await,
        (_, [app, coll, id]) => record::one(request, record::Named { app, coll, id }, method, body).await,
        (_, [app, coll, id, "history"]) => record::history(request, record::Named { app, coll, id }).await,
        _ => Err(no_such_endpoint()),
    }
}

/// The parameters of a write.
fn parameters(rest: &[&str]) -> &'static [&'static str] {
    match rest {
        ["import"] => &["owner", "mode"],
        _ => &["owner"],
    }
}

/// The methods of an endpoint, as `Allow` has them; `None` where there is none. Words win over names of apps.
fn allow(rest: &[&str]) -> Option<&'static str> {
    Some(match rest {
        ["changes"] => "GET, POST, OPTIONS",
        ["changes", "stream"] | ["conflicts" | "export" | "devices" | "owners" | "apps" | "collections"] => {
            "GET, OPTIONS"
        }
        ["conflicts", _, "resolve"] | ["import"] => "POST, OPTIONS",
        ["devices" | "owners", _] => "DELETE, OPTIONS",
        ["changes" | "conflicts" | "export" | "import" | "devices" | "owners", ..] => return None,
        [_, _] | [_, _, _, "history"] => "GET, OPTIONS",
        [_, _, _] => "GET, PUT, PATCH, DELETE, OPTIONS",
        _ => return None,
    })
}

/// The request, and the name of its credential's owner for the header `Ferry-Owner`.
async fn enter<'r>(
    hub: &'r Arc<Hub>,
    parts: &'r Parts,
    db: &str,
    rights: &[Right],
) -> Result<(ApiRequest<'r>, HeaderValue)> {
    let is_stream = parts.uri.path().ends_with("/changes/stream");
    let carriers = Carriers::of_stream(is_stream);
    let mut entry = access::enter(hub, parts, carriers, Some(db), rights).await?;
    let name = owner_name(&entry.owner);
    // A device remembers whose records it holds: its next user's requests must not bring them along (REC-65).
    if parts.headers.get(OWNER).is_some_and(|known| *known != name) {
        let message = "this device holds the records of another user: the application decides what becomes of \
                       them (sync.switchOwner), then the device names the new owner or none in Ferry-Owner";
        return Err(Error::new(Reason::OwnerChanged, message));
    }
    if let Some(owner) = parameter(parts, "owner") {
        entry.owner = owners::named(&entry, &owner, parts.method != Method::GET).await?;
    }
    Ok((ApiRequest { hub, parts, entry }, name))
}

/// What the header calls an owner: names may hold what headers cannot, so it is a hash.
fn owner_name(owner: &str) -> HeaderValue {
    let name = hex::encode(&Sha256::digest(owner.as_bytes())[..OWNER_NAME_BYTES]);
    HeaderValue::try_from(name).expect("BUG: hexadecimal digits are a header's value")
}

/// The device that a request names, if its name is one.
fn device(request: &ApiRequest<'_>) -> Result<Option<String>> {
    let Some(value) = request.parts.headers.get("x-client-id") else { return Ok(None) };
    let name = value.to_str().map_err(|_| Error::new(Reason::InvalidArgument, "invalid X-Client-Id"))?;
    check_name(name, "X-Client-Id")?;
    Ok(Some(name.to_owned()))
}

/// The body, if it is no larger than a push may be.
async fn whole(request: &ApiRequest<'_>, body: Body) -> Result<Bytes> {
    upto(request, body, RECORDS_BODY_MAX_BYTES).await
}

/// The body, if it has at most so many bytes.
async fn upto(request: &ApiRequest<'_>, body: Body, most: usize) -> Result<Bytes> {
    let too_large = || Error::new(Reason::TooLarge, format!("the body is over {most} bytes, or broke off"));
    let body = metering::read(body, most, &request.entry.context.meter, too_large).await?;
    request.entry.context.requester.recheck()?;
    Ok(body)
}

/// A number of the query, within its bounds.
fn number(parts: &Parts, name: &str, default: usize, most: usize) -> Result<usize> {
    let Some(text) = parameter(parts, name) else { return Ok(default) };
    let read = text.parse().ok().filter(|number| (1..=most).contains(number));
    read.ok_or_else(|| {
        Error::new(Reason::InvalidArgument, format!("{name}: expected a number from 1 to {most}"))
    })
}

fn no_such_endpoint() -> Error {
    Error::new(Reason::NotFound, "no such endpoint under /v1")
}
