//! Every URL that is given to a client. Invariant: each begins with one of the configured bases, never with
//! anything a request said about itself.

use std::net::SocketAddr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::config::{BaseUrl, HttpSettings};
use crate::service::part_urls::{PartPermission, PartUrlSigner};

/// What must be escaped in a segment of a path (RFC 3986, `pchar`), and `'`, which pasting into a shell would end.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'\'');

/// Makes URLs.
#[derive(Debug, Clone)]
pub struct Urls {
    public: BaseUrl,
    parts: BaseUrl,
    delivery: BaseUrl,
    part_url_signer: PartUrlSigner,
}

impl Urls {
    /// From the settings, and the address that is really listened on.
    pub fn new(settings: &HttpSettings, listening_on: SocketAddr, part_url_signer: PartUrlSigner) -> Self {
        let public = Self::public_of(settings, listening_on);
        let parts = settings.parts_url.clone().unwrap_or_else(|| public.clone());
        let delivery = settings.delivery_url.clone().unwrap_or_else(|| public.clone());
        Self { public, parts, delivery, part_url_signer }
    }

    /// The base that clients use for the API, as the settings say.
    pub fn public_of(settings: &HttpSettings, listening_on: SocketAddr) -> BaseUrl {
        settings.public_url.clone().unwrap_or_else(|| BaseUrl::of_listener(listening_on))
    }

    /// The base that clients use for the API.
    pub fn public(&self) -> &BaseUrl {
        &self.public
    }

    /// What makes and checks part URLs.
    pub fn part_url_signer(&self) -> &PartUrlSigner {
        &self.part_url_signer
    }

    /// The paths that a proxy may leave in front of a request's path; none is empty.
    pub fn path_prefixes(&self) -> Vec<String> {
        let mut prefixes: Vec<String> = [&self.public, &self.parts, &self.delivery]
            .into_iter()
            .map(|base| base.path().to_owned())
            .filter(|path| !path.is_empty())
            .collect();
        // The longest first: one may begin with another.
        prefixes.sort_by_key(|path| std::cmp::Reverse(path.len()));
        prefixes.dedup();
        prefixes
    }

    /// The presigned URL of one part.
    pub fn part(&self, permission: &PartPermission) -> String {
        format!("{}{}", self.parts, self.part_url_signer.path_and_query(permission))
    }

    /// Where a file is served.
    pub fn file(&self, workspace_no: &str, path: &str) -> String {
        let mut url = format!("{}/{workspace_no}", self.delivery);
        for segment in path.split('/') {
            url.push('/');
            url.extend(utf8_percent_encode(segment, ESCAPED));
        }
        url
    }
}
