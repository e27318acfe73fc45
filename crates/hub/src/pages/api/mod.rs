//! Ferry's own page wire over HTTP: the image as a file, bodies that lead from one version to another, the list of versions,
//! and a stream of them (pages specification, section 2.3; PROTOCOL.md).

mod answer;
mod body;
mod file;
mod list;
mod made_body;
mod ranges;
mod request;
mod stream;
mod whole;

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use ferry_types::{Error, Reason};
use http::{HeaderValue, Method, header};

use answer::PagesError;
use request::PagesRequest;

use crate::{
    http::{HttpRequestId, Query, metering},
    hub::Hub,
};

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    File,
    Pages,
    Versions,
    Stream,
}

impl Target {
    const fn methods(self) -> &'static [Method] {
        match self {
            Self::File => &[Method::GET, Method::HEAD],
            Self::Pages | Self::Versions | Self::Stream => &[Method::GET],
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
        _ => return None,
    };
    Some((database, target))
}

/// Whether a path is of this interface, whatever else it names.
pub(super) fn is_endpoint(path: &str) -> bool {
    let names = path.strip_prefix("/v1/databases/").map(|rest| rest.split('/').nth(1));
    matches!(names, Some(Some("file" | "pages")))
}

/// Serves a request under `/v1/databases/{db}/file` or `/pages`.
pub(super) async fn serve(hub: &Arc<Hub>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let id = parts.extensions.get::<HttpRequestId>().cloned().unwrap_or_else(|| HttpRequestId(String::new()));
    let Some((database, target)) = target(parts.uri.path()) else {
        return PagesError::from(Error::new(Reason::NotFound, "no such endpoint under /v1")).respond(&id);
    };
    let request = match PagesRequest::enter(hub, &parts, database, target == Target::Stream).await {
        Ok(request) => request,
        Err(error) => return error.respond(&id),
    };
    if !target.methods().contains(&parts.method) {
        return method_not_allowed(target, &id);
    }
    let query = Query::of(&parts);
    let answered = match target {
        Target::File => file::get(&request, &query, &parts).await,
        Target::Pages => body::get(&request, &query, &parts).await,
        Target::Versions => list::get(&request, &query, &parts).await,
        Target::Stream => stream::open(&request, &query, &parts).await,
    };
    match answered {
        // A stream charges what it sends; the answer to HEAD has a length and no body.
        Ok(response) if target == Target::Stream || parts.method == Method::HEAD => response,
        Ok(response) => metering::admit(response, &request.context.meter)
            .unwrap_or_else(|spent| PagesError::from(spent).respond(&id)),
        Err(error) => metering::reply(error.respond(&id), &request.context.meter),
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
        assert!(!is_endpoint("/v1/databases/app/restore"));
    }
}
