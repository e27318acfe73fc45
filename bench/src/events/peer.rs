//! The servers that are measured: each a process of its own over a fresh folder.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use ferry_testkit::{
    hub::{Hub, Options},
    process::{self, Usage},
    wait,
};
use tempfile::TempDir;

use crate::binary;

/// Version of the durable-streams crate that is measured.
const STREAMS_VERSION: &str = "0.1.5";
/// Longest a server may take to listen; the reference fetches its packages at its first start.
const START: Duration = Duration::from_secs(300);

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

impl Kind {
    /// Its name in the tables and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ferry => "ferry",
            Self::Reference => "reference",
            Self::Streams => "streams",
        }
    }

    /// When it answers an append.
    pub(crate) const fn durability(self) -> &'static str {
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
}

/// A running server. It ends when dropped.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    process: Process,
}

enum Process {
    Hub(Box<Hub>),
    Other { child: Child, _home: TempDir },
}

impl Peer {
    /// Starts it; the reason why it cannot be had here is the error.
    pub(crate) fn start(kind: Kind) -> Result<Self, String> {
        match kind {
            Kind::Ferry => {
                let hub = UNLIMITED
                    .iter()
                    .fold(Options::new(binary::ferry()).arg("--dev"), |options, &(name, value)| {
                        options.env(name, value)
                    })
                    .start();
                Ok(Self { kind, address: hub.address(), process: Process::Hub(Box::new(hub)) })
            }
            Kind::Reference => {
                let script = root().join("bench/livestore/reference");
                Self::spawn(kind, |port, home| {
                    let mut command = Command::new(script);
                    command.arg(port.to_string()).arg(home);
                    command
                })
            }
            Kind::Streams => {
                let program = streams_program()?;
                Self::spawn(kind, |port, home| {
                    let mut command = Command::new(program);
                    command
                        .args(["--port", &port.to_string(), "--durability", "wal", "--data-dir"])
                        .arg(home);
                    command
                })
            }
        }
    }

    fn spawn(kind: Kind, command: impl FnOnce(u16, &Path) -> Command) -> Result<Self, String> {
        let home = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let address = free_address();
        let child = command(address.port(), home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("it does not start: {error}"))?;
        let mut peer = Self { kind, address, process: Process::Other { child, _home: home } };
        let listens = wait::within(START, || {
            let Process::Other { child, .. } = &mut peer.process else { return None };
            match child.try_wait() {
                Ok(None) => TcpStream::connect(address).ok().map(|_| true),
                _ => Some(false),
            }
        });
        match listens {
            Some(true) => Ok(peer),
            Some(false) => Err("it ended instead of serving".to_owned()),
            None => Err(format!("it did not listen within {START:?}")),
        }
    }

    /// What its processes have used.
    pub(crate) fn usage(&self) -> Usage {
        let pid = match &self.process {
            Process::Hub(hub) => hub.pid(),
            Process::Other { child, .. } => child.id(),
        };
        process::tree_usage(pid).expect("the server runs, on a system with /proc")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Self::Other { child, .. } = self {
            // Ended already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Settings without which the hub would slow down what a benchmark does and no client should.
const UNLIMITED: [(&str, &str); 2] =
    [("FERRY_EVENTS_CONNECTION_RATE", "none"), ("FERRY_EVENTS_STORE_RATE", "none")];

/// The Durable Streams server, built with cargo beside our own build if need be.
fn streams_program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = own.ancestors().nth(2).ok_or("the target folder is unknown")?;
    let folder = target.join("peers");
    let program = folder.join("bin/durable-streams-server");
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args([
                "install",
                "durable-streams",
                "--version",
                STREAMS_VERSION,
                "--locked",
                "--quiet",
                "--root",
            ])
            .arg(&folder)
            .status();
        if !built.is_ok_and(|status| status.success()) {
            return Err("cargo install durable-streams failed".to_owned());
        }
    }
    Ok(program)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn free_address() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    probe.local_addr().expect("a bound socket has an address")
}
