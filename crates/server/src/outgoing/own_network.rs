//! This machine's own addresses, and the networks of its interfaces.
//!
//! A packet from the machine to an address of its own passes no firewall in front of it, and its neighbours often trust it.
//! Requests on behalf of others therefore never go to either, even if the addresses are global. Interfaces come and go, so
//! they are listed again every few seconds.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use if_addrs::{IfAddr, Interface};
use ipnet::IpNet;

/// How long a list of the interfaces is used.
const INTERFACES_MAX_AGE: Duration = Duration::from_secs(5);

type Networks = Arc<[IpNet]>;

/// The networks of this machine's interfaces.
pub(super) struct OwnNetwork {
    read: Box<dyn Fn() -> io::Result<Vec<IpNet>> + Send + Sync>,
    seen: Mutex<Option<(Instant, Networks)>>,
}

impl OwnNetwork {
    /// The networks of the interfaces that the system has.
    pub(super) fn of_system() -> Self {
        Self::new(|| Ok(if_addrs::get_if_addrs()?.iter().map(network_of).collect()))
    }

    fn new(read: impl Fn() -> io::Result<Vec<IpNet>> + Send + Sync + 'static) -> Self {
        Self { read: Box::new(read), seen: Mutex::new(None) }
    }

    /// Whether the address is this machine's own or a neighbour's. True for all while the interfaces cannot be listed: only
    /// addresses that are known to be outside are requested.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        match self.networks() {
            Ok(networks) => networks.iter().any(|network| network.contains(&address)),
            Err(error) => {
                tracing::error!(%error, "the network interfaces cannot be listed: remote uploads and webhooks are refused");
                true
            }
        }
    }

    fn networks(&self) -> io::Result<Networks> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, networks)) = seen.as_ref().filter(|(at, _)| at.elapsed() < INTERFACES_MAX_AGE) {
            return Ok(Arc::clone(networks));
        }
        let networks: Networks = (self.read)()?.into();
        *seen = Some((Instant::now(), Arc::clone(&networks)));
        Ok(networks)
    }
}

/// The link that an address of an interface is on.
fn network_of(interface: &Interface) -> IpNet {
    let (address, prefix) = match &interface.addr {
        IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
        IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
    };
    // The prefix 0 of a tunnel means that all traffic goes through it; its neighbours are unknown.
    IpNet::new(address, prefix).ok().filter(|_| prefix > 0).unwrap_or_else(|| address.into()).trunc()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn own(networks: &'static [&'static str]) -> OwnNetwork {
        OwnNetwork::new(|| Ok(networks.iter().map(|network| network.parse().unwrap()).collect()))
    }

    #[test]
    fn the_machine_and_its_neighbours_are_its_own_network() {
        let own = own(&["8.8.4.4/32", "203.0.114.0/26", "2a01:4f8:1:2::/64"]);
        for (address, is_own) in [
            ("8.8.4.4", true),
            ("8.8.4.5", false),
            ("203.0.114.63", true),
            ("203.0.114.64", false),
            ("2a01:4f8:1:2::1", true),
            ("2a01:4f8:1:2:ffff::1", true),
            ("2a01:4f8:1:3::1", false),
        ] {
            assert_eq!(own.has(address.parse().unwrap()), is_own, "{address}");
        }
    }

    #[test]
    fn nothing_is_outside_while_the_interfaces_cannot_be_listed() {
        let own = OwnNetwork::new(|| Err(io::ErrorKind::PermissionDenied.into()));
        assert!(own.has("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn interfaces_are_looked_at_once_in_some_seconds() {
        let looks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looks);
        let own = OwnNetwork::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Vec::new())
        });
        for _ in 0..100 {
            assert!(!own.has("8.8.8.8".parse().unwrap()));
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn this_machine_has_at_least_its_loopback() {
        let own = OwnNetwork::of_system();
        assert!(own.has("127.0.0.1".parse().unwrap()) && own.has("127.200.0.1".parse().unwrap()));
    }
}
