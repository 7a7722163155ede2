//! How many connections there may be, in all and from one address.
//!
//! Each connection takes a descriptor, and one more while it sends a file. A process without a descriptor left cannot accept,
//! open a blob or write its database's log: nobody is served then. Therefore one that is over the bound is accepted, told 503, and
//! closed. Not accepting would leave it in the kernel's queue, where clients and health checks wait in silence and behind
//! those who filled it; and a bound per address could not be kept at all, because whose connection is next is seen only
//! once it is accepted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use crate::config::{HttpSettings, Networks};
use crate::rate_limits::rate_limit_subject;

/// Descriptors for everything but connections and what they send: the database, its log, jobs, look-ups.
const OTHER_DESCRIPTORS: u64 = 256;
/// Most connections unless the settings say otherwise: what 200 MiB are enough for when all of them are readers that do not read.
const DEFAULT_MAX: u64 = 10_000;
/// One address gets this part of them unless the settings say otherwise.
const DEFAULT_SHARE: usize = 4;
/// Refusals are told to the log this often.
const TELLING: Duration = Duration::from_secs(10);

/// The connections of one server.
pub(crate) struct Connections {
    most: usize,
    most_per_address: usize,
    /// Each has many clients behind it.
    trusted: Networks,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    refused: u64,
    told_at: Option<Instant>,
}

/// A connection that counts, until it is dropped.
pub(crate) struct Admitted {
    connections: Arc<Connections>,
    address: IpAddr,
}

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There are as many as there may be.
    Full,
    /// Its address has as many as it may.
    Address,
}

impl Connections {
    pub(crate) fn new(settings: &HttpSettings) -> Arc<Self> {
        let most = settings.max_connections.map_or_else(default_max, |count| count.0 as usize);
        let most_per_address = settings.max_connections_per_address.map(|count| count.0 as usize);
        let most_per_address = most_per_address.unwrap_or_else(|| most.div_ceil(DEFAULT_SHARE));
        tracing::debug!(most, most_per_address, "connections");
        Arc::new(Self { most, most_per_address, trusted: settings.trusted_proxies.clone(), open: Mutex::default() })
    }

    /// Counts a connection.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Admitted, Refused> {
        let peer = peer.to_canonical();
        let address = rate_limit_subject(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = open.by_address.get(&address).copied().unwrap_or_default();
        let refused = if open.all >= self.most {
            Some(Refused::Full)
        } else if of_address >= self.most_per_address && !self.trusted.contain(peer) {
            Some(Refused::Address)
        } else {
            None
        };
        if let Some(refused) = refused {
            self.tell(&mut open, refused, peer);
            return Err(refused);
        }
        open.all += 1;
        *open.by_address.entry(address).or_default() += 1;
        Ok(Admitted { connections: Arc::clone(self), address })
    }

    /// Whether connections that rest should end, so that others find a place.
    pub(crate) fn is_crowded(&self) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).all >= self.most - self.most / 8
    }

    fn tell(&self, open: &mut Open, why: Refused, peer: IpAddr) {
        open.refused += 1;
        if open.told_at.is_some_and(|at| at.elapsed() < TELLING) {
            return;
        }
        let refused = std::mem::take(&mut open.refused);
        open.told_at = Some(Instant::now());
        let (most, most_per_address) = (self.most, self.most_per_address);
        match why {
            Refused::Full => tracing::warn!(refused, most, "connections are refused: there are http.max_connections"),
            Refused::Address => tracing::warn!(
                refused,
                %peer,
                most_per_address,
                "connections are refused: one address has http.max_connections_per_address; if it is a proxy, http.trusted_proxies should list it"
            ),
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(of_address) = open.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// Half of the descriptors that nothing else needs: the other half is for the files that they send and receive.
fn default_max() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = (descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2).clamp(16, DEFAULT_MAX);
    usize::try_from(most).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Count, Setting};

    fn connections(most: u32, per_address: Option<u32>) -> Arc<Connections> {
        Connections::new(&HttpSettings {
            max_connections: Some(Count(most)),
            max_connections_per_address: per_address.map(Count),
            trusted_proxies: Networks::parse("10.0.0.0/8").unwrap(),
            ..HttpSettings::default()
        })
    }

    #[test]
    fn one_address_gets_its_share_and_a_trusted_proxy_all() {
        let connections = connections(8, None);
        let from = |text: &str| connections.admit(text.parse().unwrap());
        let one: Vec<_> = (0..2).map(|_| from("192.0.2.1").ok().unwrap()).collect();
        assert_eq!(from("192.0.2.1").err(), Some(Refused::Address));
        assert_eq!(from("::ffff:192.0.2.1").err(), Some(Refused::Address));
        let network: Vec<_> = (1..=2).map(|n| from(&format!("2001:db8::{n}")).ok().unwrap()).collect();
        assert_eq!(from("2001:db8::99").err(), Some(Refused::Address));
        assert!(!connections.is_crowded());
        let proxy: Vec<_> = (0..4).map(|_| from("10.0.0.1").ok().unwrap()).collect();
        assert!(connections.is_crowded());
        assert_eq!(from("192.0.2.77").err(), Some(Refused::Full));
        assert_eq!(from("10.0.0.1").err(), Some(Refused::Full));
        drop((one, network, proxy));
        assert!(from("192.0.2.1").is_ok());
        assert!(connections.open.lock().unwrap().by_address.is_empty(), "an address without connections is remembered");
    }
}
