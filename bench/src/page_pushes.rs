//! Pushes over Ferry's own page wire: bytes and hub CPU of the changes of section 7 of the pages specification, beside
//! EdgeReplica's wire and, where it is installed, `sqlite3_rsync`; and how the cost of little changes grows with the database.

use std::{
    io::{BufReader, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use ferry_sqlite::connection::open_file;
use ferry_testkit::{Direction, Hub, Session, edgereplica, http, hub::Options, process, sample, wait};
use rusqlite::OpenFlags;
use serde_json::json;

use crate::{
    binary,
    page_bodies::{Change, changes},
    page_images::{FileImage, PushPieces},
    table,
};

/// Pushes and pulls of one kind whose cost is averaged: a tick of the clock of processes is 10 ms.
const ROUNDS: u64 = 50;
const EMPTY: &str = "0-430ad47df199958e";
/// Bytes of a row of the standard database, with its share of the indexes.
const ROW_BYTES: u64 = 255;

/// A hub with one database, a file, and what was pushed last.
struct Place {
    hub: Hub,
    user: Session,
    database: String,
    token: String,
    file: PathBuf,
    /// The file as it was pushed last.
    pushed: PathBuf,
    version: u64,
}

impl Place {
    fn new(file: PathBuf) -> Self {
        let hub = Options::new(binary::ferry()).env("FERRY_LOG_LEVEL", "warn").start();
        let user = hub.signup("bench@example.com");
        let database = user.create_database("bench");
        let request = json!({"databaseId": database, "models": ["pages"], "ops": ["read", "write"], "ttlSeconds": 36000});
        let answer = user.ferry("IssueSyncToken", &request).expect("a token");
        let token = answer["token"].as_str().expect("a token").to_owned();
        let pushed = file.with_extension("pushed");
        change(&file, "PRAGMA journal_mode=DELETE");
        Self { hub, user, database, token, file, pushed, version: 0 }
    }

    fn headers(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// The whole file, as it is made.
    fn push_all(&mut self) -> u64 {
        let image = FileImage::open(&self.file);
        let mut stream = BufReader::new(http::connect(self.hub.address()).expect("the hub is there"));
        let head = format!(
            "POST /v1/databases/{}/pages HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n{}\r\nIf-Match: \"{EMPTY}\"\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            self.database,
            self.headers()
        );
        let mut sent = 0;
        let write = |stream: &mut BufReader<_>, bytes: &[u8]| {
            std::net::TcpStream::write_all(stream.get_mut(), bytes).expect("the hub reads");
        };
        write(&mut stream, head.as_bytes());
        for piece in PushPieces::new(&self.database, None, &image) {
            sent += piece.len() as u64;
            write(&mut stream, format!("{:x}\r\n", piece.len()).as_bytes());
            write(&mut stream, &piece);
            write(&mut stream, b"\r\n");
        }
        write(&mut stream, b"0\r\n\r\n");
        let answer = http::read_response(&mut stream, false).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.version = 1;
        std::fs::copy(&self.file, &self.pushed).expect("the copy is made");
        sent
    }

    fn send_body(&mut self, base: &FileImage, body: &[u8]) {
        let answer = self.send("POST", "pages", Some(&tag(self.version, base)), body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.version = answer.json()["version"].as_u64().expect("a version");
    }

    fn send(&self, method: &str, path: &str, based_on: Option<&str>, body: &[u8]) -> http::Response {
        let authorization = format!("Bearer {}", self.token);
        let path = format!("/v1/databases/{}/{path}", self.database);
        let quoted = based_on.map(|tag| format!("\"{tag}\""));
        let mut headers = vec![("Authorization", authorization.as_str())];
        headers.extend(quoted.as_deref().map(|tag| ("If-Match", tag)));
        http::send(self.hub.address(), method, &path, &headers, body).expect("the hub answers")
    }

    fn cpu_ms(&self) -> u64 {
        process::usage(self.hub.pid()).expect("the hub runs and this system has /proc").cpu_ms
    }
}

fn tag(version: u64, image: &FileImage) -> String {
    let hex: String = image.root().0[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{version}-{hex}")
}

fn change(file: &Path, sql: &str) {
    let connection = open_file(file, OpenFlags::default()).expect("the file opens");
    connection.execute_batch(sql).expect("the change is made");
}

pub(crate) fn run() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    eprintln!("making the standard database");
    let standard = dir.path().join("standard.db");
    sample::standard(&standard, sample::STANDARD_ROWS, 1);
    let others = dir.path().join("others.db");
    sample::standard(&others, 4000, 78);
    let mut rows = Vec::new();
    for change in changes(&others) {
        rows.extend(measure(&standard, dir.path(), change));
    }
    table::print(
        "Pushes over Ferry's own page wire, standard database (102 MB, pages of 4096)",
        "Each change on a fresh copy, pushed onto the version before; beside it the same push over EdgeReplica's wire to \
         another database, and sqlite3_rsync between two files where it is installed. CPU is user + system of the hub's \
         process, in steps of 10 ms. Bars: pages specification, section 7.",
        &[
            "change",
            "body",
            "bar",
            "hub CPU s",
            "wall s",
            "EdgeReplica up",
            "down",
            "its hub CPU s",
            "sqlite3_rsync",
        ],
        &rows,
    );
}

fn measure(standard: &Path, dir: &Path, change: Change) -> Vec<Vec<String>> {
    let follows_on = change.name == "VACUUM after that";
    let file = dir.join("work.db");
    if !follows_on {
        std::fs::copy(standard, &file).expect("the copy is made");
    }
    let mut place = Place::new(file);
    let mut rows = Vec::new();
    let before = place.cpu_ms();
    let (took, bytes) = wait::timed(|| place.push_all());
    let other = place.user.create_database("edgereplica");
    let token = place.user.sync_token(&other, Direction::Push);
    let bootstrap = (bytes, place.cpu_ms() - before, took);
    let edge = |place: &Place| {
        let before = place.cpu_ms();
        let report =
            edgereplica::push(place.hub.address(), &token, &place.file).expect("the push is accepted");
        (report.moved.up, report.moved.down, place.cpu_ms() - before)
    };
    let row =
        |name: &str, bar: u64, (bytes, cpu_ms, took): Cost, edge: (u64, u64, u64), rsync: Option<u64>| {
            vec![
                name.to_owned(),
                table::bytes(bytes),
                table::bytes(bar),
                format!("{:.3}", cpu_ms as f64 / 1000.0),
                format!("{:.3}", took.as_secs_f64()),
                table::bytes(edge.0),
                table::bytes(edge.1),
                format!("{:.3}", edge.2 as f64 / 1000.0),
                rsync.map_or_else(|| "–".to_owned(), table::bytes),
            ]
        };
    let pushed = edge(&place);
    if change.name == "1 row, amount" {
        rows.push(row("bootstrap", 49_000_000, bootstrap, pushed, None));
        rows.push(row("none", 300, push(&mut place), edge(&place), rsync(&place)));
    }
    let mut connection = open_file(&place.file, OpenFlags::default()).expect("the file opens");
    (change.work)(&mut connection);
    drop(connection);
    let other_way = rsync(&place);
    rows.push(row(change.name, change.bytes, push(&mut place), edge(&place), other_way));
    rows
}

/// Bytes, milliseconds of the hub's CPU, and time.
type Cost = (u64, u64, std::time::Duration);

/// Pushes what changed. The cost is that of the request alone.
fn push(place: &mut Place) -> Cost {
    let (base, new) = (FileImage::open(&place.pushed), FileImage::open(&place.file));
    let body = PushPieces::new(&place.database, Some((place.version, &base)), &new).whole();
    let before = place.cpu_ms();
    let (took, ()) = wait::timed(|| place.send_body(&base, &body));
    let cpu_ms = place.cpu_ms() - before;
    std::fs::copy(&place.file, &place.pushed).expect("the copy is made");
    (body.len() as u64, cpu_ms, took)
}

/// Bytes that `sqlite3_rsync` moves from the file to what was pushed last; `None` where it is not installed.
fn rsync(place: &Place) -> Option<u64> {
    let copy = place.file.with_extension("rsync");
    std::fs::copy(&place.pushed, &copy).expect("the copy is made");
    let output = Command::new("sqlite3_rsync").arg(&place.file).arg(&copy).arg("-v").output().ok()?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // "sent 1,234 bytes, received 567 bytes, …"
    let number = |word: &str| -> Option<u64> {
        let rest = text.split(word).nth(1)?.trim_start();
        rest.split_whitespace().next()?.replace(',', "").parse().ok()
    };
    Some(number("sent ")? + number("received ")?)
}

/// How the cost of nothing and of one row grows with the database.
pub(crate) fn growth() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let rows: Vec<_> = sample_rows().into_iter().map(|rows| grown(dir.path(), rows)).collect();
    table::print(
        "Little changes by the size of the database, over Ferry's own page wire",
        &format!(
            "Pages of 4096; means of {ROUNDS} requests each on connections of their own, the client on the same machine. \
             CPU is user + system of the hub's process. FERRY_BENCH_SIZES_MB chooses the sizes."
        ),
        &[
            "MB",
            "no-op push B",
            "CPU ms",
            "no-op pull CPU ms",
            "1-row push B",
            "CPU ms",
            "wall ms",
            "1-row pull B",
            "CPU ms",
        ],
        &rows,
    );
}

/// Rows of the databases that are measured: of 10 MB, 102 MB and 1 GB, or of the sizes that `FERRY_BENCH_SIZES_MB` lists.
pub(crate) fn sample_rows() -> Vec<u64> {
    let sizes = std::env::var("FERRY_BENCH_SIZES_MB").unwrap_or_else(|_| "10,102,1024".to_owned());
    let megabytes = sizes.split(',').map(|size| size.parse::<u64>().expect("sizes in MB, with commas"));
    megabytes.map(|size| size * 1_000_000 / ROW_BYTES).collect()
}

fn grown(dir: &Path, sample: u64) -> Vec<String> {
    let megabytes = sample * ROW_BYTES / 1_000_000;
    let file = dir.join(format!("grown-{megabytes}.db"));
    eprintln!("making a database of {megabytes} MB");
    sample::standard(&file, sample, 1);
    let mut place = Place::new(file);
    place.push_all();
    // A copy: the file itself is changed below, and images are read as they are needed.
    let first = FileImage::open(&place.pushed);
    let nothing = PushPieces::new(&place.database, Some((1, &first)), &first).whole();
    let per_round = |place: &mut Place, work: &mut dyn FnMut(&mut Place)| {
        let before = place.cpu_ms();
        let (took, ()) = wait::timed(|| (0..ROUNDS).for_each(|_| work(place)));
        ((place.cpu_ms() - before) as f64 / ROUNDS as f64, took.as_secs_f64() * 1000.0 / ROUNDS as f64)
    };
    let (same_push, _) = per_round(&mut place, &mut |place| place.send_body(&first, &nothing));
    let since = tag(1, &first);
    let (same_pull, _) = per_round(&mut place, &mut |place| {
        assert_eq!(place.send("GET", &format!("pages?since={since}"), None, &[]).status, 204);
    });
    // One row there and back, so that both bodies can be made before.
    change(&place.file, "UPDATE t SET amount = 1.25 WHERE id = 1000");
    let second = FileImage::open(&place.file);
    let body = |place: &Place, version, base, new| {
        PushPieces::new(&place.database, Some((version, base)), new).whole()
    };
    let mut bodies = Vec::new();
    for n in 0..ROUNDS {
        let (base, new) = if n % 2 == 0 { (&first, &second) } else { (&second, &first) };
        bodies.push((base, body(&place, n + 1, base, new)));
    }
    let bytes = bodies[0].1.len();
    let mut next = bodies.iter();
    let (row_push, wall) = per_round(&mut place, &mut |place| {
        let (base, body) = next.next().expect("a body for each round");
        place.send_body(base, body);
    });
    // Each from another version: none is in the cache.
    let mut version = 0;
    let mut row_bytes = 0;
    let (row_pull, _) = per_round(&mut place, &mut |place| {
        version += 1;
        let had = if version % 2 == 1 { &first } else { &second };
        let answer = place.send("GET", &format!("pages?since={}&pages=1-", tag(version, had)), None, &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        row_bytes = answer.body.len();
    });
    for path in [&place.file, &place.pushed] {
        std::fs::remove_file(path).expect("the file can be removed");
    }
    vec![
        megabytes.to_string(),
        nothing.len().to_string(),
        format!("{same_push:.2}"),
        format!("{same_pull:.2}"),
        bytes.to_string(),
        format!("{row_push:.2}"),
        format!("{wall:.2}"),
        row_bytes.to_string(),
        format!("{row_pull:.2}"),
    ]
}
