//! How many requests a second are too many, by key and by address.
//!
//! Buckets that leak (GCRA): over time no more than the rate, at once twice as many. Each process counts for itself.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::config::LimitSettings;

/// Who has been quiet for long is forgotten this often, so that memory does not grow with all who ever came.
const FORGETTING: Duration = Duration::from_secs(60);

const SHARDS: usize = 16;

/// The limits of one process.
pub struct RateLimits {
    per_address: Option<Keyed<IpAddr>>,
    /// What counts for keys of workspaces without a limit of their own.
    default_per_key: Option<u64>,
    /// By requests a second: there are as many as there are different limits.
    per_key: Mutex<HashMap<u32, Arc<Keyed<Uuid>>>>,
}

/// One rate for each of many.
struct Keyed<K> {
    /// From one request to the next at the rate.
    interval: Duration,
    /// A request is let through if it comes at most this long before its turn.
    tolerance: Duration,
    hasher: RandomState,
    /// By hash, so that those who ask at once seldom wait for each other, and forgetting takes one of them at a time.
    shards: [Mutex<Shard<K>>; SHARDS],
}

struct Shard<K> {
    /// When the next request of each is due at the rate. Who is not here has been quiet.
    turns: HashMap<K, Instant>,
    forgot: Instant,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        let now = Instant::now();
        let shards = std::array::from_fn(|_| Mutex::new(Shard { turns: HashMap::new(), forgot: now }));
        // Twice the rate at once: the first is there at its turn, the last that many intervals before.
        let tolerance = Duration::from_secs(2) - interval;
        Self { interval, tolerance, hasher: RandomState::new(), shards }
    }

    fn check(&self, key: &K) -> Result<(), Duration> {
        self.check_at(key, Instant::now())
    }

    fn check_at(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let place = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        let mut shard = self.shards[place].lock().unwrap_or_else(PoisonError::into_inner);
        shard.forget(now);
        let turn = shard.turns.get(key).map_or(now, |turn| now.max(*turn));
        let early = turn - now;
        if early > self.tolerance {
            return Err(early - self.tolerance);
        }
        shard.turns.insert(key.clone(), turn + self.interval);
        Ok(())
    }
}

impl<K: Hash + Eq> Shard<K> {
    fn forget(&mut self, now: Instant) {
        if now.saturating_duration_since(self.forgot) >= FORGETTING {
            self.forgot = now;
            self.turns.retain(|_, turn| *turn > now);
        }
    }
}

impl RateLimits {
    /// From the settings.
    pub fn new(settings: &LimitSettings) -> Self {
        Self {
            per_address: settings.requests_per_address.map(|count| Keyed::new(count.0)),
            default_per_key: settings.of_workspace().requests_per_second,
            per_key: Mutex::default(),
        }
    }

    /// Counts a request from an address.
    ///
    /// # Errors
    /// How long until the next one is let through.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Duration> {
        self.per_address.as_ref().map_or(Ok(()), |limit| limit.check(&household(address)))
    }

    /// Counts a request with a key, whose workspace may have a limit of its own.
    ///
    /// # Errors
    /// How long until the next one is let through.
    pub fn check_key(&self, api_key_id: Uuid, own_limit: Option<u64>) -> Result<(), Duration> {
        let Some(limit) = own_limit.or(self.default_per_key) else { return Ok(()) };
        let per_second = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut limits = self.per_key.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = Arc::clone(limits.entry(per_second).or_insert_with(|| Arc::new(Keyed::new(per_second))));
        drop(limits);
        limit.check(&api_key_id)
    }
}

/// Whoever has one address of IPv6 has the 2^64 beside it.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Count;

    fn limits(per_key: u32, per_address: u32) -> RateLimits {
        RateLimits::new(&LimitSettings {
            requests_per_key: Some(Count(per_key)),
            requests_per_address: Some(Count(per_address)),
            ..LimitSettings::default()
        })
    }

    #[test]
    fn twice_the_rate_is_let_through_at_once_and_then_no_more() {
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
    fn over_time_no_more_than_the_rate_is_let_through_and_the_quiet_are_forgotten() {
        let (limit, begin) = (Keyed::new(4), Instant::now());
        let let_through = |seconds: u64| {
            let now = begin + Duration::from_secs(seconds);
            (0..100).take_while(|_| limit.check_at(&"key".to_owned(), now).is_ok()).count()
        };
        assert_eq!([0, 1, 2, 3, 10, 11].map(let_through), [8, 4, 4, 4, 8, 4]);
        let until = limit.check_at(&"key".to_owned(), begin + Duration::from_secs(11)).unwrap_err();
        assert_eq!(until, Duration::from_millis(250));
        let later = begin + FORGETTING * 2;
        let known = || limit.shards.iter().map(|shard| shard.lock().unwrap().turns.len()).sum::<usize>();
        let others = 0..1000;
        others.clone().for_each(|other| limit.check_at(&other.to_string(), begin).unwrap());
        assert_eq!(known(), 1001);
        // Each shard forgets when somebody comes to it.
        others.for_each(|other| limit.check_at(&format!("late {other}"), later).unwrap());
        assert_eq!(known(), 1000);
    }

    #[test]
    fn whoever_panicked_over_it_does_not_keep_old_keys_from_being_forgotten() {
        let (limit, begin) = (Keyed::new(1), Instant::now());
        let later = begin + FORGETTING * 2;
        limit.check_at(&1, begin).unwrap();
        for shard in &limit.shards {
            let panicking = || {
                let _held = shard.lock();
                panic!("while it is held");
            };
            assert!(std::thread::scope(|scope| scope.spawn(panicking).join().is_err()));
            assert!(shard.is_poisoned());
        }
        (2..1000).for_each(|other| limit.check_at(&other, later).unwrap());
        let is_known =
            |shard: &Mutex<Shard<_>>| shard.lock().unwrap_or_else(PoisonError::into_inner).turns.contains_key(&1);
        assert!(!limit.shards.iter().any(is_known));
    }

    #[test]
    fn a_whole_household_is_one_address() {
        let limits = limits(1, 2);
        let check = |text: &str| limits.check_address(text.parse().unwrap()).is_ok();
        assert_eq!((1..=8).filter(|host| check(&format!("2001:db8::{host}"))).count(), 4);
        assert!(check("2001:db8:0:1::1"));
        assert!(check("192.0.2.1") && check("192.0.2.2"));
    }
}
