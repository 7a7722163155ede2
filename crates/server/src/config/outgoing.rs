//! Requests that the server makes because somebody outside said so: remote uploads and webhooks.

use super::section::section;
use super::value::Seconds;
use crate::model::{AllowedHosts, NameServers};

section! {
    #[doc = "What the server asks of others: remote uploads and webhooks."]
    pub struct OutgoingSettings {
        #[doc = "Hosts that are asked although they are not globally reachable, or are in the networks of this machine's interfaces, or what `public_url` leads to. Everything else of that kind is refused: an outsider could have the server ask its own network."]
        allowed_hosts: AllowedHosts = "outgoing.allowed_hosts", "";
        #[doc = "Name servers to ask instead of those of the system."]
        name_servers: NameServers = "outgoing.name_servers", "";
        #[doc = "Seconds within which a connection must be made."]
        connect_timeout: Seconds = "outgoing.connect_timeout_seconds", "10";
        #[doc = "Seconds without an answer or without one byte of it after which the other side is given up."]
        idle_timeout: Seconds = "outgoing.idle_timeout_seconds", "30";
        #[doc = "Seconds within which a remote file must be there."]
        total_timeout: Seconds = "outgoing.total_timeout_seconds", "3600";
    }
}
