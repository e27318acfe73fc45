//! What the command line reads from the machine: clock, randomness, signals, environment. Nothing else reads them.

use std::time::{Duration, Instant, SystemTime};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    prelude::*,
};

use crate::failure::Failure;

/// A variable of the environment; empty counts as unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// All variables of the environment that are text.
pub(crate) fn variables() -> std::collections::BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Measures how long something takes.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the shell owns the clock that others take injected")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The present moment, Unix seconds.
#[expect(clippy::disallowed_methods, reason = "the shell owns the clock that others take injected")]
pub(crate) fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The same in milliseconds.
#[expect(clippy::disallowed_methods, reason = "the shell owns the clock that others take injected")]
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago something was; nothing if it lies ahead.
pub(crate) fn since(moment: SystemTime) -> Duration {
    moment.elapsed().unwrap_or_default()
}

/// `N` random bytes of the operating system.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut random = [0; N];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::other(format!("the machine gives no randomness: {error}")))?;
    Ok(random)
}

/// `N` random bytes in hex.
pub(crate) fn random_hex<const N: usize>() -> Result<String, Failure> {
    Ok(random_bytes::<N>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Shows `url` in the person's browser: the program that BROWSER names, or the desktop's. Where there is none nothing
/// happens; the URL was printed.
pub(crate) fn open_browser(url: &str) {
    let desktop = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let program = variable("BROWSER").unwrap_or_else(|| desktop.to_owned());
    let started = std::process::Command::new(&program)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    if let Err(error) = started {
        tracing::debug!(%error, program, "no browser");
    }
}

/// Returns when the person, or what started us, asks to stop.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler the default action ends the process.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Runs `act` at each SIGHUP from now on, which ends the process no more.
pub(crate) fn at_each_hangup<F>(act: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::hangup()) {
            Ok(mut hangups) => {
                tokio::spawn(async move {
                    while hangups.recv().await.is_some() {
                        act().await;
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "SIGHUP cannot be listened to"),
        }
    }
    #[cfg(not(unix))]
    drop(act);
}

/// Warnings of the libraries below go to stderr, but those of some; FERRY_LOG_LEVEL asks for more, as it does of the hub.
pub(crate) fn log_warnings(left_out: &[&str]) {
    let level = variable("FERRY_LOG_LEVEL").and_then(|level| level.parse().ok());
    let shown = Targets::new().with_default(level.unwrap_or(tracing::Level::WARN));
    let shown = left_out.iter().fold(shown, |shown, target| shown.with_target(*target, LevelFilter::OFF));
    let lines = tracing_subscriber::fmt::layer().with_writer(crate::output::log).with_ansi(false);
    let lines = lines.without_time().with_target(false).with_filter(shown);
    let started = tracing_subscriber::registry().with(lines).try_init();
    debug_assert!(started.is_ok(), "logging is started once");
}
