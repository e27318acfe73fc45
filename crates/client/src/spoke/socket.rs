//! The unix socket that apps speak to (OPS-61): its owner's alone, and one daemon's at a time.

use std::{
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::{
    connection,
    connection::{AnswerLine, ConnectionUse},
    lock,
};
use crate::{ClientError, Result};

/// Apps that may be connected at a time; for one more, the one that was idle longest makes room.
const CONNECTIONS_MAX: usize = 64;
/// Pause after a connection that could not be accepted.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// What one more is told while all of them wait for answers.
const TOO_MANY: &str = "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"64 connections wait for \
     answers: try again, or send several requests over one\",\"data\":{\"code\":\"invalid\"}}}\n";

/// A socket that is listened on; its file goes when it is dropped.
pub(super) struct SpokeSocket {
    listener: UnixListener,
    path: PathBuf,
    _lock: lock::ProcessLock,
}

impl SpokeSocket {
    /// Listens at `path`. A file that an ended daemon left there is replaced, under the lock of its name.
    ///
    /// # Errors
    /// When another daemon listens there, or what stands there is no socket.
    pub(super) fn bind(path: &Path) -> Result<Self> {
        let failed = |error: &io::Error| match error.kind() {
            io::ErrorKind::InvalidInput => ClientError::argument(format!(
                "the socket's path {} is too long for the system: name a shorter one with --socket",
                path.display()
            )),
            _ => ClientError::io(format!("the socket {}", path.display()), error),
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| failed(&error))?;
        }
        let lock = lock::acquire(path, "the socket", "stop that one, or name another one with --socket")?;
        match path.symlink_metadata() {
            Ok(found) if !is_socket(&found) => {
                return Err(ClientError::argument(format!(
                    "{} is no socket, and is left as it is: name another place with --socket",
                    path.display()
                )));
            }
            // Who holds the lock knows that nobody listens there.
            Ok(_) => std::fs::remove_file(path).map_err(|error| failed(&error))?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(|error| failed(&error))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(|error| failed(&error))?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
    }

    /// Answers whoever connects, for ever.
    pub(super) async fn serve(&self, service: Arc<dyn AnswerLine>) -> std::convert::Infallible {
        // They end with this.
        let mut connections = JoinSet::new();
        let uses = Arc::new(AtomicU64::new(0));
        let mut known: Vec<Weak<ConnectionUse>> = Vec::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) if !is_same_user(&stream) => drop(stream),
                Ok((stream, _)) => {
                    known.retain(|usage| usage.strong_count() > 0);
                    // Those that were told to leave count no more.
                    if known.len() >= CONNECTIONS_MAX && !make_room(&mut known) {
                        // As much as its buffer takes: nobody is waited for.
                        drop(stream.try_write(TOO_MANY.as_bytes()));
                        continue;
                    }
                    let usage = ConnectionUse::new(uses.fetch_add(1, Ordering::Relaxed));
                    known.push(Arc::downgrade(&usage));
                    let service = Arc::clone(&service);
                    connections.spawn(connection::run(stream, service, usage, Arc::clone(&uses)));
                }
                Err(error) => {
                    // Such as too many open files: what is open goes on, and the next one may come in.
                    tracing::warn!(%error, "an app could not be let in");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }
}

/// Has the connection that was idle longest leave; false if none is idle.
fn make_room(known: &mut Vec<Weak<ConnectionUse>>) -> bool {
    let idle = known.iter().enumerate().filter_map(|(at, usage)| Some((usage.upgrade()?.idle_since()?, at)));
    let Some((_, at)) = idle.min() else { return false };
    if let Some(usage) = known.swap_remove(at).upgrade() {
        usage.leave();
    }
    true
}

impl Drop for SpokeSocket {
    fn drop(&mut self) {
        // Left behind, it is replaced by the next daemon.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_socket(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    found.file_type().is_socket()
}

/// Whether the other end belongs to the user whom this process runs as.
fn is_same_user(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(other) if other.uid() == own => true,
        Ok(other) => {
            tracing::warn!(
                uid = other.uid(),
                "another user's connection is closed: the socket is its owner's alone"
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, "a connection whose user is not known is closed");
            false
        }
    }
}
