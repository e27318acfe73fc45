//! Ferry's own view of the event log over HTTP and server-sent events, and its admin calls (sections 2.9, 2.10).
//!
//! Appends go the way of every push; a stream is a cursor into the log and a wake-up, as a socket is.

mod admin;
mod answer;
mod append;
mod export;
mod import;
mod live;
mod page;
mod request;
mod spool;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use ferry_types::Seq;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use answer::{Answer, ViewError};
use request::EventsApiRequest;

use crate::{
    http::{HttpRequestId, Query, metering},
    hub::Hub,
    rights::{self, Right},
};

/// What a path under `/v1/databases/{db}/events` names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Events,
    Live,
    Clients,
    Stores,
    Store(String),
    /// A store, and what is to be done with it.
    Action(String, Action),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Clients,
    Reset,
    Remint,
    Resume,
    Export,
    Import,
}

impl Action {
    const fn method(self) -> Method {
        match self {
            Self::Clients | Self::Export => Method::GET,
            Self::Reset | Self::Remint | Self::Resume | Self::Import => Method::POST,
        }
    }
}

/// `{db}` and the target of a path; a trailing slash is ignored.
fn target(path: &str) -> Option<(&str, Target)> {
    let rest = path.strip_prefix("/v1/databases/")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let mut names = rest.split('/');
    let database = names.next()?;
    if names.next() != Some("events") {
        return None;
    }
    let names: Vec<&str> = names.collect();
    let target = match names[..] {
        [] => Target::Events,
        ["live"] => Target::Live,
        ["clients"] => Target::Clients,
        ["stores"] => Target::Stores,
        ["stores", store] => Target::Store(percent_decoded(store)?),
        ["stores", store, action] => {
            let action = match action {
                "clients" => Action::Clients,
                "reset" => Action::Reset,
                "remint" => Action::Remint,
                "resume" => Action::Resume,
                "export" => Action::Export,
                "import" => Action::Import,
                _ => return None,
            };
            Target::Action(percent_decoded(store)?, action)
        }
        _ => return None,
    };
    Some((database, target))
}

fn percent_decoded(name: &str) -> Option<String> {
    // In a path, unlike a query, `+` is itself.
    let shielded = format!("x={}", name.replace('+', "%2B"));
    let value = form_urlencoded::parse(shielded.as_bytes()).next()?.1.into_owned();
    (!value.contains('\u{fffd}')).then_some(value)
}

/// Whether a path is of this interface, whatever else it names.
pub(super) fn is_endpoint(path: &str) -> bool {
    let names = path.strip_prefix("/v1/databases/").map(|rest| rest.split('/').nth(1));
    names == Some(Some("events"))
}

/// Serves a request under `/v1/databases/{db}/events`.
pub(super) async fn serve(hub: &Arc<Hub>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let id = parts.extensions.get::<HttpRequestId>().cloned().unwrap_or_else(|| HttpRequestId(String::new()));
    let Some((database, target)) = target(parts.uri.path()) else {
        return ViewError::no_such_endpoint().respond(&id, None);
    };
    let allowed = match &target {
        Target::Events => vec![Method::GET, Method::POST],
        Target::Live | Target::Clients => vec![Method::GET],
        Target::Stores => vec![Method::GET, Method::POST],
        Target::Store(_) => vec![Method::GET, Method::DELETE],
        Target::Action(_, action) => vec![action.method()],
    };
    let is_stream = target == Target::Live || (target == Target::Events && wants_stream(&parts));
    let entered =
        EventsApiRequest::enter(hub, &parts, database, right(&target, &parts.method), is_stream).await;
    if !allowed.contains(&parts.method) {
        // How far a database is, is told to whoever may see it.
        let seq = match &entered {
            Ok(request) => request.context.database.seq().await.ok(),
            Err(_) => None,
        };
        return method_not_allowed(&allowed, &id, seq);
    }
    let request = match entered {
        Ok(request) => request,
        Err(error) => return error.respond(&id, None),
    };
    match run(&request, target, is_stream, &parts, body).await {
        // It charges what it sends, and takes leave where the budget ends.
        Ok(answer) if is_stream => answer.respond(),
        Ok(answer) => metering::answer(&parts.method, answer.respond(), &request.context.meter)
            .unwrap_or_else(|spent| ViewError::from(spent).respond(&id, None)),
        Err(error) => metering::reply(
            error.respond(&id, request.context.database.seq().await.ok()),
            &request.context.meter,
        ),
    }
}

/// The parameters of a write.
const fn parameters(target: &Target) -> &'static [&'static str] {
    match target {
        Target::Events => &["store"],
        Target::Action(_, Action::Import) => &["mode", "backendId"],
        _ => &[],
    }
}

const fn right(target: &Target, method: &Method) -> Right {
    match target {
        Target::Events if matches!(*method, Method::POST) => rights::EVENTS_APPEND,
        Target::Events | Target::Live => rights::EVENTS_READ,
        Target::Clients | Target::Stores | Target::Store(_) | Target::Action(..) => rights::EVENTS_ADMIN,
    }
}

fn wants_stream(parts: &Parts) -> bool {
    let accepted = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    parts.method == Method::GET && accepted.is_some_and(|types| types.contains("text/event-stream"))
}

async fn run(
    request: &EventsApiRequest,
    target: Target,
    is_stream: bool,
    parts: &Parts,
    body: Body,
) -> Result<Answer, ViewError> {
    request.reach(&parts.headers).await?;
    let query = Query::of(parts);
    if parts.method != Method::GET {
        query.check(parameters(&target))?;
    }
    match (target, parts.method == Method::GET) {
        (Target::Events | Target::Live, true) if is_stream => live::open(request, &query, parts).await,
        (Target::Events, true) => page::get(request, &query, &parts.headers).await,
        (Target::Events, false) => append::post(request, &query, &parts.headers, body).await,
        (Target::Live, _) => Err(ViewError::no_such_endpoint()),
        (Target::Clients, _) => admin::all_clients(request).await,
        (Target::Stores, true) => admin::list(request).await,
        (Target::Stores, false) => admin::create(request, body).await,
        (Target::Store(store), true) => admin::stat(request, &store).await,
        (Target::Store(store), false) => admin::delete(request, &store, body).await,
        (Target::Action(store, action), _) => match action {
            Action::Clients => admin::clients(request, &store).await,
            Action::Reset => admin::reset(request, &store, body).await,
            Action::Remint => admin::remint(request, &store, body).await,
            Action::Resume => admin::resume(request, &store).await,
            Action::Export => export::get(request, &store, &query).await,
            Action::Import => import::post(request, &store, &query, body).await,
        },
    }
}

fn method_not_allowed(allowed: &[Method], id: &HttpRequestId, seq: Option<Seq>) -> Response {
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let names = names.join(", ");
    let error = ViewError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("use {names}"));
    let mut response = error.respond(id, seq).into_response();
    if let Ok(value) = HeaderValue::try_from(names) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

/// The value of a header that is text.
fn text_header<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_targets() {
        let of = |path: &str| target(path).map(|(_, target)| target);
        let base = "/v1/databases/app/events";
        assert_eq!(target(base), Some(("app", Target::Events)));
        assert_eq!(of(&format!("{base}/")), Some(Target::Events));
        assert_eq!(of(&format!("{base}/live")), Some(Target::Live));
        assert_eq!(of(&format!("{base}/stores/a%2Fb%20c+d")), Some(Target::Store("a/b c+d".into())));
        assert_eq!(of(&format!("{base}/stores/x/export")), Some(Target::Action("x".into(), Action::Export)));
        for none in ["/stores/x/y", "/stores/x/reset/z", "/other", "/stores/%ff"] {
            assert_eq!(of(&format!("{base}{none}")), None, "{none}");
        }
    }
}
