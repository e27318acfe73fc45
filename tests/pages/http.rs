//! Ferry's own page wire: files, bodies between versions, the list of versions and the stream of them, read by a second
//! implementation of the format.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferry_testkit::{
    Direction,
    http::{self, Response},
    page_bodies::{apply, normal, root, tag, unzstd},
    sample::{self, Shape},
    sse::{EventStream, Sent},
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::Place;

fn run(file: &Path, sql: &str) {
    Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

/// A place whose database is pushed from a file in rollback mode, and a token to read it.
struct Pages {
    place: Place,
    folder: tempfile::TempDir,
    token: String,
}

impl Pages {
    fn new(rows: u64) -> Self {
        let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
        sample::standard(&folder.path().join("app.db"), rows, 5);
        let token = place.pull_token();
        let pages = Self { place, folder, token };
        run(&pages.file(), "PRAGMA journal_mode=DELETE");
        pages
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("app.db")
    }

    /// Changes the file and pushes it; its bytes.
    fn push(&self, sql: &str) -> Vec<u8> {
        run(&self.file(), sql);
        self.place.push(&self.file());
        fs::read(self.file()).unwrap()
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let path = format!("/v1/databases/{}/{path}", self.place.database);
        let authorization = format!("Bearer {}", self.token);
        let headers = [&[("Authorization", authorization.as_str())][..], headers].concat();
        http::send(self.place.hub.address(), method, &path, &headers, &[]).unwrap()
    }

    fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[])
    }

    /// The tag of the newest version.
    fn tag(&self) -> String {
        etag(&self.send("HEAD", "file", &[]))
    }

    fn stream(&self, query: &str, headers: &[(&str, &str)]) -> EventStream {
        let path = format!("/v1/databases/{}/pages/stream?{query}", self.place.database);
        let authorization = format!("Bearer {}", self.token);
        let headers = [&[("Authorization", authorization.as_str())][..], headers].concat();
        EventStream::open(self.place.hub.address(), &path, &headers).unwrap()
    }
}

fn etag(response: &Response) -> String {
    let etag =
        response.header("etag").unwrap_or_else(|| panic!("no ETag: {} {}", response.status, response.text()));
    etag.trim_start_matches("W/").trim_matches('"').to_owned()
}

#[track_caller]
fn assert_refused(response: &Response, status: u16, reason: &str) -> Value {
    assert_eq!(response.status, status, "{}", response.text());
    let body = response.json();
    assert_eq!(body["error"]["reason"], reason, "{body}");
    assert!(body["error"]["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{body}");
    body
}

// Verifies: PAG-20
#[test]
fn the_file_is_what_was_pushed_whole_or_in_parts() {
    let pages = Pages::new(3000);
    let file = pages.push("");
    let whole = pages.get("file");
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("application/vnd.sqlite3")));
    assert!(whole.body == file, "the pushed file byte for byte");
    assert_eq!(whole.header("ferry-seq"), Some("1"));
    let first = etag(&whole);
    assert_eq!(first, tag(1, &root(&normal(&file))));

    let head = pages.send("HEAD", "file", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some(&*file.len().to_string())));
    let compressed = pages.send("HEAD", "file", &[("Accept-Encoding", "zstd")]);
    assert_eq!(
        (compressed.header("content-encoding"), compressed.header("content-length")),
        (Some("zstd"), None)
    );
    let mut joined = Vec::new();
    while joined.len() < file.len() {
        let range = format!("bytes={}-{}", joined.len(), joined.len() + 300_000);
        let part = pages.send("GET", &format!("file?at={first}"), &[("Range", &range)]);
        assert_eq!((part.status, etag(&part)), (206, first.clone()));
        let last = joined.len() + part.body.len() - 1;
        let told = format!("bytes {}-{last}/{}", joined.len(), file.len());
        assert_eq!(part.header("content-range"), Some(&*told));
        joined.extend(part.body);
    }
    assert!(joined == file, "ranges join");
    let quoted = format!("\"{first}\"");
    assert_eq!(pages.send("GET", "file", &[("If-None-Match", &quoted)]).status, 304);
    let beyond = pages.send("GET", "file", &[("Range", "bytes=99999999-")]);
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some(&*format!("bytes */{}", file.len())))
    );

    let compressed = pages.send("GET", "file", &[("Accept-Encoding", "gzip, zstd")]);
    assert_eq!(compressed.header("content-encoding"), Some("zstd"));
    assert_eq!(compressed.header("etag"), Some(&*format!("W/{quoted}")));
    assert!(compressed.body.len() < file.len() * 3 / 4);
    assert!(unzstd(&compressed.body) == file);

    let second = pages.push("UPDATE t SET amount = amount + 1 WHERE id % 50 = 0");
    assert_eq!(pages.send("GET", "file", &[("If-None-Match", &quoted)]).status, 200);
    let stale = pages.send("GET", "file", &[("Range", "bytes=0-9"), ("If-Range", &quoted)]);
    assert!(stale.status == 200 && stale.body == second, "a part of another version is of no use");
    let old = pages.send("GET", &format!("file?at={first}"), &[("Range", "bytes=4096-8191")]);
    assert!(old.body == file[4096..8192], "the version that was is served while it is kept");
    let Pages { place, folder, token } = pages;
    let pages = Pages { place: place.restarted(), folder, token };
    assert!(pages.get(&format!("file?at={first}")).body == file, "also after a restart");
    assert!(pages.get("file").body == second);
}

// Verifies: PAG-21, PAG-22
#[test]
fn a_reader_goes_from_any_version_to_the_newest_by_what_changed() {
    let pages = Pages::new(4000);
    let mut versions: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for (sql, most) in [
        ("", usize::MAX),
        ("UPDATE t SET amount = 7 WHERE id = 1234", 200),
        ("INSERT INTO t SELECT NULL, uid || 'x', name, note, amount, ts FROM t WHERE id < 100", 60_000),
        ("CREATE TABLE other(a, b); INSERT INTO other SELECT uid, id FROM t", 200_000),
        ("DELETE FROM t WHERE id % 3 = 0", 400_000),
        ("VACUUM", 400_000),
        ("ALTER TABLE t DROP COLUMN note", 400_000),
    ] {
        let image = normal(&pages.push(sql));
        for (n, (had, base)) in versions.iter().enumerate() {
            let answer = pages.get(&format!("pages?since={had}"));
            assert_eq!(
                answer.header("content-type"),
                Some("application/vnd.ferry.pages"),
                "{}",
                answer.text()
            );
            let applied = apply(base, &answer.body);
            assert!(applied.pages == image, "{sql}: from {had}");
            assert!(!applied.full, "{sql}: from {had}");
            assert_eq!(etag(&answer), tag(applied.version, &applied.root));
            if n + 1 == versions.len() {
                assert!(answer.body.len() <= most, "{sql}: {} bytes", answer.body.len());
            }
            // And back.
            let back = pages.get(&format!("pages?since={}&at={had}", etag(&answer)));
            assert!(apply(&image, &back.body).pages == *base, "{sql}: back to {had}");
        }
        let fresh = pages.get("pages?since=0");
        let applied = apply(&[], &fresh.body);
        assert!(applied.full && applied.pages == image, "{sql}: from nothing");
        versions.push((etag(&fresh), image));
    }
    // Whoever knows an image but not its number names the root.
    let (_, first) = &versions[0];
    let hex: String = root(first).iter().map(|byte| format!("{byte:02x}")).collect();
    let answer = pages.get(&format!("pages?since=root:{hex}"));
    assert!(apply(first, &answer.body).pages == versions.last().unwrap().1);
    let nothing = pages.get(&format!("pages?since={}", versions.last().unwrap().0));
    assert_eq!((nothing.status, nothing.body.len()), (204, 0));
    assert_eq!(etag(&nothing), versions.last().unwrap().0);
}

// Verifies: PAG-26
#[test]
fn one_encoding_serves_all_readers_of_a_version() {
    let pages = Pages::new(500);
    pages.push("");
    let had = pages.tag();
    pages.push("UPDATE t SET amount = 1 WHERE id = 9");
    let answers: Vec<Vec<u8>> = (0..5).map(|_| pages.get(&format!("pages?since={had}")).body).collect();
    assert!(answers.iter().all(|body| *body == answers[0]));
    let metrics = http::get(pages.place.hub.address(), "/metrics").unwrap().text();
    let count = |from: &str| metrics.contains(&format!("ferry_pages_bodies_total{{from=\"{from}\"}} "));
    assert!(count("made") && count("kept"), "{metrics}");
    assert!(metrics.contains("ferry_pages_bodies_total{from=\"made\"} 1"), "{metrics}");
}

// Verifies: PAG-25
#[test]
fn a_reader_may_ask_for_some_pages_only() {
    let pages = Pages::new(2000);
    let image = normal(&pages.push(""));
    let count = image.len();
    let half = pages.get(&format!("pages?since=0&pages=1-{}", count / 2));
    let rest = pages.get(&format!("pages?since=0&pages={}-", count / 2 + 1));
    let (half, rest) = (apply(&[], &half.body).pages, apply(&[], &rest.body).pages);
    let joined = [&half[..count / 2], &rest[count / 2..]].concat();
    assert!(joined == image, "the parts join");
    assert_refused(&pages.get("pages?since=0&pages=5-1"), 400, "INVALID_ARGUMENT");
}

// Verifies: PAG-22, PAG-29
#[test]
fn what_is_unknown_or_gone_is_refused_with_the_way_on() {
    let pages = Pages::new(300);
    let empty = pages.get("pages?since=0");
    assert_eq!((empty.status, &*etag(&empty)), (204, "0-430ad47df199958e"));
    let empty = pages.get("file");
    assert_eq!((empty.status, empty.body.len()), (200, 0));
    pages.push("");
    let tag = pages.tag();
    for unknown in [
        "1-0000000000000000",
        "2-47059a7efff88c8b",
        "0-47059a7efff88c8b",
        &format!("root:{}", "0".repeat(64)),
    ] {
        let body = assert_refused(&pages.get(&format!("pages?since={unknown}")), 410, "BASE_UNKNOWN");
        assert_eq!(body["current"]["tag"], tag, "{body}");
    }
    let body = assert_refused(&pages.get("file?at=1-0000000000000000"), 410, "VERSION_GONE");
    assert!(body["error"]["message"].as_str().unwrap().contains(&tag), "the oldest is named: {body}");
    assert_refused(&pages.get("file?at=2001-01-01T00:00:00Z"), 410, "VERSION_GONE");
    assert_refused(&pages.get("file?at=2101-01-01T00:00:00Z"), 404, "NOT_FOUND");
    for bad in ["pages", "pages?since=x", "pages?since=1", "file?at=yesterday", "pages?since=0&wait=56"] {
        assert_refused(&pages.get(bad), 400, "INVALID_ARGUMENT");
    }
    let method = pages.send("DELETE", "file", &[]);
    assert_refused(&method, 405, "METHOD_NOT_ALLOWED");
    assert_eq!(method.header("allow"), Some("GET, HEAD"));
    assert_refused(&pages.get("pages/other"), 404, "NOT_FOUND");
    let early = pages.send("GET", "file", &[("Ferry-Min-Seq", "9")]);
    assert_refused(&early, 503, "SEQ_NOT_REACHED");
    assert_eq!(pages.send("GET", "file", &[("Ferry-Min-Seq", "1")]).status, 200);
}

#[test]
fn who_may_not_read_pages_is_refused() {
    let pages = Pages::new(100);
    pages.push("");
    let address = pages.place.hub.address();
    let path = format!("/v1/databases/{}/file", pages.place.database);
    assert_refused(&http::get(address, &path).unwrap(), 401, "UNAUTHENTICATED");
    let push = Pages { token: pages.place.push_token(), ..pages };
    assert_refused(&push.get("file"), 403, "PERMISSION_DENIED");
    let other = push.place.user.create_database("other");
    let token = push.place.user.sync_token(&other, Direction::Pull);
    let stranger = Pages { token, ..push };
    assert_refused(&stranger.get("pages?since=0"), 404, "NOT_FOUND");
}

#[test]
fn versions_are_listed_page_by_page() {
    let pages = Pages::new(200);
    pages.push("");
    for n in 0..4 {
        pages.push(&format!("UPDATE t SET amount = {n} WHERE id = 7"));
    }
    let first = pages.get("pages/versions?limit=3").json();
    let numbers = |list: &Value| -> Vec<u64> {
        list["versions"].as_array().unwrap().iter().map(|row| row["version"].as_u64().unwrap()).collect()
    };
    assert_eq!((numbers(&first), &first["next"]), (vec![5, 4, 3], &json!(3)));
    let rest = pages.get("pages/versions?before=3").json();
    assert_eq!((numbers(&rest), &rest["next"]), (vec![2, 1], &Value::Null));
    let newest = &first["versions"][0];
    assert_eq!((&newest["tag"], &newest["page_size"]), (&json!(pages.tag()), &json!(4096)));
    assert!(newest["pages"].as_u64().is_some_and(|pages| (1..5).contains(&pages)), "{newest}");
    let time = newest["time"].as_str().unwrap();
    assert_eq!(etag(&pages.get(&format!("file?at={time}"))), pages.tag());
}

// Verifies: PAG-28
#[test]
fn a_stream_tells_of_each_version_and_may_carry_what_changed() {
    let pages = Pages::new(400);
    let mut image = normal(&pages.push(""));
    let mut stream = pages.stream("inline=65536", &[]);
    let (id, first) = stream.expect("version");
    assert_eq!((id.as_deref(), &first["tag"]), (first["tag"].as_str(), &json!(pages.tag())));
    assert!(first["body"].is_null(), "what the reader has is not known: {first}");
    for n in 0..3 {
        let new = normal(&pages.push(&format!("UPDATE t SET amount = {n} WHERE id = 3")));
        let (_, event) = stream.expect("version");
        assert_eq!(event["tag"], pages.tag());
        let body =
            STANDARD.decode(event["body"].as_str().unwrap_or_else(|| panic!("no body: {event}"))).unwrap();
        assert!(apply(&image, &body).pages == new);
        image = new;
    }
    let tag = pages.tag();
    // Who comes again with the newest is told of the next only.
    let mut again = pages.stream("", &[("Last-Event-ID", &tag)]);
    pages.push("DELETE FROM t WHERE id = 5");
    let (_, event) = again.expect("version");
    assert_eq!((&event["version"], event["page_count"].is_u64()), (&json!(5), true));
    // With the database its streams end.
    pages.place.user.ferry("DeleteDatabase", &json!({"databaseId": pages.place.database})).unwrap();
    loop {
        match again.next() {
            Sent::End => break,
            Sent::Comment(_) => {}
            Sent::Event { data, .. } => panic!("{data}"),
        }
    }
}

#[test]
fn a_request_may_wait_for_the_next_version() {
    let pages = Pages::new(100);
    pages.push("");
    let tag = pages.tag();
    assert_eq!(pages.get(&format!("pages?since={tag}&wait=0")).status, 204);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pages.get(&format!("pages?since={tag}&wait=55")));
        let image = normal(&pages.push("UPDATE t SET amount = 0 WHERE id = 1"));
        let answer = waiting.join().unwrap();
        assert_eq!(answer.status, 200);
        assert!(apply(&[], &pages.get("pages?since=0").body).pages == image);
        assert_eq!(etag(&answer), pages.tag());
    });
}

// Verifies: PAG-21
#[test]
fn every_page_size_travels() {
    for page_size in [512, 1024, 8192, 65536] {
        let place = Place::new();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.db");
        Shape { page_size, ..Shape::default() }.create(&file, 200, 1);
        place.push(&file);
        let token = place.pull_token();
        let pages = Pages { place, folder, token };
        let full = apply(&[], &pages.get("pages?since=0").body);
        let bytes = pages.get("file").body;
        assert!(full.pages == normal(&bytes), "{page_size}");
        let had = pages.tag();
        pages.push("CREATE TABLE more(x); INSERT INTO more VALUES (randomblob(3000))");
        let body = pages.get(&format!("pages?since={had}")).body;
        assert!(apply(&full.pages, &body).pages == normal(&pages.get("file").body), "{page_size}");
    }
}
