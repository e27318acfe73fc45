//! `/ws` (functions specification, 2.3): one task per socket, which sends what its mailbox holds.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, ws::Message},
    response::{IntoResponse as _, Response},
};
use ferry_control::RightsEnd;
use ferry_core::functions::live::{QueryKey, SocketId};
use ferry_protocol::functions::{ClientFrame, ServerFrame, table_hashes};
use ferry_types::Model;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use http::{HeaderValue, StatusCode, header, request::Parts};

use super::super::{
    auth::{self, FunctionsCaller},
    live_result::{LiveCaller, Rerun},
    mailbox::{Fresh, Mailbox, SocketOutgoing},
    refusal::CallRefusal,
    response::{RpcDialect, refused},
    rpc::{SESSION_MAX_CHARS, canonical, find},
    state::FunctionsState,
};
use crate::{
    connections::{ConnectionHead, OpenConnection},
    entry::Carriers,
    http::{BoundedSocket, CONTROL_FLOOD, Handshake, Query, STALLED, SocketFault, SocketLimits},
    hub::Hub,
    monotonic::now_ms,
};

/// Ferry's subprotocol: what browsers offer beside `ferry.bearer.…`.
const SUBPROTOCOL: &str = "ferry.functions.v1";
/// Largest frame of a client, bytes.
const FRAME_MAX_BYTES: usize = 64 << 10;
/// Largest result that is sent; a larger one is to be fetched, bytes.
const RESULT_MAX_BYTES: usize = 256 << 10;
/// Largest frame of the hub, bytes.
const SENT_MAX_BYTES: usize = 1 << 20;
/// How long a client has to take leave.
const LINGER: Duration = Duration::from_secs(5);

const LIMITS: SocketLimits = SocketLimits {
    received_max_bytes: FRAME_MAX_BYTES,
    read_buffer_bytes: 512,
    gathered_max_bytes: 0,
    sent_max_bytes: SENT_MAX_BYTES,
    stall_max: Duration::from_millis(ferry_types::limits::SOCKET_STALL_MAX_MS),
};

/// How a socket ends.
type Close = (u16, &'static str);
/// What ends a socket from outside, each once. They are looked at when they have woken it, and not for each frame: a lock
/// that all sockets of the hub share lies behind some.
type Ends = FuturesUnordered<BoxFuture<'static, Close>>;

/// Answers the request for a socket.
pub(in crate::functions) async fn upgrade(hub: &Arc<Hub>, request: Request, db: Option<&str>) -> Response {
    let (mut parts, _) = request.into_parts();
    let caller = match auth::enter(hub, &parts, Carriers::Stream, db).await {
        Ok(caller) => caller,
        Err(refusal) => {
            let dialect = RpcDialect::of(&parts.headers);
            return refusal.response(|error| refused(&error.into(), dialect, &parts));
        }
    };
    let is_ferry = RpcDialect::of(&parts.headers) == RpcDialect::Ferry || offers_own(&parts);
    let session = Query::of(&parts).text("sessionId").map(str::to_owned);
    let Some(handshake) = Handshake::of(&mut parts, SUBPROTOCOL).await else {
        let mut response = (StatusCode::UPGRADE_REQUIRED, "Expected WebSocket upgrade").into_response();
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    };
    let Some(session) = session else {
        return (StatusCode::BAD_REQUEST, "Missing sessionId").into_response();
    };
    if session.chars().count() > SESSION_MAX_CHARS {
        let text = format!("a session id has at most {SESSION_MAX_CHARS} characters");
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    if let Err(error) = FunctionsState::track(hub, &caller.context.database).await {
        return refused(&error.into(), RpcDialect::EdgePod, &parts);
    }
    let (hub, tracked) = (Arc::clone(hub), hub.tasks.token());
    // A task of its own: the one of the handshake is larger, and would live as long.
    handshake.accept(LIMITS, async move |mut socket| {
        tokio::spawn(async move {
            let mut session = Session::open(hub, parts, caller, &session.into(), is_ferry);
            let end = session.run(&mut socket).await;
            drop(session);
            if let Some(close) = end {
                // Boxed, as what happens once: an idle socket must not hold room for it.
                let _ = Box::pin(tokio::time::timeout(LINGER, socket.close(close))).await;
            }
            drop(tracked);
        });
    })
}

/// The head of a request by itself. As it came its texts are slices of the connection's read buffer, 16 KiB that would live as
/// long as the socket.
fn copied(mut parts: Parts) -> Parts {
    for value in parts.headers.values_mut() {
        if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
            *value = copy;
        }
    }
    if let Ok(uri) = parts.uri.to_string().parse() {
        parts.uri = uri;
    }
    parts
}

fn offers_own(parts: &Parts) -> bool {
    let offered =
        parts.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|list| list.split(',')).any(|name| name.trim() == SUBPROTOCOL)
}

/// A socket of a session.
struct Session {
    hub: Arc<Hub>,
    /// What a token comes with that is sent later.
    parts: Box<Parts>,
    caller: FunctionsCaller,
    id: SocketId,
    mailbox: Arc<Mailbox>,
    is_ferry: bool,
    connection: OpenConnection,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.caller.context.database.models().functions.with_live(|live| {
            live.sockets.remove(&self.id);
            live.queries.disconnect(self.id, now_ms());
        });
    }
}

impl Session {
    fn open(
        hub: Arc<Hub>,
        parts: Parts,
        caller: FunctionsCaller,
        session: &Arc<str>,
        is_ferry: bool,
    ) -> Self {
        let id = hub.services.functions.new_socket();
        let mailbox = Arc::new(Mailbox::default());
        let database = Arc::clone(&caller.context.database);
        database.models().functions.with_live(|live| {
            live.sockets.insert(id, Arc::clone(&mailbox));
            if let Some(oldest) = live.queries.connect(session, id, now_ms())
                && let Some(mailbox) = live.sockets.get(&oldest)
            {
                mailbox.close(1008, "too many sockets of this session");
            }
        });
        hub.services.functions.look_after(&database);
        let head = ConnectionHead::of(&parts);
        let connection = caller.context.connect(&hub, head, (Model::Functions, "ws"));
        let parts = Box::new(copied(parts));
        Self { hub, parts, id, mailbox, is_ferry, connection, caller }
    }

    /// Serves the socket. Returns how it is to be closed, unless it is gone.
    async fn run(&mut self, socket: &mut BoundedSocket) -> Option<Close> {
        let mailbox = Arc::clone(&self.mailbox);
        loop {
            let mut ends = self.ends();
            let renewed = loop {
                tokio::select! {
                    biased;
                    Some(close) = ends.next() => return Some(close),
                    outgoing = mailbox.next() => {
                        if let Err(close) = self.send(socket, outgoing).await {
                            return close;
                        }
                    }
                    message = socket.recv() => match self.receive(socket, message).await {
                        Ok(None) => {}
                        Ok(Some(caller)) => break caller,
                        Err(close) => return close,
                    },
                }
            };
            self.caller = renewed;
        }
    }

    /// What ends the socket from outside.
    fn ends(&self) -> Ends {
        let (stopping, closed) = (self.hub.stopping.clone(), self.connection.closed().clone());
        let mut watch = self.caller.context.watch(&self.hub);
        let ends = Ends::new();
        ends.push(Box::pin(async move {
            stopping.cancelled().await;
            (1001, "the hub is stopping")
        }));
        let (control, database) = (Arc::clone(&self.hub.control), Arc::clone(&self.caller.context.database));
        ends.push(Box::pin(async move {
            closed.cancelled().await;
            match control.database(database.id()) {
                Some(_) if !database.closed().is_cancelled() => {
                    (1012, "closed by an administrator: connect again")
                }
                Some(_) => (1012, "a backup was put back: connect again"),
                None => (1008, "database deleted"),
            }
        }));
        ends.push(Box::pin(async move {
            let reason = match watch.ended().await {
                RightsEnd::Expired => "token expired",
                RightsEnd::Revoked => "token revoked",
                RightsEnd::DatabaseDeleted => "database deleted",
            };
            (1008, reason)
        }));
        ends
    }

    async fn send(&self, socket: &mut BoundedSocket, outgoing: SocketOutgoing) -> Result<(), Option<Close>> {
        let SocketOutgoing { tables, seq, results, deployed, close } = outgoing;
        if let Some(close) = close {
            return Err(Some(close));
        }
        if let Some(deployment) = deployed.filter(|_| self.is_ferry) {
            self.tell(socket, &ServerFrame::Deployed { deployment: &deployment }).await?;
        }
        if !tables.is_empty() {
            let hashes = table_hashes(tables.iter().map(|table| &**table));
            let seq = self.is_ferry.then_some(seq.0);
            self.tell(socket, &ServerFrame::Invalidate { tables: &hashes, seq }).await?;
        }
        for (id, fresh) in results {
            self.tell_result(socket, &id, &fresh).await?;
        }
        Ok(())
    }

    async fn tell_result(
        &self,
        socket: &mut BoundedSocket,
        id: &str,
        fresh: &Fresh,
    ) -> Result<(), Option<Close>> {
        let frame = match fresh {
            Fresh::Result(answer, same) => {
                let data = answer.data.as_deref();
                if !same && data.is_some_and(|data| data.len() > RESULT_MAX_BYTES) {
                    ServerFrame::Stale { id, seq: answer.seq.0 }
                } else {
                    let (seq, hash, tables) = (answer.seq.0, &*answer.hash, &*answer.tables);
                    ServerFrame::Result { id, seq, hash, data, same: *same, tables }
                }
            }
            Fresh::Stale(seq) => ServerFrame::Stale { id, seq: seq.0 },
            Fresh::Failed(refusal) => ServerFrame::Error {
                id: Some(id),
                status: refusal.code.status,
                code: refusal.code.code,
                error: &refusal.message,
            },
        };
        self.tell(socket, &frame).await
    }

    async fn tell(&self, socket: &mut BoundedSocket, frame: &ServerFrame<'_>) -> Result<(), Option<Close>> {
        self.tell_text(socket, frame.encode()).await
    }

    async fn tell_text(&self, socket: &mut BoundedSocket, text: String) -> Result<(), Option<Close>> {
        use futures_util::SinkExt as _;
        if self.caller.context.meter.charge(text.len()).is_err() {
            return Err(Some((1008, "the token's bytes of the day are spent")));
        }
        socket.send(Message::Text(text.into())).await.map_err(close_of)
    }

    /// Takes in what came. Returns the caller whom a new token names.
    async fn receive(
        &mut self,
        socket: &mut BoundedSocket,
        message: Option<Result<Message, SocketFault>>,
    ) -> Result<Option<FunctionsCaller>, Option<Close>> {
        let text = match message {
            None | Some(Ok(Message::Close(_))) => return Err(None),
            Some(Err(fault)) => return Err(close_of(fault)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(None),
            Some(Ok(Message::Binary(_))) => return Err(Some((1008, "frames are text"))),
            Some(Ok(Message::Text(text))) => text,
        };
        if self.caller.context.meter.charge(text.len()).is_err() {
            return Err(Some((1008, "the token's bytes of the day are spent")));
        }
        let frame = ClientFrame::decode(&text);
        if matches!(frame, ClientFrame::Ping) {
            self.tell_text(socket, "pong".to_owned()).await?;
            return Ok(None);
        }
        if !self.is_ferry {
            return Err(Some((1008, "Policy Violation: This endpoint is send-only.")));
        }
        match frame {
            ClientFrame::Ping => Ok(None),
            // Boxed, as what is rare and large: an idle socket must not hold room for it.
            ClientFrame::Auth { token } => Box::pin(self.authenticate(socket, &token)).await,
            ClientFrame::Subscribe { id, function, args, known } => {
                let subscribing = self.subscribe(socket, &id, &function, args, known.as_deref());
                Box::pin(subscribing).await.map(|()| None)
            }
            ClientFrame::Unsubscribe { id } => {
                let state = &self.caller.context.database.models().functions;
                state.with_live(|live| live.queries.unsubscribe(self.id, &id));
                Ok(None)
            }
            ClientFrame::Unknown => {
                let (status, code) = (400, "INVALID");
                let error = "INVALID: frames are ping, auth, sub and unsub.";
                self.tell(socket, &ServerFrame::Error { id: None, status, code, error }).await.map(|()| None)
            }
        }
    }

    async fn authenticate(
        &self,
        socket: &mut BoundedSocket,
        token: &str,
    ) -> Result<Option<FunctionsCaller>, Option<Close>> {
        let path = self.caller.context.database.id().to_string();
        match auth::enter(&self.hub, &self.parts, Carriers::Message(token), Some(&path)).await {
            Ok(caller) => {
                self.tell(socket, &ServerFrame::AuthOk { exp: caller.expires_unix() }).await?;
                // What is kept is kept for him from now on.
                let known = LiveCaller::of(&caller);
                let user = Some(known.claims_key());
                let state = &self.caller.context.database.models().functions;
                state.with_live(|live| {
                    for (id, key, rerun) in live.queries.take_subscriptions(self.id) {
                        let rerun = Arc::new(Rerun { caller: known.clone(), kind: rerun.kind });
                        let key = QueryKey { user: user.clone(), ..key };
                        live.queries.subscribe(self.id, &id, key, None, rerun);
                    }
                });
                Ok(Some(caller))
            }
            Err(refusal) => {
                self.tell(socket, &ServerFrame::AuthFailed { error: refusal.message() }).await?;
                Ok(None)
            }
        }
    }

    /// Keeps a result fresh for the client (FUN-36).
    async fn subscribe(
        &self,
        socket: &mut BoundedSocket,
        id: &str,
        function: &str,
        args: &str,
        known: Option<&str>,
    ) -> Result<(), Option<Close>> {
        let found = async {
            let (_, kind) = find(&self.hub, &self.caller.context, function, false).await?;
            self.caller.check_function(function)?;
            if matches!(kind, ferry_functions::FunctionKind::Mutation | ferry_functions::FunctionKind::Action)
            {
                return Err(CallRefusal::writes(function));
            }
            Ok((kind, canonical(args)?))
        };
        let (kind, args) = match found.await {
            Ok(found) => found,
            Err(refusal) => {
                let fresh = Fresh::Failed(Arc::new(refusal));
                return self.tell_result(socket, id, &fresh).await;
            }
        };
        let caller = LiveCaller::of(&self.caller);
        // Whether its result depends on him is not known yet: it is his own.
        let key = QueryKey { function: function.into(), args: args.into(), user: Some(caller.claims_key()) };
        let known = known.and_then(|known| u64::from_str_radix(known, 16).ok());
        let database = &self.caller.context.database;
        let fits = database.models().functions.with_live(|live| {
            let rerun = Arc::new(Rerun { caller, kind });
            live.queries.subscribe(self.id, &id.into(), key, known, rerun)
        });
        self.hub.services.functions.look_after(database);
        if fits == Some(false) {
            let (status, code) = (429, "RATE_LIMITED");
            let error = "RATE_LIMITED: too many subscriptions on this socket: end some (unsub).";
            self.tell(socket, &ServerFrame::Error { id: Some(id), status, code, error }).await?;
        }
        Ok(())
    }
}

/// How a socket ends whose peer or connection fails.
fn close_of(fault: SocketFault) -> Option<Close> {
    match fault {
        SocketFault::TooLarge => Some((1009, "frame too large")),
        SocketFault::Malformed => Some((1002, "malformed WebSocket frame")),
        SocketFault::ControlFlood => Some(CONTROL_FLOOD),
        SocketFault::Stalled => Some(STALLED),
        SocketFault::Gone => None,
    }
}
