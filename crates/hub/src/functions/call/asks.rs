//! What running functions wait for: `fetch`, signatures.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use ferry_control::{SignJwt, VerifyJwt};
use ferry_functions::{Ask, AskAnswer, FetchRequest, FetchResponse};
use ferry_http_client::{Bounds, HttpClientError, Reach, RemoteUrl};
use ferry_trace::SpanContext;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use tokio::task::{AbortHandle, JoinSet};

use super::PlannedCall;
use crate::{config::FunctionsConfig, hub::Hub};

/// Redirects that one `fetch` follows (as the Fetch standard does).
const REDIRECTS_MAX: usize = 20;

/// What one call waits for.
#[derive(Default)]
pub(super) struct Asks {
    running: JoinSet<(u32, AskAnswer)>,
    handles: HashMap<u32, AbortHandle>,
}

impl Asks {
    /// Begins one. True if it goes outside.
    pub(super) fn begin(&mut self, plan: &PlannedCall, id: u32, ask: Ask) -> bool {
        let hub = std::sync::Arc::clone(&plan.hub);
        let (handle, is_outside) = match ask {
            Ask::Fetch(request) => {
                let fetch = async move { (id, AskAnswer::Fetch(fetch(&hub, request).await)) };
                (self.running.spawn(SpanContext::scope(ferry_trace::current(), fetch)), true)
            }
            Ask::Sign { claims, expires_in } => {
                let database_id = plan.database.id();
                let sign = async move {
                    let sign = SignJwt { database_id, claims: &claims, expires_in: &expires_in };
                    let signed = sign.run(&hub.control.db).await;
                    (id, AskAnswer::Sign(signed.map_err(|error| error.message.into_owned())))
                };
                (self.running.spawn(sign), false)
            }
            Ask::Verify { token, issuer, audience } => {
                let database_id = plan.database.id();
                let verify = async move {
                    let (issuer, audience) = (issuer.as_deref(), audience.as_deref());
                    let verify = VerifyJwt { database_id, token: &token, issuer, audience };
                    let verified = verify.run(&hub.control.authenticator).await;
                    (id, AskAnswer::Verify(verified.map(|claims| claims.to_string())))
                };
                (self.running.spawn(verify), false)
            }
            Ask::Cancel(other) => {
                if let Some(handle) = self.handles.remove(&other) {
                    handle.abort();
                }
                return false;
            }
        };
        self.handles.insert(id, handle);
        is_outside
    }

    /// The next answer; never, if nothing is asked.
    pub(super) async fn next(&mut self) -> (u32, AskAnswer) {
        loop {
            match self.running.join_next().await {
                Some(Ok((id, answer))) => {
                    self.handles.remove(&id);
                    return (id, answer);
                }
                // Cancelled.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// A request of a function: http and https, to public addresses and those that the operator allows, each redirect asked
/// anew (FUN-09).
async fn fetch(hub: &Hub, request: FetchRequest) -> Result<FetchResponse, String> {
    let config = &hub.config.functions;
    let longest = Duration::from_millis(config.fetch_ms);
    let exchange = exchange(hub, config, request);
    match tokio::time::timeout(longest, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("fetch took longer than {} ms", config.fetch_ms)),
    }
}

async fn exchange(
    hub: &Hub,
    config: &FunctionsConfig,
    request: FetchRequest,
) -> Result<FetchResponse, String> {
    let FetchRequest { method, url, headers, body, redirect } = request;
    let mut method = Method::from_bytes(method.as_bytes()).map_err(|_| "bad method".to_owned())?;
    let mut body = body.map_or_else(Bytes::new, Bytes::from);
    let mut uri = remote(&url)?;
    let first_host = uri.authority().map(ToString::to_string);
    for redirects in 0..=REDIRECTS_MAX {
        let is_elsewhere = uri.authority().map(ToString::to_string) != first_host;
        let mut sent = Request::new(body.clone());
        *sent.method_mut() = method.clone();
        *sent.uri_mut() = uri.clone();
        for (name, value) in &headers {
            let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) else {
                return Err(format!("bad header {name}"));
            };
            let is_secret =
                [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION].contains(&name);
            let is_ours =
                [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION]
                    .contains(&name);
            let stays = is_ours || is_secret && is_elsewhere;
            if !stays {
                sent.headers_mut().append(name, value);
            }
        }
        let reach = if is_allowed(config, &uri) { Reach::Anywhere } else { Reach::PublicOnly };
        let bounds =
            Bounds { timeout: Duration::from_millis(config.fetch_ms), max_bytes: config.fetch_max_bytes };
        let answer = hub.services.functions.http_client.send(sent, reach, bounds).await;
        let answer = answer.map_err(|error| told(&error, &uri))?;
        let target = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let follows = answer.status().is_redirection() && redirect != "manual";
        let Some(target) =
            target.filter(|_| follows && matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308))
        else {
            return Ok(response(answer, &uri, redirects > 0));
        };
        if redirect == "error" {
            return Err("fetch met a redirect".to_owned());
        }
        uri = joined(&uri, target)?;
        let status = answer.status().as_u16();
        let becomes_get =
            status == 303 && method != Method::HEAD || matches!(status, 301 | 302) && method == Method::POST;
        if becomes_get {
            method = Method::GET;
            body = Bytes::new();
        }
    }
    Err("fetch met too many redirects".to_owned())
}

fn response(answer: http::Response<Bytes>, uri: &Uri, redirected: bool) -> FetchResponse {
    let headers = answer.headers().iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    FetchResponse {
        status: answer.status().as_u16(),
        status_text: answer.status().canonical_reason().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        url: uri.to_string(),
        redirected,
        body: answer.into_body().into(),
    }
}

fn remote(url: &str) -> Result<Uri, String> {
    RemoteUrl::any(url).map(|url| url.uri()).map_err(|why| format!("fetch: {why}"))
}

/// The URL that `target` names, seen from `base` (RFC 3986, 5.2, as far as servers use it).
fn joined(base: &Uri, target: &str) -> Result<Uri, String> {
    let (scheme, authority) =
        (base.scheme_str().unwrap_or("https"), base.authority().map_or("", |a| a.as_str()));
    let target = target.split('#').next().unwrap_or_default();
    let url = if target.contains("://") {
        target.to_owned()
    } else if let Some(rest) = target.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if target.starts_with('/') {
        format!("{scheme}://{authority}{target}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{target}")
    };
    remote(&url)
}

fn is_allowed(config: &FunctionsConfig, uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let with_port = uri.port_u16().map(|port| format!("{host}:{port}"));
    config.fetch_allow.iter().any(|allowed| *allowed == host || Some(allowed) == with_port.as_ref())
}

/// What the function is told; what the hub saw of its network stays in the log.
fn told(error: &HttpClientError, uri: &Uri) -> String {
    tracing::debug!(%error, host = uri.host(), "a function's fetch failed");
    match error {
        HttpClientError::Forbidden => {
            "fetch reaches public addresses alone: the operator can allow others (functions.fetch_allow)"
                .to_owned()
        }
        HttpClientError::TooLarge(bytes) => format!("the answer has more than {bytes} bytes"),
        HttpClientError::TimedOut(_) => "fetch took too long".to_owned(),
        HttpClientError::Broken(_) => "fetch failed: no connection, or it broke".to_owned(),
    }
}
