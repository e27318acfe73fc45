//! A reader of server-sent events, blocking, over one connection.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::{
    http::{self, Response},
    wait::Deadline,
};

/// What the stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// An event.
    Event {
        /// `id:`, if there was one.
        id: Option<String>,
        /// `event:`.
        name: String,
        /// `data:`.
        data: String,
    },
    /// A comment.
    Comment(String),
    /// The end of the stream.
    End,
}

/// An open stream.
pub struct EventStream {
    /// Status line and headers.
    pub head: Response,
    reader: BufReader<TcpStream>,
    /// Bytes left of the present chunk.
    chunk: u64,
    buffer: Vec<u8>,
    over: bool,
}

impl EventStream {
    /// Opens `path` with these headers.
    ///
    /// # Errors
    /// The hub's refusal.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, Response> {
        let mut stream = http::connect(address).expect("the hub is reachable");
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).expect("the hub takes a request");
        let mut reader = BufReader::new(stream);
        let head = http::read_head(&mut reader).expect("an HTTP answer");
        if head.status != 200 {
            return Err(http::read_body(&mut reader, head, false).expect("an HTTP answer"));
        }
        Ok(Self { head, reader, chunk: 0, buffer: Vec::new(), over: false })
    }

    /// The next event or comment.
    ///
    /// # Panics
    /// If the connection breaks in the middle of one.
    #[expect(clippy::should_implement_trait, reason = "a stream is read, not iterated")]
    pub fn next(&mut self) -> Sent {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return parse(std::str::from_utf8(&block).expect("UTF-8"));
            }
            if self.over || !self.fill() {
                self.over = true;
                return Sent::End;
            }
        }
    }

    /// The next event that has this name, as JSON with its id; others before it are dropped.
    ///
    /// # Panics
    /// If the stream ends before.
    pub fn expect(&mut self, wanted: &str) -> (Option<String>, Value) {
        let deadline = Deadline::of("one event of a stream that sends others");
        loop {
            deadline.check();
            match self.next() {
                Sent::Event { id, name, data } if name == wanted => {
                    return (
                        id,
                        serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}")),
                    );
                }
                Sent::Event { .. } | Sent::Comment(_) => {}
                Sent::End => panic!("the stream ended before {wanted}"),
            }
        }
    }

    /// The next `count` events of the log.
    pub fn events(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.expect("event").1).collect()
    }

    /// Reads a piece of the chunked body; false at its end.
    fn fill(&mut self) -> bool {
        if self.chunk == 0 {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return false;
            }
            self.chunk = u64::from_str_radix(line.trim(), 16).expect("the size of a chunk");
            if self.chunk == 0 {
                return false;
            }
        }
        let mut piece = vec![0; usize::try_from(self.chunk.min(4096)).expect("small")];
        let Ok(read) = self.reader.read(&mut piece) else { return false };
        self.buffer.extend_from_slice(&piece[..read]);
        self.chunk -= read as u64;
        if self.chunk == 0 {
            let mut line = String::new();
            let _ = self.reader.read_line(&mut line);
        }
        read > 0
    }
}

fn parse(block: &str) -> Sent {
    let (mut id, mut name, mut data) = (None, "message".to_owned(), String::new());
    let mut comment = None;
    for line in block.lines().filter(|line| !line.is_empty()) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "" => comment = Some(value),
            "id" => id = Some(value),
            "event" => name = value,
            "data" => {
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(&value);
            }
            "retry" => {}
            other => panic!("an unknown field {other:?}"),
        }
    }
    match comment {
        Some(comment) if data.is_empty() => Sent::Comment(comment),
        _ => Sent::Event { id, name, data },
    }
}
