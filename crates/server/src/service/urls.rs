//! All URLs in answers. Invariant: each begins with one of the configured bases, and never with a part of the request.

use std::net::SocketAddr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use uuid::Uuid;

use crate::config::{BaseUrl, HttpSettings};
use crate::model::FileVersion;
use crate::service::part_urls::{PartPermission, PartUrlSigner};
use crate::service::public_id::is_public_id;

/// Characters to escape in a segment of a path (RFC 3986, `pchar`), and `'`, which ends a quoted text in a shell.
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

/// First segments of the API's paths, after `/api/v1/`.
const API: [&str; 4] = ["multipart", "uploads", "files", "folders"];
/// Paths of the server's state and description.
const STATE: [&str; 3] = ["/healthz", "/readyz", "/openapi.json"];
/// Figures for operators, at this path alone.
pub const METRICS: &str = "/metrics";

/// Builds URLs.
#[derive(Debug, Clone)]
pub struct Urls {
    public: BaseUrl,
    parts: BaseUrl,
    delivery: BaseUrl,
    part_url_signer: PartUrlSigner,
}

impl Urls {
    /// With the bases of the settings. `listening_on` is the actual address of the listener.
    pub fn new(settings: &HttpSettings, listening_on: SocketAddr, part_url_signer: PartUrlSigner) -> Self {
        let public = Self::public_of(settings, listening_on);
        let parts = settings.parts_url.clone().unwrap_or_else(|| public.clone());
        let delivery = settings.delivery_url.clone().unwrap_or_else(|| public.clone());
        Self { public, parts, delivery, part_url_signer }
    }

    /// The base of the API in the settings, or the address of the listener.
    pub fn public_of(settings: &HttpSettings, listening_on: SocketAddr) -> BaseUrl {
        settings.public_url.clone().unwrap_or_else(|| BaseUrl::of_listener(listening_on))
    }

    /// The base of the API.
    pub fn public(&self) -> &BaseUrl {
        &self.public
    }

    /// The signer of part URLs.
    pub fn part_url_signer(&self) -> &PartUrlSigner {
        &self.part_url_signer
    }

    /// The path prefixes that a proxy may leave in the path of a request. None is empty.
    pub fn path_prefixes(&self) -> Vec<String> {
        let mut prefixes: Vec<String> = [&self.public, &self.parts, &self.delivery]
            .into_iter()
            .map(|base| base.path().to_owned())
            .filter(|path| !path.is_empty())
            .collect();
        // Longest first, because one may be a prefix of another.
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

    /// The URL of a file that serves this version alone.
    pub fn version(&self, file_url: &str, file_id: Uuid) -> String {
        format!("{file_url}?v={}", FileVersion::of(file_id))
    }
}

/// Whether this is the path of the figures for operators.
pub fn is_metrics(path_and_query: &str) -> bool {
    path_of(path_and_query) == METRICS
}

fn path_of(path_and_query: &str) -> &str {
    path_and_query.split(['?', '#']).next().unwrap_or_default()
}

/// Whether this is a path that clients use: of the API, of the server's state, or of a workspace's file.
pub fn is_own(path_and_query: &str) -> bool {
    let path = path_of(path_and_query);
    if let Some(rest) = path.strip_prefix("/api/v1/") {
        return API.contains(&rest.split('/').next().unwrap_or_default());
    }
    let file = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    STATE.contains(&path) || file.is_some_and(|(workspace_no, _)| is_public_id(workspace_no))
}
