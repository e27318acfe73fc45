//! Push and pull with a memory, against a fake hub on which others push at the worst moments.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use common::{DATABASE, FakeHub};
use ferry_client::{
    ClientError, ClientErrorCode,
    admin::AdminClient,
    pages::file::{
        ImageDigests, LocalImage, OpenedFile, SyncState, compare, image::FileAccess, state::PendingPull,
    },
    pages::{NoTokens, PagesClient, PullOptions, PushOptions, Synchronised},
    progress::Silent,
};
use ferry_types::{Clock, Code, Root, UnixMillis};
use rusqlite::Connection;

struct NewYear;

impl Clock for NewYear {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_767_225_600_000)
    }
}

struct Bench {
    dir: tempfile::TempDir,
    hub: FakeHub,
    admin: AdminClient,
}

impl Bench {
    async fn new() -> Self {
        let hub = FakeHub::start().await;
        let admin = AdminClient::new(&hub.server, Some("session"), "").unwrap();
        Self { dir: tempfile::tempdir().unwrap(), hub, admin }
    }

    fn database(&self, name: &str, pragmas: &str, rows: u32) -> PathBuf {
        let file = self.dir.path().join(name);
        sql(
            &file,
            &format!(
                "{pragmas}; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 INSERT INTO t SELECT i, hex(randomblob(50)) FROM n"
            ),
        );
        file
    }

    fn replica(&self) -> PagesClient<'_> {
        PagesClient { admin: &self.admin, tokens: &NoTokens, clock: &NewYear, progress: Arc::new(Silent) }
    }

    async fn push(&self, file: &Path, force: bool) -> Result<Synchronised, ClientError> {
        let named = DATABASE.parse().unwrap();
        self.replica().push(file, Some(&named), PushOptions { force, access: FileAccess::Ordinary }).await
    }

    async fn pull(&self, file: &Path, force: bool) -> Result<Synchronised, ClientError> {
        let named = DATABASE.parse().unwrap();
        self.replica().pull(file, Some(&named), PullOptions { force, only_new: false }).await
    }
}

fn sql(file: &Path, batch: &str) {
    Connection::open(file).unwrap().execute_batch(batch).unwrap();
}

fn root(file: &Path) -> Root {
    let OpenedFile::Image(image) = LocalImage::open(file, FileAccess::ReadOnly).unwrap() else {
        panic!("no image")
    };
    ImageDigests::of(&image, &Silent).unwrap().root
}

fn assert_equal(left: &Path, right: &Path) {
    assert_eq!(root(left), root(right));
    assert_eq!(compare::integrity(right).unwrap(), "ok");
}

fn assert_conflict(outcome: Result<Synchronised, ClientError>, reason: &str) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(
        (error.code, error.reason.as_str()),
        (ClientErrorCode::Table(Code::FailedPrecondition), reason),
        "{error}"
    );
    error.message
}

const DELETE: &str = "PRAGMA journal_mode=DELETE";

// Verifies: PAG-63, PAG-64
#[tokio::test(flavor = "multi_thread")]
async fn two_files_push_and_pull_alternately() {
    let bench = Bench::new().await;
    let one = bench.database("one", DELETE, 900);
    let first = bench.push(&one, false).await.unwrap();
    assert_eq!(first.tag().unwrap().to_string()[..2], *"1-");
    let two = bench.dir.path().join("two");
    let cloned = bench.pull(&two, false).await.unwrap();
    assert_eq!((cloned.tag(), cloned.changed), (first.tag(), true));
    assert!(
        !bench.push(&one, false).await.unwrap().changed && !bench.pull(&two, false).await.unwrap().changed
    );
    sql(&two, "UPDATE t SET x = 'two' WHERE id = 5");
    let second = bench.push(&two, false).await.unwrap();
    assert_eq!((second.version, second.root), (Some(2), root(&two)));
    let pulled = bench.pull(&one, false).await.unwrap();
    assert_eq!((pulled.tag(), pulled.backup), (second.tag(), None));
    assert_equal(&two, &one);
}

// Verifies: PAG-63
#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_push_is_never_overwritten_without_asking() {
    let bench = Bench::new().await;
    let mine = bench.database("mine", DELETE, 300);
    let other = bench.database("other", DELETE, 400);
    bench.push(&mine, false).await.unwrap();
    sql(&mine, "UPDATE t SET x = 'mine'");
    // Between the look at the database and the greeting; as seen by the look after it.
    bench.hub.push_before_look(2, &other);
    let reply = assert_conflict(bench.push(&mine, false).await, "VERSION_CONFLICT");
    assert!(reply.contains(" 2-"), "{reply}");
    assert_eq!(bench.hub.image.lock().unwrap().pages, common::Pages::of(&other).pages);
    // Seen at once, with both tags.
    let reply = assert_conflict(bench.push(&mine, false).await, "VERSION_CONFLICT");
    assert!(reply.contains(" 2-") && reply.contains(" 1-"), "{reply}");
    // Forced, it is the next version; also when others push meanwhile.
    bench.hub.push_before_look(3, &other);
    let forced = bench.push(&mine, true).await.unwrap();
    assert_eq!(forced.version, Some(4));
    assert_eq!(bench.hub.image.lock().unwrap().version, 4);
    assert!(!bench.push(&mine, false).await.unwrap().changed);
}

// Verifies: PAG-63
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_or_a_lost_state_is_recovered() {
    let bench = Bench::new().await;
    let mine = bench.database("mine", DELETE, 300);
    bench.push(&mine, false).await.unwrap();
    std::fs::remove_file(bench.dir.path().join("mine-ferry")).unwrap();
    let found = bench.push(&mine, false).await.unwrap();
    assert_eq!((found.changed, found.version), (false, Some(1)));
    sql(&mine, "UPDATE t SET x = 'on'");
    assert_eq!(bench.push(&mine, false).await.unwrap().version, Some(2));
    let stranger = bench.database("stranger", DELETE, 10);
    assert_conflict(bench.push(&stranger, false).await, "NO_COMMON_BASE");
    assert_conflict(bench.pull(&stranger, false).await, "UNSYNCED_CHANGES");
}

// Verifies: PAG-65
#[tokio::test(flavor = "multi_thread")]
async fn unsynced_changes_are_kept() {
    let bench = Bench::new().await;
    let mine = bench.database("mine", DELETE, 300);
    bench.push(&mine, false).await.unwrap();
    let copy = bench.dir.path().join("copy");
    bench.pull(&copy, false).await.unwrap();
    sql(&mine, "UPDATE t SET x = 'new' WHERE id < 9");
    bench.push(&mine, false).await.unwrap();
    sql(&copy, "UPDATE t SET x = 'edited' WHERE id > 280");
    let edited = root(&copy);
    assert_conflict(bench.pull(&copy, false).await, "UNSYNCED_CHANGES");
    assert_eq!(root(&copy), edited);
    let forced = bench.pull(&copy, true).await.unwrap();
    let saved = forced.backup.unwrap();
    assert_eq!(saved, bench.dir.path().join("copy.ferry-20260101T000000Z.bak"));
    assert_eq!(root(&saved), edited);
    assert_equal(&mine, &copy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_beside_pushes_ends_at_a_version_that_is_known() {
    let bench = Bench::new().await;
    let mine = bench.database("mine", DELETE, 300);
    bench.push(&mine, false).await.unwrap();
    let other = bench.database("other", DELETE, 350);
    // While the first image is on its way.
    bench.hub.push_before_look(2, &other);
    let copy = bench.dir.path().join("copy");
    let pulled = bench.pull(&copy, false).await.unwrap();
    assert_eq!((pulled.version, pulled.backup), (Some(2), None));
    assert_equal(&other, &copy);
    // A hub that never rests: the content is the newest, its number stays open, and a push goes by the root,
    // which is another one by now.
    for look in 1..40 {
        sql(&other, &format!("UPDATE t SET x = 'look {look}' WHERE id = {look}"));
        bench.hub.push_before_look(look, &other);
    }
    let pulled = bench.pull(&copy, false).await.unwrap();
    assert_eq!((pulled.version, pulled.changed), (None, true));
    bench.hub.looks.lock().unwrap().pushes.clear();
    sql(&copy, "UPDATE t SET x = 'mine' WHERE id = 300");
    assert_conflict(bench.push(&copy, false).await, "VERSION_CONFLICT");
}

// Verifies: PAG-64
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_killed_before_recording_its_state_is_recognised_by_the_root() {
    for page_size in [4096, 1024] {
        let bench = Bench::new().await;
        let mine = bench.database("mine", DELETE, 300);
        bench.push(&mine, false).await.unwrap();
        let copy = bench.dir.path().join("copy");
        bench.pull(&copy, false).await.unwrap();
        let before = SyncState::open(&copy).unwrap().unwrap().synced().unwrap().unwrap();
        sql(&mine, &format!("PRAGMA page_size={page_size}; VACUUM; UPDATE t SET x = 'second'"));
        bench.push(&mine, false).await.unwrap();
        bench.pull(&copy, false).await.unwrap();
        let after = SyncState::open(&copy).unwrap().unwrap().synced().unwrap().unwrap();
        // As if killed after the file's COMMIT: the state still tells of the base, and what was pending.
        let mut state = SyncState::open(&copy).unwrap().unwrap();
        state.record(&before, &[]).unwrap();
        state.set_pending(&PendingPull { synced: after.clone(), interim: None }).unwrap();
        drop(state);
        sql(&mine, "UPDATE t SET x = 'third' WHERE id = 1");
        bench.push(&mine, false).await.unwrap();
        assert_eq!(bench.pull(&copy, false).await.unwrap().version, Some(3));
        assert_equal(&mine, &copy);
        // As if killed before it: nothing has happened.
        let mut state = SyncState::open(&copy).unwrap().unwrap();
        state.set_pending(&PendingPull { synced: after, interim: Some(Root([9; 32])) }).unwrap();
        drop(state);
        sql(&mine, "UPDATE t SET x = 'fourth' WHERE id = 1");
        bench.push(&mine, false).await.unwrap();
        assert_eq!(bench.pull(&copy, false).await.unwrap().version, Some(4));
        assert_equal(&mine, &copy);
    }
}
