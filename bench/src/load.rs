//! A load of HTTP requests over keep-alive connections, one thread each, and what it cost the hub.

use std::{
    io::{BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use ferry_testkit::{
    http,
    process::{self, Usage},
    wait,
};

/// What a load did.
pub(crate) struct Measured {
    /// Answers in the measured time.
    pub(crate) answers: u64,
    /// How long it was.
    pub(crate) took: Duration,
    /// CPU time of the hub meanwhile.
    pub(crate) cpu_ms: u64,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }

    /// CPU-µs of the hub per answer.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_ms as f64 * 1e3 / self.answers.max(1) as f64
    }
}

/// The usage of a hub that runs.
pub(crate) fn usage(pid: u32) -> Usage {
    process::usage(pid).expect("the hub runs and this system has /proc")
}

/// One request as its bytes, for a connection that is kept.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, bearer: &str, body: &str) -> Vec<u8> {
    let authorization =
        if bearer.is_empty() { String::new() } else { format!("Authorization: Bearer {bearer}\r\n") };
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}{length}\r\n{body}").into_bytes()
}

/// A connection that is kept, for one request after the other.
pub(crate) struct Connection {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let writer = http::connect(address).expect("the hub is reachable");
        writer.set_nodelay(true).expect("the socket takes TCP_NODELAY");
        let reader = BufReader::new(writer.try_clone().expect("a socket can be cloned"));
        Self { writer, reader }
    }

    /// Sends `request` and gives the answer.
    pub(crate) fn answer(&mut self, request: &[u8]) -> http::Response {
        self.writer.write_all(request).expect("the hub reads");
        http::read_response(&mut self.reader, false).expect("the hub answers")
    }

    /// Sends `request` and gives the status of the answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> u16 {
        self.answer(request).status
    }
}

/// Whether a request was answered with success.
const fn is_taken(status: u16) -> bool {
    status / 100 == 2
}

/// Sends `request` on `connections` kept connections for `seconds`, one after the other on each.
pub(crate) fn run(
    pid: u32,
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    seconds: u64,
) -> Measured {
    let (answers, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let ready = Barrier::new(connections + 1);
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut connection = Connection::open(address);
                assert!(is_taken(connection.ask(request)), "the measured request is accepted");
                ready.wait();
                while !over.load(Ordering::Relaxed) {
                    assert!(is_taken(connection.ask(request)), "the measured request is accepted");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        ready.wait();
        let before = usage(pid).cpu_ms;
        let (took, ()) = wait::timed(|| pause(seconds));
        let measured =
            Measured { answers: answers.load(Ordering::Relaxed), took, cpu_ms: usage(pid).cpu_ms - before };
        over.store(true, Ordering::Relaxed);
        measured
    })
}

/// Lets a load run for so long.
pub(crate) fn pause(seconds: u64) {
    wait::within(Duration::from_secs(seconds), || None::<()>);
}

/// The value at `share` (0 to 1) of these, sorted.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(place).copied().unwrap_or(f64::NAN)
}
