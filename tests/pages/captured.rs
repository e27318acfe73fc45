//! Databases that the hub itself writes, read and followed by their pages: each version is a commit, whatever writes beside
//! it, and history goes on over closing, restarts and kills.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferry_testkit::{
    dump, edgereplica,
    http::{self, Response},
    page_bodies::{apply, normal, root, tag},
    sse::EventStream,
    wait,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Place, fault_points, hub, options};

/// A database that events and records write, and what reads its pages.
struct Written {
    place: Place,
    events: String,
    records: String,
    pages: String,
}

impl Written {
    fn new() -> Self {
        Self::of(Place::of(hub()))
    }

    /// The same of one more database.
    fn beside(self, name: &str) -> Self {
        let database = self.place.user.create_database(name);
        Self::of(Place { database, ..self.place })
    }

    fn of(place: Place) -> Self {
        let (events, pages) = (crate::events::token(&place, &["read", "write"]), place.pull_token());
        let records = crate::records::token(&place, &["read", "write"], &[]);
        Self { place, events, records, pages }
    }

    fn restarted_with(
        self,
        change: impl FnOnce(ferry_testkit::hub::Options) -> ferry_testkit::hub::Options,
    ) -> Self {
        Self { place: self.place.restarted_with(change), ..self }
    }

    fn call(
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
    fn try_append(&self, store: &str, name: &str, bytes: usize) -> Option<u64> {
        let args = json!({"text": "x".repeat(bytes)});
        let body = json!({"store": store, "parentSeqNum": null, "clientId": "c", "sessionId": "s",
                          "events": [{"name": name, "args": args}]});
        let path = format!("/v1/databases/{}/events", self.place.database);
        let answer = self.call(&self.events, "POST", &path, &[], &body.to_string()).ok()?;
        assert!(answer.status < 300, "{} {}", answer.status, answer.text());
        Some(answer.header("ferry-seq").expect("Ferry-Seq").parse().unwrap())
    }

    fn append(&self, name: &str) -> u64 {
        self.try_append("app", name, 40).expect("the hub runs")
    }

    fn push_record(&self, id: &str, title: &str) {
        let change = crate::records::insert("tasks", id, title);
        let body = json!({"clientId": "one", "since": "", "changes": [change]}).to_string();
        let answer = self.call(&self.records, "POST", "/sync/todo", &[], &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let path = format!("/v1/databases/{}/{path}", self.place.database);
        self.call(&self.pages, "GET", &path, headers, "").unwrap()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Response {
        let answer = self.get_with(path, &[]);
        assert!(answer.status < 400, "{path}: {} {}", answer.status, answer.text());
        answer
    }

    fn stream(&self, query: &str) -> EventStream {
        let path = format!("/v1/databases/{}/pages/stream?{query}", self.place.database);
        let authorization = format!("Bearer {}", self.pages);
        EventStream::open(self.place.hub.address(), &path, &[("Authorization", &authorization)])
            .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
    }

    fn follow_from_the_first_commit(&self) {
        let mut stream = self.stream("");
        let (_, told) = stream.expect("version");
        assert_eq!((told["version"].as_u64(), told["page_count"].as_u64()), (Some(0), Some(0)));
        for _ in 1..=3 {
            let newest = self.append("e");
            while stream.expect("version").1["version"].as_u64() < Some(newest) {}
        }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.place.hub.database_dir(&self.place.database)
    }

    /// The file of a version, as SQLite has it in its own words.
    fn dump_of(file: &[u8], folder: &Path) -> Vec<String> {
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
    fn seq_on_disk(&self) -> u64 {
        seq_of(&self.folder().join("main.db"))
    }

    /// What is served is what the file of the hub shows, once the hub has written down what it does by itself.
    fn assert_served_as_it_is(&self, folder: &Path) {
        wait::until("the newest version to be served", || {
            let newest = self.seq_on_disk().to_string();
            let file = self.get_with("file", &[("Ferry-Min-Seq", &newest)]).body;
            (Self::dump_of(&file, folder) == dump::dump(&self.folder().join("main.db"))).then_some(())
        });
    }

    fn oldest_tag(&self) -> String {
        let list = self.get("pages/versions?limit=1000").json();
        let versions = list["versions"].as_array().unwrap();
        versions.last().unwrap()["tag"].as_str().unwrap().to_owned()
    }
}

fn etag(response: &Response) -> String {
    response.header("etag").expect("ETag").trim_matches('"').to_owned()
}

fn seq(response: &Response) -> u64 {
    response.header("ferry-seq").expect("Ferry-Seq").parse().unwrap()
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

// Verifies: PAG-28, PAG-41, PAG-26
#[test]
fn a_follower_has_every_image_that_it_is_told_of_under_concurrent_writes() {
    let written = Written::new();
    let folder = tempfile::tempdir().unwrap();
    written.append("first");
    let mut stream = written.stream("inline=65536");
    let (_, told) = stream.expect("version");
    let mut image = normal(&written.get(&format!("file?at={}", told["tag"].as_str().unwrap())).body);
    let mut last = told["version"].as_u64().unwrap();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let written = &written;
                scope.spawn(move || {
                    for n in 0..150 {
                        match writer {
                            0 => written.push_record(&format!("w{n}"), &"long ".repeat(n)),
                            _ => {
                                written.try_append(&format!("s{writer}"), "e", n * 20).unwrap();
                            }
                        }
                    }
                })
            })
            .collect();
        let (is_done, written) = (&is_done, &written);
        scope.spawn(move || {
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            written.append("last");
            is_done.store(true, Ordering::Release);
            written.append("after that");
        });
        let mut inlined = 0;
        let is_told_all = |image: &[Vec<u8>]| {
            let hub = dump::dump(&written.folder().join("main.db"));
            Written::dump_of(&image.concat(), folder.path()) == hub
        };
        while !(is_done.load(Ordering::Acquire) && last == written.seq_on_disk() && is_told_all(&image)) {
            let (_, event) = stream.expect("version");
            let version = event["version"].as_u64().unwrap();
            assert!(version > last, "{last}, then {version}");
            last = version;
            let body = match event["body"].as_str() {
                Some(body) => {
                    inlined += 1;
                    STANDARD.decode(body).unwrap()
                }
                None => {
                    let since = tag(last_version(&image), &root(&image));
                    written.get(&format!("pages?since={since}&at={}", event["tag"].as_str().unwrap())).body
                }
            };
            image = apply(&image, &body).pages;
            assert_eq!(tag(version, &root(&image)), event["tag"].as_str().unwrap());
        }
        assert!(inlined > 5, "{inlined}");
    });
}

/// The commit that an image shows.
fn last_version(image: &[Vec<u8>]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.db");
    fs::write(&path, image.concat()).unwrap();
    seq_of(&path)
}

fn seq_of(file: &Path) -> u64 {
    let select = "SELECT value FROM _ferry_meta WHERE key = 'seq'";
    let connection = Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.query_row(select, [], |row| row.get(0)).unwrap()
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

// Verifies: PAG-28
#[test]
fn a_follower_of_an_empty_database_sees_its_first_commit() {
    Written::new().follow_from_the_first_commit();
}

// Verifies: PAG-28, PAG-40
#[test]
fn followers_of_many_empty_databases_see_every_commit() {
    // The first commit may be told of while it makes somebody open the versions.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut written = Written::new();
                for n in 0..25 {
                    written.follow_from_the_first_commit();
                    written = written.beside(&format!("n{n}"));
                }
            });
        }
    });
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

// Verifies: PAG-42, PAG-47, PAG-49
#[test]
fn history_goes_on_over_checkpoints_and_restarts() {
    let mut written = Written::new();
    written.append("first");
    let first = written.get("file");
    let (first_tag, first) = (etag(&first), first.body);
    for n in 0..60 {
        written.try_append("app", &format!("e{n}"), 200_000).unwrap();
        if n == 30 {
            written.place.hub.stop();
            written = written.restarted_with(|options| options);
        }
    }
    let wal = fs::metadata(written.folder().join("main.db-wal")).map_or(0, |wal| wal.len());
    assert!(wal < 17 << 20, "the WAL has {wal} bytes");
    let old = written.get(&format!("file?at={first_tag}"));
    assert!(old.body == first, "the first version is there still");
    let body = written.get(&format!("pages?since={first_tag}"));
    assert!(
        apply(&normal(&first), &body.body).pages
            == normal(&written.get(&format!("file?at={}", etag(&body))).body)
    );
}

// Verifies: PAG-41, PAG-42, PAG-47
#[test]
fn killed_anywhere_it_serves_what_was_acknowledged() {
    let points: Vec<String> = ["capture.", "checkpoint.", "activate.", "recapture."]
        .iter()
        .flat_map(|prefix| fault_points(prefix))
        .collect();
    assert!(points.len() >= 8, "{points:?}");
    let mut written = Written::new();
    written.append("first");
    let (mut died, mut acknowledged) = (Vec::new(), 1);
    for point in &points {
        if point.starts_with("activate.") {
            written.place.hub.stop();
            fs::remove_dir_all(written.folder().join("pages")).ok();
        }
        written = written.restarted_with(|options| options.fault(format!("{point}=kill")));
        let path = format!("/v1/databases/{}/file", written.place.database);
        for n in 0..60 {
            let _ = written.call(&written.pages, "GET", &path, &[], "");
            match written.try_append("app", &format!("e{n}"), 100_000) {
                Some(seq) => acknowledged = seq,
                None => break,
            }
        }
        let has_died = written.try_append("app", "still", 10).is_none();
        if has_died {
            written.place.hub.ended();
            died.push(point.clone());
        } else {
            written.place.hub.kill();
        }
        written = written.restarted_with(ferry_testkit::hub::Options::without_faults);
        let file = written.get("file");
        assert!(seq(&file) >= acknowledged, "{point}: {} of {acknowledged}", seq(&file));
        assert_eq!(etag(&file), tag(seq(&file), &root(&normal(&file.body))), "{point}");
        let folder = tempfile::tempdir().unwrap();
        written.assert_served_as_it_is(folder.path());
    }
    assert!(died.len() + 2 >= points.len(), "only {died:?} of {points:?} were passed");
}

// Verifies: PAG-48
#[test]
fn page_files_may_be_deleted_while_the_hub_is_stopped() {
    let mut written = Written::new();
    written.append("first");
    let old = etag(&written.get("file"));
    written.place.hub.stop();
    fs::remove_dir_all(written.folder().join("pages")).unwrap();
    written = written.restarted_with(|options| options);
    assert_eq!(etag(&written.get("file")), old);
    let newest = written.append("second").to_string();
    let body = written.get_with(&format!("pages?since={old}"), &[("Ferry-Min-Seq", &newest)]);
    assert_eq!(body.status, 200, "{}", body.text());
}

// Verifies: PAG-47, PAG-22, OPR-34, OPR-35
#[test]
fn an_older_backup_that_is_put_back_ends_newer_versions() {
    let mut written = Written::new();
    written.append("first");
    let kept = written.get("file");
    written.place.hub.stop();
    let backup = tempfile::tempdir().unwrap();
    crate::support::copy_folder(&written.folder(), backup.path());
    written = written.restarted_with(|options| options);
    for n in 0..3 {
        written.append(&format!("lost{n}"));
    }
    let newest = written.seq_on_disk().to_string();
    let lost = etag(&written.get_with("file", &[("Ferry-Min-Seq", &newest)]));
    written.place.hub.stop();
    // The page files are newer than the database: the index must not be believed.
    let file = backup.path().join("main.db");
    for side in ["main.db-wal", "main.db-shm"] {
        let _ = fs::remove_file(written.folder().join(side));
    }
    fs::copy(&file, written.folder().join("main.db")).unwrap();
    written = written.restarted_with(|options| options);
    // The file is older than what was acknowledged: it goes on behind all numbers that were given out.
    let now = written.get("file");
    assert!(seq(&now) >= 1_000_000 && etag(&now) != etag(&kept), "{}", etag(&now));
    let events = |file: &Response| -> i64 {
        let path = backup.path().join("answer.db");
        fs::write(&path, &file.body).unwrap();
        let count = "SELECT count(*) FROM _ferry_events";
        rusqlite::Connection::open(&path).unwrap().query_row(count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(events(&now), events(&kept));
    // Its versions begin anew: who holds one that was lost is given the whole file.
    let is_full = |answer: &Response| answer.body[5] & 1 == 1;
    let answer = written.get_with(&format!("pages?since={lost}"), &[]);
    assert!(answer.status == 200 && is_full(&answer), "{}", answer.status);
    for n in 0..5 {
        // The events' own store is on hold: its clients must decide.
        written.push_record(&format!("again{n}"), "a title");
        let answer = written.get_with(&format!("pages?since={lost}"), &[]);
        // Of a number that is not listed, since its commit shares a version with a later one, a base is trusted: the reader
        // finds by the root that his is another.
        let number = lost.split('-').next().unwrap().parse::<u64>().unwrap();
        let list = written.get("pages/versions?limit=1000").json();
        let is_listed = list["versions"].as_array().unwrap().iter().any(|row| row["version"] == number);
        assert!(answer.status == 410 || !is_listed || is_full(&answer), "{}", answer.status);
    }
}

/// More databases than may be open: each is closed and opened again, and none is read as a whole for that.
// Verifies: PAG-40, PAG-47
#[test]
fn closed_for_others_their_histories_go_on() {
    const DATABASES: usize = 24;
    let hub = options().arg("--max-open-databases=6").start();
    let user = hub.signup("ada@example.com");
    let mut hub = Some((hub, user));
    let mut all = Vec::new();
    for n in 0..DATABASES {
        let (hub, user) = hub.as_ref().unwrap();
        let database = user.create_database(&format!("app{n}"));
        let bearer = user.sync_token(&database, ferry_testkit::Direction::Pull);
        let request = json!({"databaseId": database, "models": ["events"], "ops": ["read", "write"], "ttlSeconds": 3600});
        let events: Value = user.ferry("IssueSyncToken", &request).unwrap();
        all.push((
            database,
            bearer,
            events["token"].as_str().unwrap().to_owned(),
            hub.address(),
            String::new(),
        ));
    }
    for round in 0..4 {
        for (database, pages, events, address, first) in &mut all {
            let body = json!({"store": "app", "parentSeqNum": null, "clientId": "c", "sessionId": "s",
                              "events": [{"name": format!("e{round}"), "args": {}}]});
            let send = |token: &str, method: &str, path: &str, body: &str| {
                let bearer = format!("Bearer {token}");
                let path = format!("/v1/databases/{database}/{path}");
                http::send(*address, method, &path, &[("Authorization", &bearer)], body.as_bytes()).unwrap()
            };
            let answer = send(events, "POST", "events", &body.to_string());
            assert!(answer.status < 300, "{}", answer.text());
            let file = send(pages, "GET", "file", "");
            assert_eq!(file.status, 200, "{}", file.text());
            if round == 0 {
                *first = etag(&file);
            }
            assert_eq!(
                send(pages, "GET", &format!("file?at={first}"), "").status,
                200,
                "round {round}: {database}"
            );
        }
    }
    drop(hub.take());
}

/// With the database its stream ends, and without readers nothing is held.
// Verifies: PAG-40
#[test]
fn idle_databases_are_closed_under_their_followers() {
    let written = Written::of(Place::of(options().arg("--max-open-databases=2").start()));
    written.append("first");
    let mut stream = written.stream("");
    stream.expect("version");
    // Others push it out.
    for n in 0..8 {
        let other = written.place.user.create_database(&format!("other{n}"));
        let request =
            json!({"databaseId": other, "models": ["events"], "ops": ["read", "write"], "ttlSeconds": 3600});
        let token = written.place.user.ferry("IssueSyncToken", &request).unwrap()["token"]
            .as_str()
            .unwrap()
            .to_owned();
        let body = json!({"store": "app", "parentSeqNum": null, "clientId": "c", "sessionId": "s",
                          "events": [{"name": "e", "args": {}}]});
        let answer = written
            .call(&token, "POST", &format!("/v1/databases/{other}/events"), &[], &body.to_string())
            .unwrap();
        assert!(answer.status < 300, "{}", answer.text());
    }
    let oldest = written.oldest_tag();
    let newest = written.append("second");
    while stream.expect("version").1["version"].as_u64() < Some(newest) {}
    assert_eq!(written.get(&format!("file?at={oldest}")).status, 200);
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
