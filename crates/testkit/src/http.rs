//! A minimal HTTP/1.1 client: one request per connection, the answer as it came. It adds nothing of its own but
//! `Host`, `Connection` and `Content-Length`, so that tests can send what a well-behaved client would not.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Longest silence of the hub before a test gives up.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, chunks joined.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header called `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the answer {} {:?}", self.status, self.text()))
    }
}

/// Sends a request with these headers and body.
///
/// # Errors
/// When the connection fails or the answer is no HTTP.
pub fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    let has = |name: &str| headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
    if !has("host") {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    if !has("connection") {
        head.push_str("Connection: close\r\n");
    }
    if !has("content-length") && !has("transfer-encoding") && (!body.is_empty() || method == "POST") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut stream = connect(address)?;
    stream.write_all(head.as_bytes())?;
    // A hub that refuses by the headers alone may close before it read the body; its answer counts.
    let sent = stream.write_all(body);
    read_response(&mut BufReader::new(stream), method == "HEAD").or_else(|error| sent.and(Err(error)))
}

/// `GET path` without further headers.
///
/// # Errors
/// As [`send`].
pub fn get(address: SocketAddr, path: &str) -> io::Result<Response> {
    send(address, "GET", path, &[], &[])
}

/// A connection with the time limits of the tests.
///
/// # Errors
/// When the hub cannot be reached.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

/// Reads one answer.
///
/// # Errors
/// When the connection fails or the answer is no HTTP.
pub fn read_response(reader: &mut impl BufRead, is_head: bool) -> io::Result<Response> {
    let head = read_head(reader)?;
    read_body(reader, head, is_head)
}

/// Reads status line and headers.
///
/// # Errors
/// When the connection fails or the answer is no HTTP.
pub fn read_head(reader: &mut impl BufRead) -> io::Result<Response> {
    let status_line = read_line(reader)?;
    let status = status_line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| bad(&format!("not an HTTP answer: {status_line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a header without a colon"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Response { status, headers, body: Vec::new() })
}

/// Reads the body behind `response`'s head.
///
/// # Errors
/// When the connection fails.
pub fn read_body(reader: &mut impl BufRead, mut response: Response, is_head: bool) -> io::Result<Response> {
    let status = response.status;
    if is_head || status == 204 || status == 304 || status == 101 {
        return Ok(response);
    }
    if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        read_chunks(reader, &mut response.body)?;
    } else if let Some(length) = response.header("content-length") {
        let length: u64 = length.parse().map_err(|_| bad("Content-Length is no number"))?;
        reader.take(length).read_to_end(&mut response.body)?;
    } else {
        reader.read_to_end(&mut response.body)?;
    }
    Ok(response)
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(reader)?;
        let size = line.split(';').next().unwrap_or("");
        let size = u64::from_str_radix(size, 16).map_err(|_| bad("a chunk without a size"))?;
        if size == 0 {
            while !read_line(reader)?.is_empty() {}
            return Ok(());
        }
        reader.take(size).read_to_end(body)?;
        read_line(reader)?;
    }
}

/// `bytes` as gzip.
///
/// # Panics
/// Never: memory takes every write.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("BUG: memory takes every write");
    encoder.finish().expect("BUG: memory takes every write")
}

/// What `bytes` hold, uncompressed.
///
/// # Panics
/// If they are no gzip.
#[must_use]
pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("gzip");
    plain
}

/// SHA-256 in lower-case hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request whose head was let in and whose last byte is still to come.
#[derive(Debug)]
pub struct Unfinished {
    reader: BufReader<TcpStream>,
    last: u8,
}

impl Unfinished {
    /// Sends a request but for the last byte of its body, once the hub has asked for the body.
    ///
    /// # Errors
    /// The answer of a hub that wants no body of it.
    ///
    /// # Panics
    /// If the connection fails, or `body` is empty.
    pub fn begin(
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Self, Response> {
        let (last, most) = body.split_last().expect("a body");
        // The hub says 100 when it begins to read the body, and no earlier.
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        head.push_str(&format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len()));
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut reader = BufReader::new(connect(address).expect("the hub is reachable"));
        reader.get_mut().write_all(head.as_bytes()).expect("the head is sent");
        let answer = read_head(&mut reader).expect("an answer");
        if answer.status != 100 {
            return Err(read_body(&mut reader, answer, false).expect("a body"));
        }
        reader.get_mut().write_all(most).expect("the body is sent");
        Ok(Self { reader, last: *last })
    }

    /// Sends the last byte; the answer.
    ///
    /// # Panics
    /// If the connection fails.
    #[must_use]
    pub fn finish(mut self) -> Response {
        // A hub that has answered already may have closed; its answer counts.
        let _ = self.reader.get_mut().write_all(&[self.last]);
        read_response(&mut self.reader, false).expect("an answer")
    }
}
