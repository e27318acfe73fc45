//! Waiting for a condition: the one place of the tests that reads a clock or pauses.

use std::time::{Duration, Instant};

/// Longest a test waits for anything; far above what a busy machine needs.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The most that what is promised within a second may take where other tests run beside: far less than the timeouts and
/// periods that would bring it about otherwise.
pub const PROMPT: Duration = Duration::from_secs(5);
/// Pause between two checks.
const PAUSE: Duration = Duration::from_millis(5);

/// Checks until `check` gives something.
///
/// # Panics
/// After [`LIMIT`], naming `what`.
pub fn until<T>(what: &str, check: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, check).unwrap_or_else(|| panic!("{what} did not come about within {LIMIT:?}"))
}

/// Checks until `check` gives something, at most `limit`.
pub fn within<T>(limit: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = now();
    loop {
        if let Some(found) = check() {
            return Some(found);
        }
        if begun.elapsed() > limit {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The end of a wait that is a loop of its own, such as reading until something comes.
#[derive(Debug)]
pub struct Deadline {
    what: &'static str,
    begun: Instant,
    limit: Duration,
}

impl Deadline {
    /// From now on, for `what`.
    #[must_use]
    pub fn of(what: &'static str) -> Self {
        Self { what, begun: now(), limit: LIMIT }
    }

    /// From now on, for what the product itself does no earlier than after a minute.
    #[must_use]
    pub fn later(what: &'static str, limit: Duration) -> Self {
        Self { what, begun: now(), limit }
    }

    /// Asked in every round.
    ///
    /// # Panics
    /// After the limit, naming what was waited for.
    pub fn check(&self) {
        assert!(
            self.begun.elapsed() <= self.limit,
            "{} did not come about within {:?}",
            self.what,
            self.limit
        );
    }
}

/// How long `action` took, and what it gave.
pub fn timed<T>(action: impl FnOnce() -> T) -> (Duration, T) {
    let begun = now();
    let value = action();
    (begun.elapsed(), value)
}

/// Seconds since 1970, as the hub's clock says too.
///
/// # Panics
/// If the clock stands before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests compare expiry times with the real clock")]
pub fn unix_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the end of time")
}

#[expect(clippy::disallowed_methods, reason = "tests measure and bound real time")]
fn now() -> Instant {
    Instant::now()
}
