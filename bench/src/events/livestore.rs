//! A LiveStore client as thin as one can be: one WebSocket, one store, frames as text. It scans what the server sends
//! instead of parsing it, so that what is measured is the server.

use std::{fmt::Write as _, net::SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// Read buffer of a connection: thousands stand open at once.
const BUFFER_BYTES: usize = 4 << 10;

/// A connection to one store.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    store: String,
    next_id: u64,
    pull_id: u64,
    head: u64,
}

/// What the server sent, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A page of a Pull with so many events.
    Page(u64),
    /// The end of a call, and whether it succeeded.
    Exit(bool),
    /// Anything else.
    Other,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, store: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server takes connections");
        stream.set_nodelay(true).expect("the socket takes the option");
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(None)
            .max_frame_size(None);
        let url = format!("ws://{address}/livestore?storeId={store}&transport=ws");
        let (socket, _) =
            client_async_with_config(url, stream, Some(config)).await.expect("the server upgrades");
        Self { socket, store: store.to_owned(), next_id: 0, pull_id: 0, head: 0 }
    }

    /// Appends `count` events behind those that this client has appended, and waits for the answer.
    ///
    /// # Panics
    /// If the server refuses: the client is the only writer of its store.
    pub(crate) async fn push(&mut self, count: u64) {
        let frame = push_frame("SyncWsRpc.Push", self.next_id, &self.store, self.head, count);
        self.next_id += 1;
        self.send(frame).await;
        loop {
            let text = self.text().await;
            match scan(&text) {
                Frame::Exit(true) => break,
                Frame::Exit(false) => panic!("the push was refused: {text}"),
                Frame::Page(_) | Frame::Other => {}
            }
        }
        self.head += count;
    }

    /// Starts a Pull from the beginning of the log.
    pub(crate) async fn pull(&mut self, live: bool) {
        self.pull_id = self.next_id;
        self.next_id += 1;
        let frame = format!(
            r#"{{"_tag":"Request","id":"{}","tag":"SyncWsRpc.Pull","payload":{{"storeId":"{}","live":{live},"cursor":{{"_tag":"None"}}}},{TRACE}}}"#,
            self.pull_id, self.store,
        );
        self.send(frame).await;
    }

    /// What the server sends next; a page is acknowledged at once.
    pub(crate) async fn next(&mut self) -> Frame {
        let frame = scan(&self.text().await);
        if matches!(frame, Frame::Page(_)) {
            self.send(format!(r#"{{"_tag":"Ack","requestId":"{}"}}"#, self.pull_id)).await;
        }
        frame
    }

    pub(crate) async fn ping(&mut self) {
        self.send(r#"{"_tag":"Ping"}"#.to_owned()).await;
    }

    async fn send(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.expect("the server reads");
    }

    async fn text(&mut self) -> String {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                Some(Ok(Message::Close(close))) => panic!("the server closed the connection: {close:?}"),
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("the connection failed: {error}"),
                None => panic!("the server ended the connection"),
            }
        }
    }
}

/// What every request of the real client carries along.
const TRACE: &str = r#""traceId":"671f4e87a256d279a444212da3c7ef4d","spanId":"61f4ac4e83d9e046","sampled":false,"headers":[]"#;

pub(crate) fn push_frame(tag: &str, id: u64, store: &str, head: u64, count: u64) -> String {
    let mut frame =
        format!(r#"{{"_tag":"Request","id":"{id}","tag":"{tag}","payload":{{"storeId":"{store}","batch":["#);
    for place in 0..count {
        let separator = if place == 0 { "" } else { "," };
        let parent = head + place;
        let _ = write!(
            frame,
            r#"{separator}{{"name":"todoCreated","args":{{"id":"x1","text":"hello world"}},"seqNum":{},"parentSeqNum":{parent},"clientId":"bench","sessionId":"bench"}}"#,
            parent + 1,
        );
    }
    let _ = write!(frame, r#"],"backendId":{{"_tag":"None"}}}},{TRACE}}}"#);
    frame
}

fn scan(text: &str) -> Frame {
    if text.contains(r#""_tag":"Chunk""#) {
        Frame::Page(text.matches(r#""eventEncoded""#).count() as u64)
    } else if text.contains(r#""_tag":"Exit""#) {
        Frame::Exit(text.contains(r#""_tag":"Success""#))
    } else {
        Frame::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_and_events_counted() {
        let page = r#"{"_tag":"Chunk","requestId":"1","values":[{"batch":[{"eventEncoded":{"seqNum":1}},{"eventEncoded":{"seqNum":2}}],"pageInfo":{"_tag":"NoMore"},"backendId":"b"}]}"#;
        assert_eq!(scan(page), Frame::Page(2));
        let exit = r#"{"_tag":"Exit","requestId":"2","exit":{"_tag":"Success","value":{}}}"#;
        assert_eq!(scan(exit), Frame::Exit(true));
        let failure =
            r#"{"_tag":"Exit","requestId":"3","exit":{"_tag":"Failure","cause":{"_tag":"Fail","error":{}}}}"#;
        assert_eq!(scan(failure), Frame::Exit(false));
        assert_eq!(scan(r#"{"_tag":"Pong"}"#), Frame::Other);
    }

    #[test]
    fn a_push_is_one_chain_behind_the_head() {
        let frame: serde_json::Value =
            serde_json::from_str(&push_frame("SyncWsRpc.Push", 7, "s", 41, 2)).unwrap();
        let chain: Vec<_> = frame["payload"]["batch"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| (event["parentSeqNum"].as_u64().unwrap(), event["seqNum"].as_u64().unwrap()))
            .collect();
        assert_eq!(chain, [(41, 42), (42, 43)]);
        assert_eq!(frame["id"], "7");
        assert_eq!(frame["payload"]["batch"][0]["args"]["text"], "hello world");
    }
}
