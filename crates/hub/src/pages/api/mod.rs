//! Ferry's own page wire over HTTP: the image as a file, bodies that lead from one version to another in both directions, the
//! list of versions and a stream of them, digests for who does not know what it has, restore and fork (pages specification,
//! section 2.3; PROTOCOL.md).

mod answer;
mod body;
mod file;
mod fork;
mod list;
mod made_body;
mod push;
mod ranges;
mod reconcile;
mod request;
mod restore;
mod staged;
mod stream;
mod whole;

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use ferry_types::{Error, Reason};
use http::{HeaderValue, Method, header, request::Parts};

pub(super) use answer::PagesError;
use request::{PagesAccess, PagesRequest};
pub(super) use request::{parse_at, version_at};

use crate::{
    http::{HttpRequestId, Query, metering, refuse_compressed},
    hub::Hub,
};

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    File,
    Pages,
    Versions,
    Stream,
    Staged,
    Reconcile,
    Restore,
    Fork,
}

impl Target {
    const fn methods(self) -> &'static [Method] {
        match self {
            Self::File => &[Method::GET, Method::HEAD],
            Self::Pages => &[Method::GET, Method::POST],
            Self::Versions | Self::Stream => &[Method::GET],
            Self::Staged | Self::Reconcile | Self::Restore | Self::Fork => &[Method::POST],
        }
    }

    fn access(self, method: &Method) -> PagesAccess {
        match self {
            Self::Stream => PagesAccess::Follow,
            Self::Staged => PagesAccess::Write,
            Self::Restore if *method == Method::POST => PagesAccess::Restore,
            Self::Fork if *method == Method::POST => PagesAccess::Fork,
            Self::Pages if *method == Method::POST => PagesAccess::Write,
            Self::File | Self::Pages | Self::Versions | Self::Reconcile | Self::Restore | Self::Fork => {
                PagesAccess::Read
            }
        }
    }
}

/// `{db}` and the target of a path.
fn target(path: &str) -> Option<(&str, Target)> {
    let (database, rest) = path.strip_prefix("/v1/databases/")?.split_once('/')?;
    let target = match rest {
        "file" => Target::File,
        "pages" => Target::Pages,
        "pages/versions" => Target::Versions,
        "pages/stream" => Target::Stream,
        "pages/staged" => Target::Staged,
        "pages/reconcile" => Target::Reconcile,
        "restore" => Target::Restore,
        "fork" => Target::Fork,
        _ => return None,
    };
    Some((database, target))
}

/// Whether a path is of this interface, whatever else it names.
pub(super) fn is_endpoint(path: &str) -> bool {
    let names = path.strip_prefix("/v1/databases/").map(|rest| rest.split('/').nth(1));
    matches!(names, Some(Some("file" | "pages" | "restore" | "fork")))
}

/// Serves a request under `/v1/databases/{db}/file`, `/pages`, `/restore` or `/fork`.
pub(super) async fn serve(hub: &Arc<Hub>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let id = parts.extensions.get::<HttpRequestId>().cloned().unwrap_or_else(|| HttpRequestId(String::new()));
    let Some((database, target)) = target(parts.uri.path()) else {
        return PagesError::from(Error::new(Reason::NotFound, "no such endpoint under /v1")).respond(&id);
    };
    let access = target.access(&parts.method);
    let request = match PagesRequest::enter(hub, &parts, database, access).await {
        Ok(request) => request,
        Err(error) => return error.respond(&id),
    };
    if !target.methods().contains(&parts.method) {
        return method_not_allowed(target, &id);
    }
    let answered = match answer(&request, &parts, target, body).await {
        // The history is shorter now: what can still be told needs less of it, or the refusal says from where on there is one.
        Err(error) if error.is_of_damage() && parts.method == Method::GET => {
            answer(&request, &parts, target, Body::empty()).await
        }
        answered => answered,
    };
    let answered = match answered {
        Err(error) if error.is_of_damage() => Err(request.damaged(error).await),
        answered => answered,
    };
    match answered {
        // A stream charges what it sends; the answer to HEAD has a length and no body.
        Ok(response) if target == Target::Stream || parts.method == Method::HEAD => response,
        Ok(response) if access != PagesAccess::Read => metering::reply(response, &request.context.meter),
        Ok(response) => metering::admit(response, &request.context.meter)
            .unwrap_or_else(|spent| PagesError::from(spent).respond(&id)),
        Err(error) => metering::reply(error.respond(&id), &request.context.meter),
    }
}

async fn answer(
    request: &PagesRequest,
    parts: &Parts,
    target: Target,
    body: Body,
) -> Result<Response, PagesError> {
    let query = Query::of(parts);
    refuse_compressed(&parts.headers)?;
    match target {
        Target::File => file::get(request, &query, parts).await,
        Target::Pages if parts.method == Method::POST => push::post(request, parts, body).await,
        Target::Pages => body::get(request, &query, parts).await,
        Target::Versions => list::get(request, &query, parts).await,
        Target::Stream => stream::open(request, &query, parts).await,
        Target::Staged => staged::post(request, body).await,
        Target::Reconcile => reconcile::post(request, parts, body).await,
        Target::Restore => restore::post(request, parts, body).await,
        Target::Fork => fork::post(request, parts, body).await,
    }
}

fn method_not_allowed(target: Target, id: &HttpRequestId) -> Response {
    let names: Vec<&str> = target.methods().iter().map(Method::as_str).collect();
    let names = names.join(", ");
    let error = Error::new(Reason::MethodNotAllowed, format!("use {names}"));
    let mut response = PagesError::from(error).respond(id);
    if let Ok(value) = HeaderValue::try_from(names) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_targets() {
        let base = "/v1/databases/app";
        assert_eq!(target("/v1/databases/app/file"), Some(("app", Target::File)));
        assert_eq!(target("/v1/databases/-/pages/stream"), Some(("-", Target::Stream)));
        for none in ["/file/", "/pages/other", "/pages/stream/x", ""] {
            assert_eq!(target(&format!("{base}{none}")), None, "{none}");
        }
        assert!(is_endpoint("/v1/databases/app/pages/other"));
        assert!(is_endpoint("/v1/databases/app/restore"));
        assert!(!is_endpoint("/v1/databases/app/records"));
    }
}
