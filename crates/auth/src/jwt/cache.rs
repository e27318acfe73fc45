//! When a key set is used, refreshed, waited for or given up (JWT-04…06). The machine of one URL: it is given
//! the time and the outcomes of fetches, and says what to do.

use std::sync::Arc;

use ferry_types::UnixMillis;

use super::{KeySet, KeySetError};

/// Shortest time a set is fresh, whatever the provider says.
const FRESH_MIN_MS: i64 = 60_000;
/// Longest.
const FRESH_MAX_MS: i64 = 3_600_000;
/// Where the provider says nothing.
const FRESH_DEFAULT_MS: i64 = 600_000;
/// How long a set is used while it cannot be refreshed.
const STALE_MAX_MS: i64 = 24 * 3_600_000;
/// Least time between the fetches of one URL.
const FETCH_EVERY_MS: i64 = 30_000;
/// Least time between them while there is no set at all.
const RETRY_EVERY_MS: i64 = 5_000;
/// After this a fetch counts as lost; each is bounded by 5 s.
const FETCH_LOST_MS: i64 = 20_000;

/// Why a set could not be fetched, for whoever configured the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchFailure {
    /// No connection, or no answer in time.
    #[error("the server of jwks_url does not answer")]
    Unreachable,
    /// The URL leads to an address that users of the hub may not reach.
    #[error("jwks_url leads to an address that is not public")]
    Forbidden,
    /// Another status than 200; redirects are not followed.
    #[error("jwks_url answers with status {0}, not 200")]
    Status(u16),
    /// Over 256 KiB.
    #[error("jwks_url answers with more than 256 KiB")]
    TooLarge,
    /// The body is no key set.
    #[error("jwks_url answers with what cannot be used: {0}")]
    Content(#[from] KeySetError),
}

/// What to do for a token.
pub enum Lookup {
    /// Use this set; it may lack the token's key, and no other can be had now.
    Use(Arc<KeySet>),
    /// Use this set, and fetch in the background.
    UseAndFetch(Arc<KeySet>),
    /// Fetch, wait, and ask again.
    Fetch,
    /// A fetch is under way: wait for it, and ask again.
    Wait,
    /// There is no usable set.
    Unavailable {
        /// When to try again.
        retry_after_ms: u64,
        /// How the newest fetch failed.
        failure: FetchFailure,
    },
}

struct Fetched {
    keys: Arc<KeySet>,
    at: UnixMillis,
    fresh_ms: i64,
}

/// The key set of one URL, and when it was fetched.
#[derive(Default)]
pub struct JwksCache {
    fetched: Option<Fetched>,
    /// When the newest fetch began, or ended.
    attempted: Option<UnixMillis>,
    is_fetching: bool,
    failure: Option<FetchFailure>,
}

/// Whether `then` lies less than `span_ms` back. What lies ahead met a clock that was set back.
const fn within(then: UnixMillis, span_ms: i64, now: UnixMillis) -> bool {
    then.0 <= now.0 && now.0 - then.0 < span_ms
}

impl JwksCache {
    /// What to do for a token that `lacks_key` in some sets. Known keys never wait. After [`Lookup::Fetch`] and
    /// [`Lookup::UseAndFetch`] the caller fetches, and calls [`Self::finish`].
    pub fn lookup(&mut self, now: UnixMillis, lacks_key: impl Fn(&KeySet) -> bool) -> Lookup {
        let usable =
            self.fetched.as_ref().filter(|set| set.at.0 > now.0 || within(set.at, STALE_MAX_MS, now));
        let is_fetching = self.is_fetching && self.attempted.is_some_and(|at| within(at, FETCH_LOST_MS, now));
        let spacing = if usable.is_some() { FETCH_EVERY_MS } else { RETRY_EVERY_MS };
        let may_fetch = !is_fetching && self.attempted.is_none_or(|at| !within(at, spacing, now));
        let Some(set) = usable else {
            if is_fetching {
                return Lookup::Wait;
            }
            return match (self.attempted, self.failure) {
                (Some(attempted), Some(failure)) if !may_fetch => {
                    let wait_ms = u64::try_from(attempted.0 + spacing - now.0).unwrap_or(0);
                    Lookup::Unavailable { retry_after_ms: wait_ms.max(1), failure }
                }
                _ => self.start(now, Lookup::Fetch),
            };
        };
        let keys = Arc::clone(&set.keys);
        if lacks_key(&keys) {
            return match (is_fetching, may_fetch) {
                (true, _) => Lookup::Wait,
                (false, true) => self.start(now, Lookup::Fetch),
                (false, false) => Lookup::Use(keys),
            };
        }
        if may_fetch && !within(set.at, set.fresh_ms, now) {
            return self.start(now, Lookup::UseAndFetch(keys));
        }
        Lookup::Use(keys)
    }

    fn start(&mut self, now: UnixMillis, lookup: Lookup) -> Lookup {
        self.attempted = Some(now);
        self.is_fetching = true;
        lookup
    }

    /// Whether something that lives on was proven by a key of the set, which then must be kept fresh: a connection
    /// asks for no key again.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.fetched.as_ref().is_some_and(|set| set.keys.is_in_use())
    }

    /// Takes in how a fetch went. A new set replaces the old one whole; `cache_control` is the header of that
    /// name. Whether keys are gone by that, and with them what they proved.
    pub fn finish(
        &mut self,
        now: UnixMillis,
        outcome: Result<KeySet, FetchFailure>,
        cache_control: Option<&str>,
    ) -> bool {
        self.is_fetching = false;
        // Counted from the end: a server that lets every fetch time out must not keep callers waiting in a row.
        self.attempted = Some(now);
        match outcome {
            Ok(mut keys) => {
                self.failure = None;
                let withdrawn = self.fetched.as_ref().is_some_and(|old| keys.replace(&old.keys));
                let fresh_ms = fresh_ms(cache_control);
                self.fetched = Some(Fetched { keys: Arc::new(keys), at: now, fresh_ms });
                withdrawn
            }
            Err(failure) => {
                self.failure = Some(failure);
                false
            }
        }
    }

    /// How the newest fetch failed, if it did.
    #[must_use]
    pub const fn failure(&self) -> Option<FetchFailure> {
        self.failure
    }
}

/// How long a set is fresh by the provider's `Cache-Control`, within an hour and a minute.
fn fresh_ms(cache_control: Option<&str>) -> i64 {
    let mut fresh_ms = FRESH_DEFAULT_MS;
    for directive in cache_control.unwrap_or_default().split(',') {
        let directive = directive.trim().to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return FRESH_MIN_MS;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            // Too many digits are a long time.
            let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
            let seconds = if is_number { seconds.parse().unwrap_or(i64::MAX) } else { continue };
            fresh_ms = seconds.saturating_mul(1000);
        }
    }
    fresh_ms.clamp(FRESH_MIN_MS, FRESH_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> KeySet {
        KeySet::parse(br#"{"keys":[]}"#).unwrap()
    }

    /// What is asked for a token whose key is in every set, or in none.
    fn ask(cache: &mut JwksCache, secs: i64, is_known: bool) -> &'static str {
        match cache.lookup(UnixMillis(secs * 1000), |_| !is_known) {
            Lookup::Use(_) => "use",
            Lookup::UseAndFetch(_) => "use and fetch",
            Lookup::Fetch => "fetch",
            Lookup::Wait => "wait",
            Lookup::Unavailable { .. } => "unavailable",
        }
    }

    fn finish(cache: &mut JwksCache, secs: i64, is_well: bool) {
        let outcome = if is_well { Ok(set()) } else { Err(FetchFailure::Unreachable) };
        cache.finish(UnixMillis(secs * 1000), outcome, None);
    }

    // Verifies: JWT-04
    #[test]
    fn a_set_is_fresh_then_stale_then_gone() {
        let mut cache = JwksCache::default();
        assert_eq!((ask(&mut cache, 0, true), ask(&mut cache, 0, true)), ("fetch", "wait"));
        finish(&mut cache, 1, true);
        assert_eq!(ask(&mut cache, 600, true), "use");
        assert_eq!((ask(&mut cache, 601, true), ask(&mut cache, 602, true)), ("use and fetch", "use"));
        finish(&mut cache, 602, false);
        assert_eq!((ask(&mut cache, 631, true), ask(&mut cache, 632, true)), ("use", "use and fetch"));
        finish(&mut cache, 633, false);
        let day = 86_400;
        assert_eq!(ask(&mut cache, day, true), "use and fetch");
        finish(&mut cache, day, false);
        assert_eq!(ask(&mut cache, day + 1, true), "unavailable", "a day old");
        assert_eq!(ask(&mut cache, day + 5, true), "fetch");
        finish(&mut cache, day + 5, true);
        assert_eq!(ask(&mut cache, day + 6, true), "use");
    }

    // Verifies: JWT-05
    #[test]
    fn unknown_keys_cost_one_fetch_per_thirty_seconds_and_known_ones_never_wait() {
        let mut cache = JwksCache::default();
        assert_eq!(ask(&mut cache, 0, false), "fetch");
        finish(&mut cache, 0, true);
        assert_eq!((ask(&mut cache, 29, false), ask(&mut cache, 29, true)), ("use", "use"));
        assert_eq!(ask(&mut cache, 30, false), "fetch");
        assert_eq!((ask(&mut cache, 31, false), ask(&mut cache, 31, true)), ("wait", "use"));
        finish(&mut cache, 32, false);
        assert_eq!((ask(&mut cache, 61, false), ask(&mut cache, 62, false)), ("use", "fetch"));
    }

    // Verifies: JWT-06
    #[test]
    fn without_a_key_set_the_retry_time_is_returned() {
        let mut cache = JwksCache::default();
        assert_eq!(ask(&mut cache, 0, true), "fetch");
        finish(&mut cache, 2, false);
        let Lookup::Unavailable { retry_after_ms, failure } = cache.lookup(UnixMillis(3_000), |_| false)
        else {
            panic!("nothing is there to use");
        };
        assert_eq!((retry_after_ms, failure), (4_000, FetchFailure::Unreachable));
        assert_eq!(ask(&mut cache, 6, true), "unavailable", "five seconds from its end");
        assert_eq!(ask(&mut cache, 7, true), "fetch");
        assert_eq!(ask(&mut cache, 26, true), "wait");
        assert_eq!(ask(&mut cache, 27, true), "fetch", "a fetch that never ended is given up");
    }

    // Verifies: JWT-04
    #[test]
    fn the_cache_lifetime_of_the_provider_is_clamped() {
        for (header, secs) in [
            (None, 600),
            (Some("public"), 600),
            (Some("max-age=x"), 600),
            (Some("max-age=900"), 900),
            (Some("public, Max-Age=900, must-revalidate"), 900),
            (Some("max-age=0"), 60),
            (Some("no-store"), 60),
            (Some("max-age=900, no-cache"), 60),
            (Some("max-age=99999999999999999999"), 3600),
        ] {
            assert_eq!(fresh_ms(header), secs * 1000, "{header:?}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_a_set_stale_not_eternal() {
        let mut cache = JwksCache::default();
        ask(&mut cache, 10_000, true);
        finish(&mut cache, 10_000, true);
        assert_eq!(ask(&mut cache, 1, true), "use and fetch");
        finish(&mut cache, 1, true);
        assert_eq!(ask(&mut cache, 2, true), "use");
    }
}
