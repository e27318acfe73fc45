//! The one place of the command line that reads clock, randomness and signals of the machine.

use std::time::{Duration, Instant, SystemTime};

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

/// `bytes` random bytes in hex, from the operating system.
pub(crate) fn random_hex(bytes: usize) -> Result<String, crate::failure::Failure> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|error| {
        crate::failure::Failure::other(format!("the machine gives no randomness: {error}"))
    })?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
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

/// Warnings of the libraries below go to stderr; FERRY_LOG_LEVEL asks for more, as it does of the hub.
pub(crate) fn log_warnings() {
    let level = crate::context::variable("FERRY_LOG_LEVEL").and_then(|level| level.parse().ok());
    let started = tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::WARN))
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .try_init();
    debug_assert!(started.is_ok(), "logging is started once");
}
