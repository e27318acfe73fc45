//! HTTP/1.1 with kept connections, and the times of S3.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

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
    let mut asked = Asked { method, path, query, headers, body: Vec::new() };
    let length = asked.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    asked.body = vec![0; BODY_MAX_BYTES.min(length)];
    reader.read_exact(&mut asked.body)?;
    Ok(Some(asked))
}

/// Year, month, day of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// `2026-11-30T08:43:35.000Z`.
pub(super) fn moment(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let clock = seconds.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.000Z", clock / 3600, clock / 60 % 60, clock % 60)
}

/// `Mon, 30 Nov 2026 08:43:35 GMT`.
fn http_date(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds.div_euclid(86_400);
    let (year, month, day) = civil(days);
    let place = |number: i64| usize::try_from(number).expect("small");
    let (name, month) = (DAYS[place(days.rem_euclid(7))], MONTHS[place(month - 1)]);
    let clock = seconds.rem_euclid(86_400);
    format!(
        "{name}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT",
        clock / 3600,
        clock / 60 % 60,
        clock % 60
    )
}

/// Unix seconds of `20261130T084335Z`.
pub(super) fn seconds_of(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    // Of the year from March on, so that the leap day is the last.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let of_era = shifted_year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
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
