//! Receivers of webhooks, distinguished by the address that their URL leads to.

use crate::outgoing::Outgoing;

/// The server that a URL leads to: the address of its host at the last look-up (the host itself if there was none), and the port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Receiver {
    pub(super) address: String,
    port: u16,
}

impl Receiver {
    pub(super) fn of(outgoing: &Outgoing, url: &str) -> Self {
        let parsed = url::Url::parse(url).ok();
        let host = parsed.as_ref().and_then(url::Url::host);
        let address = host.map_or_else(
            || url.to_owned(),
            |host| outgoing.last_address(&host).map_or_else(|| host.to_string(), |address| address.to_string()),
        );
        Self { address, port: parsed.and_then(|url| url.port_or_known_default()).unwrap_or_default() }
    }
}
