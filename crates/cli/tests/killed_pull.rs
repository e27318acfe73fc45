//! A pull that is killed at any step leaves the old file or the new one, and the next run finishes.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]
#![cfg(debug_assertions)] // fault points exist in such builds only

#[path = "../../client/tests/common/mod.rs"]
mod common;

use std::{
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use common::{FakeHub, Fault};
use ferry_client::{
    pages::bare_push,
    pages::file::{ImageDigests, LocalImage, OpenedFile, compare, image::FileAccess},
    progress::Silent,
};
use ferry_types::Root;
use rusqlite::Connection;

const SIGKILL: i32 = 9;

fn sql(file: &Path, batch: &str) {
    Connection::open(file).unwrap().execute_batch(batch).unwrap();
}

fn fill(file: &Path, pragmas: &str, rows: u32) {
    sql(
        file,
        &format!(
            "{pragmas}; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO t SELECT i, hex(randomblob(50)) FROM n"
        ),
    );
}

fn root(file: &Path) -> Option<Root> {
    match LocalImage::open(file, FileAccess::Ordinary).unwrap() {
        OpenedFile::Image(image) => Some(ImageDigests::of(&image, &Silent).unwrap().root),
        OpenedFile::Missing | OpenedFile::Empty => None,
    }
}

async fn pull(hub: &FakeHub, file: &Path, fault: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferry"));
    command
        .args(["sync", "pull", "--server", &hub.server.to_string(), "--token", "read", "--db"])
        .arg(file)
        .env("FERRY_FAULT", fault)
        .env("FERRY_CONFIG_DIR", file.parent().unwrap());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Kills a pull from `old` to `new` at each point; gives how many points there were on its way.
async fn kill_everywhere(old: Option<&str>, new: &str, points: &[&str]) {
    for point in points {
        let dir = tempfile::tempdir().unwrap();
        let (file, copy) = (dir.path().join("file"), dir.path().join("copy"));
        let hub = FakeHub::start().await;
        hub.misbehave(Fault::None);
        fill(&file, new, 700);
        if let Some(old) = old {
            fill(&copy, old, 1500);
        }
        let before = root(&copy);
        let pushed =
            bare_push(&hub.server, "push", &file, FileAccess::Ordinary, Arc::new(Silent)).await.unwrap();
        let killed = pull(&hub, &copy, &format!("{point}=kill")).await;
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{point} lies on the way of {old:?} -> {new}");
        if copy.exists() {
            assert_eq!(compare::integrity(&copy).unwrap(), "ok", "{point}");
        }
        let after = root(&copy);
        // Between the backup and page 1 the content is new, but for SQLite's schema cookie.
        let interim =
            *point == "pull.backup" || *point == "pull.write" && old.is_some_and(|old| old.contains("512"));
        assert!(after == before || after == Some(pushed.root) || interim, "{point}: neither old nor new");
        let finished = pull(&hub, &copy, "").await;
        assert!(finished.status.success(), "{point}: {}", String::from_utf8_lossy(&finished.stderr));
        assert_eq!(root(&copy), Some(pushed.root), "{point}");
        let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("-ferry")).collect();
        assert!(left.is_empty(), "{point} leaves {left:?}");
    }
}

// Verifies: PAG-64
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_pages_are_written_in_place() {
    let points = ["pull.received", "pull.part", "pull.write", "pull.commit"];
    for mode in ["PRAGMA journal_mode=WAL", "PRAGMA journal_mode=DELETE; PRAGMA auto_vacuum=FULL"] {
        kill_everywhere(Some(mode), "PRAGMA journal_mode=DELETE", &points).await;
    }
}

// Verifies: PAG-66
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_page_size_changes() {
    let points = ["pull.received", "pull.part", "pull.backup", "pull.write", "pull.commit"];
    kill_everywhere(Some("PRAGMA page_size=512; PRAGMA journal_mode=WAL"), "PRAGMA page_size=4096", &points)
        .await;
}

// Verifies: PAG-67
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_new_file_is_made() {
    kill_everywhere(None, "PRAGMA page_size=4096", &["pull.received", "pull.part", "pull.commit"]).await;
}
