//! The upper bounds on connections, in all and from one address.
//!
//! Each connection takes a descriptor, and one more while it sends a file. A process without a free descriptor cannot accept,
//! open a blob or write its database's log, so it serves nobody. A connection over the bound is therefore accepted, answered 503
//! and closed. Not accepting it would leave it in the kernel's queue, where clients and health checks would wait in silence after
//! those that filled the queue. A bound per address would be impossible: the address is known only after accepting.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use crate::config::{HttpSettings, Networks};
use crate::metrics::HttpMetrics;
use crate::rate_limits::rate_limit_subject;

/// Descriptors for everything except connections and the files they send: the database, its log, jobs, look-ups.
const OTHER_DESCRIPTORS: u64 = 256;
/// Default maximum of connections: 200 MiB of memory suffice for as many clients that do not read their answers.
const DEFAULT_MAX_CONNECTIONS: u64 = 10_000;
/// By default, one address gets the maximum divided by this.
const DEFAULT_ADDRESS_DIVISOR: usize = 4;
/// Minimum time between two log lines about refusals.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The connections of one server.
pub(crate) struct Connections {
    max: usize,
    max_per_address: usize,
    /// Each carries the requests of many clients.
    trusted: Networks,
    open: Mutex<Open>,
    metrics: Arc<HttpMetrics>,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    refused: u64,
    logged_at: Option<Instant>,
}

/// A connection that counts until this is dropped.
pub(crate) struct ConnectionPermit {
    connections: Arc<Connections>,
    address: IpAddr,
}

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The maximum of all connections is reached.
    Full,
    /// The maximum of its address is reached.
    Address,
}

impl Connections {
    pub(crate) fn new(settings: &HttpSettings, metrics: Arc<HttpMetrics>) -> Arc<Self> {
        let max = settings.max_connections.map_or_else(default_max, |count| count as usize);
        let max_per_address = settings.max_connections_per_address.map(|count| count as usize);
        let max_per_address = max_per_address.unwrap_or_else(|| max.div_ceil(DEFAULT_ADDRESS_DIVISOR));
        tracing::debug!(max, max_per_address, "connections");
        let trusted = settings.trusted_proxies.clone();
        Arc::new(Self { max, max_per_address, trusted, open: Mutex::default(), metrics })
    }

    /// Counts a connection.
    ///
    /// # Errors
    /// [`Refused`] when a maximum is reached.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<ConnectionPermit, Refused> {
        let peer = peer.to_canonical();
        let address = rate_limit_subject(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = open.by_address.get(&address).copied().unwrap_or_default();
        let refused = if open.all >= self.max {
            Some(Refused::Full)
        } else if of_address >= self.max_per_address && !self.trusted.contain(peer) {
            Some(Refused::Address)
        } else {
            None
        };
        if let Some(refused) = refused {
            self.log(&mut open, refused, peer);
            return Err(refused);
        }
        open.all += 1;
        self.metrics.connections.inc();
        *open.by_address.entry(address).or_default() += 1;
        Ok(ConnectionPermit { connections: Arc::clone(self), address })
    }

    /// Whether idle connections should end, so that others are admitted.
    pub(crate) fn is_crowded(&self) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).all >= self.max - self.max / 8
    }

    fn log(&self, open: &mut Open, why: Refused, peer: IpAddr) {
        open.refused += 1;
        self.metrics.refused(match why {
            Refused::Full => "all",
            Refused::Address => "address",
        });
        if open.logged_at.is_some_and(|at| at.elapsed() < REFUSAL_LOG_INTERVAL) {
            return;
        }
        let refused = std::mem::take(&mut open.refused);
        open.logged_at = Some(Instant::now());
        let (max, max_per_address) = (self.max, self.max_per_address);
        match why {
            Refused::Full => tracing::warn!(refused, max, "connections are refused: http.max_connections are open"),
            Refused::Address => tracing::warn!(
                refused,
                %peer,
                max_per_address,
                "connections are refused: one address has http.max_connections_per_address open; if it is a proxy, add it to http.trusted_proxies"
            ),
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        self.connections.metrics.connections.dec();
        if let Some(of_address) = open.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// Half of the descriptors that nothing else needs; the other half is for the files that connections send and receive.
fn default_max() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let max = (descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2).clamp(16, DEFAULT_MAX_CONNECTIONS);
    usize::try_from(max).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    fn connections(max: u32, per_address: Option<u32>) -> Arc<Connections> {
        let settings = HttpSettings {
            max_connections: Some(max),
            max_connections_per_address: per_address,
            trusted_proxies: Networks::parse("10.0.0.0/8").unwrap(),
            ..HttpSettings::default()
        };
        Connections::new(&settings, Arc::default())
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
