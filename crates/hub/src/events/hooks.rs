//! Hooks: who is asked before pushes and pulls, and told of what was committed (section 2.11): the operator's own program,
//! and functions of the database (FUN-85). Where there are both, both must accept.

mod deliver;
mod function;
mod payload;
mod told;
mod verdicts;

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use ferry_core::events::{HUB_CLIENT_ID, append::check_added};
use ferry_protocol::events::{ErrorCode, Event, Hook, HookContext, HookEvent, LogCursor, RpcError, Verdict};
use hmac::{Hmac, Mac as _};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use sha2::Sha256;
use tokio::time::Instant;

pub(crate) use deliver::deliver;
pub(super) use deliver::deliver_all;
use function::may_have;
pub(crate) use function::{Asking, CallFunctionHooks, FunctionHook, HookEnd};
pub(super) use payload::PresentedPayload;
pub(super) use told::{TOLD, Told};
pub(super) use verdicts::Verdicts;

use crate::{
    config::{FailMode, HooksConfig},
    database::Database,
};
use ferry_http_client::{Bounds, HttpClient, Reach, RemoteUrl};

/// Largest answer of a hook.
const ANSWER_MAX_BYTES: usize = 1 << 20;
/// Events that a hook may add to one push.
const ADDED_MAX: usize = 1_000;
/// Longest message of a rejection that reaches the client.
const MESSAGE_MAX_CHARS: usize = 500;
/// How long a pull waits for a hook that does not answer (EVT-34).
const PULL_WAIT_MAX: Duration = Duration::from_secs(5);
const PULL_PAUSE: Duration = Duration::from_millis(500);

const HOOK_ID: HeaderName = HeaderName::from_static("ferry-hook-id");
const SIGNATURE: HeaderName = HeaderName::from_static("ferry-signature");

/// In which session the hub writes what a hook adds (EVT-57).
const HUB_SESSION_ID: &str = "hook";

/// The configured hooks, and the way to them.
pub(super) struct Hooks {
    config: HooksConfig,
    http_client: HttpClient,
}

/// The hook gave no usable answer; the cause is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HookDown;

/// A request as it goes out, signed.
struct Signed<'a> {
    hook: Hook,
    url: &'a RemoteUrl,
    id: &'a str,
    body: String,
    unix: i64,
}

impl Hooks {
    /// The hooks of `config`.
    #[must_use]
    pub(super) fn new(config: HooksConfig) -> Self {
        Self { config, http_client: HttpClient::default() }
    }

    /// Where `hook` goes, if anywhere.
    const fn url(&self, hook: Hook) -> Option<&RemoteUrl> {
        match hook {
            Hook::OnPush => self.config.on_push.as_ref(),
            Hook::OnPull => self.config.on_pull.as_ref(),
            Hook::OnPushed => self.config.on_pushed.as_ref(),
        }
    }

    /// Whether the operator has configured `hook`.
    const fn is_configured(&self, hook: Hook) -> bool {
        self.url(hook).is_some()
    }

    /// Whether anybody is to be asked, or it is not known yet whether the database's functions are.
    pub(super) fn may_ask(&self, hook: Hook, database: &Database) -> bool {
        self.is_configured(hook) || may_have(database, hook.into())
    }

    /// Asks about a batch that is valid and current; the events that go behind it (EVT-56, EVT-57).
    ///
    /// # Errors
    /// `REJECTED`, or `HOOK_UNAVAILABLE` unless the hook may be missing.
    pub(super) async fn on_push(
        &self,
        asking: &Asking<'_>,
        asked: &HookContext<'_>,
        batch: &[Event],
    ) -> Result<Vec<Event>, RpcError> {
        let mut added = Vec::new();
        let verdict = self.by_program(asking, Hook::OnPush, || asked.push(batch)).await;
        added.extend(self.added(verdict, batch)?);
        if may_have(asking.database, FunctionHook::OnPush) {
            let whole = [batch, &added].concat();
            let verdict = asking.function(Hook::OnPush, &asked.push(&whole)).await;
            added.extend(self.added(verdict, &whole)?);
        }
        Ok(added)
    }

    /// What a verdict on `batch` adds to it.
    fn added(
        &self,
        verdict: Option<Result<Verdict, HookDown>>,
        batch: &[Event],
    ) -> Result<Vec<Event>, RpcError> {
        let Some(verdict) = verdict else { return Ok(Vec::new()) };
        let verdict = verdict.and_then(|verdict| match verdict {
            Verdict::Accept(events) => behind(batch, events).map(Ok),
            Verdict::Reject(message) => Ok(Err(rejected(&message))),
        });
        match (verdict, self.config.fail_mode) {
            (Ok(verdict), _) => verdict,
            (Err(HookDown), FailMode::Open) => Ok(Vec::new()),
            (Err(HookDown), FailMode::Closed) => {
                Err(unavailable("the hook that decides on pushes does not answer: try again later"))
            }
        }
    }

    /// Asks whether `asked.principal` may read, patiently; a verdict is remembered for a while (EVT-59).
    ///
    /// # Errors
    /// `FORBIDDEN` after a rejection; `HOOK_UNAVAILABLE` if the hook does not answer in time.
    pub(super) async fn on_pull(
        &self,
        asking: &Asking<'_>,
        asked: &HookContext<'_>,
        (cursor, live): (Option<&LogCursor>, bool),
        verdicts: &Verdicts,
    ) -> Result<(), RpcError> {
        let began = Instant::now();
        loop {
            if let Some(known) = verdicts.known(asked.principal, super::now_ms()) {
                return known;
            }
            let body = asked.pull(cursor, live);
            let mut verdict = self.by_program(asking, Hook::OnPull, || body.clone()).await;
            if matches!(verdict, None | Some(Ok(Verdict::Accept(_)))) {
                verdict = asking.function(Hook::OnPull, &body).await.or(verdict);
            }
            match verdict {
                None => return Ok(()),
                Some(Ok(verdict)) => {
                    let verdict = match verdict {
                        Verdict::Accept(_) => Ok(()),
                        Verdict::Reject(message) => Err(forbidden(&message)),
                    };
                    verdicts.remember(asked.principal, verdict.clone(), super::now_ms());
                    return verdict;
                }
                Some(Err(HookDown)) if began.elapsed() < PULL_WAIT_MAX => {
                    tokio::time::sleep(PULL_PAUSE).await;
                }
                Some(Err(HookDown)) => {
                    return Err(unavailable(
                        "the hook that decides on pulls does not answer: try again later",
                    ));
                }
            }
        }
    }

    /// The verdict of the operator's program; `None`: it is not asked.
    async fn by_program(
        &self,
        asking: &Asking<'_>,
        hook: Hook,
        body: impl FnOnce() -> String,
    ) -> Option<Result<Verdict, HookDown>> {
        let url = self.url(hook)?;
        let id = crate::clock::new_id().to_string();
        let unix = asking.hub.clock.now().as_secs();
        Some(self.ask(Signed { hook, url, id: &id, body: body(), unix }).await)
    }

    async fn ask(&self, signed: Signed<'_>) -> Result<Verdict, HookDown> {
        let (hook, began) = (signed.hook, Instant::now());
        let mut span = ferry_trace::span("hook");
        span.set("ferry.hook", || hook.as_str());
        let verdict = span.scope(self.post(signed)).await.and_then(|answer| {
            let text = std::str::from_utf8(&answer).map_err(|_| HookDown)?;
            Verdict::decode(text).map_err(|error| {
                tracing::warn!(hook = hook.as_str(), %error, "a hook's answer is no verdict");
                HookDown
            })
        });
        if verdict.is_err() {
            span.fail();
        }
        seconds(hook, word(&verdict), began.elapsed());
        verdict
    }

    /// Sends one request; the body of an answer with a status of success.
    async fn post(&self, signed: Signed<'_>) -> Result<Bytes, HookDown> {
        let Signed { hook, url, id, body, unix } = signed;
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.uri();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(id) = HeaderValue::try_from(id) {
            headers.insert(HOOK_ID, id);
        }
        if let Some(secret) = &self.config.secret
            && let Ok(value) = HeaderValue::try_from(signature(secret.as_bytes(), unix, &body))
        {
            headers.insert(SIGNATURE, value);
        }
        *request.body_mut() = body.into();
        let bounds = Bounds { timeout: self.config.timeout, max_bytes: ANSWER_MAX_BYTES };
        match self.http_client.send(request, Reach::Anywhere, bounds).await {
            // A verdict comes with 200; what is only told may be taken with any success.
            Ok(answer) if answer.status() == StatusCode::OK => Ok(answer.into_body()),
            Ok(answer) if hook == Hook::OnPushed && answer.status().is_success() => Ok(answer.into_body()),
            Ok(answer) => {
                tracing::warn!(hook = hook.as_str(), status = answer.status().as_u16(), "a hook failed");
                Err(HookDown)
            }
            Err(error) => {
                tracing::warn!(hook = hook.as_str(), %error, "a hook does not answer");
                Err(HookDown)
            }
        }
    }
}

fn unavailable(message: &'static str) -> RpcError {
    let code = ErrorCode::HookUnavailable;
    RpcError::Unknown { code, message: message.into(), retry_after_ms: Some(5_000) }
}

const fn word(verdict: &Result<Verdict, HookDown>) -> &'static str {
    match verdict {
        Ok(Verdict::Accept(_)) => "accept",
        Ok(Verdict::Reject(_)) => "reject",
        Err(HookDown) => "unavailable",
    }
}

fn seconds(hook: Hook, verdict: &'static str, took: Duration) {
    metrics::histogram!("ferry_events_hook_seconds", "hook" => hook.as_str(), "verdict" => verdict)
        .record(took.as_secs_f64());
}

/// `t=<unix>,v1=<hex>` with the HMAC-SHA256 of `<unix>.<body>`.
fn signature(secret: &[u8], unix: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("BUG: HMAC takes keys of any length");
    mac.update(unix.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    format!("t={unix},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// The events that a hook adds, numbered on behind `batch`.
fn behind(batch: &[Event], added: Vec<HookEvent>) -> Result<Vec<Event>, HookDown> {
    let mut parent = batch.last().map_or(0, |event| event.seq_num);
    let events: Vec<Event> = added
        .into_iter()
        .map(|HookEvent { name, args }| {
            let event = Event {
                seq_num: parent + 1,
                parent_seq_num: parent,
                name,
                args,
                client_id: HUB_CLIENT_ID.into(),
                session_id: HUB_SESSION_ID.into(),
            };
            parent += 1;
            event
        })
        .collect();
    if events.len() > ADDED_MAX {
        tracing::warn!(events = events.len(), most = ADDED_MAX, "a hook adds too many events to one push");
        return Err(HookDown);
    }
    check_added(&events).map_err(|error| {
        tracing::warn!(?error, "a hook adds events that break the rules of the log");
        HookDown
    })?;
    Ok(events)
}

fn rejected(message: &str) -> RpcError {
    RpcError::new(ErrorCode::Rejected, shown(message, "the push was rejected by policy"))
}

fn forbidden(message: &str) -> RpcError {
    RpcError::new(ErrorCode::Forbidden, shown(message, "reading this store was rejected by policy"))
}

fn shown(message: &str, otherwise: &'static str) -> Cow<'static, str> {
    if message.is_empty() { otherwise.into() } else { message.chars().take(MESSAGE_MAX_CHARS).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_an_hmac_of_time_and_body() {
        // RFC 4231, test case 2, whose text happens to have no dot, pins the function; the form is ours.
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(mac.finalize().into_bytes()), expected);
        let mut mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
        mac.update(b"1700000000.{}");
        let expected = format!("t=1700000000,v1={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(signature(b"key", 1_700_000_000, "{}"), expected);
    }

    // Verifies: EVT-57
    #[test]
    fn added_events_are_the_hubs_and_numbered_on() {
        let event = |name: &str| HookEvent { name: name.into(), args: None };
        let last = Event {
            seq_num: 9,
            parent_seq_num: 3,
            name: "n".into(),
            args: None,
            client_id: "c".into(),
            session_id: "s".into(),
        };
        let added = behind(&[last], vec![event("a"), event("b")]).unwrap();
        let shown: Vec<_> = added.iter().map(|e| (e.parent_seq_num, e.seq_num, &*e.client_id)).collect();
        assert_eq!(shown, [(9, 10, "ferry-hub"), (10, 11, "ferry-hub")]);
        assert_eq!(&*added[0].session_id, "hook");
        assert!(behind(&[], vec![event(&"n".repeat(513))]).is_err());
        assert!(behind(&[], vec![event("")]).is_err());
    }
}
