//! Service links: variables with which Kubernetes (and formerly Docker) gives each container the addresses of services. A
//! service called `partway` or `partway-…` has variables that begin like those of settings.
//!
//! A variable is a service link only if both its name and its value have the form that the platform writes.
//! `PARTWAY_PORT=8080` is an unknown setting, and is reported. No setting has such a name; a test checks them all.

use std::net::IpAddr;

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Whether the platform set this variable, for the service whose name is its prefix.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    // A service `partway-service` has `PARTWAY_SERVICE_PORT` as well, so none of the forms rules out the next.
    is_host(name, value) || is_numbered_port(name, value) || is_address(name, value) || is_exposed_port(name, value)
}

/// `NAME_SERVICE_HOST=10.0.0.7`
fn is_host(name: &str, value: &str) -> bool {
    name.strip_suffix("_SERVICE_HOST").is_some_and(is_word) && value.parse::<IpAddr>().is_ok()
}

/// `NAME_SERVICE_PORT=8080` and `NAME_SERVICE_PORT_HTTP=8080`
fn is_numbered_port(name: &str, value: &str) -> bool {
    let Some((service, port_name)) = name.split_once("_SERVICE_PORT") else { return false };
    let is_named = || port_name.strip_prefix('_').is_some_and(is_word);
    is_word(service) && (port_name.is_empty() || is_named()) && is_port(value)
}

/// `NAME_PORT=tcp://10.0.0.7:8080`
fn is_address(name: &str, value: &str) -> bool {
    name.strip_suffix("_PORT").is_some_and(is_word) && is_url(value, None)
}

/// `NAME_PORT_8080_TCP=tcp://10.0.0.7:8080`, and the same with the suffixes `_PROTO`, `_PORT` and `_ADDR`
fn is_exposed_port(name: &str, value: &str) -> bool {
    // The last one: the service may be called `partway-port`.
    let Some((service, exposed)) = name.rsplit_once("_PORT_") else { return false };
    let Some((port, rest)) = exposed.split_once('_') else { return false };
    let Some(protocol) = PROTOCOLS.into_iter().find(|protocol| rest.starts_with(protocol)) else { return false };
    let is_its_member = match &rest[protocol.len()..] {
        "" => is_url(value, Some((protocol, port))),
        "_PROTO" => value.eq_ignore_ascii_case(protocol),
        "_PORT" => value == port,
        "_ADDR" => value.parse::<IpAddr>().is_ok(),
        _ => false,
    };
    is_word(service) && is_port(port) && is_its_member
}

/// Whether `value` is `tcp://10.0.0.7:8080`, of this protocol and port where they are known.
fn is_url(value: &str, expected: Option<(&str, &str)>) -> bool {
    let Some((protocol, address)) = value.split_once("://") else { return false };
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    // Kubernetes writes IPv6 in brackets.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    PROTOCOLS.iter().any(|known| known.eq_ignore_ascii_case(protocol))
        && host.parse::<IpAddr>().is_ok()
        && is_port(port)
        && expected
            .is_none_or(|(its_protocol, its_port)| its_protocol.eq_ignore_ascii_case(protocol) && its_port == port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SettingsReader};

    /// All that a service with the named port `http`, a port without a name and one of each other protocol gives a pod.
    fn links(service: &str, address: &str, in_url: &str) -> Vec<(String, String)> {
        let mut links = vec![
            (format!("{service}_SERVICE_HOST"), address.to_owned()),
            (format!("{service}_SERVICE_PORT"), "8080".to_owned()),
            (format!("{service}_SERVICE_PORT_HTTP"), "8080".to_owned()),
            (format!("{service}_SERVICE_PORT_HTTP_ALT"), "8081".to_owned()),
            (format!("{service}_PORT"), format!("tcp://{in_url}:8080")),
        ];
        for (port, protocol) in [(8080, "tcp"), (53, "udp"), (9, "sctp")] {
            let prefix = format!("{service}_PORT_{port}_{}", protocol.to_uppercase());
            links.extend([
                (prefix.clone(), format!("{protocol}://{in_url}:{port}")),
                (format!("{prefix}_PROTO"), protocol.to_owned()),
                (format!("{prefix}_PORT"), port.to_string()),
                (format!("{prefix}_ADDR"), address.to_owned()),
            ]);
        }
        links
    }

    #[test]
    fn the_links_of_a_service_that_is_called_like_the_program_are_not_settings() {
        for service in ["PARTWAY", "PARTWAY_SERVER", "PARTWAY_PORT", "PARTWAY_SERVICE", "PARTWAY_STORAGE_2"] {
            for (address, in_url) in [("10.0.0.7", "10.0.0.7"), ("fd00::7", "[fd00::7]")] {
                let read = Config::read(SettingsReader::default().with_env(links(service, address, in_url)));
                read.unwrap_or_else(|error| panic!("{service} at {address}: {error}"));
            }
        }
    }

    #[test]
    fn settings_next_to_them_are_read_and_misspelt_ones_are_reported() {
        let mut variables = links("PARTWAY", "10.0.0.7", "10.0.0.7");
        variables.push(("PARTWAY_LISTEN".to_owned(), "127.0.0.1:9".to_owned()));
        let config = Config::read(SettingsReader::default().with_env(variables.clone())).unwrap();
        assert_eq!(config.http.listen.port(), 9);
        variables.push(("PARTWAY_LISTN".to_owned(), "127.0.0.1:9".to_owned()));
        let message = Config::read(SettingsReader::default().with_env(variables)).unwrap_err().to_string();
        assert!(message.contains("has 1 problem(s)"), "{message}");
        assert!(message.contains("PARTWAY_LISTN (from PARTWAY_LISTN) is not a setting; the nearest is PARTWAY_LISTEN"));
    }

    #[test]
    fn a_name_or_a_value_alone_makes_no_link() {
        for (name, value) in [
            ("PARTWAY_PORT", "8080"),
            ("PARTWAY_PORT", "0.0.0.0:8080"),
            ("PARTWAY_PORT", "http://10.0.0.7:8080"),
            ("PARTWAY_PORT", "tcp://files.example.com:8080"),
            ("PARTWAY_PORT", "tcp://10.0.0.7"),
            ("PARTWAY_PORT", "tcp://10.0.0.7:0"),
            ("PARTWAY_LISTN", "tcp://10.0.0.7:8080"),
            ("PARTWAY_SERVICE_HOST", "files.example.com"),
            ("PARTWAY_SERVICE_HOST", ""),
            ("PARTWAY_SERVICE_PORT", "eighty"),
            ("PARTWAY_SERVICE_PORT", "+80"),
            ("PARTWAY_SERVICE_PORTS", "80"),
            ("PARTWAY_SERVICE_PORT_", "80"),
            ("PARTWAY_SERVICE_NAME", "10.0.0.7"),
            ("PARTWAY_PORT_8080_TCP", "tcp://10.0.0.7:8081"),
            ("PARTWAY_PORT_8080_TCP", "udp://10.0.0.7:8080"),
            ("PARTWAY_PORT_8080_TCP_PROTO", "udp"),
            ("PARTWAY_PORT_8080_TCP_PORT", "8081"),
            ("PARTWAY_PORT_8080_TCP_ADDR", "files.example.com"),
            ("PARTWAY_PORT_8080_TCP_NAME", "10.0.0.7"),
            ("PARTWAY_PORT_8080_ICMP", "icmp://10.0.0.7:8080"),
            ("PARTWAY_PORT_99999_TCP_ADDR", "10.0.0.7"),
            ("PARTWAY_PORT_HTTP_TCP_ADDR", "10.0.0.7"),
        ] {
            assert!(!is_service_link(name, value), "{name}={value}");
            let read = Config::read(SettingsReader::default().with_env([(name.to_owned(), value.to_owned())]));
            assert!(
                read.unwrap_err().to_string().contains(&format!("{name} (from {name}) is not a setting")),
                "{name}={value}"
            );
        }
    }

    #[test]
    fn no_setting_has_the_name_of_a_link() {
        let values = ["10.0.0.7", "8080", "tcp", "tcp://10.0.0.7:8080"];
        for setting in Config::documentation().into_iter().flat_map(|(_, settings)| settings) {
            assert!(!values.iter().any(|value| is_service_link(&setting.env(), value)), "{}", setting.key);
        }
    }
}
