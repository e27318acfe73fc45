//! The notification socket (records specification, 2.6; REC-21): it says that something is new, and pulls bring it.
//! What is told to all sockets of an owner is gathered and encoded once, by one task: see [`super::tail`].

use std::{sync::Arc, time::Duration};

use axum::{
    extract::ws::{Message, Utf8Bytes},
    response::Response,
};
use ferry_protocol::records::{ClientMessage, ServerMessage, check_name};
use ferry_types::{
    Reason,
    limits::{RECORDS_SOCKET_FRAME_MAX_BYTES, RECORDS_SOCKET_SENT_MAX_BYTES, SOCKET_STALL_MAX_MS},
};
use futures_util::SinkExt as _;
use http::{HeaderValue, StatusCode, header, request::Parts};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    access::{self, Entry},
    news::{News, Subscription},
    refusal,
    route::{client_header, parameter},
    tail::{Page, Recent, Step, Writing},
};

use crate::{
    entry::Carriers,
    http::{BoundedSocket, CONTROL_FLOOD, Handshake, NO_UPGRADE, STALLED, SocketFault, SocketLimits},
    hub::Hub,
    rights::RECORDS_PULL,
};
use ferry_control::RightsWatch;

/// What browsers may offer beside `ferry.bearer.…`, so that the secret is not repeated in the answer.
const SUBPROTOCOL: &str = "ferry.records.v1";

/// How long a socket may live without its credential.
const AUTH_WITHIN: Duration = Duration::from_secs(10);
/// How long a client has to take leave.
const LINGER: Duration = Duration::from_secs(5);
/// How long notifications gather before they are sent.
const MERGE_WITHIN: Duration = Duration::from_millis(20);
/// Silence after which a peer is gone, in pings.
const UNANSWERED_PINGS: u32 = 3;
const LIMITS: SocketLimits = SocketLimits {
    received_max_bytes: RECORDS_SOCKET_FRAME_MAX_BYTES,
    read_buffer_bytes: 2 << 10,
    gathered_max_bytes: 0,
    sent_max_bytes: RECORDS_SOCKET_SENT_MAX_BYTES,
    stall_max: Duration::from_millis(SOCKET_STALL_MAX_MS),
};

/// What a socket is told whose credential may transfer no more bytes today.
const BUDGET_SPENT: (u16, &str) = (1008, "byte budget spent: it works again from midnight UTC");

/// The only tail of an owner's sockets.
const TAIL: &str = "";

/// News of one app, and the frame that tells all of them.
#[derive(Debug)]
pub(super) struct Told {
    app: Arc<str>,
    tables: Vec<String>,
    frame: Utf8Bytes,
}

/// How a socket ends.
#[derive(Debug)]
enum End {
    /// With a word before the close.
    Refused(&'static str),
    Close(u16, &'static str),
    /// The peer has gone already.
    Gone,
}

impl End {
    const fn spent() -> Self {
        Self::Close(BUDGET_SPENT.0, BUDGET_SPENT.1)
    }
}

impl From<SocketFault> for End {
    fn from(fault: SocketFault) -> Self {
        let (code, reason) = match fault {
            SocketFault::TooLarge => (1009, "frame too large"),
            SocketFault::Malformed => (1002, "malformed WebSocket frame"),
            SocketFault::ControlFlood => CONTROL_FLOOD,
            SocketFault::Stalled => STALLED,
            SocketFault::Gone => return Self::Gone,
        };
        Self::Close(code, reason)
    }
}

/// Answers the request for a socket. `app`: tell of this one only.
pub(super) async fn upgrade(hub: &Arc<Hub>, mut parts: Parts, app: Option<String>) -> Response {
    let Some(handshake) = Handshake::of(&mut parts, SUBPROTOCOL).await else {
        let text = format!("{NO_UPGRADE}\n");
        let mut response = refusal::text_response(StatusCode::UPGRADE_REQUIRED, text);
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    let device = client_header(&parts).or_else(|| parameter(&parts, "clientId"));
    let (hub, tracked) = (Arc::clone(hub), hub.tasks.token());
    handshake.accept(LIMITS, async move |mut socket| {
        metrics::gauge!("ferry_connections", "model" => "records").increment(1);
        let end = serve(&hub, parts, app, device, &mut socket).await;
        finish(&mut socket, end).await;
        metrics::gauge!("ferry_connections", "model" => "records").decrement(1);
        drop(tracked);
    })
}

async fn serve(
    hub: &Arc<Hub>,
    parts: Parts,
    app: Option<String>,
    device: Option<String>,
    socket: &mut BoundedSocket,
) -> End {
    // Boxed, since it is large and soon over; a socket lives long.
    let entering = Box::pin(authenticate(hub, &parts, socket));
    let authenticated = tokio::select! {
        () = hub.stopping.cancelled() => return End::Close(1001, "shutdown"),
        entered = tokio::time::timeout(AUTH_WITHIN, entering) => entered,
    };
    drop(parts);
    let entry = match authenticated {
        Ok(Ok(entry)) => entry,
        Ok(Err(end)) => return end,
        Err(_) => return End::Refused("auth timeout"),
    };
    let device = device.filter(|device| check_name(device, "client id").is_ok());
    notify(hub, &entry, app.as_deref(), device.as_deref(), socket).await
}

/// Waits for the `auth` message.
async fn authenticate(hub: &Arc<Hub>, parts: &Parts, socket: &mut BoundedSocket) -> Result<Entry, End> {
    loop {
        let received = socket.recv().await;
        let bytes = length(received.as_ref());
        let Some(message) = receive(received)? else { continue };
        match message {
            ClientMessage::Auth(token) => {
                let carriers = Carriers::Message(&token);
                let entered = access::enter(hub, parts, carriers, None, &[RECORDS_PULL]).await;
                let entry = entered.map_err(|error| match &*error.message {
                    _ if error.reason == Reason::ByteBudget => End::spent(),
                    _ if token.is_empty() => End::Refused("missing token"),
                    "missing subject" => End::Refused("missing subject"),
                    _ => End::Refused("invalid token"),
                })?;
                charge(&entry, bytes)?;
                return Ok(entry);
            }
            // Nobody is known yet whose budget it could be.
            ClientMessage::Ping => put(socket, ServerMessage::Pong).await?,
            ClientMessage::Unknown => {}
        }
    }
}

/// Tells of news until somebody ends it.
async fn notify(
    hub: &Arc<Hub>,
    entry: &Entry,
    app: Option<&str>,
    device: Option<&str>,
    socket: &mut BoundedSocket,
) -> End {
    let mut subscription = entry.database.models().records.subscribe(&entry.owner);
    let mut tail = join(hub, entry, &subscription);
    let _connection = entry.database.connect();
    let over = over(hub.stopping.clone(), entry.database.closed().clone(), hub.control.watch(&entry.auth));
    let mut over = std::pin::pin!(over);
    if let Err(end) = send(socket, entry, ServerMessage::AuthOk).await {
        return end;
    }
    let ping_every = Duration::from_millis(hub.config.records.ping_ms);
    let mut heard = Instant::now();
    let mut ping = tokio::time::interval_at(heard + ping_every, ping_every);
    loop {
        let wake = tokio::select! {
            biased;
            end = over.as_mut() => return end,
            message = socket.recv() => Wake::Received(message),
            news = tail.changed() => match news {
                Err(_) if subscription.is_gone() => return End::Close(1008, "records deleted"),
                Err(_) => {
                    tail = join(hub, entry, &subscription);
                    continue;
                }
                Ok(()) => Wake::News,
            },
            _ = ping.tick() => {
                if heard.elapsed() > ping_every * UNANSWERED_PINGS {
                    return End::Gone;
                }
                Wake::Ping
            }
        };
        let answer = async {
            match wake {
                Wake::Received(message) => {
                    heard = Instant::now();
                    charge(entry, length(message.as_ref()))?;
                    match receive(message)? {
                        Some(ClientMessage::Ping) => send(socket, entry, ServerMessage::Pong).await,
                        _ => Ok(()),
                    }
                }
                Wake::News => tell(socket, &mut subscription, &mut tail, app, device, entry).await,
                Wake::Ping => Ok(socket.send(Message::Ping(bytes::Bytes::new())).await?),
            }
        };
        // Who takes nothing keeps nobody from ending it.
        tokio::select! {
            biased;
            end = over.as_mut() => return end,
            answered = answer => if let Err(end) = answered { return end },
        }
    }
}

/// What a socket has to answer.
enum Wake {
    Received(Option<Result<Message, SocketFault>>),
    News,
    Ping,
}

/// Waits until the hub, the database or the credential ends a socket.
async fn over(stopping: CancellationToken, closed: CancellationToken, mut watch: RightsWatch) -> End {
    tokio::select! {
        biased;
        () = stopping.cancelled() => End::Close(1001, "shutdown"),
        () = closed.cancelled() => End::Close(1008, "database deleted"),
        _ = watch.ended() => End::Refused("invalid token"),
    }
}

/// Joins the sockets of an owner, and sees to it that somebody gathers the news for them.
fn join(hub: &Hub, entry: &Entry, subscription: &Subscription) -> watch::Receiver<Recent<Vec<Told>>> {
    let (tail, writing) = subscription.channel().sockets.read(TAIL);
    if let Some(writing) = writing {
        let news = entry.database.models().records.subscribe(&entry.owner);
        let (stopping, closed) = (hub.stopping.clone(), entry.database.closed().clone());
        hub.tasks.spawn(gather(news, writing, stopping, closed));
    }
    tail
}

/// Gathers the news of an owner for all of its sockets, as long as there are any.
async fn gather(
    mut news: Subscription,
    writing: Writing<Vec<Told>>,
    stopping: CancellationToken,
    closed: CancellationToken,
) {
    let channel = Arc::clone(news.channel());
    // Whoever joined before this one began has seen less, and looks for itself.
    writing.write(|recent| recent.skip_to(place(&news)));
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            () = closed.cancelled() => break,
            () = writing.unread() => {
                if channel.sockets.is_over(&writing) {
                    return;
                }
                continue;
            }
            () = news.changed() => {}
        }
        if news.is_gone() {
            break;
        }
        tokio::time::sleep(MERGE_WITHIN).await;
        let from = place(&news);
        let News { apps, writers } = news.take(None);
        let tell = |(app, tables): (Arc<str>, Vec<String>)| {
            let frame = ServerMessage::SyncAvailable { app: &app, tables: &tables }.encode().into();
            Told { app, tables, frame }
        };
        let content: Vec<Told> = apps.into_iter().map(tell).collect();
        let bytes = content.iter().map(|told| told.frame.len()).sum();
        let page = Page { from, until: place(&news), writers, only_nameless: false, bytes, content };
        writing.write(|recent| recent.add(page));
    }
    channel.sockets.give_up(writing);
}

/// Where a subscription is, as a cursor of the tail.
fn place(subscription: &Subscription) -> i64 {
    i64::try_from(subscription.cursor()).unwrap_or(i64::MAX)
}

/// Tells what is new: what is told to everybody, or for a socket that needs another answer what that is.
async fn tell(
    socket: &mut BoundedSocket,
    subscription: &mut Subscription,
    tail: &mut watch::Receiver<Recent<Vec<Told>>>,
    only: Option<&str>,
    device: Option<&str>,
    entry: &Entry,
) -> Result<(), End> {
    let is_wanted = |app: &str| only.is_none_or(|only| app == only);
    loop {
        let step = tail.borrow_and_update().step(place(subscription), device);
        match step {
            Step::Wait => return Ok(()),
            Step::Take(page) => {
                subscription.stand_at(page.until.unsigned_abs());
                for told in page.content.iter().filter(|told| is_wanted(&told.app)) {
                    if told.tables.iter().all(|table| entry.tables().contain(table)) {
                        charge(entry, told.frame.len())?;
                        let frame = Message::Text(told.frame.clone());
                        socket.send(frame).await?;
                    } else {
                        tell_some(socket, &told.app, told.tables.clone(), entry).await?;
                    }
                }
            }
            Step::Look => {
                for (app, tables) in subscription.take(device).apps {
                    if is_wanted(&app) {
                        tell_some(socket, &app, tables, entry).await?;
                    }
                }
            }
        }
    }
}

/// Tells those of the collections that the credential reaches.
async fn tell_some(
    socket: &mut BoundedSocket,
    app: &str,
    mut tables: Vec<String>,
    entry: &Entry,
) -> Result<(), End> {
    tables.retain(|table| entry.tables().contain(table));
    if tables.is_empty() {
        return Ok(());
    }
    send(socket, entry, ServerMessage::SyncAvailable { app, tables: &tables }).await
}

/// What a received frame says; `None` for one that is about the connection.
fn receive(message: Option<Result<Message, SocketFault>>) -> Result<Option<ClientMessage>, End> {
    match message {
        Some(Ok(Message::Text(text))) => match ClientMessage::decode(&text) {
            Ok(message) => Ok(Some(message)),
            Err(_) => Err(End::Close(1008, "expected a JSON object with a type")),
        },
        Some(Ok(Message::Binary(_))) => Err(End::Close(1003, "binary frames not supported")),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Err(fault)) => Err(fault.into()),
        Some(Ok(Message::Close(_))) | None => Err(End::Gone),
    }
}

/// Bytes of a frame of text; others end the socket, or are about the connection.
fn length(message: Option<&Result<Message, SocketFault>>) -> usize {
    if let Some(Ok(Message::Text(text))) = message { text.len() } else { 0 }
}

fn charge(entry: &Entry, bytes: usize) -> Result<(), End> {
    entry.meter.charge(bytes).map_err(|_| End::spent())
}

/// Sends a message, if the credential may transfer so much more.
async fn send(socket: &mut BoundedSocket, entry: &Entry, message: ServerMessage<'_>) -> Result<(), End> {
    let text = message.encode();
    charge(entry, text.len())?;
    Ok(socket.send(Message::Text(text.into())).await?)
}

async fn put(socket: &mut BoundedSocket, message: ServerMessage<'_>) -> Result<(), End> {
    Ok(socket.send(Message::Text(message.encode().into())).await?)
}

async fn finish(socket: &mut BoundedSocket, end: End) {
    let goodbye = async {
        let close = match end {
            End::Gone => return Ok(()),
            End::Close(code, reason) => (code, reason),
            End::Refused(reason) => {
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
