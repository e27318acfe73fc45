//! Notification sockets (records specification, 2.6; REC-21). Each has a task of its own, which sleeps while the fan-out
//! task of its owner serves it.

use std::{
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{
    extract::ws::{Message, Utf8Bytes},
    response::Response,
};
use bytes::Bytes;
use ferry_core::records::live::{
    Changed, LiveSocket, Notification, Received, SocketEnd, SocketFanOut, SocketOutput, SocketView,
};
use ferry_protocol::records::{ServerMessage, check_name};
use ferry_types::{
    Model, Reason,
    limits::{RECORDS_SOCKET_FRAME_MAX_BYTES, RECORDS_SOCKET_SENT_MAX_BYTES, SOCKET_STALL_MAX_MS},
};
use futures_util::{Sink as _, SinkExt as _, Stream as _, task::AtomicWaker};
use http::{HeaderValue, StatusCode, header, request::Parts};

use super::{
    super::{
        access,
        entry::RecordsEntry,
        head::{client_header, parameter},
        refusal,
    },
    instant, now_ms,
    over::{Over, over},
    owner::{OwnerTopics, ViewTopic},
};
use crate::{
    connections::{ConnectionHead, ConnectionPosition, OpenConnection},
    entry::Carriers,
    fanout::{FanOutSubscriber, Subscribers},
    http::{BoundedSocket, CONTROL_FLOOD, Handshake, NO_UPGRADE, STALLED, SocketFault, SocketLimits},
    hub::Hub,
    rights::RECORDS_PULL,
};

/// What browsers may offer beside `ferry.bearer.…`, so that the secret is not repeated in the answer.
const SUBPROTOCOL: &str = "ferry.records.v1";

/// How long a client has to take leave.
const LINGER: Duration = Duration::from_secs(5);
const LIMITS: SocketLimits = SocketLimits {
    received_max_bytes: RECORDS_SOCKET_FRAME_MAX_BYTES,
    read_buffer_bytes: 512,
    gathered_max_bytes: 0,
    sent_max_bytes: RECORDS_SOCKET_SENT_MAX_BYTES,
    stall_max: Duration::from_millis(SOCKET_STALL_MAX_MS),
};

/// How a socket ends whose peer or connection fails.
const fn end_of(fault: SocketFault) -> SocketEnd {
    let (code, reason) = match fault {
        SocketFault::TooLarge => (1009, "frame too large"),
        SocketFault::Malformed => (1002, "malformed WebSocket frame"),
        SocketFault::ControlFlood => CONTROL_FLOOD,
        SocketFault::Stalled => STALLED,
        SocketFault::Gone => return SocketEnd::Gone,
    };
    SocketEnd::Close(code, reason)
}

const fn end_of_life(over: Over) -> SocketEnd {
    match over {
        Over::Stopping => SocketEnd::SHUTDOWN,
        Over::Deleted => SocketEnd::Close(1008, "database deleted"),
        Over::Closed => SocketEnd::Close(1012, "a backup was put back: connect again"),
        Over::Ended => SocketEnd::Close(1012, "closed by an administrator: connect again"),
        Over::Rights(_) => SocketEnd::Refused("invalid token"),
    }
}

/// Answers the request for a socket. `app`: tell of this one only.
pub(in crate::records) async fn upgrade(hub: &Arc<Hub>, mut parts: Parts, app: Option<String>) -> Response {
    let Some(handshake) = Handshake::of(&mut parts, SUBPROTOCOL).await else {
        let text = format!("{NO_UPGRADE}\n");
        let mut response = refusal::text_response(StatusCode::UPGRADE_REQUIRED, text);
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    let device = client_header(&parts).or_else(|| parameter(&parts, "clientId"));
    let device = device.filter(|device| check_name(device, "client id").is_ok());
    let (hub, tracked) = (Arc::clone(hub), hub.tasks.token());
    let ping_ms = hub.config.records.ping_ms;
    let machine = LiveSocket::new(app.as_deref(), device.as_deref(), ping_ms, now_ms());
    handshake.accept(LIMITS, move |socket| async move {
        let named = (app.as_deref().unwrap_or_default(), device.as_deref());
        // Boxed, since it is large and soon over; a socket lives long.
        let (mut socket, end) = match Box::pin(enter(&hub, parts, named, machine, socket)).await {
            Ok(session) => Box::pin(session.run(hub)).await,
            Err(ended) => ended,
        };
        Box::pin(finish(&mut socket, end)).await;
        drop(tracked);
    })
}

/// What a socket's machine sees before anybody is let in.
struct Nobody;

impl SocketView for Nobody {
    fn changed_since(&self, position: u64, _: Option<&str>) -> Changed {
        Changed { upto: position, ..Changed::default() }
    }

    fn reaches(&self, _: &str) -> bool {
        false
    }
}

/// Drives a socket until its credential has let it in.
async fn enter(
    hub: &Arc<Hub>,
    parts: Parts,
    (app, device): (&str, Option<&str>),
    mut machine: LiveSocket<()>,
    mut socket: BoundedSocket,
) -> Result<Session, (BoundedSocket, SocketEnd)> {
    let mut received = 0;
    loop {
        match machine.next_output(&Nobody) {
            SocketOutput::Send(text) => {
                if let Err(fault) = socket.send(Message::Text(text_of(text))).await {
                    return Err((socket, end_of(fault)));
                }
            }
            SocketOutput::Authenticate(token) => {
                let entering = authenticate(hub, &parts, &token, received);
                let entered = tokio::select! {
                    () = hub.stopping.cancelled() => Err(SocketEnd::SHUTDOWN),
                    () = tokio::time::sleep_until(instant(machine.deadline_ms())) => {
                        machine.tick(now_ms());
                        continue;
                    }
                    entered = entering => entered,
                };
                match entered {
                    Ok(entry) => {
                        let head = ConnectionHead::of(&parts).of_device(device).within(app);
                        let connection = entry.context.connect(hub, head, (Model::Records, "ws"));
                        return Ok(Session::new(entry, machine, socket, connection));
                    }
                    Err(end) => return Err((socket, end)),
                }
            }
            SocketOutput::End(end) => return Err((socket, end)),
            SocketOutput::Ping | SocketOutput::Wait => {
                tokio::select! {
                    () = hub.stopping.cancelled() => return Err((socket, SocketEnd::SHUTDOWN)),
                    () = tokio::time::sleep_until(instant(machine.deadline_ms())) => machine.tick(now_ms()),
                    message = socket.recv() => received = receive(&mut machine, message),
                }
            }
        }
    }
}

/// Lets a credential in, which `received` bytes brought.
async fn authenticate(
    hub: &Arc<Hub>,
    parts: &Parts,
    token: &str,
    received: usize,
) -> Result<RecordsEntry, SocketEnd> {
    let entered = access::enter(hub, parts, Carriers::Message(token), None, &[RECORDS_PULL]).await;
    let entry = entered.map_err(|error| match error.reason {
        Reason::ByteBudget => SocketEnd::BUDGET_SPENT,
        _ if token.is_empty() => SocketEnd::Refused("missing token"),
        Reason::MissingSubject => SocketEnd::Refused("missing subject"),
        _ => SocketEnd::Refused("invalid token"),
    })?;
    entry.context.meter.charge(received).map_err(|_| SocketEnd::BUDGET_SPENT)?;
    Ok(entry)
}

/// Gives the machine what came. Returns the bytes of a frame of text; others end the socket, or are about the connection.
fn receive(machine: &mut LiveSocket<()>, message: Option<Result<Message, SocketFault>>) -> usize {
    let now_ms = now_ms();
    match message {
        Some(Ok(Message::Text(text))) => {
            machine.receive(Received::Text(&text), now_ms);
            return text.len();
        }
        Some(Ok(Message::Binary(_))) => machine.receive(Received::Binary, now_ms),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => machine.receive(Received::Control, now_ms),
        Some(Ok(Message::Close(_))) | None => machine.receive(Received::Close, now_ms),
        Some(Err(fault)) => machine.end(end_of(fault)),
    }
    0
}

fn text_of(frame: Bytes) -> Utf8Bytes {
    Utf8Bytes::try_from(frame).expect("BUG: a message is JSON")
}

/// A socket between its own task and the one that serves its owner's sockets.
struct ServedSocket {
    state: Mutex<State>,
    owner: Arc<OwnerTopics>,
    entry: RecordsEntry,
    /// The socket's own task.
    task: AtomicWaker,
}

struct State {
    machine: LiveSocket<()>,
    /// Taken out at the end.
    socket: Option<BoundedSocket>,
    /// The connection is full: its task waits for room.
    is_full: bool,
    end: Option<SocketEnd>,
}

impl SocketView for ServedSocket {
    fn changed_since(&self, position: u64, device: Option<&str>) -> Changed {
        self.owner.changes().since(position, device)
    }

    fn reaches(&self, table: &str) -> bool {
        self.entry.tables().contain(table)
    }
}

impl FanOutSubscriber for ServedSocket {
    fn serve(&self) {
        let mut state = self.lock();
        if state.is_full || state.end.is_some() {
            return;
        }
        self.advance(&mut state, &mut Context::from_waker(Waker::noop()));
        let needs_task = state.is_full || state.end.is_some();
        drop(state);
        if needs_task {
            self.task.wake();
        }
    }
}

impl ServedSocket {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends as long as there is something to send and room for it.
    fn advance(&self, state: &mut State, context: &mut Context<'_>) {
        let Some(socket) = &mut state.socket else { return };
        let mut socket = Pin::new(socket);
        state.is_full = false;
        while state.end.is_none() {
            if socket.has_unsent() {
                match socket.as_mut().poll_flush(context) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(fault)) => {
                        state.end = Some(end_of(fault));
                        return;
                    }
                    Poll::Pending => {
                        state.is_full = true;
                        return;
                    }
                }
            }
            let message = match state.machine.next_output(self) {
                SocketOutput::Send(text) if self.entry.context.meter.charge(text.len()).is_ok() => {
                    Message::Text(text_of(text))
                }
                SocketOutput::Send(_) => {
                    state.end = Some(SocketEnd::BUDGET_SPENT);
                    return;
                }
                SocketOutput::Ping => Message::Ping(Bytes::new()),
                SocketOutput::End(end) => {
                    state.end = Some(end);
                    return;
                }
                SocketOutput::Wait | SocketOutput::Authenticate(_) => return,
            };
            // There is room for a message once everything before it has been written.
            if let Err(fault) = socket.as_mut().start_send(message) {
                state.end = Some(end_of(fault));
            }
        }
    }

    /// Sends, and takes in what the client says. Ready with the end.
    fn poll(&self, context: &mut Context<'_>) -> Poll<SocketEnd> {
        self.task.register(context.waker());
        let state = &mut *self.lock();
        loop {
            self.advance(state, context);
            if let Some(end) = state.end {
                return Poll::Ready(end);
            }
            let Some(socket) = &mut state.socket else { return Poll::Pending };
            let Poll::Ready(message) = Pin::new(&mut *socket).poll_next(context) else {
                if state.is_full && !socket.has_unsent() {
                    // There was room at last.
                    continue;
                }
                return Poll::Pending;
            };
            let bytes = receive(&mut state.machine, message);
            if self.entry.context.meter.charge(bytes).is_err() {
                state.end = Some(SocketEnd::BUDGET_SPENT);
            }
        }
    }
}

/// A socket that was let in.
struct Session {
    connection: OpenConnection,
    live: Arc<ServedSocket>,
    view: Arc<ViewTopic<Vec<Notification>>>,
}

impl Session {
    fn new(
        entry: RecordsEntry,
        mut machine: LiveSocket<()>,
        socket: BoundedSocket,
        connection: OpenConnection,
    ) -> Self {
        let owner = entry.context.database.models().records.owner(&entry.owner);
        let view = owner.sockets();
        let position = owner.changes().head();
        machine.entered(view.cursor(position), now_ms());
        let state = State { machine, socket: Some(socket), is_full: false, end: None };
        let live = ServedSocket { state: Mutex::new(state), owner, entry, task: AtomicWaker::new() };
        let live = Arc::new(live);
        let shown = Arc::downgrade(&live);
        connection.follows(move || {
            let live = shown.upgrade()?;
            let cursor = live.lock().machine.position()?;
            Some(ConnectionPosition { cursor, head: live.owner.changes().head(), unit: "changes" })
        });
        Self { connection, live, view }
    }

    async fn run(self, hub: Arc<Hub>) -> (BoundedSocket, SocketEnd) {
        let Self { connection, live, view } = self;
        let _member = Subscribers::join(Arc::clone(&view), Arc::clone(&live) as _);
        if view.subscribers.claim_task() {
            hub.tasks.spawn(fan_out(Arc::clone(&hub), live.entry.clone(), Arc::clone(&live.owner), view));
        }
        let mut over = pin!(over(&hub, &live.entry, &connection));
        let mut alarm = pin!(tokio::time::sleep_until(instant(live.lock().machine.deadline_ms())));
        let end = loop {
            tokio::select! {
                biased;
                over = over.as_mut() => break end_of_life(over),
                end = std::future::poll_fn(|context| live.poll(context)) => break end,
                () = alarm.as_mut() => {
                    let mut state = live.lock();
                    state.machine.tick(now_ms());
                    alarm.as_mut().reset(instant(state.machine.deadline_ms()));
                }
            }
        };
        let mut state = live.lock();
        state.end = Some(end);
        (state.socket.take().expect("BUG: a socket ends once"), end)
    }
}

/// Notifies all sockets of an owner, as long as there are any.
async fn fan_out(
    hub: Arc<Hub>,
    entry: RecordsEntry,
    owner: Arc<OwnerTopics>,
    view: Arc<ViewTopic<Vec<Notification>>>,
) {
    let closed = entry.context.database.closed().clone();
    let stopping = hub.stopping.clone();
    drop((hub, entry));
    let mut machine = SocketFanOut::new(view.topic.head());
    loop {
        let mut notified = pin!(owner.notified());
        // Waiting begins before looking.
        notified.as_mut().enable();
        let due_ms = machine.woken(&owner.changes(), now_ms());
        if let Some(due_ms) = due_ms {
            tokio::time::sleep_until(instant(due_ms)).await;
            let page = machine.due(&owner.changes(), now_ms());
            if let Some((upto, bytes, page)) = page {
                view.topic.publish(upto, bytes, Arc::new(page));
            }
        }
        view.subscribers.serve_all().await;
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = closed.cancelled() => return,
                () = notified.as_mut() => break,
                () = view.subscribers.emptied() => if view.subscribers.end_task_if_empty() { return },
            }
        }
    }
}

async fn finish(socket: &mut BoundedSocket, end: SocketEnd) {
    let goodbye = async {
        let close = match end {
            SocketEnd::Gone => return Ok(()),
            SocketEnd::Close(code, reason) => (code, reason),
            SocketEnd::Refused(reason) => {
                socket.send(Message::Text(ServerMessage::Error(reason).encode().into())).await?;
                (1008, reason)
            }
        };
        socket.close(close).await
    };
    // A peer that does not take the close has gone.
    if !matches!(tokio::time::timeout(LINGER, goodbye).await, Ok(Ok(()))) {
        tracing::debug!("the client did not take leave");
    }
}
