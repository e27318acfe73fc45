//! `ferry serve`: the hub itself.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
};

use ferry_hub::{
    clock::SystemClock,
    config::{Config, ConfigError, LogFormat, ServeArgs},
    server::Server,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{filter::Targets, prelude::*};

use crate::{failure::Failure, output, system};

pub(crate) type Args = ServeArgs;

/// Runs a hub until it is told to stop.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let wrong = |error: ConfigError| Failure::Configuration(error.to_string());
    let environment: BTreeMap<_, _> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let config = Config::load(&args, &environment).map_err(wrong)?;
    log(&config);
    let (dev, data_dir) = (config.dev, config.data_dir.clone());
    let server = Server::open(config, Arc::new(SystemClock)).await.map_err(wrong)?;
    let address = server.address().map_err(|error| Failure::other(format!("the hub's socket: {error}")))?;
    let url = format!("{}://{address}", server.scheme());
    let mut welcome =
        format!("ferry {} listens on {url}\ndata in {}\n", env!("CARGO_PKG_VERSION"), data_dir.display());
    if dev {
        welcome += "dev mode: user dev@localhost, password ferry-dev, database main; this machine only\n";
    }
    // A closed stdout is no reason to stop serving.
    let _ = io::stdout().write_all(welcome.as_bytes());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        system::interrupted().await;
        tracing::info!("stopping; a second signal ends at once");
        stop.cancel();
        system::interrupted().await;
        std::process::exit(130);
    });
    if let Err(lost) = server.run(shutdown).await {
        tracing::error!("{lost}");
        // Not in order: whatever is still open belongs to nobody, or to another process.
        std::process::exit(1);
    }
    Ok(())
}

fn log(config: &Config) {
    let default = if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let others = config.log_level.min(tracing::Level::WARN);
    let filter = Targets::new().with_default(others).with_target("ferry", config.log_level);
    let lines = tracing_subscriber::fmt::layer().with_writer(output::log).with_ansi(false);
    let registry = tracing_subscriber::registry();
    let started = match config.log_format.unwrap_or(default) {
        LogFormat::Text => registry.with(lines.with_target(false).with_filter(filter)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_filter(filter)).try_init(),
    };
    debug_assert!(started.is_ok(), "logging is started once");
}
