//! The demo's hub: the real server, in this process, on a data directory that goes with it.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};

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
pub(super) struct DemoHub {
    pub(super) address: ServerUrl,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl DemoHub {
    /// Starts a hub with its data below `dir`.
    pub(super) async fn start(listen: SocketAddr, dir: &Path) -> Result<Self, Failure> {
        // A file of its own, so that neither a ferry.toml nor variables of the place it runs in take part.
        let file = dir.join("ferry.toml");
        std::fs::write(&file, "").map_err(|error| Failure::other(format!("{}: {error}", file.display())))?;
        let flags = BTreeMap::from([
            ("listen", listen.to_string()),
            ("data_dir", dir.join("hub").display().to_string()),
            ("signup", "open".to_owned()),
        ]);
        let args = ServeArgs { dev: false, config: Some(file), flags };
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
                    tracing::error!("{lost}");
                }
            }
        });
        Ok(Self { address, stop, running })
    }

    /// Stops the hub in order.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.running).await {
            tracing::warn!(%error, "the hub did not stop in order");
        }
    }
}

impl Drop for DemoHub {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
