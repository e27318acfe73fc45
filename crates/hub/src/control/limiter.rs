//! Counting windows in memory: rate limits of the public surface (WEB-06) and failed logins (PWD-05).

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::http::ClientIp;
use ferry_types::{ApiKeyId, Error, Reason, Result, UnixMillis, UserId};

/// Windows kept at once; a further one replaces one that is over, or else any.
const ENTRIES_MAX: usize = 100_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Whom a window counts, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    Signup(Client),
    OAuth(Client),
    Public(Client),
    Session(UserId),
    /// A key, and how often it may be used in a minute.
    ApiKey(ApiKeyId, u32),
    /// Failed logins of an e-mail from a client.
    FailedPair(EmailHash, Client),
    /// Failed logins from a client.
    FailedClient(Client),
    /// Failed logins of an e-mail.
    FailedEmail(EmailHash),
}

/// Half a SHA-256 of a normalised e-mail: what the table holds is bounded, whatever callers send.
pub(super) type EmailHash = [u8; 16];

/// An IPv4 address or an IPv6 /64, which one customer usually has whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client(u128);

impl From<ClientIp> for Client {
    fn from(ip: ClientIp) -> Self {
        match ip.0.map(|ip| ip.to_canonical()) {
            // All those of whom nothing is known share one window, which no /64 has.
            None => Self(u128::MAX),
            // Below every /64 whose upper half is not zero.
            Some(IpAddr::V4(v4)) => Self(v4.to_bits().into()),
            Some(IpAddr::V6(v6)) => Self(v6.to_bits() & !u128::from(u64::MAX)),
        }
    }
}

impl Counted {
    /// How many in how many milliseconds.
    const fn rule(self) -> (u32, i64) {
        match self {
            Self::Signup(_) => (10, HOUR_MS),
            Self::OAuth(_) => (30, HOUR_MS),
            Self::Public(_) => (120, MINUTE_MS),
            Self::Session(_) => (600, MINUTE_MS),
            Self::ApiKey(_, per_minute) => (per_minute, MINUTE_MS),
            Self::FailedPair(..) => (10, 15 * MINUTE_MS),
            Self::FailedClient(_) => (60, 15 * MINUTE_MS),
            Self::FailedEmail(_) => (100, HOUR_MS),
        }
    }

    const fn bucket(self) -> &'static str {
        match self {
            Self::Signup(_) => "signup",
            Self::OAuth(_) => "oauth",
            Self::Public(_) => "public",
            Self::Session(_) => "session",
            Self::ApiKey(..) => "api_key",
            Self::FailedPair(..) | Self::FailedClient(_) | Self::FailedEmail(_) => "login",
        }
    }
}

struct Window {
    began: UnixMillis,
    count: u32,
}

/// A set of counting windows; each begins with its first event.
pub(super) struct Limiter {
    windows: Mutex<HashMap<Counted, Window>>,
    /// Multiplies every limit; 0: nothing is limited.
    scale: f64,
}

impl Limiter {
    pub(super) fn new(scale: f64) -> Self {
        Self { windows: Mutex::default(), scale }
    }

    /// Counts an event, or refuses it.
    pub(super) fn charge(&self, counted: Counted, now: UnixMillis) -> Result<()> {
        if self.scale == 0.0 {
            return Ok(());
        }
        self.check(counted, now)?;
        self.count(counted, now);
        Ok(())
    }

    /// Refuses if the window is full.
    pub(super) fn check(&self, counted: Counted, now: UnixMillis) -> Result<()> {
        let (limit, window_ms) = counted.rule();
        let windows = self.lock();
        let Some(window) = windows.get(&counted).filter(|window| is_open(window, window_ms, now)) else {
            return Ok(());
        };
        if f64::from(window.count) < (f64::from(limit) * self.scale).max(1.0) {
            return Ok(());
        }
        let wait_ms = u64::try_from(window.began.0 + window_ms - now.0).unwrap_or(0);
        metrics::counter!("ferry_rate_limited_total", "bucket" => counted.bucket()).increment(1);
        let message = format!("too many requests: try again in {} seconds", wait_ms.div_ceil(1000));
        Err(Error::new(Reason::RateLimited, message).retry_after_ms(wait_ms))
    }

    /// Counts an event.
    pub(super) fn count(&self, counted: Counted, now: UnixMillis) {
        let mut windows = self.lock();
        if windows.len() >= ENTRIES_MAX && !windows.contains_key(&counted) {
            make_room(&mut windows, now);
        }
        let window = windows.entry(counted).or_insert(Window { began: now, count: 0 });
        if !is_open(window, counted.rule().1, now) {
            *window = Window { began: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
    }

    /// Forgets the windows that are over.
    pub(super) fn prune(&self, now: UnixMillis) {
        self.lock().retain(|counted, window| is_open(window, counted.rule().1, now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Counted, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the window still counts. One that began in the future met a clock that was set back.
const fn is_open(window: &Window, window_ms: i64, now: UnixMillis) -> bool {
    window.began.0 <= now.0 && now.0 < window.began.0 + window_ms
}

/// Drops what is over; if nothing is, a tenth of the rest, so that this is not done for every event.
fn make_room(windows: &mut HashMap<Counted, Window>, now: UnixMillis) {
    windows.retain(|counted, window| is_open(window, counted.rule().1, now));
    if windows.len() >= ENTRIES_MAX {
        let mut place = 0;
        windows.retain(|_, _| {
            place += 1;
            place % 10 != 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(ip: &str) -> Counted {
        Counted::Public(Client::from(ClientIp::from(ip.parse::<IpAddr>().unwrap())))
    }

    // Verifies: WEB-06
    #[test]
    fn a_full_window_refuses_until_it_is_over() {
        let limiter = Limiter::new(1.0);
        for _ in 0..120 {
            limiter.charge(public("192.0.2.1"), UnixMillis(1_000)).unwrap();
        }
        let refused = limiter.charge(public("192.0.2.1"), UnixMillis(31_000)).unwrap_err();
        assert_eq!((refused.reason, refused.retry_after_ms), (Reason::RateLimited, Some(30_000)));
        limiter.charge(public("192.0.2.2"), UnixMillis(31_000)).unwrap();
        limiter.charge(public("192.0.2.1"), UnixMillis(61_000)).unwrap();
    }

    // Verifies: WEB-06
    #[test]
    fn scale_multiplies_and_zero_turns_off() {
        let (double, off) = (Limiter::new(2.0), Limiter::new(0.0));
        let accepted = |limiter: &Limiter| {
            (0..1_000).filter(|_| limiter.charge(public("::1"), UnixMillis(0)).is_ok()).count()
        };
        assert_eq!((accepted(&double), accepted(&off)), (240, 1_000));
    }

    #[test]
    fn an_ipv6_customer_is_one_client() {
        assert_eq!(public("2001:db8::1"), public("2001:db8::ffff"));
        assert_ne!(public("2001:db8::1"), public("2001:db8:0:1::1"));
        assert_eq!(public("::ffff:192.0.2.1"), public("192.0.2.1"));
    }

    // Verifies: WEB-06
    #[test]
    fn memory_is_bounded() {
        let limiter = Limiter::new(1.0);
        for bits in 0..u32::try_from(ENTRIES_MAX).unwrap() + 1_000 {
            let client = Client::from(ClientIp::from(IpAddr::from(bits.to_be_bytes())));
            limiter.count(Counted::Public(client), UnixMillis(0));
        }
        assert!(limiter.lock().len() <= ENTRIES_MAX);
        limiter.prune(UnixMillis(HOUR_MS));
        assert_eq!(limiter.lock().len(), 0);
    }
}
