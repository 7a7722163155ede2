//! Which addresses may be requested on behalf of others, and the names that lead to them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex as SyncMutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::Mutex;
use url::Host;

use super::is_global;
use super::own_network::OwnNetwork;
use crate::model::AllowedHosts;

/// How long a look-up of the server's own names is used.
const OWN_NAMES_MAX_AGE: Duration = Duration::from_secs(60);
/// How long that look-up may take.
const OWN_NAMES_TIMEOUT: Duration = Duration::from_secs(2);

/// Upper bound of names whose last address is remembered.
const MAX_REMEMBERED: usize = 16_384;

/// The result of looking up a name.
pub(super) enum LookUp {
    /// Its addresses.
    Found(Vec<IpAddr>),
    /// There is no such name, or it has no address.
    NoSuchName,
    /// No name server answered.
    Unanswered(NetError),
}

/// Judges addresses. An address may be connected to when it is global and neither this machine's own, nor a neighbour's, nor
/// one by which clients know the server; or when the settings allow it.
pub(super) struct Reach {
    dns: TokioResolver,
    allowed: AllowedHosts,
    own_network: OwnNetwork,
    /// Names and addresses by which clients know this server.
    own_hosts: Vec<Host>,
    own_addresses: Mutex<(Option<Instant>, Vec<IpAddr>)>,
    last_addresses: SyncMutex<HashMap<String, IpAddr>>,
}

impl Reach {
    /// Uses these name servers, or those of the system if there are none.
    pub(super) fn new(servers: &[SocketAddr], allowed: AllowedHosts, own_hosts: Vec<Host>) -> Result<Self, NetError> {
        let dns = resolver(servers)?;
        let own_network = OwnNetwork::of_system();
        let (own_addresses, last_addresses) = (Mutex::default(), SyncMutex::default());
        Ok(Self { dns, allowed, own_network, own_hosts, own_addresses, last_addresses })
    }

    /// Remembers the address of the name.
    pub(super) fn note_address(&self, name: &str, address: IpAddr) {
        let mut last = self.last_addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= MAX_REMEMBERED && !last.contains_key(name) {
            last.clear();
        }
        last.insert(name.to_owned(), address);
    }

    /// The address that was remembered last.
    pub(super) fn last_address(&self, name: &str) -> Option<IpAddr> {
        self.last_addresses.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// Looks a name up.
    pub(super) async fn look_up(&self, name: &str) -> LookUp {
        match self.dns.lookup_ip(name).await {
            Ok(found) => LookUp::Found(found.iter().collect()),
            Err(error) if error.is_nx_domain() || error.is_no_records_found() => LookUp::NoSuchName,
            Err(error) => LookUp::Unanswered(error),
        }
    }

    /// Whether any address of this host may be connected to.
    pub(super) fn is_open(&self, name: &str) -> bool {
        self.allowed.has_name(name)
    }

    /// The addresses that may be connected to.
    pub(super) async fn permitted(&self, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let mut permitted = addresses;
        permitted.retain(|address| self.allowed.has_address(*address) || is_global(*address));
        if permitted.iter().any(|address| !self.allowed.has_address(*address)) {
            let own = self.own_addresses().await;
            permitted.retain(|address| {
                self.allowed.has_address(*address) || !own.contains(address) && !self.own_network.has(*address)
            });
        }
        permitted
    }

    /// Addresses of the server's own names. With a router or a container in between, no interface may have them. While no
    /// name server answers, the last ones are used.
    async fn own_addresses(&self) -> Vec<IpAddr> {
        let mut own = self.own_addresses.lock().await;
        if own.0.is_none_or(|at| at.elapsed() >= OWN_NAMES_MAX_AGE) {
            let mut addresses = Vec::new();
            let mut is_answered = true;
            for host in &self.own_hosts {
                match host {
                    Host::Ipv4(address) => addresses.push(IpAddr::V4(*address)),
                    Host::Ipv6(address) => addresses.push(IpAddr::V6(*address)),
                    Host::Domain(name) => match tokio::time::timeout(OWN_NAMES_TIMEOUT, self.look_up(name)).await {
                        Ok(LookUp::Found(found)) => addresses.extend(found),
                        Ok(LookUp::NoSuchName) => {}
                        Ok(LookUp::Unanswered(_)) | Err(_) => is_answered = false,
                    },
                }
            }
            if !is_answered {
                addresses.append(&mut own.1);
                addresses.sort_unstable();
                addresses.dedup();
            }
            *own = (Some(Instant::now()), addresses);
        }
        own.1.clone()
    }
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let builder = if servers.is_empty() {
        // Without a resolver configuration, URLs with addresses still work.
        TokioResolver::builder_tokio().unwrap_or_else(|error| {
            tracing::warn!(%error, "the system has no name servers: remote uploads and webhooks cannot look names up");
            TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
        })
    } else {
        let servers = servers.iter().map(|server: &SocketAddr| {
            let at_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    builder.build()
}
