//! HTTP/1.1 with kept connections, and the times of S3.

use std::{
    io::{self, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::serve::{Request, read_head};

/// Largest body of a request.
const BODY_MAX_BYTES: usize = 64 << 20;

/// What was asked.
pub(super) struct Asked {
    pub(super) method: String,
    /// As it came, percent-encoded.
    pub(super) path: String,
    pub(super) query: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }

    pub(super) fn bucket(&self) -> &str {
        self.path.trim_start_matches('/').split('/').next().unwrap_or_default()
    }

    /// The object that is meant; `None`: the bucket itself. Ferry's keys need no encoding.
    pub(super) fn key(&self) -> Option<String> {
        let (_, key) = self.path.trim_start_matches('/').split_once('/')?;
        (!key.is_empty()).then(|| key.to_owned())
    }
}

/// What is answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Only half of the body is sent.
    pub(super) is_half: bool,
}

impl Answer {
    pub(super) const fn of(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), is_half: false }
    }

    /// None at all.
    pub(super) const fn cut() -> Self {
        Self::of(0)
    }

    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn dated(self, now: i64) -> Self {
        self.with("Date", http_date(now))
    }
}

/// Answers the requests of a connection one by one.
pub(super) fn serve(mut stream: &TcpStream, answer: impl Fn(&Asked) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader)? {
        let answer = answer(&asked);
        if answer.status == 0 {
            return Ok(());
        }
        let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
        answer.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        let mut bytes = format!("{head}\r\n").into_bytes();
        let sent = if answer.is_half { answer.body.len() / 2 } else { answer.body.len() };
        bytes.extend_from_slice(&answer.body[..sent]);
        stream.write_all(&bytes)?;
        if answer.is_half {
            return Ok(());
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Asked>> {
    let Some(Request { method, path, query, headers, .. }) = read_head(reader)? else { return Ok(None) };
    let mut asked = Asked { method, path, query, headers, body: Vec::new() };
    let length = asked.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    asked.body = vec![0; BODY_MAX_BYTES.min(length)];
    reader.read_exact(&mut asked.body)?;
    Ok(Some(asked))
}

/// `2026-11-30T08:43:35.000Z`.
pub(super) fn moment(seconds: i64) -> String {
    timestamp(seconds).strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// `Mon, 30 Nov 2026 08:43:35 GMT`.
fn http_date(seconds: i64) -> String {
    timestamp(seconds).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time of our days")
}

/// Unix seconds of `20261130T084335Z`.
pub(super) fn seconds_of(text: &str) -> Option<i64> {
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_s3_does() {
        assert_eq!(moment(1_795_941_815), "2026-11-29T08:43:35.000Z");
        assert_eq!(http_date(1_795_941_815), "Sun, 29 Nov 2026 08:43:35 GMT");
        assert_eq!(seconds_of("20261129T084335Z"), Some(1_795_941_815));
        assert_eq!(moment(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(seconds_of("20000229T000000Z"), Some(951_782_400));
    }
}
