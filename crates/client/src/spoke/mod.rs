//! `ferry spoke`: a daemon that keeps ops in one SQLite file, answers apps over a unix socket, and exchanges ops with a hub
//! in the background (ops specification, OPS-60 to OPS-67).

mod backoff;
mod client;
mod coding;
mod connection;
mod environment;
mod exchange;
mod hub;
mod live;
mod lock;
mod served;
mod service;
mod socket;
mod store;
mod sync;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use ferry_core::ops::{
    Texts,
    spoke::{self, PeerTarget},
};
use ferry_types::Clock;

pub use client::SpokeClient;
pub use environment::RandomSource;
pub use hub::{HubAddress, HubToken};
pub use served::ServedStore;
pub use service::{CallFuture, CallOutcome, SpokeCalls, call_result};

use self::{
    environment::Environment,
    hub::HubClient,
    lock::ProcessLock,
    service::{CallLines, StoreCalls},
    socket::SpokeSocket,
    store::SpokeStore,
    sync::{SpokeSync, SyncShared},
};
use crate::Result;

/// How long the store may take to be closed.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// What a daemon is started with.
#[derive(Clone, Debug)]
pub struct SpokeOptions {
    /// The SQLite file; made if it is missing.
    pub store: PathBuf,
    /// The socket.
    pub socket: PathBuf,
    /// The hub; `None`: there is no network (mode `local`).
    pub hub: Option<HubAddress>,
    /// What the credential's database is called, where it is known by more than the address.
    pub database: Option<String>,
    /// How often ops are exchanged unless something makes it sooner.
    pub interval: Duration,
    /// Ferry's version, for `health`.
    pub version: &'static str,
}

/// A daemon that is open, and does not serve yet.
pub struct SpokeDaemon {
    socket: SpokeSocket,
    store: Arc<SpokeStore>,
    writer: JoinHandle<()>,
    sync: Option<Arc<SpokeSync>>,
    environment: Environment,
    calls: Arc<dyn SpokeCalls>,
    _lock: ProcessLock,
}

impl SpokeDaemon {
    /// Locks and opens the store, and listens.
    ///
    /// # Errors
    /// `SPOKE_RUNNING` when another daemon has the store or the socket; when a file cannot be used.
    pub fn open(options: SpokeOptions, clock: Arc<dyn Clock>, random: RandomSource) -> Result<Self> {
        // Whatever is made from here on is its owner's alone.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let lock = lock_store(&options.store)?;
        let environment = Environment::new(clock, random);
        let draw = Arc::clone(&environment.random);
        let meets_hub = options.hub.is_some();
        let prepare = move |sql: &ferry_sqlite::NativeSql<'_>, _| {
            spoke::prepare(sql, &mut || draw())?;
            if meets_hub { spoke::end_serving(sql) } else { Ok(()) }
        };
        let (store, writer) = SpokeStore::open(&options.store, prepare)?;
        let socket = SpokeSocket::bind(&options.socket)?;
        let texts = Arc::new(Mutex::new(Texts::new((environment.random)())));
        let sync = match options.hub {
            Some(address) => {
                // A token that cannot be read is told at once.
                HubClient::new(&address)?;
                let target = PeerTarget {
                    url: address.url.to_string(),
                    database: options.database.unwrap_or_else(|| address.database.clone()),
                };
                let sync = SpokeSync {
                    store: Arc::clone(&store),
                    address,
                    target,
                    interval: options.interval,
                    environment: environment.clone(),
                    texts: Arc::clone(&texts),
                    shared: SyncShared::default(),
                };
                Some(Arc::new(sync))
            }
            None => None,
        };
        let calls = StoreCalls {
            store: Arc::clone(&store),
            sync: sync.clone(),
            environment: environment.clone(),
            version: options.version,
            texts: Arc::clone(&texts),
        };
        Ok(Self { socket, store, writer, sync, environment, calls: Arc::new(calls), _lock: lock })
    }

    /// Serves until `stop` ends. What was acknowledged is on disk at any moment; here the file is closed in order.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { socket, store, writer, sync, environment, calls, _lock } = self;
        let background = async {
            match sync {
                Some(sync) => {
                    let live = live::follow(Arc::clone(&store), Arc::clone(&sync), environment);
                    tokio::join!(sync.run(), live);
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            never = socket.serve(Arc::new(CallLines(calls))) => match never {},
            () = background => {}
        }
        drop((socket, store));
        // Whatever still runs holds the store; the file is whole at any moment, so that it is not waited for long.
        let closed = tokio::task::spawn_blocking(move || writer.join());
        let _ = tokio::time::timeout(CLOSE_MAX, closed).await;
    }
}

/// Locks a store for this process (OPS-61).
///
/// # Errors
/// `SPOKE_RUNNING` if another process has it.
fn lock_store(store: &Path) -> Result<ProcessLock> {
    let advice = "stop that one, or name another file with --store";
    lock::acquire(store, "the store", advice)
}
