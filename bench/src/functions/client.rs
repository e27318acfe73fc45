//! A page as thin as one can be: calls over one kept connection, and a socket. Answers are scanned, not parsed.

use std::{fmt::Display, net::SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue, protocol::WebSocketConfig},
};

use crate::beside::http::{self, Connection};

/// The publishable key of the measured database.
pub(crate) const KEY: &str = "ep_pk_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
/// Read buffer of a socket: thousands stand open at once.
const BUFFER_BYTES: usize = 4 << 10;

/// Calls functions.
pub(crate) struct Caller {
    connection: Connection,
    address: SocketAddr,
    headers: String,
}

impl Caller {
    /// Of a page that shows nothing, or of a session that keeps what it gets.
    pub(crate) async fn connect(address: SocketAddr, session: Option<&str>) -> Self {
        let session =
            session.map_or_else(String::new, |session| format!("X-Edgepod-Session-Id: {session}\r\n"));
        let headers = format!("X-Edgepod-Key: {KEY}\r\n{session}");
        Self { connection: Connection::open(address).await, address, headers }
    }

    /// Calls a function, and waits for its result.
    pub(crate) async fn call(&mut self, function: &str, args: impl Display) -> Vec<u8> {
        let path = format!("/rpc/{function}");
        let request = http::request(self.address, "POST", &path, &self.headers, &args.to_string());
        let (status, answer) = self.connection.ask(&request).await;
        assert_eq!(status, 200, "{function}: {}", String::from_utf8_lossy(&answer));
        answer
    }
}

/// What a socket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Tables changed.
    Invalidate,
    /// The result of the subscription of this number.
    Result(usize),
    /// That this subscription's result may be another one.
    Stale(usize),
    Other,
}

/// A socket of a session.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub(crate) async fn open(address: SocketAddr, session: &str, protocol: Option<&'static str>) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server takes connections");
        stream.set_nodelay(true).expect("the socket takes the option");
        let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(0);
        let url = format!("ws://{address}/ws?key={KEY}&sessionId={session}");
        let mut request = url.into_client_request().expect("the URL is one");
        if let Some(protocol) = protocol {
            let headers = request.headers_mut();
            headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static(protocol));
        }
        let (socket, _) =
            client_async_with_config(request, stream, Some(config)).await.expect("the server upgrades");
        Self(socket)
    }

    /// Asks for a result and each later one.
    pub(crate) async fn subscribe(&mut self, id: usize, function: &str, args: impl Display) {
        let frame = format!(r#"{{"type":"sub","id":"{id}","fn":"{function}","args":{args}}}"#);
        self.0.send(Message::text(frame)).await.expect("the server reads");
    }

    pub(crate) async fn next(&mut self) -> Said {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return scan(text.as_str()),
                Some(Ok(Message::Close(close))) => panic!("the server closed the socket: {close:?}"),
                Some(Ok(_)) => {}
                other => panic!("the socket ended: {other:?}"),
            }
        }
    }
}

fn scan(text: &str) -> Said {
    let id = || {
        let behind = text.split_once(r#""id":""#)?.1;
        behind.split_once('"')?.0.parse().ok()
    };
    if text.contains(r#""action":"invalidate""#) {
        Said::Invalidate
    } else if text.contains(r#""type":"result""#) {
        id().map_or(Said::Other, Said::Result)
    } else if text.contains(r#""type":"stale""#) {
        id().map_or(Said::Other, Said::Stale)
    } else {
        Said::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart() {
        assert_eq!(scan(r#"{"action":"invalidate","tables":["4l0bjr"]}"#), Said::Invalidate);
        assert_eq!(scan(r#"{"type":"result","id":"17","seq":4,"data":{"id":1}}"#), Said::Result(17));
        assert_eq!(scan(r#"{"type":"stale","id":"3","seq":42}"#), Said::Stale(3));
        assert_eq!(scan("pong"), Said::Other);
    }
}
