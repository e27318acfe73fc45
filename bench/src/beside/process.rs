//! Servers that are not the hub, as processes of their own.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use ferry_testkit::{
    Hub,
    process::{self, Usage},
    wait,
};
use tempfile::TempDir;

/// Longest a server may take to listen; one may fetch its packages at its first start.
const START: Duration = Duration::from_secs(300);

/// A process that serves. It ends when dropped.
pub(crate) enum Process {
    /// The hub.
    Hub(Box<Hub>),
    /// Another program, over a folder that goes with it.
    Other(Other),
}

pub(crate) struct Other {
    child: Child,
    address: SocketAddr,
    _home: TempDir,
}

impl Process {
    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        match self {
            Self::Hub(hub) => hub.address(),
            Self::Other(other) => other.address,
        }
    }

    /// What it and all that it started have used.
    pub(crate) fn usage(&self) -> Usage {
        let pid = match self {
            Self::Hub(hub) => hub.pid(),
            Self::Other(other) => other.child.id(),
        };
        process::tree_usage(pid).expect("the server runs, on a system with /proc")
    }

    /// Starts the program that `command` gives for an address and a folder, and waits until it listens.
    ///
    /// # Errors
    /// The reason why it does not.
    pub(crate) fn spawn(command: impl FnOnce(SocketAddr, &Path) -> Command) -> Result<Self, String> {
        let home = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let address = free_address();
        let child = quiet(&mut command(address, home.path()))
            .spawn()
            .map_err(|error| format!("it does not start: {error}"))?;
        let mut other = Other { child, address, _home: home };
        let listens = wait::within(START, || match other.child.try_wait() {
            Ok(None) => TcpStream::connect(address).ok().map(|_| true),
            _ => Some(false),
        });
        match listens {
            Some(true) => Ok(Self::Other(other)),
            Some(false) => Err("it ended instead of serving".to_owned()),
            None => Err(format!("it did not listen within {START:?}")),
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command without input and output.
fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// Runs a command that must succeed.
///
/// # Errors
/// `what`, and that it failed.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<(), String> {
    let succeeded = quiet(command).status().is_ok_and(|status| status.success());
    if succeeded { Ok(()) } else { Err(format!("{what} failed")) }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn free_address() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    probe.local_addr().expect("a bound socket has an address")
}
