//! The kinds of values a setting may have, each with the sentence that says what is allowed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;
use url::Url;

use crate::model::{AllowedHosts, NameServers, S3Delivery, StorageKind};

/// A type that a setting can have.
pub trait Setting: Sized {
    /// What may be written, as the end of "allowed: …".
    const ALLOWED: &'static str;

    /// Whether the text may not be shown.
    const IS_SECRET: bool = false;

    /// Reads the text; `None` when it is not allowed.
    fn parse(text: &str) -> Option<Self>;

    /// The reason why a text is not allowed, where more can be said than that: the end of a sentence, without any
    /// secret of the text.
    fn problem(_text: &str) -> Option<String> {
        None
    }
}

/// A duration in whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

/// How long something is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention(pub Duration);

/// A number of bytes, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

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

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Setting for BaseUrl {
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

impl<T: Setting> Setting for Option<T> {
    const ALLOWED: &'static str = T::ALLOWED;
    const IS_SECRET: bool = T::IS_SECRET;

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::parse(text).map(Some) }
    }

    fn problem(text: &str) -> Option<String> {
        T::problem(text)
    }
}

impl Setting for SocketAddr {
    const ALLOWED: &'static str = "an IP address and a port, such as `0.0.0.0:8080` or `[::1]:8080`";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for Seconds {
    const ALLOWED: &'static str = "a whole number of seconds from 1 to 86400";

    fn parse(text: &str) -> Option<Self> {
        let seconds = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds))?;
        Some(Self(Duration::from_secs(seconds)))
    }
}

impl Setting for Retention {
    const ALLOWED: &'static str = "a whole number of seconds from 1 to 315360000 (ten years)";

    fn parse(text: &str) -> Option<Self> {
        let seconds = text.parse().ok().filter(|seconds| (1..=315_360_000).contains(seconds))?;
        Some(Self(Duration::from_secs(seconds)))
    }
}

/// How old something may become, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub u64);

impl Setting for Age {
    const ALLOWED: &'static str = "a whole number of seconds from 1 to 604800";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|seconds| (1..=604_800).contains(seconds)).map(Self)
    }
}

/// A part of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u32);

impl Setting for Percent {
    const ALLOWED: &'static str = "a whole number of percent from 0 to 100";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|percent| (0..=100).contains(percent)).map(Self)
    }
}

impl Setting for Bytes {
    const ALLOWED: &'static str = "a whole number of bytes from 1 to 9007199254740991";

    fn parse(text: &str) -> Option<Self> {
        // 2^53 - 1: the largest integer that every JSON reader keeps exactly (RFC 8259, section 6).
        text.parse().ok().filter(|bytes| (1..=9_007_199_254_740_991).contains(bytes)).map(Self)
    }
}

impl Setting for bool {
    const ALLOWED: &'static str = "`true` or `false`";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Setting for Secret {
    const ALLOWED: &'static str = "text";
    const IS_SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }
}

/// The URL of a PostgreSQL database, which may have a password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(pub String);

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

impl Setting for DatabaseUrl {
    const ALLOWED: &'static str = "a URL such as `postgres://user:password@host:5432/database`";
    const IS_SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        crate::db::problem_of_url(text).is_none().then(|| Self(text.to_owned()))
    }

    fn problem(text: &str) -> Option<String> {
        crate::db::problem_of_url(text)
    }
}

/// A number of things, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u32);

impl Setting for Count {
    const ALLOWED: &'static str = "a whole number from 1 to 1000000";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| (1..=1_000_000).contains(number)).map(Self)
    }
}

/// Networks, each an address with the length of its prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether the address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Setting for Networks {
    const ALLOWED: &'static str = "addresses and networks, separated by commas, such as `127.0.0.1, 10.0.0.0/8`";

    fn parse(text: &str) -> Option<Self> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let network = |item: &str| item.parse::<IpNet>().ok().or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from));
        items.map(network).collect::<Option<Vec<_>>>().map(Self)
    }
}

/// A number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections(pub u32);

impl Setting for Connections {
    const ALLOWED: &'static str = "a whole number from 2 to 1000";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| (2..=1000).contains(number)).map(Self)
    }
}

/// What keys of objects begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix(pub String);

impl Setting for KeyPrefix {
    const ALLOWED: &'static str =
        "letters, digits, `-`, `_`, `.` and `/`, not at the beginning, no empty segments, none of dots alone";

    fn parse(text: &str) -> Option<Self> {
        let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
        let segments = text.strip_suffix('/').unwrap_or(text).split('/');
        let fit = segments.into_iter().all(|segment| !segment.is_empty() && segment != "." && segment != "..");
        (is_plain && fit && !text.is_empty() && text.len() <= 512).then(|| Self(text.to_owned()))
    }
}

/// The address of an S3 store: a URL without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(pub Url);

impl Setting for Endpoint {
    const ALLOWED: &'static str = "an http or https URL with a host, without path, user, query and fragment";

    fn parse(text: &str) -> Option<Self> {
        let base = BaseUrl::parse(text).filter(|base| base.path().is_empty())?;
        Url::parse(base.as_str()).ok().map(Self)
    }
}

impl Setting for StorageKind {
    const ALLOWED: &'static str = "`local` or `s3`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Setting for AllowedHosts {
    const ALLOWED: &'static str =
        "host names, addresses and networks, separated by commas, such as `files.internal, 10.1.0.0/16, ::1`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Setting for NameServers {
    const ALLOWED: &'static str = "IP addresses with ports, separated by commas, such as `10.0.0.53:53`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Setting for S3Delivery {
    const ALLOWED: &'static str = "`redirect` or `stream`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "redirect" => Some(Self::Redirect),
            "stream" => Some(Self::Stream),
            _ => None,
        }
    }
}

impl Setting for PathBuf {
    const ALLOWED: &'static str = "a path";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.contains('\0')).then(|| text.into())
    }
}

impl Setting for HeaderValue {
    const ALLOWED: &'static str = "the value of an HTTP header";

    fn parse(text: &str) -> Option<Self> {
        Self::from_str(text).ok().filter(|_| !text.is_empty())
    }
}

impl Setting for String {
    const ALLOWED: &'static str = "text";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }
}
