//! The hub with its databases, and what is asked of it.

use std::{fs, ops::Range, path::Path, sync::Mutex};

use ferry_testkit::{Hub, Session, http, hub::Options, process, rng::Rng, rpc::FERRY, wait};
use serde_json::{Value, json};

use super::load::{self, Load, Pace};
use crate::load::{request, usage};

/// Who owns all databases.
const EMAIL: &str = "bench@example.com";
/// How long the hub may take to close what is idle.
const CLOSE_WITHIN: std::time::Duration = std::time::Duration::from_secs(300);

/// What the hub holds at a moment.
#[derive(Clone, Copy)]
pub(crate) struct State {
    pub(crate) resident_bytes: u64,
    pub(crate) cpu_ms: u64,
    pub(crate) open_files: usize,
    pub(crate) open_databases: usize,
}

/// A user's databases, by id, and a token for each.
pub(crate) struct Many {
    hub: Option<Hub>,
    user: Session,
    ids: Vec<String>,
    tokens: Vec<String>,
}

impl Many {
    pub(crate) fn start(ferry: &Path, descriptors: usize, idle_seconds: u64) -> Self {
        let descriptors = u32::try_from(descriptors).expect("a limit of open files");
        let idle = idle_seconds.to_string();
        Self::of(Options::new(ferry).env("FERRY_IDLE_CLOSE_SECONDS", idle).descriptors(descriptors))
    }

    /// Those of a hub with these options, and room for any number of them.
    pub(crate) fn of(options: Options) -> Self {
        let hub =
            options.env("FERRY_LOG_LEVEL", "warn").env("FERRY_MAX_DATABASES_PER_ORG", "1000000").start();
        let user = hub.signup(EMAIL);
        Self { hub: Some(hub), user, ids: Vec::new(), tokens: Vec::new() }
    }

    pub(crate) fn hub(&self) -> &Hub {
        self.hub.as_ref().expect("only taken while it is started again")
    }

    /// Process and address of the hub.
    pub(crate) fn target(&self) -> (u32, std::net::SocketAddr) {
        (self.hub().pid(), self.hub().address())
    }

    pub(crate) fn state(&self) -> State {
        let (pid, address) = self.target();
        let usage = usage(pid);
        let metrics = http::get(address, "/metrics").expect("metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("ferry_databases_open "));
        State {
            resident_bytes: usage.resident_bytes,
            cpu_ms: usage.cpu_ms,
            open_files: process::open_files(pid).len(),
            open_databases: line
                .and_then(|text| text.trim().parse::<f64>().ok())
                .map_or(0, |count| count as usize),
        }
    }

    /// Calls `method` once for each of `count`; the member `name` of the answers, in order.
    fn call_each(
        &self,
        method: &str,
        name: &str,
        (count, connections): (usize, usize),
        body: impl Fn(usize) -> Value + Sync,
    ) -> (Load, Vec<String>) {
        let address = self.hub().address();
        let found = Mutex::new(vec![String::new(); count]);
        let load = load::run(
            self.target(),
            count,
            None,
            connections,
            |number| {
                let path = format!("/{FERRY}/{method}");
                request(address, "POST", &path, &self.user.token, &body(number).to_string())
            },
            |number, answer| {
                assert_eq!(answer.status, 200, "{method}: {}", answer.text());
                let value = answer.json()[name].as_str().expect("a text").to_owned();
                found.lock().expect("no thread panicked")[number] = value;
            },
        );
        (load, found.into_inner().expect("no thread panicked"))
    }

    pub(crate) fn create(&mut self, count: usize, connections: usize) -> Load {
        let first = self.ids.len();
        let (load, ids) = self.call_each(
            "CreateDatabase",
            "id",
            (count, connections),
            |number| json!({"name": format!("app{}", first + number)}),
        );
        self.ids.extend(ids);
        load
    }

    pub(crate) fn issue_tokens(&mut self, connections: usize) {
        let (_, tokens) =
            self.call_each("IssueSyncToken", "token", (self.ids.len(), connections), |number| {
                json!({
                    "databaseId": self.ids[number], "models": ["records", "events"], "ops": ["read", "write"],
                    "ttlSeconds": 86_400,
                })
            });
        self.tokens = tokens;
    }

    fn record(&self, database: usize, id: &str) -> Vec<u8> {
        let data = json!({"id": id, "title": "hello world", "createdAt": "2026-01-01T10:00:00.000Z"});
        let changes = json!([{"table": "tasks", "id": id, "op": "insert", "data": data}]);
        let body = json!({"clientId": "bench", "since": "", "changes": changes}).to_string();
        request(self.hub().address(), "POST", "/sync/todo", &self.tokens[database], &body)
    }

    /// An append of one event, as a request's bytes.
    pub(crate) fn event(&self, database: usize, parent: Option<u64>) -> Vec<u8> {
        let mut body = json!({
            "store": "app", "clientId": "bench", "sessionId": "s",
            "events": [{"name": "v1.TodoCreated", "args": {"id": "x1", "text": "hello world"}}],
        });
        if let Some(parent) = parent {
            body["parentSeqNum"] = json!(parent);
        }
        let path = "/v1/databases/-/events";
        request(self.hub().address(), "POST", path, &self.tokens[database], &body.to_string())
    }

    pub(crate) fn write_records(&self, databases: Range<usize>, connections: usize) -> Load {
        let first = databases.start;
        let make = |number: usize| self.record(first + number, "r0");
        load::run(self.target(), databases.len(), None, connections, make, |_, answer| must(answer, 200))
    }

    pub(crate) fn append_events(&self, databases: Range<usize>, connections: usize) -> Load {
        let first = databases.start;
        let make = |number: usize| self.event(first + number, Some(0));
        load::run(self.target(), databases.len(), None, connections, make, |_, answer| must(answer, 201))
    }

    /// Reads and writes in turns, each of any database; those below `records` hold records, the others events.
    pub(crate) fn touch(&self, records: usize, pace: Pace, connections: usize) -> Load {
        let count = pace.per_second * pace.seconds;
        let mut random = Rng::new(1);
        let touched: Vec<usize> = (0..count).map(|_| random.below(self.ids.len() as u64) as usize).collect();
        let address = self.hub().address();
        let make = |number: usize| {
            let (database, reads) = (touched[number], number.is_multiple_of(2));
            let token = &*self.tokens[database];
            let get = |path: &str| request(address, "GET", path, token, "");
            match (database < records, reads) {
                (true, true) => get("/v1/databases/-/records/todo/tasks"),
                (true, false) => self.record(database, &format!("t{number}")),
                (false, true) => get("/v1/databases/-/events?store=app&after=0"),
                (false, false) => self.event(database, None),
            }
        };
        load::run(self.target(), count, Some(pace.per_second), connections, make, |_, answer| {
            assert!(answer.status < 300 || answer.status == 503, "{} {}", answer.status, answer.text());
        })
    }

    /// Waits until the hub has closed all databases.
    pub(crate) fn closed(&self) {
        let closed = wait::within(CLOSE_WITHIN, || (self.state().open_databases == 0).then_some(()));
        closed.expect("the idle databases are closed");
    }

    /// Bytes on disk of a database with a record and of one with an event.
    pub(crate) fn disk(&self, records: usize) -> (u64, u64) {
        let size = |number: usize| {
            let entries =
                fs::read_dir(self.hub().database_dir(&self.ids[number])).expect("the folder is there");
            entries.flatten().map(|entry| entry.metadata().map_or(0, |metadata| metadata.len())).sum()
        };
        (size(0), size(records))
    }

    /// Lists all databases, page by page; how many there are.
    pub(crate) fn list(&self) -> usize {
        let (mut count, mut page) = (0, String::new());
        loop {
            let answer = self.user.ferry("ListDatabases", &json!({"pageSize": 1000, "pageToken": page}));
            let answer = answer.unwrap_or_else(|refusal| panic!("{refusal:?}"));
            count += answer["databases"].as_array().map_or(0, Vec::len);
            page = answer["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if page.is_empty() {
                return count;
            }
        }
    }

    pub(crate) fn restart(&mut self) {
        self.restart_with(|options| options);
    }

    pub(crate) fn restart_with(&mut self, change: impl FnOnce(Options) -> Options) {
        let hub = self.hub.take().expect("it runs");
        self.hub = Some(hub.restart_with(change));
    }

    /// Signs in to a hub that was restored, which has neither sessions nor, unless its backup was encrypted, the keys of tokens.
    pub(crate) fn sign_in_again(&mut self, connections: usize) {
        self.user = Session::login(self.hub().address(), EMAIL);
        self.issue_tokens(connections);
    }

    pub(crate) const fn user(&self) -> &Session {
        &self.user
    }
}

fn must(answer: &http::Response, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
}
