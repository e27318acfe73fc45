//! Push and pull with a token alone, against a fake hub that speaks EdgeReplica's wire.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use common::{FakeHub, Fault};
use ferry_client::{
    ClientError, ClientErrorCode,
    pages::file::{ImageDigests, LocalImage, OpenedFile, compare, image::FileAccess},
    pages::{BareTransfer, bare_pull, bare_push},
    progress::Silent,
};
use ferry_types::{Code, Root};
use rusqlite::Connection;

struct Bench {
    dir: tempfile::TempDir,
    hub: FakeHub,
}

impl Bench {
    async fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), hub: FakeHub::start().await }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A database file with these pragmas and rows.
    fn database(&self, name: &str, pragmas: &str, rows: u32) -> PathBuf {
        let file = self.file(name);
        sql(
            &file,
            &format!(
                "{pragmas}; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 INSERT INTO t SELECT i, hex(randomblob(50)) FROM n; CREATE INDEX tx ON t(x)"
            ),
        );
        file
    }

    async fn push(&self, file: &Path) -> Result<BareTransfer, ClientError> {
        bare_push(&self.hub.server, "push", file, FileAccess::Ordinary, Arc::new(Silent)).await
    }

    async fn pull(&self, file: &Path) -> Result<BareTransfer, ClientError> {
        bare_pull(&self.hub.server, "read", file, Arc::new(Silent)).await
    }
}

fn sql(file: &Path, batch: &str) {
    Connection::open(file).unwrap().execute_batch(batch).unwrap();
}

fn text(file: &Path, query: &str) -> String {
    Connection::open(file)
        .unwrap()
        .query_row(query, [], |row| row.get::<_, rusqlite::types::Value>(0))
        .map(|value| match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        })
        .unwrap()
}

fn root(file: &Path) -> Root {
    let OpenedFile::Image(image) = LocalImage::open(file, FileAccess::ReadOnly).unwrap() else {
        panic!("no image")
    };
    ImageDigests::of(&image, &Silent).unwrap().root
}

fn assert_equal(left: &Path, right: &Path) {
    assert_eq!(root(left), root(right), "images");
    assert_eq!(compare::contents(left, right).unwrap().differing, [""; 0]);
    assert_eq!(compare::integrity(right).unwrap(), "ok");
}

/// Nothing but the file itself, and what SQLite keeps beside it, is left.
fn assert_no_litter(bench: &Bench) {
    for entry in std::fs::read_dir(bench.dir.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("-ferry"), "{name} is left over");
    }
}

// Verifies: PAG-60, PAG-67, PAG-72
#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_file_comes_back_as_it_was() {
    let bench = Bench::new().await;
    for (index, pragmas) in [
        "PRAGMA page_size=512",
        "PRAGMA page_size=65536; PRAGMA encoding='UTF-16'",
        "PRAGMA journal_mode=WAL",
        "PRAGMA auto_vacuum=FULL",
        "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA page_size=1024",
    ]
    .into_iter()
    .enumerate()
    {
        let file = bench.database(&format!("a{index}"), pragmas, 3000);
        let pushed = bench.push(&file).await.unwrap();
        assert!(pushed.transferred.pages > 1 && pushed.transferred.bytes > 100_000, "{pushed:?}");
        let copy = bench.file(&format!("b{index}"));
        let pulled = bench.pull(&copy).await.unwrap();
        assert_eq!(pulled.written, u64::from(pulled.transferred.pages));
        assert_eq!((pulled.root, root(&copy)), (pushed.root, pushed.root));
        assert_equal(&file, &copy);
        let again = bench.pull(&copy).await.unwrap();
        assert_eq!(again.written, 0, "{pragmas}");
        assert_no_litter(&bench);
    }
}

// Verifies: PAG-64, PAG-66, PAG-72
#[tokio::test(flavor = "multi_thread")]
async fn older_copies_of_every_shape_become_the_new_image() {
    let shapes = [
        "PRAGMA page_size=4096",
        "PRAGMA page_size=4096; PRAGMA auto_vacuum=FULL",
        "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL",
        "PRAGMA page_size=4096; PRAGMA journal_mode=WAL",
        "PRAGMA page_size=1024; PRAGMA journal_mode=WAL",
        "PRAGMA page_size=8192; PRAGMA auto_vacuum=FULL",
    ];
    for (from, old) in shapes.into_iter().enumerate() {
        for (to, new) in shapes.into_iter().enumerate() {
            for (rows_before, rows_after) in [(200, 2500), (2500, 200)] {
                let bench = Bench::new().await;
                let copy = bench.database(&format!("copy{from}"), old, rows_before);
                let file = bench.database(&format!("file{to}"), new, rows_after);
                sql(&file, "DELETE FROM t WHERE id % 3 = 0");
                let mode = text(&copy, "PRAGMA journal_mode");
                bench.push(&file).await.unwrap();
                bench.pull(&copy).await.unwrap();
                assert_equal(&file, &copy);
                assert_eq!(text(&copy, "PRAGMA journal_mode"), mode, "{old} -> {new}");
                sql(&copy, "INSERT INTO t(x) VALUES ('goes on'); DELETE FROM t WHERE id < 50; VACUUM");
                assert_eq!(compare::integrity(&copy).unwrap(), "ok");
            }
        }
    }
}

// Verifies: PAG-72
#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_travels() {
    let bench = Bench::new().await;
    let file = bench.database("a", "PRAGMA journal_mode=WAL", 5000);
    let first = bench.push(&file).await.unwrap().transferred.pages;
    let copy = bench.file("b");
    bench.pull(&copy).await.unwrap();
    sql(&file, "UPDATE t SET x = 'one row' WHERE id = 17");
    let second = bench.push(&file).await.unwrap().transferred.pages;
    assert!(second < 12 && first > 100, "{second} of {first} pages");
    let pulled = bench.pull(&copy).await.unwrap();
    assert_eq!(pulled.written, u64::from(second));
    assert_equal(&file, &copy);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_takes_any_image() {
    let bench = Bench::new().await;
    let file = bench.database("a", "PRAGMA page_size=2048", 500);
    bench.push(&file).await.unwrap();
    let copy = bench.file("b");
    std::fs::write(&copy, "").unwrap();
    bench.pull(&copy).await.unwrap();
    assert_equal(&file, &copy);
}

// Verifies: PAG-60, PAG-72
#[tokio::test(flavor = "multi_thread")]
async fn a_push_beside_a_writer_is_one_moment_of_the_file() {
    for mode in ["WAL", "DELETE"] {
        let bench = Bench::new().await;
        let file = bench.file("bank");
        sql(
            &file,
            &format!(
                "PRAGMA journal_mode={mode}; CREATE TABLE account(id INTEGER PRIMARY KEY, money INTEGER, pad BLOB);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
                 INSERT INTO account SELECT i, 100, randomblob(900) FROM n"
            ),
        );
        let stop = Arc::new(AtomicBool::new(false));
        let writing = std::thread::spawn({
            let (file, stop) = (file.clone(), Arc::clone(&stop));
            move || {
                let bank = Connection::open(file).unwrap();
                bank.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
                let mut transfers: u32 = 0;
                while !stop.load(Ordering::Relaxed) {
                    transfers += 1;
                    let (from, to) = (transfers * 7 % 400 + 1, transfers * 13 % 400 + 1);
                    bank.execute_batch(&format!(
                        "BEGIN IMMEDIATE; UPDATE account SET money = money - 1 WHERE id = {from};
                         UPDATE account SET money = money + 1 WHERE id = {to}; COMMIT"
                    ))
                    .unwrap();
                }
                transfers
            }
        });
        for round in 0..4 {
            bench.push(&file).await.unwrap();
            let copy = bench.file(&format!("copy{round}"));
            bench.pull(&copy).await.unwrap();
            assert_eq!(text(&copy, "SELECT sum(money) FROM account"), "40000", "{mode}");
            assert_eq!(compare::integrity(&copy).unwrap(), "ok");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writing.join().unwrap() > 0);
    }
}

// Verifies: PAG-64
#[tokio::test(flavor = "multi_thread")]
async fn readers_beside_a_pull_see_the_old_image_or_the_new_one() {
    for mode in ["WAL", "DELETE"] {
        let bench = Bench::new().await;
        let file = bench.file("bank");
        sql(
            &file,
            "CREATE TABLE account(id INTEGER PRIMARY KEY, money INTEGER, pad BLOB);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
             INSERT INTO account SELECT i, 100, randomblob(900) FROM n",
        );
        bench.push(&file).await.unwrap();
        let copy = bench.file("copy");
        bench.pull(&copy).await.unwrap();
        sql(&copy, &format!("PRAGMA journal_mode={mode}"));
        let stop = Arc::new(AtomicBool::new(false));
        let reading = std::thread::spawn({
            let (copy, stop) = (copy.clone(), Arc::clone(&stop));
            move || {
                let bank = Connection::open(copy).unwrap();
                bank.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
                let mut sums = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    let sum: i64 =
                        bank.query_row("SELECT sum(money) FROM account", [], |row| row.get(0)).unwrap();
                    assert_eq!(sum, 40_000);
                    sums += 1;
                }
                sums
            }
        });
        for round in 1..20 {
            sql(
                &file,
                &format!(
                    "BEGIN; UPDATE account SET money = money - 5 WHERE id % 19 = {r};
                     UPDATE account SET money = money + 5 WHERE id % 19 = {r}; UPDATE account SET
                     money = money + CASE WHEN id <= 200 THEN 1 ELSE -1 END; COMMIT",
                    r = round % 19
                ),
            );
            bench.push(&file).await.unwrap();
            assert!(bench.pull(&copy).await.unwrap().written > 0);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reading.join().unwrap() > 0);
        assert_equal(&file, &copy);
    }
}

// Verifies: PAG-21
#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_unchanged_whatever_the_hub_does_wrong() {
    let bench = Bench::new().await;
    let copy = bench.database("copy", "PRAGMA journal_mode=DELETE", 500);
    let file = bench.database("file", "PRAGMA journal_mode=DELETE", 900);
    bench.push(&file).await.unwrap();
    let before = std::fs::read(&copy).unwrap();
    let refused = ClientErrorCode::Table(Code::PermissionDenied);
    for (fault, code) in [
        (Fault::CutAfter(3), ClientErrorCode::Unreachable),
        (Fault::OmitLast, ClientErrorCode::Unverified),
        (Fault::Twice, ClientErrorCode::Unverified),
        (Fault::Short, ClientErrorCode::Unverified),
        (Fault::WrongHeader, ClientErrorCode::Unverified),
        (Fault::Refuse("this token allows push only", 1008), refused),
    ] {
        bench.hub.misbehave(fault);
        let error = bench.pull(&copy).await.unwrap_err();
        assert_eq!(error.code, code, "{fault:?}: {error}");
        assert_eq!(std::fs::read(&copy).unwrap(), before, "{fault:?}");
        let missing = bench.file("missing");
        assert!(bench.pull(&missing).await.is_err());
        assert!(!missing.exists(), "{fault:?}");
        assert_no_litter(&bench);
    }
    bench.hub.misbehave(Fault::None);
    bench.pull(&copy).await.unwrap();
    assert_equal(&file, &copy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_or_cut_push_is_told_in_the_hubs_words() {
    let bench = Bench::new().await;
    let file = bench.database("file", "PRAGMA journal_mode=DELETE", 900);
    let lost =
        "another push was committed first (now version 43); pull before you push again, or you replace it";
    bench.hub.misbehave(Fault::Refuse(lost, 1013));
    let error = bench.push(&file).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (ClientErrorCode::Table(Code::Aborted), lost));
    bench.hub.misbehave(Fault::CutAfter(5));
    assert_eq!(bench.push(&file).await.unwrap_err().code, ClientErrorCode::Unreachable);
    assert!(bench.hub.image.lock().unwrap().pages.is_empty());
}

// Verifies: PAG-70
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plain_database_is_refused_before_anything_is_sent() {
    let bench = Bench::new().await;
    // A hub that is not there: reaching for it would be another error.
    let nowhere = "http://127.0.0.1:1".parse().unwrap();
    let encrypted = bench.file("encrypted");
    let noise: Vec<u8> = (0..8192_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&encrypted, noise).unwrap();
    let text = bench.file("text");
    std::fs::write(&text, "select * from t;\n").unwrap();
    let empty = bench.file("empty");
    std::fs::write(&empty, "").unwrap();
    for file in [&encrypted, &text, &empty, &bench.file("missing"), &bench.dir.path().to_owned()] {
        let error =
            bare_push(&nowhere, "push", file, FileAccess::Ordinary, Arc::new(Silent)).await.unwrap_err();
        assert_eq!(error.code, ClientErrorCode::FileUnusable, "{}: {error}", file.display());
    }
}
