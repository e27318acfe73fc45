//! Opening a session, and what push and pull share: reading frames, sending hashes.

use std::time::Duration;

use bytes::Bytes;
use ferry_protocol::pages::{
    DIRECTION_HEADER, Frame, HELLO_PAGE_SIZE, Hello, HelloReply, PROTOCOL_VERSION, PageHash, SNAPSHOT_HEADER,
};
use ferry_types::limits::{EDGEREPLICA_FRAME_MAX_BYTES, EDGEREPLICA_IDLE_MAX_MS};
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use http::{HeaderValue, header::AUTHORIZATION};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{Traffic, failure};
use crate::{ClientError, Result, ServerUrl, admin::Direction, no_answer, tls};

/// How long connecting and upgrading may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the socket may be silent in both directions.
const IDLE_MAX: Duration = Duration::from_millis(EDGEREPLICA_IDLE_MAX_MS);
/// How long the hub has to answer the close of a session that is over.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Hashes between two flushes, and between two checks of what else is to be sent.
const HASHES_PER_FLUSH: usize = 512;

/// A stream below a WebSocket: TCP, or TLS over it.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

pub(super) type HubSocket = WebSocketStream<Box<dyn ByteStream>>;
pub(super) type FrameStream = SplitStream<HubSocket>;
pub(super) type FrameSink = SplitSink<HubSocket, Message>;

/// A session whose greeting is done: the hub has pinned the version that this session is about.
pub struct WireSession {
    pub(super) server: ServerUrl,
    pub(super) socket: HubSocket,
    pub(super) traffic: Traffic,
    reply: HelloReply,
}

impl WireSession {
    /// Connects and greets; `max_page` is the number of pages of the local image.
    ///
    /// The token alone decides the direction, and a session of the other one can even look like a success: so a token
    /// that is not for `direction` is refused as soon as the hub has named its own.
    ///
    /// # Errors
    /// When no hub answers, or it refuses the token or the greeting.
    pub async fn open(server: &ServerUrl, token: &str, direction: Direction, max_page: u32) -> Result<Self> {
        let connecting = timeout(CONNECT_TIMEOUT, connect(server, token)).await;
        let (mut socket, granted) =
            connecting.map_err(|_| no_answer::unreachable(server, "it does not answer"))??;
        if granted.is_some_and(|granted| granted != direction) {
            close(&mut socket).await;
            return Err(failure::wrong_direction(direction));
        }
        let reply = HelloReply { protocol_version: 0, page_size: 0, max_page: 0 };
        let mut session = Self { server: server.clone(), socket, traffic: Traffic::default(), reply };
        let hello =
            Frame::Hello(Hello { protocol_version: PROTOCOL_VERSION, page_size: HELLO_PAGE_SIZE, max_page });
        let hello = hello.encode();
        session.traffic.add(hello.len());
        // Should the socket fail here, the hub may have said why before; reading tells.
        let _ = session.socket.send(Message::binary(hello)).await;
        let bytes = next_frame(&mut session.socket, &session.traffic, server).await?;
        match failure::decode(&bytes)? {
            Frame::HelloReply(reply) if reply.protocol_version == PROTOCOL_VERSION => session.reply = reply,
            Frame::HelloReply(reply) => {
                return Err(ClientError::unverified(format!(
                    "the hub speaks version {} of the page protocol, this program version {PROTOCOL_VERSION}: \
                     update the older of the two",
                    reply.protocol_version
                )));
            }
            Frame::Error(message) => return Err(failure::of_frame(&mut session.socket, message).await),
            other => return Err(failure::unexpected(&other)),
        }
        Ok(session)
    }

    /// Bytes per page of the hub's image; of an empty one, whatever the hub likes.
    #[must_use]
    pub const fn page_size(&self) -> u32 {
        self.reply.page_size
    }

    /// Pages of the hub's image.
    #[must_use]
    pub const fn page_count(&self) -> u32 {
        self.reply.max_page
    }

    /// Leaves without having changed anything.
    pub async fn abandon(mut self) {
        close(&mut self.socket).await;
    }
}

/// The socket, and the direction of its token, which EdgeReplica's own servers do not tell.
async fn connect(server: &ServerUrl, token: &str) -> Result<(HubSocket, Option<Direction>)> {
    let no_hub = |error: &dyn std::fmt::Display| no_answer::unreachable(server, &error.to_string());
    let host = server.host().trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((host, server.port())).await.map_err(|error| no_hub(&error))?;
    tcp.set_nodelay(true).map_err(|error| no_hub(&error))?;
    let stream: Box<dyn ByteStream> = if server.is_secure() {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| no_hub(&error))?;
        let connector = tokio_rustls::TlsConnector::from(tls::config());
        Box::new(connector.connect(name, tcp).await.map_err(|error| no_answer::explained(server, &error))?)
    } else {
        Box::new(tcp)
    };
    let mut request = server.sync_uri().into_client_request().map_err(|error| no_hub(&error))?;
    let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| ClientError::argument("the sync token holds characters that no token has"))?;
    bearer.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, bearer);
    request.headers_mut().insert(SNAPSHOT_HEADER, HeaderValue::from_static("1"));
    let config = WebSocketConfig::default()
        .max_message_size(Some(EDGEREPLICA_FRAME_MAX_BYTES))
        .max_frame_size(Some(EDGEREPLICA_FRAME_MAX_BYTES));
    let (socket, response) = client_async_with_config(request, stream, Some(config))
        .await
        .map_err(|error| failure::upgrade(server, error))?;
    let granted = response.headers().get(DIRECTION_HEADER).and_then(|word| {
        [Direction::Push, Direction::Pull].into_iter().find(|direction| word == direction.as_str())
    });
    Ok((socket, granted))
}

/// What the hub sends.
pub(super) enum HubMessage {
    /// A frame of the protocol, encoded.
    Frame(Bytes),
    /// A keep-alive, which may carry the phase of the push.
    Ping(Bytes),
}

/// The next frame.
pub(super) async fn next_frame<S>(socket: &mut S, traffic: &Traffic, server: &ServerUrl) -> Result<Bytes>
where
    S: futures_util::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        if let HubMessage::Frame(bytes) = next(socket, traffic, server).await? {
            return Ok(bytes);
        }
    }
}

/// The next frame or ping. Silence of both directions for [`IDLE_MAX`] is a failure: the hub is gone.
pub(super) async fn next<S>(socket: &mut S, traffic: &Traffic, server: &ServerUrl) -> Result<HubMessage>
where
    S: futures_util::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        let before = traffic.total();
        let Ok(next) = timeout(IDLE_MAX, socket.next()).await else {
            if traffic.total() != before {
                continue;
            }
            return Err(no_answer::unreachable(server, "the connection has been silent for two minutes"));
        };
        match next {
            Some(Ok(Message::Binary(bytes))) => {
                traffic.add(bytes.len());
                return Ok(HubMessage::Frame(bytes));
            }
            Some(Ok(Message::Ping(payload))) => return Ok(HubMessage::Ping(payload)),
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Text(_))) => {
                return Err(ClientError::unverified("the hub sent text where a frame belongs"));
            }
            Some(Ok(Message::Close(frame))) => return Err(failure::closed(frame.as_ref())),
            Some(Err(error)) => return Err(failure::socket(server, &error)),
            None => return Err(no_answer::unreachable(server, "the connection was cut")),
        }
    }
}

/// Announces the hashes of all pages, ascending; between two flushes `others` may send frames of its own.
pub(super) async fn send_hashes(
    outgoing: &mut FrameSink,
    traffic: &Traffic,
    hashes: &[[u8; 32]],
    mut others: impl FnMut() -> Option<Vec<u8>>,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let mut number = 0;
    for group in hashes.chunks(HASHES_PER_FLUSH) {
        for hash in group {
            number += 1;
            let frame = Frame::PageHash(PageHash { page_no: number, hash }).encode();
            traffic.add(frame.len());
            outgoing.feed(Message::binary(frame)).await?;
        }
        while let Some(frame) = others() {
            traffic.add(frame.len());
            outgoing.feed(Message::binary(frame)).await?;
        }
        outgoing.flush().await?;
    }
    let complete = Frame::Complete.encode();
    traffic.add(complete.len());
    outgoing.send(Message::binary(complete)).await
}

/// Closes a socket that is done with; what the hub makes of it does not matter any more.
pub(super) async fn close(socket: &mut HubSocket) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let closing = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}
