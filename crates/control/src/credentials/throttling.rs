//! Counting windows in memory: rate limits of the public surface (WEB-06) and failed logins (PWD-05).

use std::{
    cmp::Ordering,
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ferry_types::{ApiKeyId, Error, Reason, Result, UnixMillis, UserId};

use crate::{mail::MailKind, origin::ClientIp};

/// Windows kept at once; a further one replaces one that is over, or else those that are furthest from refusing.
const ENTRIES_MAX: usize = 100_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Whom a window counts, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ThrottleKey {
    Signup(ClientPrefix),
    OAuth(ClientPrefix),
    Public(ClientPrefix),
    Session(UserId),
    /// Mails of a kind to an address that somebody asks for.
    MailTo(EmailHash, MailKind),
    /// Mailed codes for new passwords that a client asks for, whosever.
    ResetsFrom(ClientPrefix),
    /// Mailed invitations of a user.
    InvitesOf(UserId),
    /// A key, and how often it may be used in a minute.
    ApiKey(ApiKeyId, u32),
    /// Failed logins of an e-mail from a client.
    FailedPair(EmailHash, ClientPrefix),
    /// Failed logins from a client.
    FailedClient(ClientPrefix),
    /// Failed logins of an e-mail.
    FailedEmail(EmailHash),
    /// Failed logins from a network, of any e-mail: where there was none, an attacked account can be entered.
    FailedNetwork(Network),
}

/// Half a SHA-256 of a normalised e-mail: what the table holds is bounded, whatever callers send.
pub(crate) type EmailHash = [u8; 16];

/// An IPv4 address or an IPv6 /64, which one customer usually has whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientPrefix(u128);

impl From<ClientIp> for ClientPrefix {
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

impl ClientPrefix {
    /// What storage names it by; `None` where nothing is known of it.
    pub(crate) fn known(self) -> Option<[u8; 16]> {
        (self.0 != u128::MAX).then_some(self.0.to_be_bytes())
    }
}

/// An IPv4 address or an IPv6 /48: the largest that one customer usually has, who would otherwise guess from 65,536
/// addresses without failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(u128);

impl From<ClientPrefix> for Network {
    fn from(client: ClientPrefix) -> Self {
        let is_v6 = client.0 > u128::from(u64::MAX);
        Self(if is_v6 { client.0 >> 80 << 80 } else { client.0 })
    }
}

impl ThrottleKey {
    /// How many in how many milliseconds.
    const fn rule(self) -> (u32, i64) {
        match self {
            Self::Signup(_) => (10, HOUR_MS),
            Self::OAuth(_) => (30, HOUR_MS),
            Self::Public(_) => (120, MINUTE_MS),
            Self::Session(_) => (600, MINUTE_MS),
            Self::MailTo(..) => (3, HOUR_MS),
            Self::ResetsFrom(_) => (20, HOUR_MS),
            Self::InvitesOf(_) => (60, HOUR_MS),
            Self::ApiKey(_, per_minute) => (per_minute, MINUTE_MS),
            Self::FailedPair(..) => (10, 15 * MINUTE_MS),
            Self::FailedClient(_) => (60, 15 * MINUTE_MS),
            Self::FailedEmail(_) => (100, HOUR_MS),
            Self::FailedNetwork(_) => (1, HOUR_MS),
        }
    }

    const fn bucket(self) -> &'static str {
        match self {
            Self::Signup(_) => "signup",
            Self::OAuth(_) => "oauth",
            Self::Public(_) => "public",
            Self::Session(_) => "session",
            Self::MailTo(..) | Self::ResetsFrom(_) | Self::InvitesOf(_) => "mail",
            Self::ApiKey(..) => "api_key",
            Self::FailedPair(..) | Self::FailedClient(_) | Self::FailedEmail(_) | Self::FailedNetwork(_) => {
                "login"
            }
        }
    }
}

struct Window {
    began: UnixMillis,
    count: u32,
}

/// A set of counting windows; each begins with its first event.
pub(crate) struct Limiter {
    windows: Mutex<HashMap<ThrottleKey, Window>>,
    /// Multiplies every limit; 0: nothing is limited.
    scale: f64,
}

impl Limiter {
    pub(crate) fn new(scale: f64) -> Self {
        Self { windows: Mutex::default(), scale }
    }

    /// Counts an event, or refuses it.
    pub(crate) fn charge(&self, counted: ThrottleKey, now: UnixMillis) -> Result<()> {
        if self.scale == 0.0 {
            return Ok(());
        }
        let mut windows = self.lock();
        self.check_in(&windows, counted, now)?;
        count_in(&mut windows, counted, now);
        Ok(())
    }

    /// Refuses if the window is full.
    pub(crate) fn check(&self, counted: ThrottleKey, now: UnixMillis) -> Result<()> {
        self.check_in(&self.lock(), counted, now)
    }

    fn check_in(
        &self,
        windows: &HashMap<ThrottleKey, Window>,
        counted: ThrottleKey,
        now: UnixMillis,
    ) -> Result<()> {
        let (limit, window_ms) = counted.rule();
        let Some(window) = windows.get(&counted).filter(|window| is_open(window, window_ms, now)) else {
            return Ok(());
        };
        if f64::from(window.count) < (f64::from(limit) * self.scale).max(1.0) {
            return Ok(());
        }
        let wait_ms = u64::try_from(window.began.0 + window_ms - now.0).unwrap_or(0);
        metrics::counter!("ferry_rate_limited_total", "bucket" => counted.bucket()).increment(1);
        let message = format!("too many requests: try again in {} s", wait_ms.div_ceil(1000));
        Err(Error::new(Reason::RateLimited, message).retry_after_ms(wait_ms))
    }

    /// Counts an event.
    pub(crate) fn count(&self, counted: ThrottleKey, now: UnixMillis) {
        count_in(&mut self.lock(), counted, now);
    }

    /// Forgets what was counted.
    pub(crate) fn forget(&self, counted: ThrottleKey) {
        self.lock().remove(&counted);
    }

    /// Forgets the windows that are over.
    pub(crate) fn prune(&self, now: UnixMillis) {
        self.lock().retain(|counted, window| is_open(window, counted.rule().1, now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ThrottleKey, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the window still counts. One that began in the future met a clock that was set back.
const fn is_open(window: &Window, window_ms: i64, now: UnixMillis) -> bool {
    window.began.0 <= now.0 && now.0 < window.began.0 + window_ms
}

fn count_in(windows: &mut HashMap<ThrottleKey, Window>, counted: ThrottleKey, now: UnixMillis) {
    if windows.len() >= ENTRIES_MAX && !windows.contains_key(&counted) {
        make_room(windows, now);
    }
    let window = windows.entry(counted).or_insert(Window { began: now, count: 0 });
    if !is_open(window, counted.rule().1, now) {
        *window = Window { began: now, count: 0 };
    }
    window.count = window.count.saturating_add(1);
}

/// Drops what is over; if nothing is, a tenth of the rest, so that this is not done for every event: the windows with
/// the lowest counts, since a flood of made-up e-mails or addresses must not make room for guessing anew.
fn make_room(windows: &mut HashMap<ThrottleKey, Window>, now: UnixMillis) {
    windows.retain(|counted, window| is_open(window, counted.rule().1, now));
    if windows.len() < ENTRIES_MAX {
        return;
    }
    let mut counts: Vec<u32> = windows.values().map(|window| window.count).collect();
    let surplus = counts.len() / 10;
    let (_, &mut bound, _) = counts.select_nth_unstable(surplus);
    let mut equal = surplus - counts.iter().filter(|count| **count < bound).count().min(surplus);
    windows.retain(|_, window| match window.count.cmp(&bound) {
        Ordering::Less => false,
        Ordering::Equal if equal > 0 => {
            equal -= 1;
            false
        }
        Ordering::Equal | Ordering::Greater => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(ip: &str) -> ThrottleKey {
        ThrottleKey::Public(ClientPrefix::from(ClientIp::from(ip.parse::<IpAddr>().unwrap())))
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
            let client = ClientPrefix::from(ClientIp::from(IpAddr::from(bits.to_be_bytes())));
            limiter.count(ThrottleKey::Public(client), UnixMillis(0));
        }
        assert!(limiter.lock().len() <= ENTRIES_MAX);
        limiter.prune(UnixMillis(HOUR_MS));
        assert_eq!(limiter.lock().len(), 0);
    }

    // Ten thousand accounts attacked from ten thousand addresses: the windows that refuse are those that stay.
    // Verifies: PWD-05, WEB-06
    #[test]
    fn a_flood_drives_out_no_window_that_refuses() {
        let limiter = Limiter::new(1.0);
        let client = |number: u32| ClientPrefix::from(ClientIp::from(IpAddr::from(number.to_be_bytes())));
        let attacked = ThrottleKey::FailedEmail([7; 16]);
        for _ in 0..100 {
            limiter.count(attacked, UnixMillis(0));
        }
        for number in 0..10_000_u32 {
            for step in 0..15 {
                let mut email = [0; 16];
                email[..4].copy_from_slice(&((number + step * 667) % 10_000).to_be_bytes());
                limiter.count(ThrottleKey::FailedPair(email, client(number)), UnixMillis(1));
            }
        }
        assert!(limiter.lock().len() <= ENTRIES_MAX);
        assert!(limiter.check(attacked, UnixMillis(2)).is_err());
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_a_48() {
        let network =
            |ip: &str| Network::from(ClientPrefix::from(ClientIp::from(ip.parse::<IpAddr>().unwrap())));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
    }
}
