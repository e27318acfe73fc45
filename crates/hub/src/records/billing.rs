//! The billing gate (REC-32): a service of the operator's says whose account may sync. Its answers are kept for a
//! while, and one request per user is under way at most.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ferry_auth::principal::subject_of;
use ferry_http_client::{Bounds, HttpClient, Reach};
use http::{HeaderValue, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::Instant;

use crate::config::{BillingFail, RecordsConfig};

/// How long an account stays inactive at most: who has just paid must not wait.
const INACTIVE_KEPT_MAX: Duration = Duration::from_secs(30);
/// How long a service that did not answer is left alone at most.
const UNKNOWN_KEPT_MAX: Duration = Duration::from_secs(10);
const ENTRIES_MAX: usize = 100_000;
const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(5), max_bytes: 64 << 10 };

/// What the service said of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Active,
    Inactive,
    Unknown,
}

/// The gate, and what it was told lately.
pub(super) struct Billing {
    service: Option<Service>,
    /// Whether everybody may sync while the service does not answer.
    is_open_on_failure: bool,
    /// How long an account that is active stays so.
    active_kept: Duration,
    known: Mutex<HashMap<Arc<str>, (Verdict, Instant)>>,
    asking: Mutex<HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>>,
}

/// The operator's service that knows.
struct Service {
    base: String,
    key: Option<HeaderValue>,
    http_client: Arc<HttpClient>,
}

#[derive(Deserialize)]
struct Answer {
    active: bool,
}

impl Billing {
    pub(super) fn new(config: &RecordsConfig, http_client: &Arc<HttpClient>) -> Self {
        let key = config.billing_key.as_deref().and_then(|key| HeaderValue::from_str(key).ok());
        let service = config.billing_url.clone().map(|base| Service {
            base,
            key,
            http_client: Arc::clone(http_client),
        });
        Self {
            service,
            is_open_on_failure: config.billing_fail == BillingFail::Open,
            active_kept: Duration::from_secs(config.billing_seconds),
            known: Mutex::default(),
            asking: Mutex::default(),
        }
    }

    /// Whether the account of an owner of records may sync now. The service knows the owner of a JWT by its `sub`.
    pub(super) async fn admits(&self, user: &Arc<str>) -> bool {
        let Some(service) = &self.service else { return true };
        let verdict = match self.known(user) {
            Some(verdict) => verdict,
            None => self.find_out(service, user).await,
        };
        match verdict {
            Verdict::Active => true,
            Verdict::Inactive => false,
            Verdict::Unknown => self.is_open_on_failure,
        }
    }

    fn known(&self, user: &Arc<str>) -> Option<Verdict> {
        let (verdict, until) = *self.entries().get(user)?;
        (until > Instant::now()).then_some(verdict)
    }

    async fn find_out(&self, service: &Service, user: &Arc<str>) -> Verdict {
        let gate = Arc::clone(lock(&self.asking).entry(Arc::clone(user)).or_default());
        let _alone = gate.lock().await;
        // Who waited here finds what the one before was told.
        if let Some(verdict) = self.known(user) {
            return verdict;
        }
        let verdict = service.ask(user).await;
        let label = match verdict {
            Verdict::Active => "active",
            Verdict::Inactive => "inactive",
            Verdict::Unknown => "unknown",
        };
        metrics::counter!("ferry_records_billing_total", "result" => label).increment(1);
        self.remember(user, verdict);
        lock(&self.asking).remove(user);
        verdict
    }

    fn remember(&self, user: &Arc<str>, verdict: Verdict) {
        let kept = match verdict {
            Verdict::Active => self.active_kept,
            Verdict::Inactive => self.active_kept.min(INACTIVE_KEPT_MAX),
            Verdict::Unknown => self.active_kept.min(UNKNOWN_KEPT_MAX),
        };
        let now = Instant::now();
        let mut entries = self.entries();
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|_, (_, until)| *until > now);
        }
        if entries.len() < ENTRIES_MAX {
            entries.insert(Arc::clone(user), (verdict, now + kept));
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Arc<str>, (Verdict, Instant)>> {
        lock(&self.known)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    async fn ask(&self, user: &str) -> Verdict {
        let user = utf8_percent_encode(subject_of(user), NON_ALPHANUMERIC);
        let mut request = Request::get(format!("{}/api/v1/internal/sync/status/{user}", self.base));
        if let Some(key) = &self.key {
            request = request.header("x-service-key", key);
        }
        let Ok(request) = request.body(Bytes::new()) else { return Verdict::Unknown };
        match self.http_client.send(request, Reach::Anywhere, BOUNDS).await {
            Ok(answer) if answer.status().is_success() => {
                match serde_json::from_slice::<Answer>(answer.body()) {
                    Ok(Answer { active: true }) => Verdict::Active,
                    Ok(Answer { active: false }) => Verdict::Inactive,
                    Err(error) => unknown(&error),
                }
            }
            Ok(answer) => unknown(&answer.status()),
            Err(error) => unknown(&error),
        }
    }
}

fn unknown(why: &dyn std::fmt::Display) -> Verdict {
    tracing::warn!(%why, "the billing service gave no answer");
    Verdict::Unknown
}
