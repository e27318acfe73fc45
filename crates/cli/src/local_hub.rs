//! A hub in this process: the real server, on loopback.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_client::ServerUrl;
use ferry_hub::{
    clock::SystemClock,
    config::{Config, ServeArgs},
    server::Server,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// A running hub. Dropped, it is told to stop.
pub(crate) struct LocalHub {
    pub(crate) address: ServerUrl,
    stop: CancellationToken,
    /// `None`: it has ended.
    running: Option<JoinHandle<()>>,
}

/// How a hub is started.
pub(crate) struct LocalHubOptions<'a> {
    pub(crate) dev: bool,
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: &'a Path,
    /// Its settings beside these; made empty if it is not there, so that neither a ferry.toml nor variables of the place
    /// that it runs in take part.
    pub(crate) config: PathBuf,
}

impl LocalHub {
    /// Starts a hub.
    pub(crate) async fn start(options: LocalHubOptions<'_>) -> Result<Self, Failure> {
        let LocalHubOptions { dev, listen, data_dir, config, .. } = options;
        if !config.exists() {
            std::fs::write(&config, "")
                .map_err(|error| Failure::other(format!("{}: {error}", config.display())))?;
        }
        let flags = BTreeMap::from([
            ("listen", listen.to_string()),
            ("data_dir", data_dir.display().to_string()),
            ("signup", "open".to_owned()),
        ]);
        let args = ServeArgs { dev, config: Some(config), flags };
        let failed = |error: ferry_hub::config::ConfigError| Failure::Configuration(error.to_string());
        let config = Config::load(&args, &BTreeMap::new()).map_err(failed)?;
        let server = Server::open(config, Arc::new(SystemClock)).await.map_err(failed)?;
        let bound = server.address().map_err(|error| Failure::other(format!("the hub's socket: {error}")))?;
        let address = format!("http://{bound}").parse().expect("BUG: a socket's address makes a URL");
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move {
                if let Err(lost) = server.run(stop).await {
                    tracing::error!(cause = %lost, "the hub stops at once");
                }
            }
        });
        Ok(Self { address, stop, running: Some(running) })
    }

    /// Returns when the hub has ended by itself.
    pub(crate) async fn ended(&mut self) {
        let Some(running) = &mut self.running else { return };
        if let Err(error) = running.await {
            tracing::warn!(%error, "the hub did not stop in order");
        }
        self.running = None;
    }

    /// Stops the hub in order.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.ended().await;
    }
}

impl Drop for LocalHub {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
