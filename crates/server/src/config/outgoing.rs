//! Requests that the server makes on behalf of others: remote uploads and webhooks.

use super::section::section;
use super::value::{NameServers, Seconds};
use crate::model::AllowedHosts;

section! {
    #[doc = "Requests of the server: remote uploads and webhooks."]
    pub struct OutgoingSettings {
        #[doc = "Hosts that may be requested although they are not globally reachable, are in a network of this machine's interfaces, or are where `public_url` leads. All others of that kind are refused; otherwise an outsider could have the server send requests into its own network."]
        allowed_hosts: AllowedHosts = "outgoing.allowed_hosts", "";
        #[doc = "Name servers to use instead of those of the system."]
        name_servers: NameServers = "outgoing.name_servers", "";
        #[doc = "Time within which a connection must be made."]
        connect_timeout_seconds: Seconds = "outgoing.connect_timeout_seconds", "10s";
        #[doc = "Time without an answer, or without one byte of it, after which the request is given up."]
        idle_timeout_seconds: Seconds = "outgoing.idle_timeout_seconds", "30s";
        #[doc = "Time within which a remote file must have come whole."]
        total_timeout_seconds: Seconds = "outgoing.total_timeout_seconds", "1h";
    }
}
