//! How many connections may be open at once, in all and from one address (WEB-10). One that is too many is closed
//! before it is read.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::config::IpNetwork;

/// How often the log tells of refused connections.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Of an IPv6 address, what one client has been given.
const CLIENT_PREFIX: u128 = !0 << 64;

/// Why a connection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// `max_connections`.
    InAll,
    /// `max_connections_per_ip`.
    FromOneAddress,
    /// The process has no file descriptor left.
    Descriptors,
}

impl TooMany {
    const fn label(self) -> &'static str {
        match self {
            Self::InAll => "max_connections",
            Self::FromOneAddress => "max_connections_per_ip",
            Self::Descriptors => "descriptors",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::InAll => {
                "connections closed at once: max_connections, or what the limit of open files allows, are open"
            }
            Self::FromOneAddress => {
                "connections closed at once: one address has max_connections_per_ip open; a proxy belongs into trusted_proxies"
            }
            Self::Descriptors => {
                "connections closed at once: no file descriptor is left; raise the limit of open files"
            }
        }
    }
}

/// Counts open connections, and refuses those that are too many.
pub(crate) struct ConnectionAdmission {
    max: u64,
    max_per_ip: u64,
    trusted_proxies: Vec<IpNetwork>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    count: u64,
    by_client: HashMap<IpAddr, u64>,
    /// Refused since the log told of it.
    untold: u64,
    told_at: Option<Instant>,
}

impl ConnectionAdmission {
    pub(crate) fn new(max: u64, max_per_ip: u64, trusted_proxies: Vec<IpNetwork>) -> Self {
        Self { max, max_per_ip, trusted_proxies, open: Mutex::default() }
    }

    /// Lets a connection from `ip` in, unless that would be one too many.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Admitted, TooMany> {
        let client = self.counted_as(ip);
        let mut open = self.lock();
        if open.count >= self.max {
            return Err(TooMany::InAll);
        }
        if let Some(client) = client {
            let count = open.by_client.entry(client).or_default();
            if *count >= self.max_per_ip {
                return Err(TooMany::FromOneAddress);
            }
            *count += 1;
        }
        open.count += 1;
        metrics::gauge!("ferry_open_connections").set(open.count as f64);
        Ok(Admitted { admission: Arc::clone(self), client })
    }

    /// Counts a refused connection, and has the log tell of it once a minute.
    pub(crate) fn refused(&self, why: TooMany) {
        metrics::counter!("ferry_connections_refused_total", "limit" => why.label()).increment(1);
        let now = Instant::now();
        let mut open = self.lock();
        open.untold += 1;
        if open.told_at.is_some_and(|at| now < at + TOLD_EVERY) {
            return;
        }
        let count = std::mem::take(&mut open.untold);
        open.told_at = Some(now);
        tracing::warn!(count, open = open.count, "{}", why.advice());
    }

    /// Whose connection it counts as; `None` for those that stand for many, or for this machine.
    fn counted_as(&self, ip: IpAddr) -> Option<IpAddr> {
        let ip = ip.to_canonical();
        if ip.is_loopback() || self.trusted_proxies.iter().any(|network| network.contains(ip)) {
            return None;
        }
        Some(match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & CLIENT_PREFIX).into(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection, as long as it is held.
pub(crate) struct Admitted {
    admission: Arc<ConnectionAdmission>,
    client: Option<IpAddr>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.lock();
        open.count -= 1;
        metrics::gauge!("ferry_open_connections").set(open.count as f64);
        if let Some(client) = self.client
            && let Some(count) = open.by_client.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                open.by_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(admission: &Arc<ConnectionAdmission>, ip: &str) -> Result<Admitted, TooMany> {
        admission.admit(ip.parse().unwrap())
    }

    // Verifies: WEB-10
    #[test]
    fn one_address_has_its_share_but_proxies_and_this_machine_are_not_counted() {
        let admission = Arc::new(ConnectionAdmission::new(8, 2, vec!["10.0.0.0/8".parse().unwrap()]));
        let first = admit(&admission, "203.0.113.9").ok();
        let _second = admit(&admission, "::ffff:203.0.113.9").ok().unwrap();
        assert_eq!(admit(&admission, "203.0.113.9").err(), Some(TooMany::FromOneAddress));
        let _other = admit(&admission, "203.0.113.10").ok().unwrap();
        drop(first);
        let _again = admit(&admission, "203.0.113.9").ok().unwrap();

        let _v6 =
            (admit(&admission, "2001:db8::1").ok().unwrap(), admit(&admission, "2001:db8::2").ok().unwrap());
        assert_eq!(admit(&admission, "2001:db8::3").err(), Some(TooMany::FromOneAddress), "of one /64");

        let _free: Vec<_> =
            ["10.0.0.1", "10.0.0.1", "10.0.0.1"].map(|ip| admit(&admission, ip).ok().unwrap()).into();
        assert_eq!(admit(&admission, "127.0.0.1").err(), Some(TooMany::InAll));
    }

    // Verifies: WEB-10
    #[test]
    fn what_is_refused_leaves_nothing_behind() {
        let admission = Arc::new(ConnectionAdmission::new(1, 1, Vec::new()));
        let held = admit(&admission, "203.0.113.9").ok().unwrap();
        for last in 0..100 {
            assert!(admit(&admission, &format!("198.51.100.{last}")).is_err());
        }
        drop(held);
        let open = admission.lock();
        assert!(open.count == 0 && open.by_client.is_empty());
    }
}
