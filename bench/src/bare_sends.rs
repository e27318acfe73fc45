//! What the kernel alone takes to send one small frame to each of many connections: the least that a fan-out to sockets
//! can cost on this machine. A blocking thread writes, nothing is parsed, encoded or scheduled.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use tokio::{io::AsyncReadExt, task::JoinSet};

use crate::{cpu, table};

const CONNECTIONS: usize = 500;
/// About what a frame of one change takes.
const FRAME_BYTES: usize = 300;
/// How long one rate is measured, ms.
const ROUND_MS: u64 = 3_000;
const ROUNDS: usize = 3;

pub(crate) fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let readers = thread::spawn(move || read_all(address));
    let mut connections: Vec<TcpStream> =
        (0..CONNECTIONS).map(|_| listener.accept().expect("a reader connects").0).collect();
    for connection in &connections {
        connection.set_nodelay(true).expect("the option exists");
    }
    let rows = [50, 4].map(|period_ms| {
        let mut costs: Vec<f64> = (0..ROUNDS).map(|_| cost(&mut connections, period_ms)).collect();
        vec![format!("{period_ms} ms"), format!("{:.1}", table::median(&mut costs))]
    });
    drop(connections);
    readers.join().expect("the readers end with their connections");
    table::print(
        "Bare sends",
        &format!(
            "{FRAME_BYTES} bytes to each of {CONNECTIONS} connections over loopback, one write(2) each by one thread; its CPU \
             alone. Medians of {ROUNDS} rounds."
        ),
        &["a round each", "CPU-µs per frame"],
        &rows,
    );
}

/// CPU time of one frame, µs.
fn cost(connections: &mut [TcpStream], period_ms: u64) -> f64 {
    let (frame, rounds) = ([b'x'; FRAME_BYTES], ROUND_MS / period_ms);
    let before = cpu::of_this_process();
    for _ in 0..rounds {
        for connection in &mut *connections {
            connection.write_all(&frame).expect("the reader reads");
        }
        thread::park_timeout(Duration::from_millis(period_ms));
    }
    let frames = rounds as f64 * connections.len() as f64;
    (cpu::of_this_process() - before).as_secs_f64() * 1e6 / frames
}

/// Reads whatever comes, until every connection is closed.
fn read_all(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut readers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mut connection = tokio::net::TcpStream::connect(address).await.expect("the writer listens");
            readers.spawn(async move {
                let mut buffer = [0; 4096];
                while connection.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            });
        }
        readers.join_all().await;
    });
}
