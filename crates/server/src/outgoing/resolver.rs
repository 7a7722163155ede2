//! Looks names up, and gives the connection only addresses that may be connected to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{AllowedHosts, NameServers, is_global};

/// The host is unknown, or has no address that may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the host is not globally reachable")]
pub(super) struct Blocked;

/// Looks a name up once for each connection.
pub(super) struct CheckedResolver {
    dns: TokioResolver,
    allowed: Arc<AllowedHosts>,
}

impl CheckedResolver {
    /// With these name servers, or those of the system.
    pub(super) fn new(servers: &NameServers, allowed: Arc<AllowedHosts>) -> Result<Self, NetError> {
        let builder = if servers.0.is_empty() {
            // A machine without a configuration of its own can still ask for addresses.
            TokioResolver::builder_tokio().unwrap_or_else(|error| {
                tracing::warn!(%error, "the system names no name servers: remote uploads and webhooks find no host by its name");
                TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
            })
        } else {
            let servers = servers.0.iter().map(|server| {
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
        Ok(Self { dns: builder.build()?, allowed })
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (dns, allowed) = (self.dns.clone(), Arc::clone(&self.allowed));
        Box::pin(async move {
            // Whether a name is unknown or has other addresses is not for outsiders to know: it may be one of our network.
            let found = dns.lookup_ip(name.as_str()).await.map_err(|error| {
                tracing::debug!(name = name.as_str(), %error, "a host is not found");
                Blocked
            })?;
            let is_open = allowed.has_name(name.as_str());
            let may_be_connected_to =
                |address: &IpAddr| is_open || is_global(*address) || allowed.has_address(*address);
            let addresses: Vec<SocketAddr> =
                found.iter().filter(may_be_connected_to).map(|address| SocketAddr::new(address, 0)).collect();
            if addresses.is_empty() {
                return Err(Blocked.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
