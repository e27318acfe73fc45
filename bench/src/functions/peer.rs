//! The servers that are measured, and what they are asked to do.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use ferry_testkit::{Hub, Session, functions::deployment, hub::Options, process::Usage, rng::Rng};
use serde_json::{Value, json};

use super::client::{Caller, KEY, Said, Socket};
use crate::{
    beside::{
        self, News,
        process::{self, Process},
    },
    binary,
};

/// Ferry's own dialect of the socket, in which it carries results.
pub(crate) const FERRY: &str = "ferry.functions.v1";
/// Users in the table of a workload that shows some of them.
pub(crate) const MANY: usize = 1_000;
const FEW: usize = 10;
/// Users that one call makes at most: it is bounded in CPU.
const FILL: usize = 500;

/// The project that both servers run.
const PROJECT: [(&str, &str); 2] = [
    ("schema.ts", include_str!("../../functions/project/schema.ts")),
    ("functions/index.ts", include_str!("../../functions/project/functions/index.ts")),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// This hub.
    Ferry,
    /// A Durable Object under workerd.
    Workerd,
}

/// What the writers call, and what the readers wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// One row by its id, of a function whose results are not kept.
    ById,
    /// One of ten rows, of a function whose results are kept.
    ByIdKept,
    /// All rows of the table.
    All,
    AllKept,
    Create,
    Ten,
    /// Creates, while sessions show all rows and are told that the table changed.
    Tell,
    /// The same, while sockets are sent the new result (the hub's own dialect).
    Send,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) which: Which,
    pub(crate) work: Work,
}

impl Kind {
    pub(crate) const FERRY: Self = Self { which: Which::Ferry, work: Work::ById };
    pub(crate) const WORKERD: Self = Self { which: Which::Workerd, work: Work::ById };

    pub(crate) const fn doing(self, work: Work) -> Self {
        Self { which: self.which, work }
    }
}

impl beside::Kind for Kind {
    const ALL: &'static [Self] = &[Self::FERRY, Self::WORKERD];
    type Server = Peer;

    fn name(self) -> &'static str {
        match self.which {
            Which::Ferry => "ferry",
            Which::Workerd => "workerd",
        }
    }

    fn durability(self) -> &'static str {
        match self.which {
            Which::Ferry => {
                "SQLite, WAL, synchronous=FULL: fsync before the answer, one per group of commits"
            }
            Which::Workerd => {
                "Durable Object SQLite of workerd 1.20261117.1 on local disk, drizzle-orm 0.45.4, without Wrangler; \
                 it decides itself when it syncs"
            }
        }
    }

    fn start(self) -> Result<Peer, String> {
        let process = match self.which {
            Which::Ferry => Process::Hub(Box::new(hub())),
            Which::Workerd => Process::spawn(|address, home| {
                let mut command = Command::new(process::root().join("bench/functions/reference"));
                command.arg(address.port().to_string()).arg(home);
                command
            })?,
        };
        Ok(Peer { kind: self, address: process.address(), process, sessions: AtomicUsize::new(0) })
    }
}

/// A hub with the project deployed, started anew: what the deployment needed of memory is gone.
pub(crate) fn hub() -> Hub {
    let hub = Options::new(binary::ferry()).env("FERRY_LOG_LEVEL", "warn").start();
    let user = hub.signup("bench@example.com");
    let database = user.create_database("bench");
    deploy(&hub, &user, &database);
    hub.restart()
}

pub(crate) fn deploy(hub: &Hub, user: &Session, database: &str) {
    static DEPLOYMENT: LazyLock<Value> = LazyLock::new(|| deployment(&PROJECT));
    let path = format!("/v1/databases/{database}/functions/deploy");
    let bearer = format!("Bearer {}", user.token);
    let answer = ferry_testkit::http::send(
        hub.address(),
        "POST",
        &path,
        &[("Authorization", &bearer)],
        DEPLOYMENT.to_string().as_bytes(),
    );
    let answer = answer.expect("the hub is reachable");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let spec = json!({ "value": KEY, "kind": "publishable", "label": "page", "models": ["functions"],
        "ops": ["read", "write"] });
    user.ferry("CreateApiKey", &json!({ "database": database, "spec": spec })).expect("the key is made");
}

/// Makes so many users.
pub(crate) async fn fill(address: SocketAddr, count: usize) {
    let mut caller = Caller::connect(address, None).await;
    for made in (0..count).step_by(FILL) {
        caller.call("fill", json!({"count": FILL.min(count - made)})).await;
    }
}

/// A running server. It ends when dropped.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    process: Process,
    sessions: AtomicUsize,
}

impl Peer {
    /// Makes so many users.
    pub(crate) async fn fill(&self, count: usize) {
        fill(self.address, count).await;
    }

    fn number(&self) -> usize {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }
}

impl beside::Server for Peer {
    type Writer = Writer;
    type Reader = Socket;

    async fn writer(&self, log: &str) -> Writer {
        let work = self.kind.work;
        let number = self.number();
        if number == 0 {
            self.fill(if matches!(work, Work::Tell | Work::Send) { FEW } else { MANY }).await;
        }
        let caller = Caller::connect(self.address, None).await;
        Writer { caller, work, random: Rng::new(number as u64 + 1), log: log.to_owned(), made: 0 }
    }

    async fn reader(&self, _log: &str) -> Socket {
        let session = format!("session-{}", self.number());
        if self.kind.work == Work::Send {
            let mut socket = Socket::open(self.address, &session, Some(FERRY)).await;
            socket.subscribe(0, "getUsers", "{}").await;
            while socket.next().await != Said::Result(0) {}
            return socket;
        }
        let socket = Socket::open(self.address, &session, None).await;
        Caller::connect(self.address, Some(&session)).await.call("getUsers", "{}").await;
        socket
    }

    fn usage(&self) -> Usage {
        self.process.usage()
    }
}

pub(crate) struct Writer {
    caller: Caller,
    work: Work,
    random: Rng,
    log: String,
    made: u64,
}

impl beside::Writer for Writer {
    async fn push(&mut self, _count: u64) {
        let mut id = |among: usize| self.random.below(among as u64) + 1;
        let (function, args) = match self.work {
            Work::ById => ("getUserByIdAnew", json!({"id": id(MANY)})),
            Work::ByIdKept => ("getUserById", json!({"id": id(FEW)})),
            Work::All => ("getUsersAnew", json!({})),
            Work::AllKept => ("getUsers", json!({})),
            Work::Ten => ("tenStatements", json!({"id": id(MANY - 8), "name": "Bo", "email": self.email()})),
            Work::Create | Work::Tell | Work::Send => {
                ("createUser", json!({"name": "Ada Lovelace", "email": self.email()}))
            }
        };
        self.caller.call(function, args).await;
        self.made += 1;
    }
}

impl Writer {
    fn email(&self) -> String {
        format!("{}-{}@example.com", self.log, self.made)
    }
}

impl beside::Reader for Socket {
    fn starts_at_end(&self) -> bool {
        true
    }

    async fn next(&mut self) -> News {
        while self.next().await == Said::Other {}
        News::Something
    }
}
