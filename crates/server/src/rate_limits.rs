//! Limits of requests per second, by key and by address.
//!
//! GCRA (leaky buckets): over time at most the rate, in a burst at most twice as many. Each process counts its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

use crate::config::LimitSettings;

/// How often keys and addresses without recent requests are removed, so that memory does not grow with all that ever came.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

/// The limits of one process.
pub struct RateLimits {
    per_address: Option<Keyed<IpAddr>>,
    /// The limit for keys of workspaces that have none of their own.
    default_per_key: Option<u64>,
    /// By requests per second: one for each limit in use.
    per_key: Mutex<HashMap<u32, Arc<Keyed<Uuid>>>>,
}

crate::opaque_debug::opaque_debug!(RateLimits);

struct Keyed<K: std::hash::Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    forgot: Mutex<Instant>,
}

impl<K: std::hash::Hash + Eq + Clone> Keyed<K> {
    fn new(per_second: u32) -> Self {
        let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let burst = rate.saturating_add(rate.get());
        let limiter = RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst));
        Self { limiter, forgot: Mutex::new(Instant::now()) }
    }

    fn check(&self, key: &K) -> Result<(), Duration> {
        self.forget();
        let refused = |until: governor::NotUntil<_>| until.wait_time_from(self.limiter.clock().now());
        self.limiter.check_key(key).map_err(refused)
    }

    fn forget(&self) {
        let mut forgot = match self.forgot.try_lock() {
            Ok(forgot) => forgot,
            // A panic while it is held leaves a valid instant.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if forgot.elapsed() >= FORGET_INTERVAL {
            *forgot = Instant::now();
            self.limiter.retain_recent();
        }
    }
}

impl RateLimits {
    /// From the settings.
    pub fn new(settings: &LimitSettings) -> Self {
        Self {
            per_address: settings.requests_per_address_per_second.map(Keyed::new),
            default_per_key: settings.of_workspace().requests_per_second,
            per_key: Mutex::default(),
        }
    }

    /// Counts a request from an address.
    ///
    /// # Errors
    /// The time until the next request is allowed.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Duration> {
        self.per_address.as_ref().map_or(Ok(()), |limit| limit.check(&rate_limit_subject(address)))
    }

    /// Counts a request with a key, whose workspace may have a limit of its own.
    ///
    /// # Errors
    /// The time until the next request is allowed.
    pub fn check_key(&self, api_key_id: Uuid, own_limit: Option<u64>) -> Result<(), Duration> {
        let Some(limit) = own_limit.or(self.default_per_key) else { return Ok(()) };
        let per_second = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut limits = self.per_key.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = Arc::clone(limits.entry(per_second).or_insert_with(|| Arc::new(Keyed::new(per_second))));
        drop(limits);
        limit.check(&api_key_id)
    }
}

/// The subject of a limit by address. One IPv6 customer has a whole /64.
pub(crate) fn rate_limit_subject(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_key: u32, per_address: u32) -> RateLimits {
        RateLimits::new(&LimitSettings {
            requests_per_key_per_second: Some(per_key),
            requests_per_address_per_second: Some(per_address),
            ..LimitSettings::default()
        })
    }

    #[test]
    fn a_burst_of_twice_the_rate_is_allowed_and_no_more() {
        let limits = limits(5, 5);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let let_through = |own_limit| (0..100).take_while(|_| limits.check_key(one, own_limit).is_ok()).count();
        assert!((10..=11).contains(&let_through(None)));
        assert!(limits.check_key(one, None).unwrap_err() <= Duration::from_millis(200));
        assert!(limits.check_key(other, None).is_ok());
        // A limit of its own counts instead.
        assert!((40..=42).contains(&let_through(Some(20))));
    }

    #[test]
    fn a_panic_while_forgetting_does_not_stop_later_forgetting() {
        let limits: Keyed<Uuid> = Keyed::new(1);
        let poisoned = std::thread::scope(|scope| {
            let panicking = || {
                let mut forgot = limits.forgot.lock().unwrap();
                *forgot = Instant::now() - FORGET_INTERVAL;
                panic!("while it is held");
            };
            scope.spawn(panicking).join()
        });
        assert!(poisoned.is_err() && limits.forgot.is_poisoned());
        limits.forget();
        let forgot = limits.forgot.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(forgot.elapsed() < FORGET_INTERVAL, "nothing was forgotten");
    }

    #[test]
    fn a_whole_ipv6_network_is_one_address() {
        let limits = limits(1, 2);
        let check = |text: &str| limits.check_address(text.parse().unwrap()).is_ok();
        assert_eq!((1..=8).filter(|host| check(&format!("2001:db8::{host}"))).count(), 4);
        assert!(check("2001:db8:0:1::1"));
        assert!(check("192.0.2.1") && check("192.0.2.2"));
    }
}
