//! The least of HTTP/1.1 that a load needs: requests on a kept connection, and lines of an answer that goes on.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// Read buffer of a connection: hundreds stand open at once.
const BUFFER_BYTES: usize = 4 << 10;

/// A kept connection.
pub(crate) struct Connection(BufReader<TcpStream>);

/// A request as its bytes. `headers`: whole lines.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let content = if length == 0 && method == "GET" {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
    };
    format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}{content}\r\n{body}")
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server takes connections");
        stream.set_nodelay(true).expect("the socket takes the option");
        Self(BufReader::with_capacity(BUFFER_BYTES, stream))
    }

    /// Sends a request and reads the answer: its status and body.
    pub(crate) async fn ask(&mut self, request: &str) -> (u16, Vec<u8>) {
        let (status, length) = self.begin(request).await;
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("the answer is whole");
        (status, body)
    }

    /// Sends a request and reads the head of the answer: status and `Content-Length`.
    pub(crate) async fn begin(&mut self, request: &str) -> (u16, usize) {
        self.0.get_mut().write_all(request.as_bytes()).await.expect("the server reads");
        let mut line = String::new();
        let (mut status, mut length) = (0, 0);
        loop {
            line.clear();
            let read = self.0.read_line(&mut line).await.expect("the connection holds");
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

    /// Sends a request whose answer ends with the connection; gives the status and how many bytes the body has.
    pub(crate) async fn whole(&mut self, request: &str) -> (u16, u64) {
        let (status, _) = self.begin(request).await;
        let mut sink = tokio::io::sink();
        let bytes = tokio::io::copy_buf(&mut self.0, &mut sink).await.expect("the answer is whole");
        (status, bytes)
    }

    /// Reads the next line of the body into `line`.
    pub(crate) async fn line(&mut self, line: &mut Vec<u8>) {
        line.clear();
        let read = self.0.read_until(b'\n', line).await.expect("the connection holds");
        assert!(read > 0, "the server ended the stream");
    }
}

/// A live read, of which the lines that carry events are counted.
pub(crate) struct Tail {
    connection: Connection,
    line: Vec<u8>,
    mark: &'static str,
}

impl Tail {
    /// Sends a request whose answer goes on; `mark` stands once in the line for each event.
    pub(crate) async fn open(mut connection: Connection, request: &str, mark: &'static str) -> Self {
        let (status, _) = connection.begin(request).await;
        assert_eq!(status, 200, "the live read was refused");
        Self { connection, line: Vec::new(), mark }
    }

    /// The next line, of whatever kind.
    pub(crate) async fn line(&mut self) -> &str {
        self.connection.line(&mut self.line).await;
        std::str::from_utf8(&self.line).unwrap_or_default()
    }

    /// Waits for the next line that carries events, and gives their number. Chunk sizes and other lines have none.
    pub(crate) async fn next(&mut self) -> u64 {
        loop {
            let mark = self.mark;
            match marks(self.line().await, mark) {
                0 => {}
                count => return count,
            }
        }
    }
}

fn marks(line: &str, mark: &str) -> u64 {
    line.matches(mark).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_events_are_counted_and_others_are_not() {
        let mark = r#""id":"x1""#;
        assert_eq!(marks("data: [{\"id\":\"x1\",\"text\":\"hello world\"},{\"id\":\"x1\"}]\r\n", mark), 2);
        assert_eq!(marks("1a\r\n", mark), 0);
        assert_eq!(marks("data: {\"streamNextOffset\":\"12\"}\n", mark), 0);
    }
}
