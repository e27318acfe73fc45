//! The one HTTP client of the hub, for whatever it asks of others: key sets, identity providers, hooks, billing. Every
//! exchange is bounded in time and size; redirects are not followed; a URL that a user of the hub chose reaches
//! public addresses only.

mod address;
mod url;

use std::{error::Error as StdError, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::sync::OnceCell;

use address::{Forbidden, GuardedResolver};
pub use url::RemoteUrl;

/// What the hub calls itself.
const USER_AGENT: &str = concat!("ferry/", env!("CARGO_PKG_VERSION"));
/// Which trace a request is of (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// How long a kept connection may wait for its next request.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Kept connections per server.
const POOL_MAX_IDLE: usize = 4;

/// Which addresses a request may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// All: the operator of the hub chose the URL.
    Anywhere,
    /// Public ones: a user of the hub chose the URL, who must not reach the hub's own network.
    PublicOnly,
}

/// Bounds of one exchange, connecting and reading the answer included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Longest time.
    pub timeout: Duration,
    /// Largest body of the answer, bytes.
    pub max_bytes: usize,
}

/// Why there is no answer. The text is for the log; it may name internal addresses.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The name stands for an address that is not public.
    #[error("its address is not public")]
    Forbidden,
    /// No connection, or it broke.
    #[error("{0}")]
    Broken(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The body of the answer is larger than allowed.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

type HttpsClient = Client<HttpsConnector<HttpConnector<GuardedResolver>>, Full<Bytes>>;

/// A client for each reach: a kept connection of one must not serve the other.
struct Clients {
    anywhere: HttpsClient,
    public_only: HttpsClient,
}

/// The client. Its connections are kept and shared.
#[derive(Default)]
pub struct HttpClient {
    /// Made at first use: reading the platform's certificate roots takes tens of milliseconds.
    clients: OnceCell<Clients>,
}

impl HttpClient {
    /// Sends `request`, whose URL is a [`RemoteUrl`]'s, and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// See [`HttpClientError`].
    pub async fn send(
        &self,
        mut request: Request<Bytes>,
        reach: Reach,
        bounds: Bounds,
    ) -> Result<Response<Bytes>, HttpClientError> {
        let mut span = ferry_trace::span("fetch").outbound();
        span.set("http.request.method", || known_method(request.method()));
        span.set("http.request.body.size", || request.body().len());
        // Whom users chose learns nothing of the hub's own traces.
        if reach == Reach::Anywhere
            && let Some(context) = span.context()
            && let Ok(value) = HeaderValue::try_from(context.traceparent().to_string())
        {
            request.headers_mut().entry(TRACEPARENT).or_insert(value);
        }
        let answer = tokio::time::timeout(bounds.timeout, self.exchange(request, reach, bounds.max_bytes))
            .await
            .unwrap_or(Err(HttpClientError::TimedOut(bounds.timeout)));
        match &answer {
            Ok(answer) => {
                span.set("http.response.status_code", || answer.status().as_u16());
                span.set("http.response.body.size", || answer.body().len());
            }
            Err(_) => span.fail(),
        }
        answer
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        reach: Reach,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, HttpClientError> {
        // A host that is an address is never resolved, so the resolver cannot refuse it.
        let literal = request.uri().host().and_then(url::literal_address);
        if reach == Reach::PublicOnly && literal.is_some_and(|ip| !address::is_public(ip)) {
            return Err(HttpClientError::Forbidden);
        }
        let mut request = request.map(Full::new);
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let clients = self.clients().await;
        let client = match reach {
            Reach::Anywhere => &clients.anywhere,
            Reach::PublicOnly => &clients.public_only,
        };
        let (head, body) = client.request(request).await.map_err(|error| broken(&error))?.into_parts();
        let length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if length.and_then(|text| text.parse().ok()).is_some_and(|length: usize| length > max_bytes) {
            return Err(HttpClientError::TooLarge(max_bytes));
        }
        match Limited::new(body, max_bytes).collect().await {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(HttpClientError::TooLarge(max_bytes)),
            Err(error) => Err(broken(&*error)),
        }
    }

    async fn clients(&self) -> &Clients {
        let make = async || {
            // A panic while reading certificates leaves a client that trusts nobody.
            let tls = tokio::task::spawn_blocking(tls_config).await.unwrap_or_else(|_| trusting_nobody());
            Clients {
                anywhere: client(tls.clone(), Reach::Anywhere),
                public_only: client(tls, Reach::PublicOnly),
            }
        };
        self.clients.get_or_init(make).await
    }
}

/// A method as a word of a closed set: clients may invent any.
#[must_use]
pub fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// TLS that trusts the platform's roots, so that a hub behind a company's own authority works. Reads them:
/// it blocks.
#[must_use]
pub fn tls_config() -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("BUG: ring supports the default protocol versions");
    match builder.with_native_roots() {
        Ok(trusting) => trusting.with_no_client_auth(),
        Err(error) => {
            tracing::error!(%error, "no certificate roots on this machine: nothing can be fetched over https");
            trusting_nobody()
        }
    }
}

fn trusting_nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("BUG: ring supports the default protocol versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn client(tls: ClientConfig, reach: Reach) -> HttpsClient {
    let mut tcp = HttpConnector::new_with_resolver(GuardedResolver::new(reach));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_MAX_IDLE)
        .build(connector)
}

/// An error and what caused it.
fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| StdError::source(*error))
}

fn broken(error: &(dyn StdError + 'static)) -> HttpClientError {
    if chain(error).any(|cause| {
        // The resolver's refusal may travel inside an `io::Error`, whose `source` skips its own content.
        let inside = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause.is::<Forbidden>() || inside.is_some_and(<dyn StdError + Send + Sync>::is::<Forbidden>)
    }) {
        return HttpClientError::Forbidden;
    }
    let causes: Vec<String> = chain(error).map(ToString::to_string).collect();
    HttpClientError::Broken(causes.join(": "))
}

#[cfg(test)]
mod tests;
