//! When to exchange with the hub (OPS-65), one exchange at a time (OPS-67).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferry_core::ops::{Texts, spoke::PeerTarget};
use ferry_protocol::ops::SyncCounts;
use ferry_types::UnixMillis;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    backoff::{self, Backoff},
    environment::Environment,
    exchange::ExchangeRun,
    hub::{HubAddress, HubClient, HubFailure},
    store::SpokeStore,
};

/// How long appended ops wait for company before they are pushed; OPS-65 allows 200 ms.
const APPEND_DELAY: Duration = Duration::from_millis(50);
/// How often the token's file is looked at after the hub has refused what it held.
const TOKEN_LOOK: Duration = Duration::from_secs(2);

/// What came of an exchange.
pub(super) type SyncOutcome = Result<SyncCounts, HubFailure>;

/// The last exchange that ended, and which one it was.
#[derive(Clone, Debug)]
struct Ended {
    number: u64,
    outcome: SyncOutcome,
}

/// What `sync.status` tells beside the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    pub(super) last_attempt_ms: Option<i64>,
    pub(super) last_success_ms: Option<i64>,
    pub(super) last_error: Option<String>,
    pub(super) auth_failed: bool,
    pub(super) next_attempt_ms: Option<i64>,
}

#[derive(Default)]
struct Wishes {
    /// How often ops were appended.
    appended: u64,
    /// Appended, and no exchange has begun since.
    has_new: bool,
    /// Somebody waits, or the hub told of ops.
    at_once: bool,
    /// The hub is there again.
    is_back: bool,
    /// A log that the user wants to be followed.
    accepted: Option<String>,
    /// The newest exchange: its number, what had been appended when it began, whether it runs.
    number: u64,
    began_with: u64,
    is_running: bool,
    attempts: Attempts,
}

/// What the callers and the loop share.
#[derive(Default)]
pub(super) struct SyncShared {
    wishes: Mutex<Wishes>,
    wake: Notify,
    ended: watch::Sender<Option<Ended>>,
}

/// The one place where exchanges begin.
pub(super) struct SpokeSync {
    pub(super) store: Arc<SpokeStore>,
    pub(super) address: HubAddress,
    pub(super) target: PeerTarget,
    pub(super) interval: Duration,
    pub(super) environment: Environment,
    /// Texts that are being edited: what leaves the log must not be built on.
    pub(super) texts: Arc<Mutex<Texts>>,
    pub(super) shared: SyncShared,
}

impl SpokeSync {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.shared.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ops were appended.
    pub(super) fn appended(&self) {
        let mut wishes = self.wishes();
        wishes.appended += 1;
        wishes.has_new = true;
        drop(wishes);
        self.shared.wake.notify_one();
    }

    /// The hub told of ops that are not here yet.
    pub(super) fn nudged(&self) {
        self.wishes().at_once = true;
        self.shared.wake.notify_one();
    }

    /// The hub answers again.
    pub(super) fn hub_is_back(&self) {
        self.wishes().is_back = true;
        self.shared.wake.notify_one();
    }

    /// What the exchanges came to so far.
    pub(super) fn attempts(&self) -> Attempts {
        self.wishes().attempts.clone()
    }

    /// Where the hub is.
    pub(super) const fn address(&self) -> &HubAddress {
        &self.address
    }

    /// Exchanges now, whatever the last exchange came to: joins one that runs and has all that was appended, else begins
    /// one behind it.
    pub(super) async fn now(&self, accepted: Option<String>) -> SyncOutcome {
        let mut ended = self.shared.ended.subscribe();
        let wanted = {
            let mut wishes = self.wishes();
            let joins = wishes.is_running && wishes.began_with == wishes.appended && accepted.is_none();
            if joins {
                wishes.number
            } else {
                wishes.at_once = true;
                wishes.is_back = true;
                wishes.accepted = accepted.or(wishes.accepted.take());
                wishes.number + 1
            }
        };
        self.shared.wake.notify_one();
        let reached = |ended: &Option<Ended>| ended.as_ref().is_some_and(|ended| ended.number >= wanted);
        let found = match ended.wait_for(reached).await {
            Ok(ended) => ended.as_ref().map(|ended| ended.outcome.clone()),
            Err(_) => None,
        };
        found.unwrap_or_else(|| Err(HubFailure::new("the spoke is being stopped")))
    }

    /// Exchanges when it is time to, for ever.
    pub(super) async fn run(&self) -> std::convert::Infallible {
        let mut backoff = Backoff::default();
        let mut client: Option<HubClient> = None;
        let mut due = Instant::now();
        let mut refused: Option<String> = None;
        loop {
            tokio::select! {
                () = self.wait(due, &backoff) => {}
                () = self.token_replaced(refused.as_deref()) => {}
            }
            let shown = self.address.token.seen();
            let accepted = self.begin();
            let outcome = self.exchange(&mut client, accepted).await;
            let pause = match &outcome {
                Ok(_) => {
                    backoff.succeeded();
                    backoff::jittered(self.interval, (self.environment.random)())
                }
                Err(failure) => {
                    tracing::debug!(error = failure.message, "an exchange failed");
                    let pause = backoff.failed(failure.retry_after, (self.environment.random)());
                    // What only a person can mend is tried rarely.
                    if failure.kind.is_auth() { backoff::longest() } else { pause }
                }
            };
            refused = matches!(&outcome, Err(failure) if failure.kind.is_auth()).then_some(shown);
            due = Instant::now() + pause;
            self.end(outcome, pause);
        }
    }

    /// Ends once the token is another one than the one that the hub refused.
    async fn token_replaced(&self, refused: Option<&str>) {
        let Some(refused) = refused else { return std::future::pending().await };
        while self.address.token.seen() == refused {
            sleep(TOKEN_LOOK).await;
        }
    }

    /// Waits until the next exchange is due, which appended ops, a nudge or a user may make sooner.
    async fn wait(&self, mut due: Instant, backoff: &Backoff) {
        loop {
            {
                let wishes = self.wishes();
                if wishes.is_back || (wishes.at_once && !backoff.is_failing()) {
                    return;
                }
                if wishes.has_new && !backoff.is_failing() {
                    due = due.min(Instant::now() + APPEND_DELAY);
                }
            }
            tokio::select! {
                () = sleep_until(due) => return,
                () = self.shared.wake.notified() => {}
            }
        }
    }

    fn begin(&self) -> Option<String> {
        let mut wishes = self.wishes();
        (wishes.has_new, wishes.at_once, wishes.is_back) = (false, false, false);
        wishes.number += 1;
        wishes.began_with = wishes.appended;
        wishes.is_running = true;
        wishes.attempts.last_attempt_ms = Some(self.environment.clock.now().0);
        wishes.accepted.take()
    }

    async fn exchange(&self, client: &mut Option<HubClient>, accepted: Option<String>) -> SyncOutcome {
        let hub = HubClient::renewed(client, &self.address)?;
        let run = ExchangeRun { store: &self.store, hub, environment: &self.environment, texts: &self.texts };
        run.run(self.target.clone(), accepted).await
    }

    fn end(&self, outcome: SyncOutcome, pause: Duration) {
        let UnixMillis(now) = self.environment.clock.now();
        let mut wishes = self.wishes();
        wishes.is_running = false;
        let attempts = &mut wishes.attempts;
        attempts.next_attempt_ms =
            Some(now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)));
        attempts.auth_failed = matches!(&outcome, Err(failure) if failure.kind.is_auth());
        match &outcome {
            Ok(_) => (attempts.last_success_ms, attempts.last_error) = (Some(now), None),
            Err(failure) => {
                if attempts.last_error.as_ref() != Some(&failure.message) {
                    tracing::warn!("no exchange with the hub: {}", failure.message);
                }
                attempts.last_error = Some(failure.message.clone());
            }
        }
        let number = wishes.number;
        drop(wishes);
        self.shared.ended.send_replace(Some(Ended { number, outcome }));
    }
}
