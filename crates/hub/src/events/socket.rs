//! One WebSocket connection: its loop turns what happens into input of the machine, and the machine's output into
//! frames and work.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use ferry_core::events::{Bucket, Connection, HistoryPage, Log, Output, ReadPage, StoreState, read_page};
use ferry_protocol::events::{
    ErrorCode, Hook, PushCall, RpcError, Transport,
    close::{self, Close},
};
use ferry_types::{Model, Reason, Result};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, Sleep},
};

use super::{
    access::EventsEntry,
    ahead::settled,
    hooks::PresentedPayload,
    metric, now_ms,
    push::{Pusher, charge_connection},
    sent_upto::SentUpto,
    store::Store,
    wire::{Wire, WireEvent},
};

use crate::{config::AuthRefusal, http::BoundedSocket, hub::Hub, rights_end::rights_end};
use ferry_control::{Meter, RightsEnd};

/// Pings without an answer after which a peer is gone (EVT-39).
const UNANSWERED_PINGS: u64 = 3;
/// Over which time connections are closed when the hub stops (EVT-37).
const SHUTDOWN_SPREAD_MS: u64 = 2_000;
/// Longest sleep; deadlines that come nearer are seen at the latest then.
const SLEEP_MAX_MS: u64 = 1_000 * 30;

/// A connection's parts; the futures that wait stand in [`run`].
struct Session {
    pusher: Pusher,
    machine: Connection,
    wire: Wire,
    meter: Meter,
    /// The push that is being committed.
    push: Option<Running<PushEnd>>,
    read: Option<(u32, JoinHandle<ferry_types::Result<Option<HistoryPage>>>)>,
    /// What a client is ahead by is being written down: what it is told waits.
    noting: Option<Running<()>>,
    /// Pulls about which a hook is asked; made with the first.
    asking: Option<Box<JoinSet<Verdict>>>,
    bucket: Option<Bucket>,
    counted: metric::Counted,
    /// What it was opened with, if a hook was shown that.
    presented: Option<Arc<PresentedPayload>>,
    generation: u32,
    /// How often the hub makes sure that a silent peer is alive.
    ping_every_ms: u64,
    heard_ms: u64,
    pinged_ms: u64,
    /// Something was published since the last Chunk.
    was_notified: bool,
    chunks: u8,
    /// The store is another one now: the connection is closed so, once what is under way is answered.
    ending: Option<Close>,
    /// When a stopping hub closes it.
    closing_ms: Option<u64>,
}

/// What became of a push, and how the connection is closed with it.
type PushEnd = (Result<(), RpcError>, Option<Close>);

/// Work that the loop goes on with.
type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// What ends a connection from outside, each once. They are looked at when they have woken it, and not at each turn of
/// the loop: a lock that all connections of a hub share lies behind some.
type Ends = FuturesUnordered<Running<Wake>>;

/// Whether a Pull may begin.
type Verdict = (u32, Result<(), RpcError>);

/// What a connection waits for.
enum Wake {
    Wire(WireEvent),
    Pushed(PushEnd),
    Read(u32, Result<Option<HistoryPage>>),
    Asked(Option<Verdict>),
    Noted,
    Notified,
    Time,
    RightsOver(RightsEnd),
    Stopping,
    Closed,
}

/// Serves a connection to its end.
pub(super) async fn run(hub: Arc<Hub>, entry: EventsEntry, socket: BoundedSocket) {
    let grace = Duration::from_millis(hub.config.events.expiry_grace_ms);
    let (stopping, closed) = (hub.stopping.clone(), entry.connection.closed().clone());
    let mut watch = entry.context.watch(&hub);
    let mut ends = Ends::new();
    ends.push(Box::pin(async move {
        stopping.cancelled().await;
        Wake::Stopping
    }));
    ends.push(Box::pin(async move {
        closed.cancelled().await;
        Wake::Closed
    }));
    ends.push(Box::pin(async move { Wake::RightsOver(rights_end(&mut watch, grace).await) }));
    let store = Arc::clone(&entry.store);
    let mut notified = pin!(store.notified());
    notified.as_mut().enable();
    let mut sleep = pin!(tokio::time::sleep(Duration::from_millis(SLEEP_MAX_MS)));
    let sent_upto = SentUpto::shown_by(&entry.connection, &entry.store);
    let mut session = Session::new(&hub, &entry, socket);
    let end = loop {
        let wake = tokio::select! {
            biased;
            Some(end) = ends.next() => end,
            outcome = pushed(&mut session.push) => Wake::Pushed(outcome),
            (key, page) = read(&mut session.read) => Wake::Read(key, page),
            verdict = asked(&mut session.asking) => Wake::Asked(verdict),
            () = noted(&mut session.noting) => Wake::Noted,
            event = session.wire.next() => Wake::Wire(event),
            () = notified.as_mut() => Wake::Notified,
            () = sleep.as_mut() => Wake::Time,
        };
        if matches!(wake, Wake::Notified) {
            // Waiting begins before looking, so that no commit falls between the two.
            notified.set(store.notified());
            notified.as_mut().enable();
        }
        let end = session.handle(&hub, wake).or_else(|| session.act());
        if end.is_some() {
            break end;
        }
        sent_upto.reached(session.machine.cursor());
        session.arm(sleep.as_mut());
    };
    let Session { wire, push, .. } = session;
    // What the writer has is committed, whoever waits for it.
    push.into_iter().for_each(|push| drop(tokio::spawn(push)));
    let (code, flush) = match end {
        Some(End::Close(code)) => (code, true),
        Some(End::CloseNow(code)) => (code, false),
        Some(End::Gone) | None => return,
    };
    // Boxed, as what else happens once: an idle connection must not hold room for it.
    Box::pin(wire.finish(code, flush)).await;
}

/// How a connection ends.
enum End {
    /// After what waits to be sent.
    Close(Close),
    /// At once: the client takes nothing.
    CloseNow(Close),
    /// The peer has gone already.
    Gone,
}

impl Session {
    fn new(hub: &Arc<Hub>, entry: &EventsEntry, socket: BoundedSocket) -> Self {
        let (config, now_ms) = (&hub.config.events, now_ms());
        let pusher = Pusher {
            hub: Arc::clone(hub),
            database: Arc::clone(&entry.context.database),
            store: Arc::clone(&entry.store),
            requester: Arc::clone(&entry.context.requester),
            transport: Transport::Ws.as_str(),
        };
        let machine = Connection::new(Transport::Ws, entry.rights.clone(), config.limits, now_ms);
        Self {
            pusher,
            machine,
            wire: Wire::new(socket),
            meter: entry.context.meter.clone(),
            push: None,
            read: None,
            noting: None,
            asking: None,
            bucket: config.connection_rate.map(|rate| Bucket::new(rate, now_ms)),
            counted: metric::Counted::of(&entry.store),
            presented: entry.presented.clone(),
            generation: entry.store.generation(),
            ping_every_ms: config.ping_ms,
            heard_ms: now_ms,
            pinged_ms: now_ms,
            was_notified: false,
            chunks: 0,
            ending: None,
            closing_ms: None,
        }
    }

    /// Takes in what happened.
    fn handle(&mut self, hub: &Hub, wake: Wake) -> Option<End> {
        let now = now_ms();
        let store: &Store = &self.pusher.store;
        match wake {
            Wake::Wire(event) => return self.on_wire(event, now),
            Wake::Pushed((outcome, close)) => {
                self.machine.appended(&outcome, store, now);
                if self.closing_ms.is_some() {
                    while self.machine.pump(store, now) {}
                }
                if close.is_some() {
                    self.ending = close;
                }
                let expired = self.on_expired_push(hub.config.events.auth_refusal, &outcome);
                return expired.or_else(|| self.ended());
            }
            Wake::Read(key, Ok(page)) => self.machine.page_read(key, page, now),
            Wake::Read(..) => return Some(End::Close(close::ON_HOLD)),
            Wake::Asked(verdict) => return self.on_verdict(hub.config.events.auth_refusal, verdict, now),
            Wake::Notified => {
                if store.generation() != self.generation {
                    let close = match store.state() {
                        StoreState::Ok => close::PULL_AGAIN,
                        StoreState::Hold => close::ON_HOLD,
                        StoreState::Deleted => close::DELETED,
                    };
                    self.ending = Some(close);
                    let is_answering = self.machine.is_appending() || self.noting.is_some();
                    return (!is_answering).then_some(End::Close(close));
                }
                self.was_notified = true;
                if !self.wire.is_sending() {
                    self.machine.pump(store, now);
                }
            }
            Wake::Noted => return self.ended(),
            Wake::Time => return self.on_time(now),
            Wake::RightsOver(end) => return self.on_rights_over(hub.config.events.auth_refusal, end),
            Wake::Stopping => {
                self.machine.drain();
                self.closing_ms = Some(now + spread_ms(now));
            }
            // A hub that stops closes its databases too.
            Wake::Closed if self.closing_ms.is_some() => {}
            Wake::Closed if !self.pusher.database.closed().is_cancelled() => {
                return Some(End::Close(close::ENDED));
            }
            Wake::Closed => return Some(End::Close(close::DELETED)),
        }
        None
    }

    /// The end of a store that is another one now, once who asked something of the old one is answered.
    fn ended(&mut self) -> Option<End> {
        let close = self.ending?;
        self.act().or(Some(End::Close(close)))
    }

    fn on_wire(&mut self, event: WireEvent, now: u64) -> Option<End> {
        if !matches!(event, WireEvent::Drained) {
            self.heard_ms = now;
        }
        let received = match &event {
            WireEvent::Text(text) => text.len(),
            WireEvent::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        if received > 0 && self.meter.charge(received).is_err() {
            return Some(End::Close(close::BUDGET_SPENT));
        }
        let hooks = &self.pusher.hub.services.events.hooks;
        self.machine.set_asking(hooks.may_ask(Hook::OnPull, &self.pusher.database));
        let store: &Store = &self.pusher.store;
        match event {
            WireEvent::Text(text) => self.machine.receive(&text, store, now),
            WireEvent::Binary(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => self.machine.receive(text, store, now),
                Err(_) => self.machine.reject("expected UTF-8"),
            },
            WireEvent::Drained => {}
            WireEvent::Alive => return None,
            WireEvent::Broken(close) => return Some(End::Close(close)),
            WireEvent::Stalled => return Some(End::CloseNow(close::TOO_SLOW)),
            WireEvent::Gone => return Some(End::Gone),
        }
        if !self.wire.is_sending() {
            // An Ack may have opened a window, and what was sent has made room.
            self.machine.pump(store, now);
        }
        None
    }

    fn on_time(&mut self, now: u64) -> Option<End> {
        if self.closing_ms.is_some_and(|at| at <= now) && !self.machine.is_appending() {
            return Some(End::Close(close::RESTARTING));
        }
        if now >= self.heard_ms + UNANSWERED_PINGS * self.ping_every_ms {
            return Some(End::Gone);
        }
        if now >= self.ping_at_ms() {
            self.pinged_ms = now;
            self.wire.ping();
        }
        self.machine.tick(now);
        None
    }

    /// A hook has said, or cannot say, whether a Pull may begin (EVT-59).
    fn on_verdict(&mut self, refusal: AuthRefusal, verdict: Option<Verdict>, now: u64) -> Option<End> {
        match (verdict, refusal) {
            (Some((_, Err(RpcError::Unknown { code: ErrorCode::HookUnavailable, .. }))) | None, _) => {
                Some(End::Close(close::ON_HOLD))
            }
            (Some((_, Err(_))), AuthRefusal::Upgrade) => Some(End::Close(close::WITHDRAWN)),
            (Some((pull, verdict)), _) => {
                self.machine.may_pull(pull, verdict, &*self.pusher.store, now);
                None
            }
        }
    }

    /// Who only reads may stay to the end of the grace; who pushes needs a new credential now, and connects with it.
    fn on_expired_push(&self, refusal: AuthRefusal, outcome: &Result<(), RpcError>) -> Option<End> {
        let has_expired = outcome.is_err()
            && matches!(self.pusher.requester.recheck(), Err(error) if error.reason == Reason::TokenExpired);
        (has_expired && matches!(refusal, AuthRefusal::Upgrade)).then_some(End::Close(close::EXPIRED))
    }

    fn on_rights_over(&mut self, refusal: AuthRefusal, end: RightsEnd) -> Option<End> {
        let (close, code, message) = match end {
            RightsEnd::Expired => (close::EXPIRED, ErrorCode::Unauthorized, "the credential has expired"),
            RightsEnd::Revoked => (close::WITHDRAWN, ErrorCode::Forbidden, "the right was withdrawn"),
            RightsEnd::DatabaseDeleted => return Some(End::Close(close::DELETED)),
        };
        match refusal {
            AuthRefusal::Upgrade => Some(End::Close(close)),
            AuthRefusal::Fail => {
                self.machine.refuse(&RpcError::new(code, message));
                None
            }
        }
    }

    /// Does what the machine asks.
    fn act(&mut self) -> Option<End> {
        while self.noting.is_none()
            && let Some(output) = self.machine.next_output()
        {
            match output {
                Output::Send(frame) if self.meter.charge(frame.len()).is_ok() => self.wire.send(frame),
                Output::Chunk(frame) if self.meter.charge(frame.len()).is_ok() => {
                    metric::chunk_sent();
                    if std::mem::take(&mut self.was_notified) {
                        self.sample_fanout();
                    }
                    self.wire.send(frame);
                }
                // A closed client comes again by itself; one whose Pull failed would not, even after midnight.
                Output::Send(_) | Output::Chunk(_) => return Some(End::Close(close::BUDGET_SPENT)),
                Output::Append(call) => match charge_connection(&mut self.bucket) {
                    Ok(wait_ms) => {
                        let (pusher, presented) = (self.pusher.clone(), self.presented.clone());
                        self.push = Some(Box::pin(push(pusher, presented, call, wait_ms)));
                    }
                    Err(error) => {
                        let store: &Store = &self.pusher.store;
                        self.machine.appended(&Err(error), store, now_ms());
                    }
                },
                Output::Read(page) => self.read = Some((page.pull, self.pusher.read(page))),
                Output::MayPull { pull, cursor, live } => {
                    let pusher = self.pusher.clone();
                    self.asking
                        .get_or_insert_default()
                        .spawn(async move { (pull, pusher.may_pull(cursor.as_ref(), live).await) });
                }
                Output::Pushed(id, result) => metric::pushed(&id, result, Transport::Ws),
                Output::Pulled { live, result } => metric::pulled(live, result),
                Output::Ahead(ahead) => {
                    self.noting = self.pusher.ahead(ahead).map(|noting| Box::pin(settled(noting)) as _);
                }
                Output::Refused(first, error) => self.pusher.record(first, Some(&error)),
                // Told in its frame; a WebSocket has no status.
                Output::Failed(_) => {}
                // A client that takes nothing would not take what is left either.
                Output::Close(close::TOO_SLOW) => return Some(End::CloseNow(close::TOO_SLOW)),
                Output::Close(close) => return Some(End::Close(close)),
            }
        }
        self.counted.set(self.machine.live_pulls(), self.machine.lagging_pulls());
        None
    }

    /// Measures one delivery of sixteen; all of them would cost more than they tell.
    fn sample_fanout(&mut self) {
        self.chunks = self.chunks.wrapping_add(1);
        if self.chunks % 16 == 1 {
            metric::fanout_us(self.pusher.store.published_since_us());
        }
    }

    /// When a peer that stays silent until then is asked whether it is alive (EVT-39).
    fn ping_at_ms(&self) -> u64 {
        self.heard_ms.max(self.pinged_ms) + self.ping_every_ms
    }

    /// Sets the alarm for the next deadline, if it stands behind that.
    fn arm(&self, mut sleep: std::pin::Pin<&mut Sleep>) {
        let now = now_ms();
        let deadlines = [
            self.machine.deadline_ms(),
            // While a push is under way the close waits for it, not for a time.
            self.closing_ms.map(|at| if self.machine.is_appending() { at.max(now + 50) } else { at }),
            Some(self.ping_at_ms()),
        ];
        let next = deadlines.into_iter().flatten().min().unwrap_or(now + SLEEP_MAX_MS);
        let at = Instant::now() + Duration::from_millis(next.saturating_sub(now));
        if sleep.is_elapsed() || at + Duration::from_millis(1) < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
    }
}

impl Pusher {
    /// Reads a page of history beside the writer.
    pub(super) fn read(&self, page: ReadPage) -> JoinHandle<ferry_types::Result<Option<HistoryPage>>> {
        let (database, store) = (Arc::clone(&self.database), Arc::clone(&self.store));
        tokio::spawn(async move {
            let backend_id = store.position().backend_id;
            database.read(move |sql| read_page(sql, &store.key(), &backend_id, page.range)).await
        })
    }
}

/// Pushes, if what the connection was opened with is still good (FUN-85).
async fn push(
    pusher: Pusher,
    presented: Option<Arc<PresentedPayload>>,
    call: PushCall,
    wait_ms: u64,
) -> PushEnd {
    let span = pusher.hub.traces.message("events push", Model::Events, pusher.database.id());
    let push = async {
        match PresentedPayload::check(&pusher, presented.as_deref()).await {
            Ok(()) => (pusher.clone().run(call, wait_ms).await, None),
            Err((error, close)) => (Err(error), Some(close)),
        }
    };
    span.scope(push).await
}

async fn pushed(push: &mut Option<Running<PushEnd>>) -> PushEnd {
    let Some(running) = push else { return std::future::pending().await };
    let outcome = running.await;
    *push = None;
    outcome
}

async fn read(
    read: &mut Option<(u32, JoinHandle<ferry_types::Result<Option<HistoryPage>>>)>,
) -> (u32, Result<Option<HistoryPage>>) {
    let Some((key, running)) = read else { return std::future::pending().await };
    let (key, page) = (*key, running.await);
    *read = None;
    (key, page.unwrap_or_else(|_| Err(ferry_types::Error::internal())))
}

/// Ends once what a client is ahead by is written down. Waits for ever while nothing is.
async fn noted(noting: &mut Option<Running<()>>) {
    match noting {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
    *noting = None;
}

/// The next verdict; `None` if asking panicked. Waits for ever while nobody is asked.
async fn asked(asking: &mut Option<Box<JoinSet<Verdict>>>) -> Option<Verdict> {
    if let Some(running) = asking {
        if let Some(verdict) = running.join_next().await {
            return verdict.ok();
        }
        *asking = None;
    }
    std::future::pending().await
}

/// A connection's share of the time over which a stopping hub closes them: told apart by what is random enough.
fn spread_ms(now: u64) -> u64 {
    let mut bytes = [0; 2];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from(u16::from_le_bytes(bytes)) * SHUTDOWN_SPREAD_MS / u64::from(u16::MAX),
        Err(_) => now % SHUTDOWN_SPREAD_MS,
    }
}
