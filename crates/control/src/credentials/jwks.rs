//! The key sets of issuers, fetched when they are needed (JWT-04…07). What is decided, the cache of `ferry-auth`
//! decides; here are the fetch, and those who wait for it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ferry_auth::jwt::{FetchFailure, JwksCache, KeySet, Lookup};
use ferry_http_client::{Bounds, HttpClient, HttpClientError, Reach, RemoteUrl};
use ferry_types::{
    Clock, Result,
    limits::{JWKS_FETCH_MAX_MS, JWKS_MAX_BYTES},
};
use http::{Request, StatusCode, header};
use tokio::sync::Notify;

use crate::directory::shared::SharedDirectory;

const BOUNDS: Bounds =
    Bounds { timeout: Duration::from_millis(JWKS_FETCH_MAX_MS), max_bytes: JWKS_MAX_BYTES };

/// There is no usable set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoKeys {
    pub(crate) retry_after_ms: u64,
    pub(crate) failure: FetchFailure,
}

/// A URL with who may have chosen it: what the operator fetched from inside must not serve others.
type KeySetUrl = (Box<str>, Reach);

#[derive(Default)]
struct KeySetSource {
    cache: Mutex<JwksCache>,
    /// Wakes those who wait when a fetch has ended.
    fetched: Notify,
}

impl KeySetSource {
    fn cache(&self) -> MutexGuard<'_, JwksCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key sets of all issuers in use.
pub(crate) struct Jwks {
    http_client: Arc<HttpClient>,
    clock: Arc<dyn Clock>,
    /// Whose connections end when a key that proved them is gone.
    state: Arc<SharedDirectory>,
    sources: Mutex<HashMap<KeySetUrl, Arc<KeySetSource>>>,
}

impl Jwks {
    pub(crate) fn new(
        http_client: Arc<HttpClient>,
        clock: Arc<dyn Clock>,
        state: Arc<SharedDirectory>,
    ) -> Self {
        Self { http_client, clock, state, sources: Mutex::default() }
    }

    /// The set of `url` for a token that `lacks_key` in some sets. It may lack the key if no other can be had.
    ///
    /// # Errors
    /// When there is no usable set.
    pub(crate) async fn keys(
        &self,
        url: &str,
        reach: Reach,
        lacks_key: impl Fn(&KeySet) -> bool,
    ) -> Result<Arc<KeySet>, NoKeys> {
        let source = self.source(url, reach);
        loop {
            let fetched = source.fetched.notified();
            tokio::pin!(fetched);
            // Waiting begins before looking, so that no fetch ends between the two.
            fetched.as_mut().enable();
            let now = self.clock.now();
            let lookup = source.cache().lookup(now, &lacks_key);
            match lookup {
                Lookup::Use(keys) => return Ok(keys),
                Lookup::UseAndFetch(keys) => {
                    self.fetch(&source, url, reach);
                    return Ok(keys);
                }
                Lookup::Unavailable { retry_after_ms, failure } => {
                    return Err(NoKeys { retry_after_ms, failure });
                }
                Lookup::Fetch => self.fetch(&source, url, reach),
                Lookup::Wait => {}
            }
            // A fetch is bounded; one that died with its task is found out by asking again.
            let _ = tokio::time::timeout(2 * BOUNDS.timeout, fetched).await;
        }
    }

    /// Refreshes the sets that are no longer fresh and prove something that lives on: an open connection asks for no key,
    /// and must learn all the same that its own is gone.
    pub(crate) fn refresh_used(&self) {
        let sources: Vec<_> =
            self.sources().iter().map(|(place, source)| (place.clone(), Arc::clone(source))).collect();
        for ((url, reach), source) in sources {
            let lookup = {
                let mut cache = source.cache();
                if !cache.is_in_use() {
                    continue;
                }
                cache.lookup(self.clock.now(), |_| false)
            };
            if matches!(lookup, Lookup::Fetch | Lookup::UseAndFetch(_)) {
                self.fetch(&source, &url, reach);
            }
        }
    }

    /// Forgets the sets of URLs that no settings name any more.
    pub(crate) fn retain(&self, used: &HashSet<KeySetUrl>) {
        self.sources().retain(|place, _| used.contains(place));
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<KeySetUrl, Arc<KeySetSource>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn source(&self, url: &str, reach: Reach) -> Arc<KeySetSource> {
        Arc::clone(self.sources().entry((url.into(), reach)).or_default())
    }

    /// Fetches on a task of its own, which goes on when whoever asked has gone.
    fn fetch(&self, source: &Arc<KeySetSource>, url: &str, reach: Reach) {
        let (source, http_client, clock, state) = (
            Arc::clone(source),
            Arc::clone(&self.http_client),
            Arc::clone(&self.clock),
            Arc::clone(&self.state),
        );
        let url = url.to_owned();
        tokio::spawn(async move {
            let (outcome, cache_control) = match fetch(&http_client, &url, reach).await {
                Ok((keys, cache_control)) => (Ok(keys), cache_control),
                Err(failure) => (Err(failure), None),
            };
            let result = outcome.as_ref().err().map_or("ok", label);
            metrics::counter!("ferry_jwks_fetches_total", "result" => result).increment(1);
            let withdrawn = source.cache().finish(clock.now(), outcome, cache_control.as_deref());
            source.fetched.notify_waiters();
            if withdrawn {
                tracing::info!(
                    url = url.split('?').next(),
                    "an issuer took keys away: what they proved ends"
                );
                state.wake_all();
            }
        });
    }
}

const fn label(failure: &FetchFailure) -> &'static str {
    match failure {
        FetchFailure::Unreachable => "unreachable",
        FetchFailure::Forbidden => "forbidden",
        FetchFailure::Status(_) => "status",
        FetchFailure::TooLarge => "too_large",
        FetchFailure::Content(_) => "content",
    }
}

async fn fetch(
    http_client: &HttpClient,
    url: &str,
    reach: Reach,
) -> Result<(KeySet, Option<String>), FetchFailure> {
    let remote = RemoteUrl::secure(url).map_err(|_| FetchFailure::Forbidden)?;
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = remote.uri();
    let accepted = http::HeaderValue::from_static("application/jwk-set+json, application/json");
    request.headers_mut().insert(header::ACCEPT, accepted);
    // The query may hold what is nobody's business.
    let shown = url.split('?').next().unwrap_or_default();
    let answer = http_client.send(request, reach, BOUNDS).await.map_err(|error| {
        tracing::warn!(%error, url = shown, "fetching a key set failed");
        match error {
            HttpClientError::Forbidden => FetchFailure::Forbidden,
            HttpClientError::TooLarge(_) => FetchFailure::TooLarge,
            HttpClientError::Broken(_) | HttpClientError::TimedOut(_) => FetchFailure::Unreachable,
        }
    })?;
    if answer.status() != StatusCode::OK {
        tracing::warn!(status = answer.status().as_u16(), url = shown, "fetching a key set failed");
        return Err(FetchFailure::Status(answer.status().as_u16()));
    }
    let cache_control = answer.headers().get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
    let keys = KeySet::parse(answer.body()).map_err(|error| {
        tracing::warn!(%error, url = shown, "fetching a key set failed");
        FetchFailure::Content(error)
    })?;
    Ok((keys, cache_control.map(str::to_owned)))
}
