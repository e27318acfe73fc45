//! Ferry's own interface to the log: `/v1/databases/{db}/ops/…` (ops specification, 2.2).

mod admin;
mod answer;
mod append;
mod conflicts;
mod cursor;
mod entities;
mod live;
mod missing;
mod pull;
mod push;
mod snapshot;
mod within;
mod write;

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use ferry_core::ops::meta::LogMeta;
use ferry_protocol::ops::{LogHead, VIEW_LIMIT, VIEW_LIMIT_MAX};
use ferry_types::{Error, Reason};
use http::{HeaderValue, Method, header, request::Parts};

use answer::{OpsAnswer, head_of};
pub(crate) use within::append_in;
pub(super) use write::{Drawn, note_conflicts};

use super::{access, error::OpsError, path::decoded, storage};
use crate::{
    entry::{Carriers, RequestContext},
    http::{HttpRequestId, Query, metering, options, takes},
    hub::Hub,
    rights::{OPS_ADMIN, OPS_PULL, OPS_PUSH, Right},
};

/// Parameters whose value is a number or one of some words. Names of logs and ops may be empty, and are none then.
const NEVER_EMPTY: &[&str] = &["after_seq", "limit", "bytes", "mode", "atomic", "status", "deleted"];

/// A request to this interface.
struct Asked<'r> {
    hub: &'r Arc<Hub>,
    parts: &'r Parts,
    query: Query<'r>,
    context: RequestContext,
}

impl Asked<'_> {
    /// What an answer begins with; where there is no log yet, with the one to come.
    fn head(&self, log: Option<LogMeta>) -> ferry_types::Result<LogHead> {
        let log = log.map_or_else(|| storage::log_to_come(&self.context.database), Ok)?;
        Ok(head_of(&log, self.hub.clock.now()))
    }
}

/// What a path below `ops` names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Ops,
    Live,
    Missing,
    Snapshot,
    Entity,
    Entities,
    Conflicts,
    /// What becomes of this conflict.
    Resolve(String),
    Append,
    Quarantine,
    /// What becomes of this op in quarantine.
    Quarantined(String),
    Compact,
    Epoch,
}

impl Target {
    /// `{db}` and the target of a path.
    fn of(path: &str) -> Option<(String, Self)> {
        let names = path.strip_prefix("/v1/databases/")?.split('/').map(decoded);
        let names: Vec<String> = names.collect::<Option<_>>()?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let [db, "ops", rest @ ..] = &names[..] else { return None };
        let target = match rest {
            [] => Self::Ops,
            ["live"] => Self::Live,
            ["missing"] => Self::Missing,
            ["snapshot"] => Self::Snapshot,
            ["entity"] => Self::Entity,
            ["entities"] => Self::Entities,
            ["conflicts"] => Self::Conflicts,
            ["conflicts", id, "resolve"] => Self::Resolve((*id).to_owned()),
            ["append"] => Self::Append,
            ["quarantine"] => Self::Quarantine,
            ["quarantine", id] => Self::Quarantined((*id).to_owned()),
            ["compact"] => Self::Compact,
            ["epoch"] => Self::Epoch,
            _ => return None,
        };
        Some(((*db).to_owned(), target))
    }

    /// Its methods, as `Allow` has them.
    const fn allow(&self) -> &'static str {
        match self {
            Self::Ops => "GET, POST, OPTIONS",
            Self::Live
            | Self::Snapshot
            | Self::Entity
            | Self::Entities
            | Self::Conflicts
            | Self::Quarantine => "GET, OPTIONS",
            Self::Missing
            | Self::Resolve(_)
            | Self::Append
            | Self::Quarantined(_)
            | Self::Compact
            | Self::Epoch => "POST, OPTIONS",
        }
    }

    fn right(&self, method: &Method) -> Right {
        match self {
            Self::Ops if *method == Method::POST => OPS_PUSH,
            Self::Resolve(_) | Self::Append => OPS_PUSH,
            Self::Quarantine | Self::Quarantined(_) | Self::Compact | Self::Epoch => OPS_ADMIN,
            Self::Ops
            | Self::Live
            | Self::Missing
            | Self::Snapshot
            | Self::Entity
            | Self::Entities
            | Self::Conflicts => OPS_PULL,
        }
    }

    fn is_stream(&self, parts: &Parts) -> bool {
        let accepted = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let wants_stream = accepted.is_some_and(|types| types.contains("text/event-stream"));
        *self == Self::Live || (*self == Self::Ops && parts.method == Method::GET && wants_stream)
    }

    /// The parameters of a write.
    const fn parameters(&self) -> &'static [&'static str] {
        match self {
            Self::Ops => &["atomic"],
            _ => &[],
        }
    }
}

/// Serves a request under `/v1/databases/{db}/ops`.
pub(super) async fn serve(hub: &Arc<Hub>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let id = parts.extensions.get::<HttpRequestId>();
    let Some((db, target)) = Target::of(parts.uri.path()) else {
        return OpsError::no_such_endpoint().respond(id);
    };
    let allow = target.allow();
    if parts.method == Method::OPTIONS {
        return options(allow);
    }
    if !takes(allow, &parts.method) {
        let refused = Error::new(Reason::MethodNotAllowed, format!("this endpoint takes only {allow}"));
        let mut response = OpsError::from(refused).respond(id);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        return response;
    }
    let is_stream = target.is_stream(&parts);
    let (carriers, right) = (Carriers::of_stream(is_stream), target.right(&parts.method));
    let context = match access::enter(hub, &parts, carriers, Some(&db), right).await {
        Ok(context) => context,
        Err(error) => return OpsError::from(error).respond(id),
    };
    let (meter, database) = (context.meter.clone(), Arc::clone(&context.database));
    let asked = Asked { hub, parts: &parts, query: Query::of(&parts), context };
    match run(&asked, &target, is_stream, body).await {
        // It charges what it sends, and takes leave where the budget ends.
        Ok(answer) if is_stream => answer.respond(),
        Ok(answer) => {
            let charged = match answer.plain_bytes() {
                Some(bytes) => meter.charge(bytes).map(|()| answer.respond()),
                None => metering::answer(&parts.method, answer.respond(), &meter),
            };
            charged.unwrap_or_else(|spent| OpsError::from(spent).respond(id))
        }
        Err(error) => {
            let response = OpsAnswer::new(error.respond(id), database.seq().await.ok()).respond();
            metering::reply(response, &meter)
        }
    }
}

async fn run(asked: &Asked<'_>, target: &Target, is_stream: bool, body: Body) -> Result<OpsAnswer, OpsError> {
    access::reach(&asked.context, &asked.parts.headers).await?;
    if asked.parts.method != Method::GET {
        asked.query.check(target.parameters())?;
    }
    if let Some(name) = NEVER_EMPTY.iter().find(|name| asked.query.raw(name) == Some("")) {
        return Err(OpsError::bad_request(format!("{name}: it is empty; leave it out, or give a value")));
    }
    match target {
        Target::Ops | Target::Live if is_stream => live::get(asked).await,
        Target::Ops if asked.parts.method == Method::GET => pull::get(asked).await,
        Target::Ops | Target::Live => push::post(asked, body).await,
        Target::Missing => missing::post(asked, body).await,
        Target::Snapshot => snapshot::get(asked).await,
        Target::Entity => entities::get(asked).await,
        Target::Entities => entities::list(asked).await,
        Target::Conflicts => conflicts::list(asked).await,
        Target::Resolve(id) => conflicts::resolve(asked, id, body).await,
        Target::Append => append::post(asked, body).await,
        Target::Quarantine => admin::quarantine(asked).await,
        Target::Quarantined(id) => admin::decide(asked, id, body).await,
        Target::Compact => admin::compact(asked).await,
        Target::Epoch => admin::epoch(asked, body).await,
    }
}

/// Entries of a page of a list.
fn rows(asked: &Asked<'_>) -> Result<u32, OpsError> {
    let rows = asked.query.number("limit", 1, i64::from(VIEW_LIMIT_MAX))?;
    Ok(rows.and_then(|rows| u32::try_from(rows).ok()).unwrap_or(VIEW_LIMIT))
}

/// The body, if it has at most so many bytes. Whoever sent it may have lost its rights meanwhile.
async fn whole(asked: &Asked<'_>, body: Body, most: usize) -> Result<Bytes, OpsError> {
    let too_large = || {
        OpsError::body_too_large(format!("the body is over {most} bytes, or broke off: send less at once"))
    };
    let body = metering::read(body, most, &asked.context.meter, too_large).await?;
    asked.context.requester.recheck()?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_targets() {
        let of = |rest: &str| Target::of(&format!("/v1/databases/app/ops{rest}")).map(|(_, target)| target);
        assert_eq!(of(""), Some(Target::Ops));
        assert_eq!(of("/live"), Some(Target::Live));
        assert_eq!(of("/conflicts/cf-1/resolve"), Some(Target::Resolve("cf-1".into())));
        assert_eq!(of("/quarantine/f%3A0-a%3A1"), Some(Target::Quarantined("f:0-a:1".into())));
        for none in ["/", "/live/", "/conflicts/cf-1", "/quarantine/a/b", "/%ff", "/other"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
