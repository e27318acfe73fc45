//! One app's connection: a request per line, several at a time, answers as they are ready (2.8 of the specification).

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    sync::{Notify, mpsc},
    task::JoinSet,
};

/// Longest line, in bytes.
pub(super) const LINE_MAX_BYTES: usize = 8 << 20;
/// Requests of one connection that are worked on at a time; the next line is read when one of them has been answered.
const IN_FLIGHT_MAX: usize = 16;

/// An answer that is on its way; nothing for a line that wants none.
pub(super) type Answering<'a> = Pin<Box<dyn Future<Output = Option<String>> + Send + 'a>>;

/// What answers the lines of all connections.
pub(super) trait AnswerLine: Send + Sync + 'static {
    /// Answers one line, which is not empty, with one line without its end.
    fn answer<'a>(&'a self, line: &'a [u8]) -> Answering<'a>;
    /// What a line over [`LINE_MAX_BYTES`] is answered with.
    fn too_long(&self) -> String;
}

/// How a connection is used: of too many, the one that was idle longest makes room.
#[derive(Debug, Default)]
pub(super) struct ConnectionUse {
    /// When it was used last, in uses of all connections.
    last: AtomicU64,
    in_flight: AtomicUsize,
    leaves: Notify,
}

impl ConnectionUse {
    /// One that is made at the use `now`.
    pub(super) fn new(now: u64) -> Arc<Self> {
        Arc::new(Self { last: AtomicU64::new(now), ..Self::default() })
    }

    /// When it was used last, if it does nothing now.
    pub(super) fn idle_since(&self) -> Option<u64> {
        let is_idle = self.in_flight.load(Ordering::Acquire) == 0;
        is_idle.then(|| self.last.load(Ordering::Relaxed))
    }

    /// Ends it once nothing of it is being answered.
    pub(super) fn leave(&self) {
        self.leaves.notify_one();
    }

    fn begin(&self, clock: &AtomicU64) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.last.store(clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves the connection until the app closes it, or it has to make room. An app that takes no answers is not read from
/// either. `uses` counts the requests of all connections.
pub(super) async fn run(
    stream: UnixStream,
    service: Arc<dyn AnswerLine>,
    usage: Arc<ConnectionUse>,
    uses: Arc<AtomicU64>,
) {
    let (reading, writing) = stream.into_split();
    let (answers, waiting) = mpsc::channel(1);
    let mut lines = Lines { reader: BufReader::new(reading), line: Vec::new() };
    let requests = async move {
        let mut in_flight = JoinSet::new();
        loop {
            let line = tokio::select! {
                line = lines.next(), if in_flight.len() < IN_FLIGHT_MAX => line,
                Some(_) = in_flight.join_next() => {
                    usage.end();
                    continue;
                }
                () = usage.leaves.notified() => break,
                // Nobody takes answers any more.
                () = answers.closed() => return,
            };
            let Some(line) = line else { break };
            usage.begin(&uses);
            in_flight.spawn(answer(line, Arc::clone(&service), answers.clone()));
        }
        // What is asked is answered, even if the app has closed its own side of the connection.
        while in_flight.join_next().await.is_some() {}
    };
    tokio::join!(requests, write_all(writing, waiting));
}

async fn answer(line: Line, service: Arc<dyn AnswerLine>, answers: mpsc::Sender<String>) {
    let answer = match &line {
        Line::Whole(line) => service.answer(line).await,
        Line::TooLong => Some(service.too_long()),
    };
    if let Some(answer) = answer {
        // The app may have gone.
        let _ = answers.send(answer).await;
    }
}

async fn write_all(mut writing: impl AsyncWrite + Unpin, mut answers: mpsc::Receiver<String>) {
    while let Some(mut answer) = answers.recv().await {
        answer.push('\n');
        if writing.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

struct Lines<R> {
    reader: BufReader<R>,
    /// Of the line that is being read.
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The next line that is not empty; of one that is too long the rest is passed over. `None` at the end, where a line
    /// without its end does not count. Nothing is lost if this is dropped before it is done.
    async fn next(&mut self) -> Option<Line> {
        let mut is_too_long = false;
        loop {
            let buffer = self.reader.fill_buf().await.ok().filter(|buffer| !buffer.is_empty())?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let piece = &buffer[..end.unwrap_or(buffer.len())];
            is_too_long |= self.line.len() + piece.len() > LINE_MAX_BYTES;
            if is_too_long {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(piece);
            }
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_none() {
                continue;
            }
            if is_too_long {
                return Some(Line::TooLong);
            }
            let line = std::mem::take(&mut self.line);
            if !line.trim_ascii().is_empty() {
                return Some(Line::Whole(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8]) -> Vec<Line> {
        let mut lines = Lines { reader: BufReader::with_capacity(7, text), line: Vec::new() };
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn lines_are_split_and_one_that_is_too_long_is_passed_over() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        assert_eq!(lines(b"{}\n\n  \n{\"a\":1}\nrest").await, [whole("{}"), whole("{\"a\":1}")]);
        let mut long = vec![b'x'; LINE_MAX_BYTES + 1];
        long.extend_from_slice(b"\nnext\n");
        assert_eq!(lines(&long).await, [Line::TooLong, whole("next")]);
        let mut longest = vec![b'x'; LINE_MAX_BYTES];
        longest.push(b'\n');
        assert_eq!(lines(&longest).await.len(), 1);
    }
}
