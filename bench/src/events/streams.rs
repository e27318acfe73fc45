//! A client of the Durable Streams protocol over HTTP/1.1 (durable-streams.com): create, append, tail by SSE. JSON
//! mode, in which a body that is an array is as many messages.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// One message: the payload of the events of the other cells.
const MESSAGE: &str = r#"{"id":"x1","text":"hello world"}"#;
/// Read buffer of a connection.
const BUFFER_BYTES: usize = 4 << 10;

/// A connection that appends to one stream.
pub(crate) struct Appender {
    connection: BufReader<TcpStream>,
    head: String,
}

impl Appender {
    /// Connects and creates the stream.
    pub(crate) async fn connect(address: SocketAddr, stream: &str) -> Self {
        let mut connection = connect(address).await;
        let create = format!(
            "PUT /{stream} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
        );
        let status = exchange(&mut connection, &create).await;
        assert!(matches!(status, 200 | 201), "the stream was not created: {status}");
        let head = format!(
            "POST /{stream} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: "
        );
        Self { connection, head }
    }

    /// Appends `count` messages in one request and waits for the answer.
    pub(crate) async fn append(&mut self, count: u64) {
        let messages: Vec<&str> = (0..count).map(|_| MESSAGE).collect();
        let body = if count == 1 { MESSAGE.to_owned() } else { format!("[{}]", messages.join(",")) };
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        let status = exchange(&mut self.connection, &request).await;
        assert!((200..300).contains(&status), "the append was refused: {status}");
    }
}

/// A live read of one stream from its beginning.
pub(crate) struct Tail {
    connection: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Tail {
    pub(crate) async fn open(address: SocketAddr, stream: &str) -> Self {
        let mut connection = connect(address).await;
        let request = format!("GET /{stream}?offset=-1&live=sse HTTP/1.1\r\nHost: {address}\r\n\r\n");
        connection.get_mut().write_all(request.as_bytes()).await.expect("the server reads");
        let (status, _) = head(&mut connection).await;
        assert_eq!(status, 200, "the live read was refused");
        Self { connection, line: Vec::new() }
    }

    /// Waits for the next line that carries messages, and gives their number. Chunk sizes and control events have none.
    pub(crate) async fn next(&mut self) -> u64 {
        loop {
            self.line.clear();
            let read = self.connection.read_until(b'\n', &mut self.line).await.expect("the connection holds");
            assert!(read > 0, "the server ended the live read");
            match messages(&self.line) {
                0 => {}
                count => return count,
            }
        }
    }
}

fn messages(line: &[u8]) -> u64 {
    std::str::from_utf8(line).map_or(0, |line| line.matches(r#""id":"x1""#).count() as u64)
}

async fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("the server takes connections");
    stream.set_nodelay(true).expect("the socket takes the option");
    BufReader::with_capacity(BUFFER_BYTES, stream)
}

/// Sends a request and reads the answer; gives its status.
async fn exchange(connection: &mut BufReader<TcpStream>, request: &str) -> u16 {
    connection.get_mut().write_all(request.as_bytes()).await.expect("the server reads");
    let (status, length) = head(connection).await;
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.expect("the answer is whole");
    status
}

/// Status and `Content-Length` of an answer.
async fn head(connection: &mut BufReader<TcpStream>) -> (u16, usize) {
    let mut line = String::new();
    let (mut status, mut length) = (0, 0);
    loop {
        line.clear();
        let read = connection.read_line(&mut line).await.expect("the connection holds");
        assert!(read > 0, "the server ended the connection");
        let text = line.trim_end();
        if text.is_empty() {
            return (status, length);
        }
        if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
            status = rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
        } else if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_messages_are_counted_and_others_are_not() {
        assert_eq!(messages(b"data: [{\"id\":\"x1\",\"text\":\"hello world\"},{\"id\":\"x1\"}]\r\n"), 2);
        assert_eq!(messages(b"1a\r\n"), 0);
        assert_eq!(messages(b"data: {\"streamNextOffset\":\"12\"}\n"), 0);
    }
}
