//! Requests that the server makes on behalf of others: it fetches files and calls webhooks.
//!
//! Invariant: a connection is made only to an address that was checked, and it is made to that very address. A name is
//! looked up once for each connection, connections are not reused, proxies of the environment are not used, and redirects
//! are not followed here: a caller that follows one makes a new request, with all checks.

pub(crate) mod disposition;
mod fetch;
mod global_addresses;
mod own_network;
mod permitted_addresses;
mod resolver;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use url::{Host, Url};

pub use fetch::{FetchError, Fetched};
pub use global_addresses::is_global;

use crate::config::{Config, HttpSettings};
use permitted_addresses::{LookUp, Reach};
use resolver::{Blocked, CheckedResolver};

/// How long a look-up before a request may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(3);

/// Makes requests to hosts that clients named. Clones share it.
#[derive(Clone)]
pub struct Outgoing {
    http: Client,
    reach: Arc<Reach>,
    idle_timeout: Duration,
    total_timeout: Duration,
}

crate::opaque_debug::opaque_debug!(Outgoing);

/// Why a URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenUrl {
    /// It is no URL.
    #[error("not a URL")]
    Malformed,
    /// Its scheme is another one.
    #[error("not an http or https URL")]
    Scheme,
    /// It has a user or a password.
    #[error("a URL with a user or a password in it")]
    Credentials,
    /// Its host is not globally reachable.
    #[error("a URL of a host that is not globally reachable, or of the server's own network")]
    Host,
}

/// Whether a host can be requested, as far as that is known before the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reachability {
    /// It may be.
    Open,
    /// None of its addresses may be connected to.
    Forbidden,
    /// Its name is not known, or has no address.
    NoSuchName,
    /// No name server answered.
    Unknown,
}

/// The client cannot be made: a broken resolver configuration.
#[derive(Debug, thiserror::Error)]
#[error("outgoing requests cannot be made: {0}")]
pub struct OutgoingUnusable(pub String);

impl Outgoing {
    /// From the settings. Nothing is sent.
    ///
    /// # Errors
    /// When the system's resolver configuration cannot be read.
    pub fn new(config: &Config) -> Result<Self, OutgoingUnusable> {
        let settings = &config.outgoing;
        let reach = Reach::new(&settings.name_servers, settings.allowed_hosts.clone(), own_hosts(&config.http));
        let reach = Arc::new(reach.map_err(|error| OutgoingUnusable(crate::error_chain::error_chain(&error)))?);
        // Another part of the program may have installed a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let resolver = Arc::new(CheckedResolver(Arc::clone(&reach)));
        let builder = || {
            Client::builder()
                .user_agent(concat!("partway/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                // A connection is used for the request it was checked for, and for no other.
                .pool_max_idle_per_host(0)
                .connect_timeout(settings.connect_timeout_seconds)
                .read_timeout(settings.idle_timeout_seconds)
                .dns_resolver(Arc::clone(&resolver))
        };
        // The machine has no root certificate, which plain http does not need.
        let http = builder().build().or_else(|_| builder().tls_certs_only([]).build());
        Ok(Self {
            http: http.map_err(|error| OutgoingUnusable(crate::error_chain::error_chain(&error)))?,
            reach,
            idle_timeout: settings.idle_timeout_seconds,
            total_timeout: settings.total_timeout_seconds,
        })
    }

    /// Checks the URL itself. Names are looked up when it is requested.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub async fn check(&self, text: &str) -> Result<Url, ForbiddenUrl> {
        let url = Url::parse(text).map_err(|_| ForbiddenUrl::Malformed)?;
        self.check_url(&url).await?;
        Ok(url)
    }

    async fn check_url(&self, url: &Url) -> Result<(), ForbiddenUrl> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ForbiddenUrl::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ForbiddenUrl::Credentials);
        }
        // An address in a URL is connected to without a look-up.
        let address = match url.host() {
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            None => return Err(ForbiddenUrl::Malformed),
        };
        if self.reach.permitted(vec![address]).await.is_empty() { Err(ForbiddenUrl::Host) } else { Ok(()) }
    }

    /// Whether the URL's host can be requested, with a look-up of its name. Nothing is sent, and nothing is kept: the request
    /// itself checks again.
    ///
    /// # Errors
    /// The reason of the refusal of the URL itself.
    pub async fn examine(&self, text: &str) -> Result<Reachability, ForbiddenUrl> {
        let url = match self.check(text).await {
            Err(ForbiddenUrl::Host) => return Ok(Reachability::Forbidden),
            url => url?,
        };
        let Some(Host::Domain(name)) = url.host() else { return Ok(Reachability::Open) };
        let found = match tokio::time::timeout(LOOK_UP_TIMEOUT, self.reach.look_up(name)).await {
            Ok(LookUp::Found(addresses)) => addresses,
            Ok(LookUp::NoSuchName) => return Ok(Reachability::NoSuchName),
            Ok(LookUp::Unanswered(_)) | Err(_) => return Ok(Reachability::Unknown),
        };
        let is_open = self.reach.is_open(name) || !self.reach.permitted(found).await.is_empty();
        Ok(if is_open { Reachability::Open } else { Reachability::Forbidden })
    }

    /// Looks the URL's host up for [`Self::last_address`]. True if it was unknown before and is known now.
    pub async fn learn_address(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        let Some(Host::Domain(name)) = url.host() else { return false };
        if self.reach.last_address(name).is_some() {
            return false;
        }
        match tokio::time::timeout(LOOK_UP_TIMEOUT, self.reach.look_up(name)).await {
            Ok(LookUp::Found(addresses)) => {
                addresses.first().map(|address| self.reach.note_address(name, *address)).is_some()
            }
            Ok(LookUp::NoSuchName | LookUp::Unanswered(_)) | Err(_) => false,
        }
    }

    /// The address of the host at its last look-up. The name may have another by now: use it for counting, never for
    /// connecting.
    pub fn last_address(&self, host: &Host<&str>) -> Option<IpAddr> {
        match host {
            Host::Domain(name) => self.reach.last_address(name),
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// A request to a URL that was checked.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }
}

/// The hosts by which clients know this server.
fn own_hosts(settings: &HttpSettings) -> Vec<Host> {
    let urls = [&settings.public_url, &settings.parts_url].into_iter().flatten();
    urls.filter_map(|url| Some(Url::parse(url.as_str()).ok()?.host()?.to_owned())).collect()
}

/// Scheme, host and port of a URL, for logs: the rest may be a secret.
pub fn origin_of(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "(not a URL)".to_owned(), |url| url.origin().ascii_serialization())
}

/// Whether a request failed because its host has no address that may be connected to.
pub fn is_blocked(error: &reqwest::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if cause.is::<Blocked>() {
            return true;
        }
        next = cause.source();
    }
    false
}

/// Whether a request failed because the certificate of its host was refused.
fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    // An `io::Error` does not name its inner error as its source.
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
        || inner.is_some_and(|inner| is_untrusted(inner))
        || error.source().is_some_and(is_untrusted)
}
