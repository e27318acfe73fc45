//! One cell: writers that each append to a log of their own as fast as they are answered, and live readers.

use std::{
    cell::{Cell as Counter, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::task::{JoinSet, LocalSet};

use super::{News, Reader, Server, Writer};
use crate::clock;

/// A workload.
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    /// Writers; each has a log of its own.
    pub(crate) writers: usize,
    /// Events per append.
    pub(crate) batch: u64,
    /// Live readers, spread over the logs.
    pub(crate) readers: usize,
    /// Time between two appends of a writer, in milliseconds; 0: as fast as it is answered.
    pub(crate) every_ms: u64,
}

/// What one round gave.
pub(crate) struct Measure {
    pub(crate) pushes_per_second: f64,
    pub(crate) events_per_second: f64,
    /// CPU of the server per push, in microseconds.
    pub(crate) cpu_us_per_push: f64,
    /// The same per frame that a reader got; NaN without readers.
    pub(crate) cpu_us_per_frame: f64,
    /// The same per event: appended without readers, delivered with readers.
    pub(crate) cpu_us_per_event: f64,
    /// Growth of the server's resident memory per reader; NaN without readers.
    pub(crate) bytes_per_reader: f64,
    /// The server's resident memory at the end.
    pub(crate) resident_bytes: f64,
    /// From sending a push to its answer, in milliseconds.
    pub(crate) push_ms: Percentiles,
    /// From sending a push to its arrival at a reader, in milliseconds.
    pub(crate) delivery_ms: Percentiles,
}

/// Half and 99 of 100 values were no greater.
#[derive(Clone, Copy)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Percentiles {
    fn of_us(mut values: Vec<u32>) -> Self {
        values.sort_unstable();
        let at = |part: usize| match values.len() {
            0 => f64::NAN,
            count => f64::from(values[(count - 1) * part / 100]) / 1000.0,
        };
        Self { p50: at(50), p99: at(99) }
    }
}

/// A log, and when each of its pushes was sent.
struct Log {
    name: String,
    sent: RefCell<Vec<Instant>>,
}

/// What a reader has got.
#[derive(Default)]
struct Received {
    events: Counter<u64>,
    frames: Counter<u64>,
    delays_us: RefCell<Vec<u32>>,
}

/// Runs one round of `cell` on one thread: the server has the other cores.
pub(crate) async fn run<S: Server>(server: &S, cell: &Cell, length: Duration) -> Measure {
    LocalSet::new().run_until(round(server, cell, length)).await
}

async fn round<S: Server>(server: &S, cell: &Cell, length: Duration) -> Measure {
    let mut writers = Vec::new();
    for number in 0..cell.writers {
        let log = Rc::new(Log { name: format!("bench-{number}"), sent: RefCell::default() });
        let mut writer = server.writer(&log.name).await;
        // Makes the log, and everything that is made once.
        log.sent.borrow_mut().push(clock::now());
        writer.push(cell.batch).await;
        writers.push((writer, log));
    }
    let (readers, bytes_per_reader) = listen(server, cell, &writers).await;

    let cpu_before = server.usage().cpu_ms;
    let begun = clock::now();
    let mut running = JoinSet::new();
    for (writer, log) in writers {
        let every = Duration::from_millis(cell.every_ms);
        running.spawn_local(append(writer, log, (cell.batch, every), begun + length));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = running.join_next().await {
        latencies.extend(ended.expect("the writer ends well"));
    }
    caught_up(&readers, cell.batch).await;
    let took = begun.elapsed().as_secs_f64();
    let used = server.usage();
    let cpu_us = (used.cpu_ms - cpu_before) as f64 * 1000.0;

    let pushes = latencies.len() as f64;
    let events = pushes * cell.batch as f64;
    let frames: u64 = readers.iter().map(|(received, _)| received.frames.get()).sum();
    // All but the first push, which made the log.
    let delivered: u64 = readers.iter().map(|(received, _)| received.events.get() - cell.batch).sum();
    let delays = readers.iter().flat_map(|(received, _)| received.delays_us.take()).collect();
    Measure {
        pushes_per_second: pushes / took,
        events_per_second: events / took,
        cpu_us_per_push: cpu_us / pushes,
        cpu_us_per_frame: if frames == 0 { f64::NAN } else { cpu_us / frames as f64 },
        cpu_us_per_event: cpu_us / if delivered == 0 { events } else { delivered as f64 },
        bytes_per_reader,
        resident_bytes: used.resident_bytes as f64,
        push_ms: Percentiles::of_us(latencies),
        delivery_ms: Percentiles::of_us(delays),
    }
}

/// Readers by what they have got, and their logs.
type Readers = Vec<(Rc<Received>, Rc<Log>)>;

/// Opens the readers and lets them catch up; also gives by how much the server grew for each.
async fn listen<S: Server>(server: &S, cell: &Cell, writers: &[(S::Writer, Rc<Log>)]) -> (Readers, f64) {
    let before = server.usage().resident_bytes;
    let mut readers = Vec::new();
    for number in 0..cell.readers {
        let log = Rc::clone(&writers[number % cell.writers].1);
        let received = Rc::new(Received::default());
        let reader = server.reader(&log.name).await;
        if reader.starts_at_end() {
            received.events.set(cell.batch);
        }
        tokio::task::spawn_local(follow(reader, Rc::clone(&log), cell.batch, Rc::clone(&received)));
        readers.push((received, log));
    }
    caught_up(&readers, cell.batch).await;
    for (received, _) in &readers {
        received.frames.set(0);
        received.delays_us.borrow_mut().clear();
    }
    let grown = server.usage().resident_bytes.saturating_sub(before);
    (readers, grown as f64 / cell.readers as f64)
}

/// Appends until `end`; gives how long each push took.
async fn append(
    mut writer: impl Writer,
    log: Rc<Log>,
    (batch, every): (u64, Duration),
    end: Instant,
) -> Vec<u32> {
    let mut latencies = Vec::new();
    let mut due = (!every.is_zero()).then(|| tokio::time::interval(every));
    loop {
        if let Some(due) = &mut due {
            due.tick().await;
        }
        let sent = clock::now();
        if sent >= end {
            return latencies;
        }
        log.sent.borrow_mut().push(sent);
        writer.push(batch).await;
        latencies.push(micros(sent));
    }
}

async fn follow(mut reader: impl Reader, log: Rc<Log>, batch: u64, received: Rc<Received>) {
    loop {
        let news = reader.next().await;
        received.frames.set(received.frames.get() + 1);
        let sent = log.sent.borrow();
        let News::Events(count) = news else {
            // The oldest push that the reader had not been told of: it waited longest.
            let known =
                usize::try_from(received.events.get() / batch).expect("BUG: pushes are counted in memory");
            let waited = sent.get(known).map(|sent| micros(*sent));
            received.delays_us.borrow_mut().extend(waited);
            received.events.set(sent.len() as u64 * batch);
            continue;
        };
        received.events.set(received.events.get() + count);
        let newest = received.events.get().div_ceil(batch) - 1;
        let newest = usize::try_from(newest).expect("BUG: pushes are counted in memory");
        received.delays_us.borrow_mut().push(micros(sent[newest]));
    }
}

fn micros(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// Waits until every reader has got all that was sent.
async fn caught_up(readers: &Readers, batch: u64) {
    let mut look = tokio::time::interval(Duration::from_millis(1));
    let all = async {
        while readers
            .iter()
            .any(|(received, log)| received.events.get() < log.sent.borrow().len() as u64 * batch)
        {
            look.tick().await;
        }
    };
    let limit = Duration::from_secs(120);
    tokio::time::timeout(limit, all).await.expect("every reader gets everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let some = Percentiles::of_us((1..=100).rev().map(|value| value * 1000).collect());
        assert_eq!((some.p50, some.p99), (50.0, 99.0));
        let one = Percentiles::of_us(vec![7000]);
        assert_eq!((one.p50, one.p99), (7.0, 7.0));
        assert!(Percentiles::of_us(Vec::new()).p50.is_nan());
    }
}
