//! `ferry push` and `ferry pull` as a person runs them, over databases of 10 MB to 1 GB: bytes of HTTP both ways, and CPU of both
//! sides, of doing nothing and of one changed row. The bytes must not grow with the database. `FERRY_BENCH_SIZES_MB` chooses
//! the sizes; there is room for five times the largest.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use ferry_sqlite::connection::open_file;
use ferry_testkit::{command::Ferry, hub::Options, process, sample, wait};
use rusqlite::{Connection, OpenFlags};

use crate::{binary, page_pushes::sample_rows, table};

/// Rounds of each command, since CPU is counted in steps of 10 ms.
const ROUNDS: u64 = 10;
/// Where the curve is drawn, if anywhere.
const SVG: &str = "FERRY_BENCH_SVG";

/// Counts the bytes between a client and a hub.
struct Counter {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl Counter {
    fn before(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(hub) = TcpStream::connect(hub) else { return };
                let halves = [(client.try_clone(), hub.try_clone()), (Ok(hub), Ok(client))];
                for (from, to) in halves {
                    let (Ok(from), Ok(to)) = (from, to) else { continue };
                    let counted = Arc::clone(&counted);
                    thread::spawn(move || carry(from, to, &counted));
                }
            }
        });
        Self { address, bytes }
    }

    fn take(&self) -> u64 {
        self.bytes.swap(0, Ordering::Relaxed)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, counted: &AtomicU64) {
    let _ = to.set_nodelay(true);
    let mut room = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut room) {
        if read == 0 || to.write_all(&room[..read]).is_err() {
            break;
        }
        counted.fetch_add(read as u64, Ordering::Relaxed);
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// User and system time of all processes that this one has started and waited for.
fn children_cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    // Fields 16 and 17 (proc(5)); field 3 is the first behind the name. In ticks of 10 ms.
    let ticks: u64 =
        after_name.split(' ').skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * 10
}

/// What a command cost, per round.
struct Cost {
    bytes: u64,
    client_ms: f64,
    hub_ms: f64,
    wall_ms: f64,
}

struct Place {
    ferry: Ferry,
    hub: ferry_testkit::Hub,
    counter: Counter,
    /// Bytes of the tokens that a command sends, which are not counted.
    credential: u64,
}

impl Place {
    fn measure(&self, mut before: impl FnMut(u64), arguments: &[&str]) -> Cost {
        let (mut bytes, mut client, mut hub, mut wall) = (0, 0, 0, 0.0);
        for round in 0..ROUNDS {
            before(round);
            self.counter.take();
            let (client_before, hub_before) = (children_cpu_ms(), self.hub_ms());
            let (took, _) = wait::timed(|| self.ferry.ok(arguments));
            client += children_cpu_ms() - client_before;
            hub += self.hub_ms() - hub_before;
            bytes += self.counter.take().saturating_sub(self.credential);
            wall += took.as_secs_f64() * 1000.0;
        }
        let per_round = |sum: u64| sum as f64 / ROUNDS as f64;
        Cost {
            bytes: bytes / ROUNDS,
            client_ms: per_round(client),
            hub_ms: per_round(hub),
            wall_ms: wall / ROUNDS as f64,
        }
    }

    fn hub_ms(&self) -> u64 {
        process::usage(self.hub.pid()).expect("the hub runs and this system has /proc").cpu_ms
    }
}

pub(crate) fn run() {
    let mut rows = Vec::new();
    let mut curves: Vec<(u64, [u64; 4])> = Vec::new();
    for size in sample_rows() {
        let (bytes, costs) = measure(size);
        curves.push((bytes, [0, 1, 2, 3].map(|n| costs[n].1.bytes)));
        for (name, cost) in costs {
            rows.push(vec![
                table::bytes(bytes),
                name.to_owned(),
                cost.bytes.to_string(),
                format!("{:.1}", cost.client_ms),
                format!("{:.1}", cost.hub_ms),
                format!("{:.0}", cost.wall_ms),
            ]);
        }
    }
    table::print(
        "ferry push and ferry pull, by the size of the database",
        "Each command a process of its own; the mean of 10 rounds. HTTP: all bytes both ways, without the token. Bars: 300 B for \
         nothing, within 10 % from 10 MB on. CPU in steps of 10 ms over all rounds; starting the process is in the client's.",
        &["database", "command", "HTTP B", "client CPU ms", "hub CPU ms", "wall ms"],
        &rows,
    );
    if let Some(path) = std::env::var_os(SVG) {
        std::fs::write(PathBuf::from(path), svg(&curves)).expect("the curve is written");
    }
}

fn measure(rows: u64) -> (u64, Vec<(&'static str, Cost)>) {
    let hub = Options::new(binary::ferry()).env("FERRY_LOG_LEVEL", "warn").start();
    let counter = Counter::before(hub.address());
    let ferry = Ferry::new(binary::ferry(), &format!("http://{}", counter.address));
    ferry.signup("bench@example.com");
    ferry.ok(&["db", "create", "bench"]);
    let file = ferry.file("a.db");
    eprintln!("making a database of {rows} rows");
    sample::standard(&file, rows, 1);
    let bytes = file.metadata().expect("it is there").len();
    ferry.ok(&["push", "a.db", "bench"]);
    ferry.ok(&["clone", "bench", "b.db"]);
    // Its program has it open, as programs have.
    let open = open_file(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("it opens");
    open.execute_batch("PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF")
        .expect("SQLite takes the settings");
    let credentials =
        std::fs::read_to_string(ferry.config_dir().join("credentials.toml")).unwrap_or_default();
    let longest = credentials
        .lines()
        .filter_map(|line| line.strip_prefix("token = \""))
        .map(|rest| rest.len() as u64 - 1);
    let place = Place { ferry, hub, counter, credential: longest.max().unwrap_or(0) };
    let change = |connection: &Connection, round: u64| {
        let sql = format!("UPDATE t SET amount = amount + 1 WHERE id = {}", 1000 + round * 97);
        connection.execute_batch(&sql).expect("the row is changed");
    };
    let costs = vec![
        ("push, nothing changed", place.measure(|_| {}, &["push", "a.db"])),
        ("pull, nothing changed", place.measure(|_| {}, &["pull", "b.db"])),
        ("push, 1 row changed", place.measure(|round| change(&open, round), &["push", "a.db"])),
        (
            "pull, 1 row changed",
            place.measure(
                |round| {
                    change(&open, round);
                    place.ferry.ok(&["push", "a.db"]);
                },
                &["pull", "b.db"],
            ),
        ),
    ];
    (bytes, costs)
}

/// The bytes over the size of the database, both logarithmic.
fn svg(curves: &[(u64, [u64; 4])]) -> String {
    const NAMES: [&str; 4] =
        ["push, nothing changed", "pull, nothing changed", "push, 1 row changed", "pull, 1 row changed"];
    const COLORS: [&str; 4] = ["#1b6ca8", "#7fb3d5", "#b9451d", "#e59866"];
    let x = |bytes: u64| 80.0 + (bytes as f64).log10().mul_add(140.0, -7.0 * 140.0);
    let y = |bytes: u64| 320.0 - ((bytes.max(1) as f64).log10() - 1.0) * 80.0;
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 380\" font-family=\"sans-serif\" font-size=\"12\">\
         <rect width=\"640\" height=\"380\" fill=\"#fff\"/>",
    );
    for (label, bytes) in [("10 B", 10), ("100 B", 100), ("1 KB", 1000), ("10 KB", 10_000)] {
        let at = y(bytes);
        let _ = write!(
            out,
            "<path d=\"M80 {at}H500\" stroke=\"#ddd\"/><text x=\"40\" y=\"{}\">{label}</text>",
            at + 4.0
        );
    }
    let sizes = [
        ("10 MB", 10_000_000_u64),
        ("100 MB", 100_000_000),
        ("1 GB", 1_000_000_000),
        ("10 GB", 10_000_000_000),
    ];
    for (label, bytes) in sizes {
        let at = x(bytes);
        let _ = write!(
            out,
            "<path d=\"M{at} 80V320\" stroke=\"#ddd\"/><text x=\"{}\" y=\"340\">{label}</text>",
            at - 18.0
        );
    }
    for (n, (name, color)) in NAMES.iter().zip(COLORS).enumerate() {
        let points: Vec<String> =
            curves.iter().map(|(size, bytes)| format!("{:.1},{:.1}", x(*size), y(bytes[n]))).collect();
        let _ = write!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\
             <text x=\"510\" y=\"{}\" fill=\"{color}\">{name}</text>",
            points.join(" "),
            100 + n * 18
        );
    }
    out.push_str("<text x=\"80\" y=\"30\" font-size=\"15\">Bytes of HTTP, both ways, by the size of the database</text></svg>\n");
    out
}
