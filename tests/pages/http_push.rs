//! Pushes over Ferry's own page wire: what is accepted, what is refused and why, and what a broken one leaves.

use std::{fs, io::Write as _, path::PathBuf, sync::Barrier, thread};

use ferry_testkit::{
    http::{self, Response, Unfinished},
    page_bodies::{PushBody, normal, root, tag},
    sample, wait,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Place, fault_points, options};

/// The tag of a database that nothing was pushed to.
pub(super) const EMPTY: &str = "0-430ad47df199958e";

/// A database, a file, and a token that may read, write and administer pages.
pub(super) struct Writer {
    pub(super) place: Place,
    folder: tempfile::TempDir,
    pub(super) token: String,
}

/// What the hub has, as a client remembers it.
pub(super) struct Known {
    pub(super) tag: String,
    pub(super) version: u64,
    pub(super) pages: Vec<Vec<u8>>,
}

impl Writer {
    pub(super) fn new(rows: u64) -> Self {
        Self::of(Place::new(), rows)
    }

    pub(super) fn of(place: Place, rows: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        sample::standard(&folder.path().join("app.db"), rows, 5);
        let token = token(&place, &["read", "write", "admin"]);
        let writer = Self { place, folder, token };
        writer.run("PRAGMA journal_mode=DELETE");
        writer
    }

    pub(super) fn run(&self, sql: &str) -> Vec<u8> {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
        self.file()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    pub(super) fn file(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    pub(super) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.try_send(method, path, headers, body).unwrap()
    }

    fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let path = format!("/v1/databases/{}/{path}", self.place.database);
        let authorization = format!("Bearer {}", self.token);
        let headers = [&[("Authorization", authorization.as_str())][..], headers].concat();
        http::send(self.place.hub.address(), method, &path, &headers, body)
    }

    /// The same; `None` if the answer breaks off.
    pub(super) fn send_or_broken(&self, method: &str, path: &str) -> Option<Response> {
        self.try_send(method, path, &[], &[]).ok()
    }

    fn try_push(&self, based_on: &str, body: &[u8]) -> std::io::Result<Response> {
        self.try_send("POST", "pages", &[("If-Match", &format!("\"{based_on}\""))], body)
    }

    pub(super) fn push(&self, based_on: &str, body: &[u8]) -> Response {
        self.send("POST", "pages", &[("If-Match", &format!("\"{based_on}\""))], body)
    }

    pub(super) fn body(&self, known: Option<&Known>, file: &[u8]) -> PushBody {
        PushBody::of(&self.place.database, known.map(|known| (known.version, &known.pages[..])), file)
    }

    /// Pushes the file as it is onto what is known.
    pub(super) fn push_file(&self, known: Option<&Known>) -> Known {
        let file = self.file();
        let based_on = known.map_or(EMPTY, |known| &known.tag);
        let answer = self.push(based_on, &self.body(known, &file).whole());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let told = answer.json();
        let pages = normal(&file);
        let version = told["version"].as_u64().unwrap();
        let tag = tag(version, &root(&pages));
        assert_eq!((&told["tag"], &told["seq"]), (&json!(tag), &json!(version)), "{told}");
        assert_eq!(answer.header("etag"), Some(&*format!("\"{tag}\"")));
        assert_eq!(answer.header("ferry-seq"), Some(&*version.to_string()));
        Known { tag, version, pages }
    }

    pub(super) fn served(&self) -> Vec<u8> {
        self.send("GET", "file", &[], &[]).body
    }

    /// Whether the hub has staged each of these leaves.
    pub(super) fn staged(&self, leaves: &[[u8; 32]]) -> Vec<bool> {
        let answer = self.send("POST", "pages/staged", &[], leaves.as_flattened());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.body.len(), leaves.len().div_ceil(8));
        (0..leaves.len()).map(|n| answer.body[n / 8] >> (n % 8) & 1 == 1).collect()
    }
}

pub(super) fn token(place: &Place, ops: &[&str]) -> String {
    let request = json!({"databaseId": place.database, "models": ["pages"], "ops": ops, "ttlSeconds": 3600});
    place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned()
}

#[track_caller]
pub(super) fn assert_refused(response: &Response, status: u16, reason: &str) -> Value {
    assert_eq!(response.status, status, "{}", response.text());
    let body = response.json();
    assert_eq!(body["error"]["reason"], reason, "{body}");
    body
}

// Verifies: PAG-20, PAG-23
#[test]
fn what_is_pushed_is_served_byte_for_byte_from_then_on() {
    let writer = Writer::new(3000);
    let first = writer.push_file(None);
    assert!(writer.served() == writer.file());
    assert_eq!(first.version, 1);
    writer.run("UPDATE t SET amount = 7 WHERE id = 1234");
    let body = writer.body(Some(&first), &writer.file());
    assert!(body.differing().len() < 4);
    let second = writer.push_file(Some(&first));
    assert!(writer.served() == writer.file());
    // The same image again is the version that there is.
    let same = writer.push(&second.tag, &writer.body(Some(&second), &writer.file()).whole());
    assert_eq!(
        (same.status, &same.json()["tag"], &same.json()["pages"]),
        (200, &json!(second.tag), &json!(0))
    );
    for (n, sql) in [
        "INSERT INTO t SELECT NULL, uid || 'x', name, note, amount, ts FROM t WHERE id < 900",
        "DELETE FROM t WHERE id % 3 = 0; VACUUM",
        "CREATE TABLE other(a, b); INSERT INTO other SELECT uid, id FROM t",
        "DROP TABLE other; PRAGMA journal_mode=WAL; PRAGMA wal_checkpoint(TRUNCATE)",
    ]
    .into_iter()
    .enumerate()
    {
        writer.run(sql);
        let known = Known { tag: etag(&writer), version: 2 + n as u64, pages: normal(&writer.served()) };
        writer.push_file(Some(&known));
        assert!(writer.served() == writer.file(), "{sql}");
    }
    // Another page size needs a full body.
    writer.run("PRAGMA journal_mode=DELETE; PRAGMA page_size=8192; VACUUM");
    let answer = writer.push(&etag(&writer), &writer.body(None, &writer.file()).whole());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let writer = Writer { place: writer.place.restarted(), ..writer };
    assert!(writer.served() == writer.file(), "also after a restart");
    let kind = writer.place.user.database(&writer.place.database)["kind"].clone();
    assert_eq!(kind, "replica");
}

fn etag(writer: &Writer) -> String {
    writer.send("HEAD", "file", &[], &[]).header("etag").unwrap().trim_matches('"').to_owned()
}

// Verifies: PAG-23, PAG-24
#[test]
fn of_two_pushes_on_one_version_the_second_is_told_what_there_is() {
    let writer = Writer::new(500);
    let first = writer.push_file(None);
    writer.run("UPDATE t SET amount = 1 WHERE id = 7");
    let winning = writer.body(Some(&first), &writer.file()).whole();
    assert_eq!(writer.push(&first.tag, &winning).status, 200);
    // The same once more, as after an answer that got lost: what there is is what was meant.
    let again = writer.push(&first.tag, &winning);
    let told = assert_refused(&again, 412, "VERSION_CONFLICT");
    let hex: String = root(&normal(&writer.file())).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(told["current"]["root"], hex);
    assert_eq!(told["error"]["message"], "database is at version 2, not 1: pull, then push again");
    assert_eq!(again.header("etag"), Some(&*format!("\"{}\"", told["current"]["tag"].as_str().unwrap())));
    // A body that comes too late is not asked for.
    let path = format!("/v1/databases/{}/pages", writer.place.database);
    let (bearer, based_on) = (format!("Bearer {}", writer.token), format!("\"{}\"", first.tag));
    let headers = [("Authorization", bearer.as_str()), ("If-Match", based_on.as_str())];
    let late = Unfinished::begin(writer.place.hub.address(), "POST", &path, &headers, &winning);
    assert_refused(&late.expect_err("no 100 Continue"), 412, "VERSION_CONFLICT");
}

// Verifies: PAG-23
#[test]
fn of_pushes_at_once_one_wins_each_version() {
    const PUSHERS: usize = 4;
    let writer = Writer::new(300);
    let mut known = writer.push_file(None);
    for round in 0..10 {
        let bodies: Vec<(Vec<u8>, Vec<u8>)> = (0..PUSHERS)
            .map(|n| {
                let file =
                    writer.run(&format!("UPDATE t SET amount = {round}, ts = {n} WHERE id = {}", n + 1));
                (writer.body(Some(&known), &file).whole(), file)
            })
            .collect();
        let barrier = Barrier::new(PUSHERS);
        let answers: Vec<Response> = thread::scope(|scope| {
            let push = |body| {
                barrier.wait();
                writer.push(&known.tag, body)
            };
            let running: Vec<_> = bodies.iter().map(|(body, _)| scope.spawn(move || push(body))).collect();
            running.into_iter().map(|running| running.join().unwrap()).collect()
        });
        let won: Vec<usize> = (0..PUSHERS).filter(|n| answers[*n].status == 200).collect();
        assert_eq!(won.len(), 1, "{:?}", answers.iter().map(Response::text).collect::<Vec<_>>());
        for (n, lost) in answers.iter().enumerate().filter(|(n, _)| *n != won[0]) {
            assert_refused(lost, 412, "VERSION_CONFLICT");
            assert!(n < PUSHERS);
        }
        let file = &bodies[won[0]].1;
        assert!(writer.served() == *file);
        known = Known { tag: etag(&writer), version: known.version + 1, pages: normal(file) };
    }
}

// Verifies: PAG-25
#[test]
fn a_broken_push_leaves_its_whole_entries_staged() {
    let writer = Writer::new(4000);
    let file = writer.file();
    let all: Vec<usize> = (1..=normal(&file).len()).collect();
    let (sent, rest) = all.split_at(all.len() / 2);
    let mut body = writer.body(None, &file);
    for pages in sent.chunks(50) {
        body = body.data(pages);
    }
    let leaves: Vec<[u8; 32]> = all.iter().map(|page| body.leaf(*page)).collect();
    let mut bytes = body.bytes().to_vec();
    // The beginning of an entry that never gets whole.
    bytes.extend([3, 1, 2]);
    let mut stream = http::connect(writer.place.hub.address()).unwrap();
    let head = format!(
        "POST /v1/databases/{}/pages HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {}\r\nIf-Match: \"{EMPTY}\"\r\n\
         Content-Length: {}\r\n\r\n",
        writer.place.database,
        writer.token,
        bytes.len() + 1000
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes).unwrap();
    drop(stream);
    // Page 1 travels with END only.
    wait::until("the pages are staged", || {
        writer.staged(&leaves[1..sent.len()]).iter().all(|staged| *staged).then_some(())
    });
    assert_eq!(writer.served().len(), 0, "nothing is visible of it");
    let Writer { place, folder, token } = writer;
    // Also after the hub was killed.
    let writer = Writer { place: place.restarted(), folder, token };
    let staged = writer.staged(&leaves);
    assert!(
        staged[1..sent.len()].iter().all(|staged| *staged) && staged[sent.len()..].iter().all(|one| !one)
    );
    let mut retry = writer.body(None, &file).data(&[1]).staged(&sent[1..]);
    for pages in rest.chunks(50) {
        retry = retry.data(pages);
    }
    let retry = retry.end(None);
    assert!(retry.len() < file.len() / 3, "{} of {}", retry.len(), file.len());
    let answer = writer.push(EMPTY, &retry);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(writer.served() == file);
    assert!(writer.staged(&leaves[1..]).iter().all(|staged| !staged), "what is committed is staged no more");
}

// Verifies: PAG-21, PAG-23
#[test]
fn what_is_wrong_with_a_push_is_told_and_changes_nothing() {
    let writer = Writer::new(1000);
    let known = writer.push_file(None);
    let before = writer.file();
    let file = writer.run("UPDATE t SET amount = amount + 1 WHERE id % 20 = 0");
    let body = || writer.body(Some(&known), &file);
    let differing = body().differing();
    let good = body().whole();
    let refused = |body: &[u8], status, reason| {
        let answer = writer.push(&known.tag, body);
        let told = assert_refused(&answer, status, reason);
        assert!(writer.served() == before, "{reason}");
        told["error"]["message"].as_str().unwrap().to_owned()
    };
    let changed = |at: usize, byte: u8| {
        let mut body = good.clone();
        body[at] = byte;
        body
    };
    assert!(refused(&changed(0, b'f'), 422, "BAD_BODY").ends_with("at byte 0"));
    assert!(refused(&changed(5, 16), 422, "BAD_BODY").ends_with("at byte 5"));
    refused(&changed(5, 0), 422, "BAD_BODY");
    assert!(refused(&changed(24, 9), 422, "BAD_BODY").ends_with("at byte 24"), "another base");
    refused(&changed(6, 13), 422, "BAD_BODY");
    refused(&changed(8, good[8] ^ 1), 422, "WRONG_DATABASE");
    refused(&[&good[..], &[0]].concat(), 422, "BAD_BODY");
    for length in [0, 10, 64, 78, 79, good.len() / 2, good.len() - 1] {
        refused(&good[..length], 422, "BAD_BODY");
    }
    refused(&body().data(&differing[1..]).end(None), 422, "ROOT_MISMATCH");
    refused(&body().data(&differing).end(Some([7; 32])), 422, "ROOT_MISMATCH");
}

// Verifies: PAG-23, PAG-32
#[test]
fn who_may_not_push_or_does_not_say_onto_what_is_refused() {
    let writer = Writer::new(50);
    let body = writer.body(None, &writer.file()).whole();
    assert_refused(&writer.send("POST", "pages", &[], &body), 428, "PRECONDITION_REQUIRED");
    for bad in ["1", "\"x\"", "*", "W/\"0-430ad47df199958e\"", "\"1-0\", \"2-0\""] {
        let answer = writer.send("POST", "pages", &[("If-Match", bad)], &body);
        assert_refused(&answer, 400, "INVALID_ARGUMENT");
    }
    let none = http::send(
        writer.place.hub.address(),
        "POST",
        &format!("/v1/databases/{}/pages", writer.place.database),
        &[("If-Match", "\"0-430ad47df199958e\"")],
        &body,
    );
    assert_refused(&none.unwrap(), 401, "UNAUTHENTICATED");
    let reader = Writer { token: token(&writer.place, &["read"]), ..writer };
    assert_refused(&reader.push(EMPTY, &body), 403, "PERMISSION_DENIED");
    assert_refused(&reader.send("POST", "pages/staged", &[], &[0; 32]), 403, "PERMISSION_DENIED");
    let writer = Writer { token: token(&reader.place, &["write"]), ..reader };
    assert_refused(&writer.send("POST", "pages/staged", &[], &[0; 33]), 400, "INVALID_ARGUMENT");
    // An empty file is the empty database, and never replaces another.
    let mut writer = writer;
    writer.token = token(&writer.place, &["read", "write"]);
    let nothing = writer.body(None, &[]).end(None);
    assert_eq!(writer.push(EMPTY, &nothing).json()["tag"], EMPTY);
    let known = writer.push_file(None);
    assert_refused(&writer.push(&known.tag, &nothing), 422, "NOT_SQLITE");
    // Neither does what is no database, nor a page 1 that is not in normal form: its root would be the same.
    let file = writer.file();
    let mut no_magic = normal(&file)[0].clone();
    no_magic[..16].copy_from_slice(b"SQLite format 4\0");
    for (page1, reason) in [(no_magic, "NOT_SQLITE"), (file[..4096].to_vec(), "BAD_BODY")] {
        let mut body = writer.body(None, &file);
        body.replace(0, page1);
        assert_refused(&writer.push(&known.tag, &body.whole()), 422, reason);
    }
    assert!(writer.served() == writer.file());
}

// Verifies: PAG-32
#[test]
fn what_the_hub_writes_is_not_pushed_to() {
    let writer = Writer::new(50);
    let made = writer.place.user.ferry("CreateDatabase", &json!({"name": "written", "kind": "hub"})).unwrap();
    let place = Place { database: made["id"].as_str().unwrap().to_owned(), ..writer.place };
    let writer = Writer { token: token(&place, &["read", "write", "admin"]), place, ..writer };
    let body = writer.body(None, &writer.file()).whole();
    assert_refused(&writer.push(EMPTY, &body), 409, "WRONG_KIND");
    let restore = writer.send("POST", "restore", &[("If-Match", &format!("\"{EMPTY}\""))], b"{\"at\":1}");
    assert_refused(&restore, 409, "WRONG_KIND");
}

// Verifies: PAG-25
#[test]
fn a_staged_page_that_is_gone_is_told() {
    let writer = Writer::new(200);
    let pages: Vec<usize> = (1..=normal(&writer.file()).len()).collect();
    let body = writer.body(None, &writer.file()).staged(&pages).end(None);
    assert_refused(&writer.push(EMPTY, &body), 422, "STAGED_GONE");
}

#[test]
fn limits_of_a_push() {
    let config =
        |options: ferry_testkit::hub::Options| options.env("FERRY_PAGES_MAX_DATABASE_BYTES", "100000");
    let writer = Writer::of(Place::of(config(options()).start()), 3000);
    let body = writer.body(None, &writer.file()).whole();
    assert_refused(&writer.push(EMPTY, &body), 413, "TOO_LARGE");
    let length = (100_000 + (64 << 20) + 1).to_string();
    let headers = [("If-Match", "\"0-430ad47df199958e\""), ("Content-Length", length.as_str())];
    assert_refused(&writer.send("POST", "pages", &headers, &[]), 413, "TOO_LARGE");
    let leaves = vec![7; 32 * 131_073];
    assert_refused(&writer.send("POST", "pages/staged", &[], &leaves), 413, "TOO_LARGE");
    assert!(writer.send("POST", "pages/staged", &[], &leaves[32..]).body.iter().all(|byte| *byte == 0));
}

#[test]
fn four_pushes_run_at_once_and_no_more() {
    let writer = Writer::new(300);
    let body = writer.body(None, &writer.file()).whole();
    let path = format!("/v1/databases/{}/pages", writer.place.database);
    let bearer = format!("Bearer {}", writer.token);
    let headers = [("Authorization", bearer.as_str()), ("If-Match", "\"0-430ad47df199958e\"")];
    let begin = || Unfinished::begin(writer.place.hub.address(), "POST", &path, &headers, &body);
    let running: Vec<_> = (0..4).map(|_| begin().unwrap()).collect();
    let fifth = begin().expect_err("one too many");
    assert_refused(&fifth, 429, "RATE_LIMITED");
    assert!(fifth.header("retry-after").is_some());
    drop(running);
    wait::until("a place is free", || begin().ok());
}

// Verifies: PAG-24, PAG-43, PAG-45
#[test]
fn killed_at_any_point_of_a_push_the_hub_has_the_old_version_or_the_new_and_a_retry_ends_it() {
    let mut writer = Writer::new(400);
    writer.push_file(None);
    let mut died = 0;
    let points = ["push.", "swap.", "stage."].map(fault_points).into_iter().flatten();
    for (n, point) in points.enumerate() {
        let before = writer.file();
        let known = Known { tag: etag(&writer), version: version(&writer), pages: normal(&before) };
        // In place, or as a file of another page size that is swapped in.
        let is_swap = point.starts_with("swap.") || point == "push.built";
        let size = if before[16] == 0x10 { 8192 } else { 4096 };
        let after = match is_swap {
            true => writer
                .run(&format!("PRAGMA page_size={size}; VACUUM; UPDATE t SET amount = {n} WHERE id = 3")),
            false => writer.run(&format!("UPDATE t SET amount = {n} WHERE id % 40 = 0")),
        };
        let body = writer.body((!is_swap).then_some(&known), &after).whole();
        writer.place = writer.place.restarted_with(|options| options.fault(format!("{point}=kill")));
        let answered = writer.try_push(&known.tag, &body);
        match &answered {
            Ok(answer) => assert_eq!(answer.status, 200, "{point}: {}", answer.text()),
            Err(_) => {
                writer.place.hub.ended();
                died += 1;
            }
        }
        writer.place = writer.place.restarted();
        let found = writer.served();
        assert!(found == before || found == after, "{point}: neither the old version nor the new one");
        assert!(answered.is_err() || found == after, "{point}: an acknowledged push is gone");
        let retry = writer.push(&known.tag, &body);
        if found == after {
            let told = assert_refused(&retry, 412, "VERSION_CONFLICT");
            let hex: String = root(&normal(&after)).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(told["current"]["root"], hex, "{point}");
        } else {
            assert_eq!(retry.status, 200, "{point}: {}", retry.text());
        }
        assert!(writer.served() == after, "{point}: after the retry");
    }
    assert!(died >= 8, "only {died} points were passed");
}

fn version(writer: &Writer) -> u64 {
    writer.send("HEAD", "file", &[], &[]).header("ferry-seq").unwrap().parse().unwrap()
}
