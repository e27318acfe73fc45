//! More databases than may be open: by descriptors, by the setting, while all are in use, with subscribers, over crashes.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use ferry_testkit::{
    Direction, Hub, Session,
    dump::dump,
    edgereplica,
    frames::Frame,
    http::{self, Response},
    hub::Options,
    livestore::{LiveSocket, chain, path},
    process,
    records::{EventStream, NewsSocket, Said},
    sample::Shape,
    socket::Socket,
    wait,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::options;

/// Databases of one user, each with a token for records and events.
struct Many {
    hub: Hub,
    databases: Vec<(String, String)>,
}

impl Many {
    fn of(hub: Hub, count: usize) -> Self {
        let user = hub.signup("ada@example.com");
        let databases = (0..count).map(|number| made(&user, &format!("app{number}"))).collect();
        Self { hub, databases }
    }

    fn with(setting: &str, count: usize) -> Self {
        Self::of(options().arg(setting).start(), count)
    }

    fn restarted_with(self, change: impl FnOnce(Options) -> Options) -> Self {
        Self { hub: self.hub.restart_with(change), databases: self.databases }
    }

    fn token(&self, number: usize) -> &str {
        &self.databases[number].1
    }

    /// Writes a record into database `number`.
    fn write(&self, number: usize, id: &str) -> Response {
        write(self.hub.address(), self.token(number), id)
    }

    #[track_caller]
    fn written(&self, number: usize, id: &str) {
        let answer = self.write(number, id);
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
    }

    /// Ids of the records of database `number`.
    fn ids(&self, number: usize) -> BTreeSet<String> {
        ids(self.hub.address(), self.token(number))
    }

    /// The databases whose files the hub has open, by number.
    fn open(&self) -> BTreeSet<usize> {
        let files = process::open_files(self.hub.pid());
        let is_open = |id: &str| files.iter().any(|file| file.iter().any(|part| part == Path::new(id)));
        (0..self.databases.len()).filter(|number| is_open(&self.databases[*number].0)).collect()
    }
}

/// Makes a database, and a token for it.
fn made(user: &Session, name: &str) -> (String, String) {
    let id = user.create_database(name);
    let request = json!({
        "databaseId": id, "models": ["records", "events"], "ops": ["read", "write"], "ttlSeconds": 3600,
    });
    let token = user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned();
    (id, token)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn write(address: SocketAddr, token: &str, id: &str) -> Response {
    let data = json!({"id": id, "createdAt": "2026-01-01T10:00:00.000Z"});
    let changes = json!([{"table": "tasks", "id": id, "op": "insert", "data": data}]);
    let body = json!({"clientId": "writer", "since": "", "changes": changes}).to_string();
    http::send(address, "POST", "/sync/todo", &[("Authorization", &bearer(token))], body.as_bytes()).unwrap()
}

fn ids(address: SocketAddr, token: &str) -> BTreeSet<String> {
    pulled(address, &[("Authorization", &bearer(token)), ("X-Client-Id", "reader")])
}

/// The same without a device, of which the hub would note afterwards what it was given.
fn nobodys_ids(address: SocketAddr, token: &str) -> BTreeSet<String> {
    pulled(address, &[("Authorization", &bearer(token))])
}

fn pulled(address: SocketAddr, headers: &[(&str, &str)]) -> BTreeSet<String> {
    let answer = http::send(address, "GET", "/sync/todo/pull?collection=tasks&since=", headers, b"").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let changes = answer.json()["serverChanges"].as_array().unwrap().clone();
    changes.iter().map(|change| change["id"].as_str().unwrap().to_owned()).collect()
}

/// Runs `work` for every number below `count`, on as many threads as `at_once` says.
fn for_each(count: usize, at_once: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
}

// Nothing bounded what was open: 600 databases that were written within a minute took all of the usual 1,024
// descriptors, and from then on every answer was `500 internal error`.
// Verifies: WEB-10
#[test]
fn more_databases_than_descriptors_are_written_and_read_by_many_at_once() {
    const DATABASES: usize = 60;
    let many = Many::of(options().descriptors(96).start(), DATABASES);
    for round in 0..3 {
        for_each(DATABASES, 8, |number| many.written(number, &format!("r{round}")));
    }
    for_each(DATABASES, 8, |number| {
        assert_eq!(many.ids(number).len(), 3, "database {number}");
    });
    // What the readers were given is still being noted: two looks at a changing set may count one too many.
    wait::until("at most twelve databases to be open", || {
        (1..=12).contains(&many.open().len()).then_some(())
    });
    let log = many.hub.log();
    assert!(!log.contains("storage failed"), "{log}");
}

// The room of a closed database goes to who waits for it, who counted as waiting until he ran: meanwhile another was
// closed, for nobody. One round in three ended so. A round may fail for a good reason too: who was answered may use the
// database a moment longer, since its run ends after the answer, and then the next one is closed. That is rare, and each
// round has databases of its own, so that nothing is handed on.
#[test]
fn the_least_recently_used_is_closed_for_the_next_and_leaves_nothing_beside_its_file() {
    const ROUNDS: usize = 20;
    const LATE_MAX: usize = 3;
    let many = Many::with("--max-open-databases=2", 3 * ROUNDS);
    let in_order = (0..3 * ROUNDS).step_by(3).filter(|first| {
        let (second, third) = (first + 1, first + 2);
        // Used for the first time, they are tended.
        for number in [*first, second, third] {
            many.written(number, "warm");
        }
        for number in [*first, second, *first, third] {
            many.written(number, &format!("w{number}"));
            assert!(!nobodys_ids(many.hub.address(), many.token(number)).is_empty());
        }
        let left = ferry_testkit::hub::listing(&many.hub.database_dir(&many.databases[second].0));
        let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
        many.open() == BTreeSet::from([*first, third]) && names == ["main.db"]
    });
    let in_order = in_order.count();
    assert!(
        in_order + LATE_MAX >= ROUNDS,
        "the least recently used, and no other, was closed in {in_order} of {ROUNDS} rounds"
    );
}

// Verifies: REC-30
#[test]
fn while_all_that_may_be_open_are_in_use_a_caller_waits_and_is_then_told_to_come_back() {
    let many = Many::with("--max-open-databases=1", 2);
    many.written(1, "before");
    let block = many.hub.data_dir().with_file_name("block");
    let many =
        many.restarted_with(|options| options.fault(format!("records.created=wait:{}", block.display())));
    // Once read, it is known to have its tables, and its writes do not pass the fault point.
    assert_eq!(many.ids(1).len(), 1);
    thread::scope(|scope| {
        let held = scope.spawn(|| many.write(0, "held"));
        wait::until("the first database to be in use", || block.exists().then_some(()));
        let (took, refused) = wait::timed(|| many.write(1, "late"));
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(took.as_secs() >= 4, "it waited {took:?}");
        let seconds: u64 = refused.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert!(refused.text().contains("databases open"), "{}", refused.text());
        // Reads get the same answer.
        let headers = [("Authorization", &*bearer(many.token(1))), ("X-Client-Id", "reader")];
        let path = "/sync/todo/pull?collection=tasks&since=";
        let read = http::send(many.hub.address(), "GET", path, &headers, b"").unwrap();
        assert_eq!(read.status, 503, "{}", read.text());
        assert!(read.header("retry-after").is_some());
        // Who waits when the other is done gets in.
        let waits = scope.spawn(|| many.write(1, "waited"));
        fs::remove_file(&block).unwrap();
        assert_eq!(held.join().unwrap().status, 200);
        assert_eq!(waits.join().unwrap().status, 200);
    });
    assert_eq!(many.ids(0), BTreeSet::from(["held".to_owned()]));
    assert_eq!(many.ids(1), BTreeSet::from(["before".to_owned(), "waited".to_owned()]));
}

// Verifies: REC-20, EVT-71
#[test]
fn subscribers_of_databases_that_were_closed_for_others_get_everything() {
    const DATABASES: usize = 6;
    let many = Many::with("--max-open-databases=2", DATABASES);
    for number in 0..DATABASES {
        many.written(number, "first");
    }
    let address = many.hub.address();
    let mut streams: Vec<EventStream> = (0..DATABASES)
        .map(|number| {
            let authorization = bearer(many.token(number));
            EventStream::open(address, "/sync/todo/stream?since=", &[("Authorization", &authorization)])
                .unwrap()
        })
        .collect();
    let mut news: Vec<NewsSocket> = (0..DATABASES)
        .map(|number| {
            let mut socket = NewsSocket::open(address, "/ws/todo", &[("X-Client-Id", "watcher")]);
            socket.send(&json!({"type": "auth", "token": many.token(number)}));
            assert_eq!(socket.said(), Said::Message(json!({"type": "auth-ok"})));
            socket
        })
        .collect();
    let log = |number: usize| {
        let authorization = bearer(many.token(number));
        LiveSocket::open(address, &path("app", "ws"), "app", &[("Authorization", &authorization)]).unwrap()
    };
    let mut logs: Vec<LiveSocket> = (0..DATABASES).map(log).collect();
    for (number, live) in logs.iter_mut().enumerate() {
        live.pull(&json!("7"), true, None);
        assert_eq!(live.page(&json!("7")).numbers(), Vec::<i64>::new(), "database {number}");
        log(number).push(&json!("1"), &chain(0, 1));
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        many.written(number, "second");
        let mut seen = BTreeSet::new();
        while seen.len() < 2 {
            let event = stream.event().expect("the stream goes on");
            for change in event.data["changes"].as_array().into_iter().flatten() {
                seen.insert(change["id"].as_str().unwrap().to_owned());
            }
        }
        assert!(matches!(news[number].said(), Said::Message(_)), "the news socket of {number}");
    }
    for (number, live) in logs.iter_mut().enumerate() {
        log(number).push(&json!("2"), &chain(1, 1));
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.extend(live.page(&json!("7")).numbers());
        }
        assert_eq!(seen, [1, 2], "database {number}");
    }
    wait::until("at most two databases to be open", || (many.open().len() <= 2).then_some(()));
}

#[test]
fn what_was_acknowledged_outlives_a_kill_while_databases_are_closed_for_others() {
    const DATABASES: usize = 12;
    const WRITES: usize = 150;
    let mut many = Many::with("--max-open-databases=3", DATABASES);
    let acknowledged = std::sync::Mutex::new(BTreeSet::new());
    let (stop, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let write = next.fetch_add(1, Ordering::Relaxed);
                    // Spread over all of them, so that almost each write closes another database.
                    let (number, id) = (write * 7 % DATABASES, format!("w{write}"));
                    let body = try_write(many.hub.address(), many.token(number), &id);
                    if body.is_some_and(|answer| answer.status == 200) {
                        acknowledged.lock().unwrap().insert((number, id));
                    }
                }
            });
        }
        wait::until("enough writes", || (acknowledged.lock().unwrap().len() >= WRITES).then_some(()));
        process::kill(many.hub.pid());
        stop.store(true, Ordering::Relaxed);
    });
    many = many.restarted_with(|options| options);
    let found: Vec<BTreeSet<String>> = (0..DATABASES).map(|number| many.ids(number)).collect();
    for (number, id) in acknowledged.into_inner().unwrap() {
        assert!(found[number].contains(&id), "{id} of database {number} was acknowledged");
    }
}

// Verifies: PAG-46
#[test]
fn pushed_files_are_closed_for_others_and_a_session_keeps_its_own() {
    const DATABASES: usize = 4;
    let hub = options().arg("--max-open-databases=2").start();
    let user = hub.signup("ada@example.com");
    let folder = hub.data_dir().with_file_name("files");
    fs::create_dir(&folder).unwrap();
    let files: Vec<_> = (0..DATABASES)
        .map(|number| {
            let (id, file) =
                (user.create_database(&format!("app{number}")), folder.join(format!("{number}.db")));
            Shape::default().create(&file, 200, number as u64);
            (id, file)
        })
        .collect();
    let push = |(id, file): &(String, PathBuf)| {
        edgereplica::push(hub.address(), &user.sync_token(id, Direction::Push), file).unwrap();
    };
    let pull = |(id, file): &(String, PathBuf)| {
        let copy = file.with_extension("copy");
        edgereplica::pull(hub.address(), &user.sync_token(id, Direction::Pull), &copy).unwrap();
        assert_eq!(dump(&copy), dump(file));
    };
    files.iter().for_each(push);
    // A session that has begun and is not gone on with.
    let mut session = Socket::open(hub.address(), &user.sync_token(&files[0].0, Direction::Pull)).unwrap();
    session.send(&Frame::hello(0));
    session.next();
    for_each(DATABASES, 4, |number| pull(&files[number]));
    for file in &files {
        Connection::open(&file.1).unwrap().execute_batch("UPDATE item SET price = price + 1").unwrap();
        push(file);
        pull(file);
    }
    assert!(
        process::open_files(hub.pid())
            .iter()
            .any(|file| file.iter().any(|part| part == Path::new(&files[0].0)))
    );
}

fn try_write(address: SocketAddr, token: &str, id: &str) -> Option<Response> {
    let data = json!({"id": id, "createdAt": "2026-01-01T10:00:00.000Z"});
    let changes: Value = json!([{"table": "tasks", "id": id, "op": "insert", "data": data}]);
    let body = json!({"clientId": "writer", "since": "", "changes": changes}).to_string();
    http::send(address, "POST", "/sync/todo", &[("Authorization", &bearer(token))], body.as_bytes()).ok()
}

#[test]
fn an_unused_database_is_closed_and_its_memory_given_back() {
    let many = Many::of(options().arg("--idle-close-seconds=1").start(), 2);
    many.written(0, "a");
    wait::until("the idle database to be closed", || many.open().is_empty().then_some(()));
    many.written(0, "b");
    assert_eq!(many.ids(0).len(), 2);
}

// Each table and index of each model took a page: 52 KiB for the first event.
#[test]
fn a_database_takes_little_of_the_disk_after_its_first_event() {
    const MOST: u64 = 32 << 10;
    let many = Many::of(options().arg("--idle-close-seconds=1").start(), 1);
    let (id, token) = &many.databases[0];
    let body = json!({"store": "app", "clientId": "c", "sessionId": "s", "events": [{"name": "v1.Made", "args": {}}]});
    let answer = http::send(
        many.hub.address(),
        "POST",
        "/v1/databases/-/events",
        &[("Authorization", &bearer(token)), ("Content-Type", "application/json")],
        body.to_string().as_bytes(),
    );
    let answer = answer.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    wait::until("the idle database to be closed", || many.open().is_empty().then_some(()));
    let left = ferry_testkit::hub::listing(&many.hub.database_dir(id));
    let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["main.db"]);
    let size = fs::metadata(many.hub.database_dir(id).join("main.db")).unwrap().len();
    assert!(size <= MOST, "{size} bytes");
}
