//! A store that is a hub itself (mode `server` of OPS-60): lock and socket are a spoke's; ops are written by the hub.

use std::{convert::Infallible, path::Path, sync::Arc};

use ferry_core::ops::spoke;
use ferry_types::{Clock, OriginId, Seq};

use super::{
    RandomSource, SpokeCalls, environment::Environment, lock::ProcessLock, lock_store, service::CallLines,
    socket::SpokeSocket, store::SpokeStore,
};
use crate::{ClientError, Result};

/// The store and the socket of a spoke that is a hub; nobody else uses either meanwhile.
pub struct ServedStore {
    socket: SpokeSocket,
    origin: OriginId,
    _lock: ProcessLock,
}

impl ServedStore {
    /// Locks the store, makes it a hub's, and listens at the socket. The file is closed again: the hub opens it.
    ///
    /// # Errors
    /// `SPOKE_RUNNING` when another daemon has the store or the socket; when a file cannot be used.
    pub fn open(store: &Path, socket: &Path, clock: Arc<dyn Clock>, random: RandomSource) -> Result<Self> {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let lock = lock_store(store)?;
        let environment = Environment::new(clock, random);
        let (sent, begun) = std::sync::mpsc::channel();
        let prepare = move |sql: &ferry_sqlite::NativeSql<'_>, commit: Seq| {
            spoke::prepare(sql, &mut || (environment.random)())?;
            let origin = environment.step(commit, |step| spoke::begin_serving(sql, step))?;
            // Who opens the store waits for it.
            let _ = sent.send(origin);
            Ok(())
        };
        let (opened, writer) = SpokeStore::open(store, prepare)?;
        drop(opened);
        let closed = |_| ClientError::argument(format!("{}: it could not be closed again", store.display()));
        writer.join().map_err(closed)?;
        let origin = begun.recv().expect("BUG: the store was prepared");
        Ok(Self { socket: SpokeSocket::bind(socket)?, origin, _lock: lock })
    }

    /// The store's own origin.
    #[must_use]
    pub const fn origin(&self) -> OriginId {
        self.origin
    }

    /// Answers apps at the socket by `calls`, for ever.
    pub async fn serve(&self, calls: Arc<dyn SpokeCalls>) -> Infallible {
        self.socket.serve(Arc::new(CallLines(calls))).await
    }
}
