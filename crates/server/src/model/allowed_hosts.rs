//! Hosts and networks that the operator opens to outgoing requests although they are not globally reachable.

use std::net::IpAddr;

use ipnet::IpNet;

/// Names and networks that may be connected to wherever they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    names: Vec<String>,
    networks: Vec<IpNet>,
}

impl AllowedHosts {
    /// Reads names, addresses and networks, separated by commas; `None` if one is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parsed = Self::default();
        for item in items(text) {
            let address = item.parse::<IpAddr>().map(IpNet::from);
            match item.parse::<IpNet>().or(address) {
                Ok(network) => parsed.networks.push(network.trunc()),
                Err(_) if is_name(item) => parsed.names.push(item.trim_end_matches('.').to_owned()),
                Err(_) => return None,
            }
        }
        Some(parsed)
    }

    /// Whether any address of this host may be connected to.
    pub fn has_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        self.names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    /// Whether the address is in one of the networks.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

fn is_name(text: &str) -> bool {
    // A malformed address or network, such as `10.0.0.0/33`, is a mistake and not a name.
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
        && text.chars().any(|c| c.is_ascii_alphabetic())
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_networks_are_taken() {
        let allowed = AllowedHosts::parse("files.internal, 10.1.2.3/16,::1 ,127.0.0.1").unwrap();
        assert!(allowed.has_name("FILES.internal.") && !allowed.has_name("internal"));
        for (address, is_allowed) in
            [("10.1.255.255", true), ("10.2.0.0", false), ("::1", true), ("127.0.0.1", true), ("127.0.0.2", false)]
        {
            assert_eq!(allowed.has_address(address.parse().unwrap()), is_allowed, "{address}");
        }
        assert_eq!(AllowedHosts::parse(""), Some(AllowedHosts::default()));
        for bad in ["10.0.0.0/33", "10.0.0", "http://x", "a b", "x/8", "[::1]"] {
            assert_eq!(AllowedHosts::parse(bad), None, "{bad}");
        }
    }
}
