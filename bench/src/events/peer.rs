//! The servers that are measured.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use ferry_testkit::{hub::Options, process::Usage};

use super::{livestore, streams};
use crate::{
    beside::{
        self, News,
        http::Tail,
        process::{self, Process},
    },
    binary,
};

/// Version of the durable-streams crate that is measured.
const STREAMS_VERSION: &str = "0.1.5";
/// Settings without which the hub would slow down what a benchmark does and no client should.
const UNLIMITED: [(&str, &str); 2] =
    [("FERRY_EVENTS_CONNECTION_RATE", "none"), ("FERRY_EVENTS_STORE_RATE", "none")];

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This hub.
    Ferry,
    /// LiveStore's own sync backend under workerd.
    Reference,
    /// The Durable Streams server of ElectricSQL.
    Streams,
}

impl beside::Kind for Kind {
    const ALL: &'static [Self] = &[Self::Ferry, Self::Reference, Self::Streams];
    type Server = Peer;

    fn name(self) -> &'static str {
        match self {
            Self::Ferry => "ferry",
            Self::Reference => "reference",
            Self::Streams => "streams",
        }
    }

    fn durability(self) -> &'static str {
        match self {
            Self::Ferry => "SQLite, WAL, synchronous=FULL: fsync before the answer, one per group of commits",
            Self::Reference => {
                "LiveStore sync-cf 0.4.0, Durable Object SQLite of workerd on local disk, without Wrangler: \
                 strace counted 1.1 fsync per push"
            }
            Self::Streams => {
                "durable-streams 0.1.5, --durability wal: fdatasync before the answer, one per group"
            }
        }
    }

    fn start(self) -> Result<Peer, String> {
        let process = match self {
            Self::Ferry => {
                let options = Options::new(binary::ferry()).arg("--dev");
                let options =
                    UNLIMITED.iter().fold(options, |options, (name, value)| options.env(*name, *value));
                Process::Hub(Box::new(options.start()))
            }
            Self::Reference => Process::spawn(|address, home| {
                let mut command = Command::new(process::root().join("bench/livestore/reference"));
                command.arg(address.port().to_string()).arg(home);
                command
            })?,
            Self::Streams => {
                let program = streams_program()?;
                Process::spawn(|address, home| {
                    let port = address.port().to_string();
                    let mut command = Command::new(program);
                    command.args(["--port", &port, "--durability", "wal", "--data-dir"]).arg(home);
                    command
                })?
            }
        };
        Ok(Peer { kind: self, address: process.address(), process })
    }
}

/// A running server. It ends when dropped.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    process: Process,
}

impl beside::Server for Peer {
    type Writer = Writer;
    type Reader = Reader;

    async fn writer(&self, log: &str) -> Writer {
        match self.kind {
            Kind::Ferry | Kind::Reference => {
                Writer::LiveStore(Box::new(livestore::Client::connect(self.address, log).await))
            }
            Kind::Streams => Writer::Streams(streams::Appender::connect(self.address, log).await),
        }
    }

    async fn reader(&self, log: &str) -> Reader {
        match self.kind {
            Kind::Ferry | Kind::Reference => {
                let mut client = livestore::Client::connect(self.address, log).await;
                client.pull(true).await;
                Reader::LiveStore(Box::new(client))
            }
            Kind::Streams => Reader::Streams(streams::tail(self.address, log).await),
        }
    }

    fn usage(&self) -> Usage {
        self.process.usage()
    }
}

pub(crate) enum Writer {
    LiveStore(Box<livestore::Client>),
    Streams(streams::Appender),
}

impl beside::Writer for Writer {
    async fn push(&mut self, count: u64) {
        match self {
            Self::LiveStore(client) => client.push(count).await,
            Self::Streams(appender) => appender.append(count).await,
        }
    }
}

pub(crate) enum Reader {
    LiveStore(Box<livestore::Client>),
    Streams(Tail),
}

impl beside::Reader for Reader {
    async fn next(&mut self) -> News {
        match self {
            Self::Streams(tail) => News::Events(tail.next().await),
            Self::LiveStore(client) => loop {
                match client.next().await {
                    livestore::Frame::Page(0) | livestore::Frame::Other => {}
                    livestore::Frame::Page(count) => return News::Events(count),
                    livestore::Frame::Exit(_) => panic!("the live Pull ended"),
                }
            },
        }
    }
}

/// The Durable Streams server, built with cargo beside our own build if need be.
fn streams_program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = own.ancestors().nth(2).ok_or("the target folder is unknown")?;
    let folder = target.join("peers");
    let program = folder.join("bin/durable-streams-server");
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut install = Command::new(cargo);
        install
            .args([
                "install",
                "durable-streams",
                "--version",
                STREAMS_VERSION,
                "--locked",
                "--quiet",
                "--root",
            ])
            .arg(&folder);
        process::run(&mut install, "cargo install durable-streams")?;
    }
    Ok(program)
}
