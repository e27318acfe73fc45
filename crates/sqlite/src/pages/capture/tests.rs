//! Captures beside a real writer: every version is one that existed, whatever SQLite did with its WAL.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use ferry_core::pages::{header, tree};
use ferry_types::{Clock, PageNo, UnixMillis};
use rusqlite::{Connection, types::Value};

use super::*;
use crate::{
    NativeSql, Transaction, Writer,
    fault::hook,
    pages::{
        At, BaseFound, PageSource, ReplicaConfig, Since,
        dbpage::{Schema, Snapshot},
    },
};

mod asked;
mod files;
mod schedule;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000)
    }
}

/// A database that is written, and its capture.
struct Hub {
    dir: PathBuf,
    writer: Option<Writer>,
    slot: Arc<CaptureSlot>,
}

impl Hub {
    fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let mut hub = Self { dir: dir.to_owned(), writer: None, slot: Arc::default() };
        hub.open();
        hub
    }

    fn main(&self) -> PathBuf {
        self.dir.join("main.db")
    }

    /// As the actor does: the capture begins again before the first commit.
    fn open(&mut self) {
        let mut writer = Writer::open(&self.main()).unwrap();
        writer.captured_by(Arc::clone(&self.slot)).unwrap();
        self.writer = Some(writer);
        if CaptureSlot::was_captured(&self.dir) {
            let dir = self.dir.clone();
            self.slot.try_open(|frames| open(&dir, frames, Rescan::Refused)).unwrap();
        }
    }

    fn close(&mut self) {
        self.writer.take().unwrap().close().unwrap();
    }

    /// As a page request does.
    fn replica(&self) -> Arc<Replica> {
        let dir = self.dir.clone();
        let opened = self.slot.get_or_open(|frames| Ok(open(&dir, frames, Rescan::Allowed)?.unwrap()));
        opened.unwrap()
    }

    /// One commit.
    fn run(&mut self, sql: &str) {
        let writer = self.writer.as_mut().unwrap();
        let answers = writer.run_group(&mut [sql], |sql, transaction: &mut Transaction<'_, ()>| {
            transaction.effect(());
            Ok(transaction.connection().execute_batch(sql)?)
        });
        assert!(answers[0].is_ok(), "{sql}: {:?}", answers[0]);
    }

    /// A transaction that takes its number by itself, as a job between groups does.
    fn run_alone(&mut self, before: &str, sql: &str) {
        let seq = self.writer.as_ref().unwrap().seq().0;
        let connection = self.writer.as_mut().unwrap().connection();
        connection.execute_batch(before).unwrap();
        connection.execute_batch(sql).unwrap();
        let text = format!("UPDATE _ferry_meta SET value = {} WHERE key = 'seq'", seq + 1);
        connection.execute_batch(&text).unwrap();
        self.reopen_writer();
    }

    /// As after a panic: the writer's own count of frames is gone.
    fn reopen_writer(&mut self) {
        self.writer = None;
        self.open();
    }

    /// Leaves the files as a killed process does: nothing is moved, noted or captured.
    fn kill(&mut self) {
        // The writer first: SQLite would empty the WAL behind the last connection that may write.
        self.writer = None;
        self.slot.close();
        self.slot = Arc::default();
    }

    fn checkpoint(&mut self) {
        self.writer.as_mut().unwrap().checkpoint_if_due(|| false).unwrap();
    }
}

fn open(dir: &Path, frames: &Arc<AtomicU64>, rescan: Rescan) -> Result<Option<Arc<Replica>>> {
    let (config, clock) = (ReplicaConfig::default(), Arc::new(FixedClock));
    Replica::open_captured(dir, config, clock, Box::new(()), frames, rescan)
}

/// The image that a version must have: read by SQLite itself, at the same moment.
fn image_of(main: &Path) -> Vec<Vec<u8>> {
    let snapshot = Snapshot::open(main, Schema::Ignored).unwrap();
    let count = snapshot.page_count();
    let pages = count.pages().map(|page| {
        let mut data = Vec::new();
        snapshot.read(page, &mut data).unwrap();
        if page == PageNo::FIRST {
            header::normalize(&mut data, count);
        }
        data
    });
    pages.collect()
}

/// What a version is served as, page 1 in normal form; its root is checked.
fn served(source: &impl PageSource) -> Vec<Vec<u8>> {
    let info = source.info();
    let pages: Vec<PageNo> = info.page_count.pages().collect();
    let mut image = Vec::new();
    let mut root = tree::RootBuilder::default();
    source
        .read(&pages, &mut |page, data| {
            let mut data = data.to_vec();
            root.push(&tree::leaf_of(page, info.page_count, &data, &mut Vec::new()));
            if page == PageNo::FIRST {
                header::normalize(&mut data, info.page_count);
            }
            image.push(data);
            Ok(())
        })
        .unwrap();
    assert_eq!(root.finish(info.page_size.unwrap()), info.root, "version {}", info.version);
    image
}

/// A base that names the differing pages leads to the new image.
fn assert_leads(replica: &Arc<Replica>, from: &VersionInfo, old: &[Vec<u8>]) {
    let new = replica.pin();
    let found = replica.find_base(new.info(), &Since::Tag(from.tag())).unwrap();
    let BaseFound::Known(base) = found else { return };
    let mut image = old.to_vec();
    image.resize(new.info().page_count.0 as usize, Vec::new());
    let wanted = served(&new);
    for page in replica.differing(&base, new.info()).unwrap() {
        image[page.index()].clone_from(&wanted[page.index()]);
    }
    assert!(image == wanted, "from {} to {}", from.version, new.info().version);
}

#[test]
fn commits_become_versions_and_older_ones_stay() {
    // Verifies: PAG-41, PAG-46
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::new(dir.path());
    hub.run("CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT)");
    assert!(!dir.path().join("pages").exists(), "nothing before the first page request");
    let replica = hub.replica();
    assert_eq!(replica.current().version, 1);
    let mut images = vec![(replica.current(), image_of(&hub.main()))];
    for n in 0..20 {
        hub.run(&format!(
            "INSERT INTO t(text) VALUES (zeroblob({})); UPDATE t SET text = {n} WHERE id = 1",
            n * 700
        ));
        if n % 3 == 0 {
            let info = replica.capture().unwrap().unwrap();
            assert_eq!(info.version, n + 2);
            images.push((info, image_of(&hub.main())));
        }
    }
    replica.capture().unwrap();
    assert_eq!(replica.capture().unwrap(), None, "nothing was committed");
    for (info, image) in &images {
        let pinned = replica.pin_at(At::Tag(info.tag())).unwrap().unwrap();
        assert!(served(&pinned) == *image, "version {}", info.version);
        assert_leads(&replica, info, image);
    }
}

#[test]
fn a_checkpoint_captures_first_and_history_survives_it() {
    // Verifies: PAG-42
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::new(dir.path());
    hub.run("CREATE TABLE t(id INTEGER PRIMARY KEY, data BLOB)");
    let replica = hub.replica();
    let first = (replica.current(), image_of(&hub.main()));
    for n in 0..120 {
        hub.run(&format!("INSERT OR REPLACE INTO t VALUES ({}, randomblob(300000))", n % 5));
        hub.checkpoint();
    }
    let wal = std::fs::metadata(dir.path().join("main.db-wal")).unwrap().len();
    assert!(wal < 14 << 20, "the WAL has {wal} bytes: it was not started over");
    replica.capture().unwrap();
    assert!(served(&replica.pin()) == image_of(&hub.main()));
    let pinned = replica.pin_at(At::Tag(first.0.tag())).unwrap().unwrap();
    assert!(served(&pinned) == first.1);
}

#[test]
fn while_a_snapshot_holds_the_wal_nothing_is_lost() {
    // Verifies: PAG-42
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::new(dir.path());
    hub.run("CREATE TABLE t(id INTEGER PRIMARY KEY, data BLOB)");
    let replica = hub.replica();
    let held = Snapshot::open(&hub.main(), Schema::Ignored).unwrap();
    for n in 0..30 {
        hub.run(&format!("INSERT OR REPLACE INTO t VALUES ({}, randomblob(300000))", n % 5));
        hub.checkpoint();
    }
    drop(held);
    for n in 0..20 {
        hub.run(&format!("INSERT OR REPLACE INTO t VALUES ({}, randomblob(400000))", n % 5));
        hub.checkpoint();
    }
    replica.capture().unwrap();
    assert!(served(&replica.pin()) == image_of(&hub.main()));
    let wal = std::fs::metadata(dir.path().join("main.db-wal")).unwrap().len();
    assert!(wal < 12 << 20, "the WAL has {wal} bytes: it was not started over");
}

#[test]
fn the_hubs_own_tables_have_the_number_of_the_version() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::new(dir.path());
    hub.run("CREATE TABLE t(x)");
    let replica = hub.replica();
    hub.run("INSERT INTO t VALUES (1)");
    let info = replica.capture().unwrap().unwrap();
    let file = dir.path().join("copy.db");
    std::fs::write(&file, served(&replica.pin()).concat()).unwrap();
    let copy = Connection::open(&file).unwrap();
    assert_eq!(crate::meta::seq_of(&NativeSql(&copy)).unwrap().0, info.version);
    assert_eq!(copy.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
}
