//! Ferry's own page wire: bytes and hub CPU of `GET /pages?since=` for the changes of section 7 of the pages specification.

use std::path::{Path, PathBuf};

use ferry_sqlite::connection::open_file;
use ferry_testkit::{
    Direction, Hub, Session, edgereplica, http, hub::Options, process, rng::Rng, sample, wait,
};
use rusqlite::{Connection, OpenFlags};

use crate::{binary, table};

/// A database on a hub, and the file that it is pushed from.
struct Place {
    hub: Hub,
    user: Session,
    database: String,
    file: PathBuf,
}

/// A change and its bars: bytes, seconds of hub CPU.
pub(crate) struct Change {
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
    cpu_s: f64,
    pub(crate) work: Box<dyn FnOnce(&mut Connection)>,
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
        "Ferry's own page wire, standard database (102 MB, pages of 4096)",
        "Each change on a fresh copy, pushed, then pulled from the version before. Bytes: the body, and the whole answer's \
         headers beside it are about 400 B. CPU is user + system of the hub's process, in steps of 10 ms. Bars: pages \
         specification, section 7.",
        &["change", "body", "bar", "hub CPU s", "bar s", "wall s"],
        &rows,
    );
}

fn sql(text: String) -> Box<dyn FnOnce(&mut Connection)> {
    Box::new(move |connection| connection.execute_batch(&text).expect("the change is made"))
}

fn append(rows: u64, seed: u64) -> Box<dyn FnOnce(&mut Connection)> {
    Box::new(move |connection| sample::append(connection, rows, seed))
}

/// The changes of section 7.
pub(crate) fn changes(others: &Path) -> Vec<Change> {
    let rng = &mut Rng::new(9);
    let ids = random_ids(rng, 4000);
    let deleted = random_ids(rng, 20_000);
    let notes = format!(
        "ATTACH '{}' AS others;
         CREATE TEMP TABLE wanted AS SELECT row_number() OVER () AS n, id FROM t WHERE id IN ({ids});
         UPDATE t SET note = (SELECT note FROM others.t AS o, wanted WHERE wanted.id = t.id AND o.id = wanted.n)
         WHERE id IN (SELECT id FROM wanted)",
        others.display()
    );
    let change = |name, bytes, cpu_s, work| Change { name, bytes, cpu_s, work };
    vec![
        change("1 row, amount", 200, 0.001, sql("UPDATE t SET amount = 1.25 WHERE id = 222222".into())),
        change("1 row inserted", 2000, 0.001, append(1, 77)),
        change(
            "4,000 rows, amount + 1",
            100_000,
            0.3,
            sql(format!("UPDATE t SET amount = amount + 1 WHERE id IN ({ids})")),
        ),
        change("4,000 rows, new note", 2_000_000, 0.3, sql(notes)),
        change("4,000 rows appended", 1_500_000, 0.3, append(4000, 79)),
        change("VACUUM, reordering only", 500_000, 1.5, sql("VACUUM".into())),
        change(
            "5 % random rows deleted",
            2_000_000,
            0.3,
            sql(format!("DELETE FROM t WHERE id IN ({deleted})")),
        ),
        change("VACUUM after that", 5_000_000, 1.5, sql("VACUUM".into())),
    ]
}

fn random_ids(rng: &mut Rng, count: usize) -> String {
    let mut ids = std::collections::BTreeSet::new();
    while ids.len() < count {
        ids.insert(rng.below(sample::STANDARD_ROWS) + 1);
    }
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

/// The change's row; before the first change also that of the first copy, and of nothing changed.
fn measure(standard: &Path, dir: &Path, change: Change) -> Vec<Vec<String>> {
    let follows_on = change.name == "VACUUM after that";
    let file = dir.join("work.db");
    if !follows_on {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.join(format!("work.db{suffix}")));
        }
        std::fs::copy(standard, &file).expect("the copy is made");
    }
    let place = Place::new(file);
    place.push();
    let tag = place.tag();
    let mut rows = Vec::new();
    if change.name == "1 row, amount" {
        rows.push(place.row("bootstrap", "0", 49_000_000, 1.0));
        rows.push(place.row("none", &tag, 0, 0.001));
    }
    let mut connection = open_file(&place.file, OpenFlags::default()).expect("the file opens");
    (change.work)(&mut connection);
    drop(connection);
    place.push();
    rows.push(place.row(change.name, &tag, change.bytes, change.cpu_s));
    rows
}

impl Place {
    fn new(file: PathBuf) -> Self {
        let hub = Options::new(binary::ferry()).env("FERRY_LOG_LEVEL", "warn").start();
        let user = hub.signup("bench@example.com");
        let database = user.create_database("bench");
        Self { hub, user, database, file }
    }

    fn push(&self) {
        let token = self.user.sync_token(&self.database, Direction::Push);
        edgereplica::push(self.hub.address(), &token, &self.file).expect("the push is accepted");
    }

    fn send(&self, method: &str, path: &str) -> http::Response {
        let token = self.user.sync_token(&self.database, Direction::Pull);
        let authorization = format!("Bearer {token}");
        let path = format!("/v1/databases/{}/{path}", self.database);
        let headers = [("Authorization", authorization.as_str())];
        http::send(self.hub.address(), method, &path, &headers, &[]).expect("the hub answers")
    }

    fn tag(&self) -> String {
        let answer = self.send("HEAD", "file");
        answer.header("etag").expect("the file has a tag").trim_matches('"').to_owned()
    }

    fn cpu_ms(&self) -> u64 {
        process::usage(self.hub.pid()).expect("the hub runs and this system has /proc").cpu_ms
    }

    fn row(&self, name: &str, since: &str, bytes: u64, cpu_s: f64) -> Vec<String> {
        let before = self.cpu_ms();
        let (took, answer) = wait::timed(|| self.send("GET", &format!("pages?since={since}")));
        assert!(answer.status < 300, "{}", answer.text());
        vec![
            name.to_owned(),
            table::bytes(answer.body.len() as u64),
            table::bytes(bytes),
            format!("{:.3}", (self.cpu_ms() - before) as f64 / 1000.0),
            format!("{cpu_s:.3}"),
            format!("{:.3}", took.as_secs_f64()),
        ]
    }
}
