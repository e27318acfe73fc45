//! `ferry serve`: the hub itself.

use std::{
    backtrace::BacktraceStatus,
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    sync::Arc,
};

use ferry_hub::{
    clock::{SystemClock, unix_ns},
    config::{Config, ConfigError, LogFormat, ServeArgs},
    server::Server,
};
use ferry_types::printable;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{filter::Targets, prelude::*};

use super::{detach, doctor::examine, spoke::beside};
use crate::{
    failure::Failure,
    output,
    repeated_warnings::{RepeatedWarnings, WithoutRepeated},
    system,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on in the background as soon as it listens; the log goes to the data directory's name with .log
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    settings: ServeArgs,
}

/// Runs a hub until it is told to stop.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let wrong = |error: ConfigError| Failure::Configuration(error.to_string());
    let environment: BTreeMap<_, _> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let config = Config::load(&args.settings, &environment).map_err(wrong)?;
    if args.detach {
        return detach::run(&beside(&config.process.data_dir, ".log"));
    }
    let warnings = log(&config);
    tokio::spawn(warnings.clone().tell_each_minute());
    // Scripts read the address from these lines: they are JSON for whoever asks for it by name only.
    let format = config.process.log_format.unwrap_or(LogFormat::Text);
    let (dashboard, public_url) = (config.listener.dashboard, config.listener.public_url.clone());
    let (dev, data_dir) = (config.dev, config.process.data_dir.clone());
    let server = Server::open(config, Arc::new(SystemClock)).await.map_err(wrong)?;
    let address = server.address().map_err(|error| Failure::other(format!("the hub's socket: {error}")))?;
    let url = format!("{}://{address}", server.scheme());
    let dashboard = dashboard.then(|| format!("{}/_/", public_url.as_deref().unwrap_or(&url)));
    server.hub().doctor.set(examine);
    let code = match &dashboard {
        Some(_) => server.hub().control.operator_code().map_err(|error| Failure::other(error.to_string()))?,
        None => None,
    };
    let first = dashboard.iter().zip(code).map(|(url, code)| format!("{url}#operator={code}")).next();
    if let Some(certificates) = server.certificates() {
        let certificates = Arc::clone(certificates);
        system::at_each_hangup(move || {
            let certificates = Arc::clone(&certificates);
            async move { certificates.read_again().await }
        });
    }
    // A closed stdout is no reason to stop serving.
    let told = welcome(format, &url, &data_dir, (dashboard.as_deref(), first.as_deref()), dev)
        + &warned(format, &server.start_warnings());
    let _ = io::stdout().write_all(told.as_bytes());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        system::interrupted().await;
        tracing::info!("stopping; a second signal ends at once");
        stop.cancel();
        system::interrupted().await;
        std::process::exit(130);
    });
    let ended = server.run(shutdown).await;
    warnings.tell();
    if let Err(lost) = ended {
        tracing::error!(cause = %lost, "the hub stops at once");
        // Not in order: whatever is still open belongs to nobody, or to another process.
        std::process::exit(1);
    }
    Ok(())
}

/// What tells that the hub listens; `first`: where its first account is made, as one that operates it.
fn welcome(
    format: LogFormat,
    url: &str,
    data_dir: &Path,
    (dashboard, first): (Option<&str>, Option<&str>),
    dev: bool,
) -> String {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let dev =
        dev.then_some("dev mode: user dev@localhost, password ferry-dev, database main; this machine only");
    let data_dir = data_dir.display().to_string();
    let first =
        first.map(|url| format!("first account, which operates the hub, once and within an hour at {url}"));
    match format {
        LogFormat::Text => {
            let dev = dev.map_or(String::new(), |dev| format!("{dev}\n"));
            let dashboard = dashboard.map_or(String::new(), |url| format!("dashboard at {url}\n"));
            let first = first.map_or(String::new(), |text| format!("{text}\n"));
            format!(
                "ferry {VERSION} listens on {url}\ndata in {}\n{dashboard}{first}{dev}",
                printable(&data_dir)
            )
        }
        LogFormat::Json => {
            let line = |message: &str, members: &[(&str, &str)]| json_line("INFO", message, members);
            let listens = [("url", url), ("version", VERSION), ("data_dir", &*data_dir)];
            let dashboard = dashboard.map(|url| line("the dashboard is served", &[("dashboard", url)]));
            let first = first.map(|text| line(&text, &[])).unwrap_or_default();
            let dev = dev.map(|dev| line(dev, &[]));
            line("the hub listens", &listens)
                + &dashboard.unwrap_or_default()
                + &first
                + &dev.unwrap_or_default()
        }
    }
}

/// What should be mended, a line each.
fn warned(format: LogFormat, warnings: &[String]) -> String {
    let line = |warning: &String| match format {
        LogFormat::Text => format!("warning: {}\n", printable(warning)),
        LogFormat::Json => json_line("WARN", warning, &[]),
    };
    warnings.iter().map(line).collect()
}

fn json_line(level: &str, message: &str, members: &[(&str, &str)]) -> String {
    let mut line = json!({"timestamp": log_time(), "level": level, "target": "ferry", "message": message});
    members.iter().for_each(|(name, value)| line[*name] = (*value).into());
    format!("{line}\n")
}

/// The present moment as lines of the log have it: RFC 3339 with microseconds.
fn log_time() -> String {
    let now = jiff::Timestamp::from_nanosecond(unix_ns().into()).unwrap_or_default();
    now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Starts the log. What is returned holds back the warnings that repeat themselves.
fn log(config: &Config) -> RepeatedWarnings {
    let default = if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let others = config.process.log_level.min(tracing::Level::WARN);
    let warnings = RepeatedWarnings::default();
    let filter = Targets::new().with_default(others).with_target("ferry", config.process.log_level);
    let lines = tracing_subscriber::fmt::layer().with_writer(output::log).with_ansi(false);
    let registry = tracing_subscriber::registry();
    let started = match config.process.log_format.unwrap_or(default) {
        LogFormat::Text => {
            let layer = WithoutRepeated { layer: lines.with_target(false), warnings: warnings.clone() };
            registry.with(layer.with_filter(filter)).try_init()
        }
        LogFormat::Json => {
            std::panic::set_hook(Box::new(log_panic));
            let layer =
                WithoutRepeated { layer: lines.json().flatten_event(true), warnings: warnings.clone() };
            registry.with(layer.with_filter(filter)).try_init()
        }
    };
    debug_assert!(started.is_ok(), "logging is started once");
    warnings
}

/// A panic as a line of the log, whose readers expect an object in each.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let cause = panic.payload_as_str().unwrap_or_default();
    tracing::error!(location, cause, backtrace, "a part of the hub panicked; please report it");
}
