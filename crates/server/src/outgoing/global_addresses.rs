//! Which addresses are global. `permitted_addresses.rs` decides which ones may be requested.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Whether the address is a globally reachable unicast address.
///
/// By the special-purpose address registries of IANA (RFC 6890 and its updates), read strictly: ranges whose addresses
/// embed another one (mapped, 6to4, Teredo, NAT64) are refused as a whole, and so are ranges of which only single addresses
/// are global. IPv6 outside 2000::/3 is refused.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_UNICAST.contains(&address) && !SPECIAL_V6.iter().any(|network| network.contains(&address))
        }
    }
}

const fn v4(address: Ipv4Addr, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address, prefix)
}

const fn v6(address: Ipv6Addr, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(address, prefix)
}

/// The only part of IPv6 that is assigned to hosts of the Internet (RFC 4291).
const GLOBAL_UNICAST: Ipv6Net = v6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

const SPECIAL_V4: [Ipv4Net; 17] = [
    // This network (RFC 791)
    v4(Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private use (RFC 1918)
    v4(Ipv4Addr::new(10, 0, 0, 0), 8),
    v4(Ipv4Addr::new(172, 16, 0, 0), 12),
    v4(Ipv4Addr::new(192, 168, 0, 0), 16),
    // Shared address space of carriers (RFC 6598); metadata of one cloud is in it, 100.100.100.200
    v4(Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback (RFC 1122)
    v4(Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local (RFC 3927); metadata of most clouds, 169.254.169.254
    v4(Ipv4Addr::new(169, 254, 0, 0), 16),
    // The platform's own address within one cloud, which answers machines there alone
    v4(Ipv4Addr::new(168, 63, 129, 16), 32),
    // IETF protocol assignments (RFC 6890), documentation (RFC 5737), relay of 6to4 (RFC 7526)
    v4(Ipv4Addr::new(192, 0, 0, 0), 24),
    v4(Ipv4Addr::new(192, 0, 2, 0), 24),
    v4(Ipv4Addr::new(192, 88, 99, 0), 24),
    // Benchmarking (RFC 2544)
    v4(Ipv4Addr::new(198, 18, 0, 0), 15),
    // Documentation (RFC 5737, RFC 6676)
    v4(Ipv4Addr::new(198, 51, 100, 0), 24),
    v4(Ipv4Addr::new(203, 0, 113, 0), 24),
    v4(Ipv4Addr::new(233, 252, 0, 0), 24),
    // Multicast (RFC 5771)
    v4(Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved (RFC 1112), and the broadcast address
    v4(Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Within [`GLOBAL_UNICAST`].
const SPECIAL_V6: [Ipv6Net; 4] = [
    // IETF protocol assignments (RFC 2928), among them Teredo (RFC 4380), benchmarking (RFC 5180), ORCHID (RFC 7343)
    v6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation (RFC 3849, RFC 9637)
    v6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    v6(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    // 6to4 (RFC 3056)
    v6(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_internet_are_global() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "2003::1",
            "3ffe::1",
        ] {
            assert!(is_global(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "233.252.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "1fff::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fe80::a9fe:a9fe",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert!(!is_global(text.parse().unwrap()), "{text}");
        }
    }
}
