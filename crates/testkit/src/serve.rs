//! A minimal HTTP/1.1 server for what a hub asks of others: one thread and one request per connection.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// Largest body of a request.
const BODY_MAX_BYTES: u64 = 1 << 20;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// What stands behind `?`.
    pub query: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body; what is no text in it is replaced.
    pub body: String,
    /// The same, as it came.
    pub bytes: Vec<u8>,
}

impl Request {
    /// The first header called `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status, further headers, body.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// Nothing, until the other side has had enough.
    Silence,
}

impl Reply {
    /// 200 with JSON.
    #[must_use]
    pub fn json(body: &serde_json::Value) -> Self {
        Self::status_json(200, body)
    }

    /// A status with JSON.
    #[must_use]
    pub fn status_json(status: u16, body: &serde_json::Value) -> Self {
        let kind = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self::Answer(status, kind, body.to_string().into_bytes())
    }

    /// 302 to `location`.
    #[must_use]
    pub fn redirect(location: String) -> Self {
        Self::Answer(302, vec![("Location".to_owned(), location)], Vec::new())
    }

    /// A status and nothing else.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), Vec::new())
    }
}

/// Answers every request with `handler` on an ephemeral port of this machine, until the process ends.
///
/// # Panics
/// If no port is free.
pub fn serve(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    let handler = Arc::new(handler);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handler = Arc::clone(&handler);
            // A client that breaks off has its reasons.
            thread::spawn(move || drop(answer(&stream, &*handler)));
        }
    });
    address
}

fn answer(mut stream: &TcpStream, handler: &dyn Fn(&Request) -> Reply) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let request = read(&mut reader)?;
    match handler(&request) {
        Reply::Silence => {
            // Ends when the client closes.
            io::copy(&mut reader, &mut io::sink())?;
        }
        Reply::Answer(status, headers, body) => {
            let mut head =
                format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
            headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
            stream.write_all(format!("{head}\r\n").as_bytes())?;
            stream.write_all(&body)?;
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> io::Result<Request> {
    let mut request = read_head(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let length: u64 = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    reader.take(length.min(BODY_MAX_BYTES)).read_to_end(&mut request.bytes)?;
    request.body = String::from_utf8_lossy(&request.bytes).into_owned();
    Ok(request)
}

/// A request up to its body; `None` where the connection ends.
pub(crate) fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    Ok(Some(Request { method, path, query, headers, body: String::new(), bytes: Vec::new() }))
}
