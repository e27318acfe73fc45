//! Requests on kept connections, each another one, and what they cost.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    clock,
    load::{Connection, percentile, usage},
    table,
};

/// How fast a load is sent.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) per_second: usize,
    pub(crate) seconds: usize,
}

/// What a load did.
#[derive(Clone)]
pub(crate) struct Load {
    answers: usize,
    refused: usize,
    took: Duration,
    cpu_ms: u64,
    latencies_ms: Vec<f64>,
}

impl Load {
    /// How long half of the requests, and 99 of 100, waited for their answers, in milliseconds.
    pub(crate) fn latencies_ms(&self) -> (f64, f64) {
        let mut latencies = self.latencies_ms.clone();
        (percentile(&mut latencies, 0.5), percentile(&mut latencies, 0.99))
    }

    /// CPU-µs of the hub per answer.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_ms as f64 * 1e3 / self.answers.max(1) as f64
    }

    /// Nothing was asked.
    pub(crate) const fn idle(took: Duration, cpu_ms: u64) -> Self {
        Self { answers: 0, refused: 0, took, cpu_ms, latencies_ms: Vec::new() }
    }

    pub(crate) fn cells(&self) -> Vec<String> {
        if self.answers == 0 {
            let share = self.cpu_ms as f64 / self.took.as_millis() as f64 * 100.0;
            return vec!["–".into(), "–".into(), format!("{share:.1} % of a core"), "–".into()];
        }
        let (p50, p99) = self.latencies_ms();
        vec![
            format!("{:.0}", self.answers as f64 / self.took.as_secs_f64()),
            format!("{p50:.1} / {p99:.1}"),
            table::figure(self.cpu_us(), 0),
            self.refused.to_string(),
        ]
    }
}

/// Returns at `due`, which is part of the load and no wait for anything.
fn await_moment(due: Instant) {
    while let Some(left) = due.checked_duration_since(clock::now()) {
        thread::park_timeout(left);
    }
}

/// Sends request after request, the number of which `request` is given, until `count` are sent; `pace`: no faster.
/// `take` gets number and answer.
pub(crate) fn run(
    target: (u32, std::net::SocketAddr),
    count: usize,
    pace: Option<usize>,
    connections: usize,
    request: impl Fn(usize) -> Vec<u8> + Sync,
    take: impl Fn(usize, &ferry_testkit::http::Response) + Sync,
) -> Load {
    run_until(target, (count, pace, connections), request, take, || false)
}

/// The same until `is_over`, at most.
pub(crate) fn run_until(
    (pid, address): (u32, std::net::SocketAddr),
    (count, pace, connections): (usize, Option<usize>, usize),
    request: impl Fn(usize) -> Vec<u8> + Sync,
    take: impl Fn(usize, &ferry_testkit::http::Response) + Sync,
    is_over: impl Fn() -> bool + Sync,
) -> Load {
    let (next, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let latencies = Mutex::new(Vec::with_capacity(count));
    let before = usage(pid).cpu_ms;
    let began = clock::now();
    thread::scope(|scope| {
        for _ in 0..connections.min(count) {
            scope.spawn(|| {
                let mut connection = Connection::open(address);
                let mut own = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || is_over() {
                        break;
                    }
                    let bytes = request(number);
                    // Counted from when it was due, so that a hub that lags behind is seen to.
                    let due = pace.map_or_else(clock::now, |per_second| {
                        let due = began + Duration::from_secs_f64(number as f64 / per_second as f64);
                        await_moment(due);
                        due
                    });
                    let answer = connection.answer(&bytes);
                    own.push(due.elapsed().as_secs_f64() * 1e3);
                    if !(200..300).contains(&answer.status) {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    take(number, &answer);
                }
                latencies.lock().expect("no thread panicked").extend(own);
            });
        }
    });
    let (took, cpu_ms) = (began.elapsed(), usage(pid).cpu_ms - before);
    let latencies_ms = latencies.into_inner().expect("no thread panicked");
    Load { answers: latencies_ms.len(), refused: refused.into_inner(), took, cpu_ms, latencies_ms }
}
