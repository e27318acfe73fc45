//! Databases that the hub itself writes, read by their pages as any other: each version is a commit, whatever writes beside it.

use std::{fs, path::Path};

use ferry_testkit::{
    dump, edgereplica,
    http::{self, Response},
    page_bodies::{apply, normal, root, tag},
    sse::EventStream,
    wait,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Place, hub};

/// A database that events and records write, and what reads its pages.
pub(super) struct Written {
    pub(super) place: Place,
    events: String,
    records: String,
    pub(super) pages: String,
}

impl Written {
    pub(super) fn new() -> Self {
        Self::of(Place::of(hub()))
    }

    /// The same of one more database.
    pub(super) fn beside(self, name: &str) -> Self {
        let database = self.place.user.create_database(name);
        Self::of(Place { database, ..self.place })
    }

    pub(super) fn of(place: Place) -> Self {
        let (events, pages) = (crate::events::token(&place, &["read", "write"]), place.pull_token());
        let records = crate::records::token(&place, &["read", "write"], &[]);
        Self { place, events, records, pages }
    }

    pub(super) fn restarted_with(
        self,
        change: impl FnOnce(ferry_testkit::hub::Options) -> ferry_testkit::hub::Options,
    ) -> Self {
        Self { place: self.place.restarted_with(change), ..self }
    }

    pub(super) fn call(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Response> {
        let bearer = format!("Bearer {token}");
        let headers = [&[("Authorization", bearer.as_str())][..], headers].concat();
        http::send(self.place.hub.address(), method, path, &headers, body.as_bytes())
    }

    /// Appends an event of about so many bytes; the commit that it is, or `None` if the hub is gone.
    pub(super) fn try_append(&self, store: &str, name: &str, bytes: usize) -> Option<u64> {
        let args = json!({"text": "x".repeat(bytes)});
        let body = json!({"store": store, "parentSeqNum": null, "clientId": "c", "sessionId": "s",
                          "events": [{"name": name, "args": args}]});
        let path = format!("/v1/databases/{}/events", self.place.database);
        let answer = self.call(&self.events, "POST", &path, &[], &body.to_string()).ok()?;
        assert!(answer.status < 300, "{} {}", answer.status, answer.text());
        Some(answer.header("ferry-seq").expect("Ferry-Seq").parse().unwrap())
    }

    pub(super) fn append(&self, name: &str) -> u64 {
        self.try_append("app", name, 40).expect("the hub runs")
    }

    pub(super) fn push_record(&self, id: &str, title: &str) {
        let change = crate::records::insert("tasks", id, title);
        let body = json!({"clientId": "one", "since": "", "changes": [change]}).to_string();
        let answer = self.call(&self.records, "POST", "/sync/todo", &[], &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    pub(super) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let path = format!("/v1/databases/{}/{path}", self.place.database);
        self.call(&self.pages, "GET", &path, headers, "").unwrap()
    }

    #[track_caller]
    pub(super) fn get(&self, path: &str) -> Response {
        let answer = self.get_with(path, &[]);
        assert!(answer.status < 400, "{path}: {} {}", answer.status, answer.text());
        answer
    }

    pub(super) fn stream(&self, query: &str) -> EventStream {
        let path = format!("/v1/databases/{}/pages/stream?{query}", self.place.database);
        let authorization = format!("Bearer {}", self.pages);
        EventStream::open(self.place.hub.address(), &path, &[("Authorization", &authorization)])
            .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
    }

    pub(super) fn follow_from_the_first_commit(&self) {
        let mut stream = self.stream("");
        let (_, told) = stream.expect("version");
        assert_eq!((told["version"].as_u64(), told["page_count"].as_u64()), (Some(0), Some(0)));
        for _ in 1..=3 {
            let newest = self.append("e");
            while stream.expect("version").1["version"].as_u64() < Some(newest) {}
        }
    }

    pub(super) fn folder(&self) -> std::path::PathBuf {
        self.place.hub.database_dir(&self.place.database)
    }

    /// The file of a version, as SQLite has it in its own words.
    pub(super) fn dump_of(file: &[u8], folder: &Path) -> Vec<String> {
        let path = folder.join("copy.db");
        fs::write(&path, file).unwrap();
        let ok: String = Connection::open(&path)
            .unwrap()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(ok, "ok");
        dump::dump(&path)
    }

    /// The commit that the hub's own file shows.
    pub(super) fn seq_on_disk(&self) -> u64 {
        seq_of(&self.folder().join("main.db"))
    }

    /// What is served is what the file of the hub shows, once the hub has written down what it does by itself.
    pub(super) fn assert_served_as_it_is(&self, folder: &Path) {
        wait::until("the newest version to be served", || {
            let newest = self.seq_on_disk().to_string();
            let file = self.get_with("file", &[("Ferry-Min-Seq", &newest)]).body;
            (Self::dump_of(&file, folder) == dump::dump(&self.folder().join("main.db"))).then_some(())
        });
    }

    pub(super) fn oldest_tag(&self) -> String {
        let list = self.get("pages/versions?limit=1000").json();
        let versions = list["versions"].as_array().unwrap();
        versions.last().unwrap()["tag"].as_str().unwrap().to_owned()
    }
}

pub(super) fn etag(response: &Response) -> String {
    response.header("etag").expect("ETag").trim_matches('"').to_owned()
}

pub(super) fn seq(response: &Response) -> u64 {
    response.header("ferry-seq").expect("Ferry-Seq").parse().unwrap()
}

pub(super) fn seq_of(file: &Path) -> u64 {
    let select = "SELECT value FROM _ferry_meta WHERE key = 'seq'";
    let connection = Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.query_row(select, [], |row| row.get(0)).unwrap()
}

// Verifies: PAG-40, PAG-41, PAG-46, PAG-20, PAG-29
#[test]
fn a_database_that_the_hub_writes_is_read_like_any_other() {
    let written = Written::new();
    let folder = tempfile::tempdir().unwrap();
    for n in 0..30 {
        written.append(&format!("before{n}"));
    }
    assert!(!written.folder().join("pages").exists(), "nothing before the first page request");
    let first = written.get("file");
    assert!(seq(&first) >= 30, "{}", seq(&first));
    assert_eq!(etag(&first), tag(seq(&first), &root(&normal(&first.body))));
    let mut known = vec![(etag(&first), first.body.clone())];
    for n in 0..20 {
        let newest = written.append(&format!("after{n}"));
        written.push_record(&format!("r{n}"), "a title");
        let min = (newest + 1).to_string();
        let (old_tag, old) = known.last().unwrap();
        let body = written.get_with(&format!("pages?since={old_tag}"), &[("Ferry-Min-Seq", &min)]);
        assert_eq!(body.status, 200, "{}", body.text());
        let applied = apply(&normal(old), &body.body);
        assert!(!applied.full && applied.version > newest, "{} of {newest}", applied.version);
        assert!(body.body.len() < 8_000, "{} bytes", body.body.len());
        let file = written.get(&format!("file?at={}", etag(&body))).body;
        assert!(normal(&file) == applied.pages);
        known.push((etag(&body), file));
    }
    for (tag, file) in &known {
        assert!(written.get(&format!("file?at={tag}")).body == *file, "{tag} is another now");
    }
    written.assert_served_as_it_is(folder.path());
    let listed = written.get("pages/versions").json();
    assert!(listed["versions"].as_array().unwrap().len() >= known.len());
    // EdgeReplica's client reads the same.
    let copy = folder.path().join("edge.db");
    wait::until("EdgeReplica's client to have what the hub has", || {
        edgereplica::pull(written.place.hub.address(), &written.pages, &copy).unwrap();
        (dump::dump(&copy) == dump::dump(&written.folder().join("main.db"))).then_some(())
    });
}

// Verifies: PAG-41
#[test]
fn who_has_written_reads_his_write() {
    let written = Written::new();
    written.append("first");
    written.get("file");
    for n in 0..40 {
        let newest = written.append(&format!("e{n}"));
        let min = newest.to_string();
        let head = written.get_with("pages?since=0&pages=1", &[("Ferry-Min-Seq", &min)]);
        assert!(head.status == 200 && seq(&head) >= newest, "{} of {newest}", head.status);
    }
    let refused = written.get_with("file", &[("Ferry-Min-Seq", "100000")]);
    assert_eq!((refused.status, refused.json()["error"]["reason"].as_str()), (503, Some("SEQ_NOT_REACHED")));
}

// Verifies: PAG-32
#[test]
fn it_takes_no_push() {
    let written = Written::new();
    written.append("first");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.db");
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    assert!(written.place.try_push(&file).is_err());
}

// Verifies: PAG-31, PAG-30, PAG-32
#[test]
fn a_fork_goes_its_own_way_with_logs_of_its_own() {
    let mut written = Written::new();
    let (kept, folder) = (written.append("kept"), tempfile::tempdir().unwrap());
    let admin = super::http_push::token(&written.place, &["read", "write", "admin"]);
    let post = |written: &Written, rest: &str, headers: &[(&str, &str)], body: &Value| {
        let path = format!("/v1/databases/{}/{rest}", written.place.database);
        written.call(&admin, "POST", &path, headers, &body.to_string()).unwrap()
    };
    let at = etag(&written.get_with("file", &[("Ferry-Min-Seq", &kept.to_string())]));
    written.append("later");
    let quoted = format!("\"{at}\"");
    for (rest, body) in [("restore", json!({"at": at})), ("pages", json!({}))] {
        let refused = post(&written, rest, &[("If-Match", &quoted)], &body);
        assert_eq!(
            (refused.status, refused.json()["error"]["reason"].as_str()),
            (409, Some("WRONG_KIND")),
            "{rest}"
        );
    }
    let answer = post(&written, "fork", &[], &json!({"name": "fork", "at": at}));
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    let backend = |written: &Written, folder: &Path| {
        let path = folder.join("identity.db");
        fs::write(&path, written.get("file").body).unwrap();
        let select = "SELECT backend_id, head FROM _ferry_event_logs WHERE store_id = 'app'";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?));
        Connection::open(&path).unwrap().query_row(select, [], row).unwrap()
    };
    let (original, _) = backend(&written, folder.path());
    written.place.database = made["id"].as_str().unwrap().to_owned();
    let fork = Written::of(written.place);
    assert_eq!(etag(&fork.get("file")), made["tag"].as_str().unwrap());
    let (id, head) = backend(&fork, folder.path());
    assert!(id != original && head == 1, "{id}, {original}, {head}");
    assert_eq!(fork.place.user.database(&fork.place.database)["kind"], "hub");
    let newest = fork.append("of the fork").to_string();
    let body = fork
        .get_with(&format!("pages?since={}", made["tag"].as_str().unwrap()), &[("Ferry-Min-Seq", &newest)]);
    assert_eq!(body.status, 200, "{}", body.text());
    fork.assert_served_as_it_is(folder.path());
}
