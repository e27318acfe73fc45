//! The servers that are measured.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use ferry_testkit::{
    hub::Options,
    jwks_server::{Behaviour, JwksServer},
    jwt::{ED, GOOD},
    process::Usage,
    wait,
};
use serde_json::json;

use super::{ferry, pocketbase};
use crate::{
    beside::{self, News, http::Tail, process::Process},
    binary,
};

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "bench";
/// How long a token is good: longer than a benchmark.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This hub; readers follow streams.
    Ferry,
    /// This hub; readers are notified by sockets.
    Sockets,
    /// PocketBase.
    PocketBase,
}

impl beside::Kind for Kind {
    const ALL: &'static [Self] = &[Self::Ferry, Self::PocketBase];
    type Server = Peer;

    fn name(self) -> &'static str {
        match self {
            Self::Ferry | Self::Sockets => "ferry",
            Self::PocketBase => "pocketbase",
        }
    }

    fn durability(self) -> &'static str {
        match self {
            Self::Ferry | Self::Sockets => {
                "SQLite, WAL, synchronous=FULL: fsync before the answer, one per group of commits. Request log off"
            }
            Self::PocketBase => {
                "PocketBase 0.40.6, SQLite, WAL, synchronous=NORMAL: no fsync before the answer, the newest writes go \
                 with the machine. Request log off"
            }
        }
    }

    fn start(self) -> Result<Peer, String> {
        let number = AtomicUsize::new(0);
        if self == Self::PocketBase {
            let process = pocketbase::start()?;
            return Ok(Peer { kind: self, address: process.address(), process, _keys: None, number });
        }
        let keys = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
        let plain = || Options::new(binary::ferry()).env("FERRY_LOG_LEVEL", "warn");
        let hub = plain().start();
        hub.signup("bench@example.com").create_database("bench");
        let trusting = plain()
            .env("FERRY_JWKS_URL", keys.url())
            .env("FERRY_JWT_ISSUER", ISSUER)
            .env("FERRY_JWT_AUDIENCE", AUDIENCE)
            .env("FERRY_DEFAULT_DATABASE", "bench");
        let hub = hub.restart_with(|_| trusting);
        let address = hub.address();
        Ok(Peer { kind: self, address, process: Process::Hub(Box::new(hub)), _keys: Some(keys), number })
    }
}

/// A running server. It ends when dropped.
pub(crate) struct Peer {
    kind: Kind,
    pub(crate) address: SocketAddr,
    process: Process,
    _keys: Option<JwksServer>,
    number: AtomicUsize,
}

impl Peer {
    /// A device of `owner` that nobody else is.
    pub(crate) fn device(&self, owner: &str) -> ferry::Device {
        let now = wait::unix_seconds();
        let claims =
            json!({"iss": ISSUER, "sub": owner, "aud": AUDIENCE, "iat": now, "exp": now + TOKEN_SECONDS});
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        ferry::Device { address: self.address, token: ED.token(&claims), client: format!("device-{number}") }
    }
}

impl beside::Server for Peer {
    type Writer = Writer;
    type Reader = Reader;

    async fn writer(&self, log: &str) -> Writer {
        match self.kind {
            Kind::PocketBase => Writer::PocketBase(pocketbase::Creator::connect(self.address).await),
            Kind::Ferry | Kind::Sockets => Writer::Ferry(ferry::Pusher::connect(self.device(log)).await),
        }
    }

    async fn reader(&self, log: &str) -> Reader {
        match self.kind {
            Kind::PocketBase => Reader::PocketBase(pocketbase::subscribe(self.address).await),
            Kind::Ferry => Reader::Stream(self.device(log).stream().await),
            Kind::Sockets => Reader::Socket(Box::new(self.device(log).socket().await)),
        }
    }

    fn usage(&self) -> Usage {
        self.process.usage()
    }
}

pub(crate) enum Writer {
    Ferry(ferry::Pusher),
    PocketBase(pocketbase::Creator),
}

impl beside::Writer for Writer {
    async fn push(&mut self, count: u64) {
        match self {
            Self::Ferry(pusher) => pusher.push(count).await,
            Self::PocketBase(creator) => {
                assert_eq!(count, 1, "PocketBase creates one by one");
                creator.create().await;
            }
        }
    }
}

pub(crate) enum Reader {
    Stream(Tail),
    Socket(Box<ferry::Socket>),
    PocketBase(Tail),
}

impl beside::Reader for Reader {
    fn starts_at_end(&self) -> bool {
        !matches!(self, Self::Stream(_))
    }

    async fn next(&mut self) -> News {
        match self {
            Self::Stream(tail) | Self::PocketBase(tail) => News::Events(tail.next().await),
            Self::Socket(socket) => {
                socket.next().await;
                News::Something
            }
        }
    }
}
