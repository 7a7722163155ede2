//! URLs, addresses and networks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Url;

use super::Setting;
use crate::model::AllowedHosts;

/// The beginning of URLs: scheme, host, optional port and optional path, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    path: String,
}

impl BaseUrl {
    /// The base of a server that is reached where it listens.
    pub fn of_listener(address: SocketAddr) -> Self {
        Self { text: format!("http://{address}"), path: String::new() }
    }

    /// The URL without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its path: empty, or with a slash at the beginning and none at the end.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Setting for BaseUrl {
    type Value = Self;

    const ALLOWED: &'static str = "an http or https URL with a host, without user, query and fragment";

    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then(|| Self {
            text: url.as_str().trim_end_matches('/').to_owned(),
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// The address of an S3 store: a URL without a path.
#[derive(Debug)]
pub enum Endpoint {}

impl Setting for Endpoint {
    type Value = Url;

    const ALLOWED: &'static str = "an http or https URL with a host, without path, user, query and fragment";

    fn parse(text: &str) -> Option<Url> {
        let base = BaseUrl::parse(text).filter(|base| base.path().is_empty())?;
        Url::parse(base.as_str()).ok()
    }
}

impl Setting for SocketAddr {
    type Value = Self;

    const ALLOWED: &'static str = "an IP address and a port, such as `0.0.0.0:8080` or `[::1]:8080`";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Networks, each an address with a prefix length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether the address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Setting for Networks {
    type Value = Self;

    const ALLOWED: &'static str = "addresses and networks, separated by commas, such as `127.0.0.1, 10.0.0.0/8`";

    fn parse(text: &str) -> Option<Self> {
        let network = |item: &str| item.parse::<IpNet>().ok().or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from));
        items(text).map(network).collect::<Option<Vec<_>>>().map(Self)
    }
}

impl Setting for AllowedHosts {
    type Value = Self;

    const ALLOWED: &'static str =
        "host names, addresses and networks, separated by commas, such as `files.internal, 10.1.0.0/16, ::1`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// Name servers.
#[derive(Debug)]
pub enum NameServers {}

impl Setting for NameServers {
    type Value = Vec<SocketAddr>;

    const ALLOWED: &'static str = "IP addresses with ports, separated by commas, such as `10.0.0.53:53`";

    fn parse(text: &str) -> Option<Vec<SocketAddr>> {
        items(text).map(|item| item.parse().ok()).collect()
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_keeps_its_path_and_loses_its_last_slash() {
        let base = BaseUrl::parse("https://cdn.example.com:8443/media/").unwrap();
        assert_eq!((base.as_str(), base.path()), ("https://cdn.example.com:8443/media", "/media"));
        let bare = BaseUrl::parse("http://h").unwrap();
        assert_eq!((bare.as_str(), bare.path()), ("http://h", ""));
        for bad in ["h", "http://u:p@h", "http://h?x", "http://h#x", "mailto:x", ""] {
            assert!(BaseUrl::parse(bad).is_none(), "{bad}");
        }
    }
}
