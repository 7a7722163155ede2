//! Blobs as objects of a bucket: `<prefix><id>`.
//!
//! Parts never pass Partway: clients send them to the store by presigned URLs, and Partway asks the store which parts it
//! has. An object's key is its blob's id, used once: an object was put under its key for that blob and no other.
//!
//! Calls that the store did not answer, or answered with a failure of its own, are retried (`retry.rs`). All calls may be:
//! the one that is not idempotent, opening a multipart upload, can leave a second one, which [`S3Store::list_uploads`] finds.

mod blobs;
mod client;
mod cors;
mod multipart;
mod reader;
mod retry;
mod stream;
pub(crate) mod xml;

use std::sync::Arc;
use std::time::Duration;

use rusty_s3::{Bucket, Credentials, UrlStyle};
use url::Url;
use uuid::Uuid;

pub use client::StoreClock;
pub use multipart::{COMPLETE_TIMEOUT, PROBE_BYTES, PartInStore, StoreUpload};
pub use reader::ObjectReader;
pub use stream::MAX_STREAM_BYTES;

use super::StorageError;
use crate::metrics::StoreMetrics;

/// How long connecting to the store may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the bucket is, and who may use it.
#[derive(Clone)]
pub struct S3Settings {
    /// The store, as Partway reaches it.
    pub endpoint: Url,
    /// The store, as clients reach it.
    pub public_endpoint: Url,
    /// Region that signatures name.
    pub region: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Prefix of every key: no other keys are touched.
    pub prefix: String,
    /// Whether the bucket's name is in the path of URLs instead of the host.
    pub path_style: bool,
    /// Id of the access key.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret_access_key: String,
}

impl std::fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (endpoint, bucket, prefix) = (self.endpoint.as_str(), &self.bucket, &self.prefix);
        let mut shown = f.debug_struct("S3Settings");
        shown.field("endpoint", &endpoint).field("bucket", bucket).field("prefix", prefix).finish_non_exhaustive()
    }
}

/// A bucket.
pub struct S3Store {
    http: reqwest::Client,
    bucket: Bucket,
    /// The same bucket, as clients reach it.
    public_bucket: Bucket,
    credentials: Credentials,
    prefix: String,
    metrics: Arc<StoreMetrics>,
}

impl std::fmt::Debug for S3Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Store").field("bucket", &self.bucket.name()).finish_non_exhaustive()
    }
}

impl S3Store {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// When an endpoint is no http or https URL with a host.
    pub fn new(settings: &S3Settings) -> Result<Self, StorageError> {
        let style = if settings.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let bucket = |endpoint: &Url| {
            Bucket::new(endpoint.clone(), style, settings.bucket.clone(), settings.region.clone())
                .map_err(|error| StorageError::store("use", format!("{endpoint}: {error}")))
        };
        // Another part of the program may have chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("partway/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .tcp_nodelay(true)
        };
        let http = match builder().build() {
            // A machine without any root certificate, which plain http does not need.
            Err(_) if settings.endpoint.scheme() == "http" => builder().tls_certs_only([]).build(),
            built => built,
        };
        Ok(Self {
            http: http.map_err(|error| StorageError::http("use", error))?,
            bucket: bucket(&settings.endpoint)?,
            public_bucket: bucket(&settings.public_endpoint)?,
            credentials: Credentials::new(settings.access_key_id.clone(), settings.secret_access_key.clone()),
            prefix: settings.prefix.clone(),
            metrics: Arc::default(),
        })
    }

    /// The figures of its calls.
    pub fn metrics(&self) -> &Arc<StoreMetrics> {
        &self.metrics
    }

    /// The key of a blob.
    fn key(&self, blob_id: Uuid) -> String {
        format!("{}{blob_id}", self.prefix)
    }

    /// The blob of a key; `None` when it is not exactly one that this store would make.
    fn blob_id(&self, key: &str) -> Option<Uuid> {
        let id = Uuid::try_parse(key.strip_prefix(&self.prefix)?).ok()?;
        (self.key(id) == key).then_some(id)
    }
}
