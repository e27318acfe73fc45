//! Pushes and pulls through the session machines onto real files: shapes, versions that stay readable, and every
//! place where a process may die.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use ferry_core::pages::{
    PullSession, PushSession, Refusal, SessionError, Volatile, header, push::PushOutcome, tree,
};
use ferry_protocol::pages::{Frame, Hello, PageData, PageHash};
use ferry_types::{Clock, PageCount, PageNo, PageSize, UnixMillis};
use rusqlite::Connection;

use super::*;
use crate::fault::hook;

mod bodies;
mod crash;
mod damage;
mod migrations;
mod retention;
mod shapes;
mod structure;
mod uploads;
mod versions;
mod walk;

const LIMIT: u64 = 16 << 30;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000)
    }
}

fn open(dir: &Path) -> Arc<Replica> {
    Replica::open(dir, ReplicaConfig::default(), Arc::new(FixedClock), Box::new(())).unwrap()
}

/// A client's file: its pages, read in one snapshot.
type Pages = Vec<Vec<u8>>;

fn read_file(path: &Path) -> Pages {
    let snapshot = dbpage::Snapshot::open(path, dbpage::Schema::Ignored).unwrap();
    let page = |page| {
        let mut data = Vec::new();
        snapshot.read(page, &mut data).unwrap();
        data
    };
    snapshot.page_count().pages().map(page).collect()
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown by the tests that fail")]
enum Failed {
    Refused(Refusal),
    Push(PushError),
}

/// Pushes as EdgeReplica's client does. Returns the version and how many pages travelled.
fn push(replica: &Arc<Replica>, pages: &Pages) -> Result<(VersionInfo, u32), Failed> {
    let mut files = PushFiles::new(replica.pin()).unwrap();
    let mut session = PushSession::new(files.pinned().info().image(), LIMIT);
    let sent = send_push(&mut session, &mut files, pages)?;
    match session.outcome().map_err(Failed::Refused)?.expect("everything was sent") {
        PushOutcome::Unchanged => Ok((replica.current(), sent)),
        PushOutcome::Changed(plan) => {
            let prepared = prepare(files, *plan).map_err(Failed::Push)?;
            Ok((replica.commit_push(prepared).map_err(Failed::Push)?, sent))
        }
    }
}

/// Validates as the hub does.
fn prepare(files: PushFiles, plan: ferry_core::pages::PushPlan) -> Result<Prepared, PushError> {
    let mut prepared = files.prepare(plan, ReadConsistency::Unknown)?;
    prepared.check(&|| true)?;
    prepared.seal()?;
    Ok(prepared)
}

fn send_push(session: &mut PushSession, files: &mut PushFiles, pages: &Pages) -> Result<u32, Failed> {
    let max_page = u32::try_from(pages.len()).unwrap();
    receive(session, files, &Frame::Hello(Hello { protocol_version: 1, page_size: 4096, max_page }))?;
    for (page_no, data) in (1..).zip(pages) {
        let hash = tree::leaf(data).0;
        receive(session, files, &Frame::PageHash(PageHash { page_no, hash: &hash }))?;
    }
    receive(session, files, &Frame::Complete)?;
    let mut sent = 0;
    while let Some(frame) = session.next_frame() {
        if let Frame::RequestPage(wanted) = frame {
            let data = &pages[wanted.page_no as usize - 1];
            receive(session, files, &Frame::PageData(PageData { page_no: wanted.page_no, data }))?;
            sent += 1;
        }
    }
    Ok(sent)
}

fn receive(session: &mut PushSession, files: &mut PushFiles, frame: &Frame<'_>) -> Result<(), Failed> {
    session.receive(frame, files).map_err(|error| match error {
        SessionError::Refused(refusal) => Failed::Refused(refusal),
        SessionError::Store(error) => panic!("storage failed: {error}"),
    })
}

/// Pulls as EdgeReplica's client does, onto `local`. Returns the pages that travelled.
fn pull<S: PageSource>(source: S, local: &Pages) -> BTreeMap<u32, Vec<u8>> {
    let mut session = PullSession::new(source.info().image(), LIMIT);
    let mut hashes = ServedHashes::new(source);
    let max_page = u32::try_from(local.len()).unwrap();
    let hello = Frame::Hello(Hello { protocol_version: 1, page_size: 4096, max_page });
    session.receive(&hello, &mut hashes).unwrap();
    for (page_no, data) in (1..).zip(local) {
        let hash = tree::leaf(data).0;
        session.receive(&Frame::PageHash(PageHash { page_no, hash: &hash }), &mut hashes).unwrap();
    }
    session.receive(&Frame::Complete, &mut hashes).unwrap();
    let wanted: Vec<PageNo> = std::iter::from_fn(|| session.next_page()).collect();
    let mut got = BTreeMap::new();
    let mut each = |page: PageNo, data: &[u8]| {
        got.insert(page.get(), data.to_vec());
        Ok(())
    };
    hashes.source().read(&wanted, &mut each).unwrap();
    got
}

/// The whole image, pulled into nothing.
fn whole<S: PageSource>(source: &S) -> Pages {
    let pages: Vec<PageNo> = source.info().page_count.pages().collect();
    let mut image = Vec::new();
    let mut each = |_: PageNo, data: &[u8]| {
        image.push(data.to_vec());
        Ok(())
    };
    source.read(&pages, &mut each).unwrap();
    image
}

/// What the hub serves for a file: itself, with the page count in the header, and the lock page as zeros.
fn served(pages: &Pages) -> Pages {
    let mut pages = pages.clone();
    let count = PageCount(u32::try_from(pages.len()).unwrap());
    if let Some(page1) = pages.first_mut() {
        let volatile = Volatile::of(page1);
        header::normalize(page1, count);
        volatile.apply(page1);
    }
    pages
}

fn check_integrity(image: &Pages, dir: &Path) {
    let path = dir.join("integrity.db");
    let mut bytes = image.concat();
    bytes[18..20].copy_from_slice(&[1, 1]);
    std::fs::write(&path, bytes).unwrap();
    let verdict: String =
        Connection::open(&path).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// A database of rows that can be changed little by little.
struct Source {
    dir: tempfile::TempDir,
    connection: Connection,
}

impl Source {
    fn new(pragmas: &str, rows: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("local.db")).unwrap();
        connection.execute_batch(pragmas).unwrap();
        connection.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT)").unwrap();
        let source = Self { dir, connection };
        source.insert(rows);
        source
    }

    fn insert(&self, rows: u32) {
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO t(text) SELECT hex(zeroblob(20)) || i * 7919 || ' text of a row' FROM n"
        );
        self.run(&sql);
    }

    fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    fn pages(&self) -> Pages {
        read_file(&self.dir.path().join("local.db"))
    }
}
