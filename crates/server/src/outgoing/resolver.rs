//! Looks names up, and returns only addresses that may be connected to.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::permitted_addresses::{LookUp, Reach};

/// The host is unknown, or has no address that may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the host is not globally reachable")]
pub(super) struct Blocked;

/// Looks a name up once for each connection.
pub(super) struct CheckedResolver(pub(super) Arc<Reach>);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str();
            // An unknown name and a refused one give the same answer: outsiders must not learn names of our network.
            let mut addresses = match reach.look_up(name).await {
                LookUp::Found(addresses) => addresses,
                LookUp::NoSuchName => return Err(Blocked.into()),
                LookUp::Unanswered(error) => {
                    tracing::debug!(name, %error, "a host is not found");
                    return Err(Blocked.into());
                }
            };
            if !reach.is_open(name) {
                addresses = reach.permitted(addresses).await;
            }
            let Some(first) = addresses.first() else { return Err(Blocked.into()) };
            reach.note_address(name, *first);
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}
