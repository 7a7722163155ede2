//! Where the bytes are.

use std::path::PathBuf;

use super::section::section;
use super::source::SettingsReader;
use super::value::{Bytes, Endpoint, KeyPrefix, Seconds, Secret};
use crate::model::{S3Delivery, StorageKind};
use crate::storage::S3Settings;

section! {
    #[doc = "Where the bytes are."]
    pub struct StorageSettings {
        #[doc = "Directory of the SQLite database and of the files of local storage. It is made if it is not there; with `database.url` and `storage.kind = \"s3\"` it is not used."]
        data_dir: PathBuf = "data_dir", "./partway-data";
        #[doc = "Where the bytes of new files go: `local`, the data directory; `s3`, a bucket of an S3-compatible store, to which clients send parts directly. Files that are in the other one stay there and are served, while it is configured; `partway storage migrate` moves them."]
        kind: StorageKind = "storage.kind", "local";
        #[doc = "Allow local storage with a PostgreSQL database, which other nodes could share: only one node exists."]
        single_node: bool = "storage.single_node", "false";
        #[doc = "Reserve the full size of a file when its upload starts, so that a full disk refuses the start and not a part in the middle. Off: files are sparse and grow as parts arrive. Local storage only."]
        reserve: bool = "storage.reserve", "true";
        #[doc = "Bytes of the disk that files leave free, for the database and the rest of the machine (default 256 MiB). What would leave less is refused with 507. Local storage only."]
        min_free: Bytes = "storage.min_free_bytes", "268435456";
        #[doc = "Have the disk start writing each part as soon as it has arrived, so that completing a large file has little left to wait for. Costs some processor time. Local storage only."]
        early_writeback: bool = "storage.early_writeback", "true";
        #[doc = "The S3-compatible store, as this server reaches it."]
        endpoint: Option<Endpoint> = "storage.endpoint", "";
        #[doc = "The store, as clients reach it, if under another name: URLs of parts and files are signed for it."]
        public_endpoint: Option<Endpoint> = "storage.public_endpoint", "";
        #[doc = "Region of the bucket."]
        region: String = "storage.region", "us-east-1";
        #[doc = "Name of the bucket. It must exist."]
        bucket: Option<String> = "storage.bucket", "";
        #[doc = "What the keys of all objects begin with. Nothing else in the bucket is touched, and no other program may use it."]
        prefix: Option<KeyPrefix> = "storage.prefix", "";
        #[doc = "Whether the bucket's name stands in the path of URLs (Garage, MinIO) or in the host (AWS)."]
        path_style: bool = "storage.path_style", "true";
        #[doc = "Id of the access key to the bucket."]
        access_key_id: Option<Secret> = "storage.access_key_id", "";
        #[doc = "File that has it."]
        access_key_id_file: Option<PathBuf> = "storage.access_key_id_file", "";
        #[doc = "Secret of the access key."]
        secret_access_key: Option<Secret> = "storage.secret_access_key", "";
        #[doc = "File that has it."]
        secret_access_key_file: Option<PathBuf> = "storage.secret_access_key_file", "";
        #[doc = "How files of the bucket are served: `redirect`, to a presigned URL of the store; `stream`, through this server."]
        delivery: S3Delivery = "storage.delivery", "redirect";
        #[doc = "How long a presigned URL of a file is good. What is replaced or deleted stays in the bucket for this long, so that downloads that have begun can end."]
        url_lifetime: Seconds = "storage.url_seconds", "3600";
        #[doc = "How often the bucket is searched for multipart uploads whose sessions have ended, left over from calls whose answers were lost."]
        sweep_interval: Seconds = "storage.sweep_seconds", "600";
    }
}

impl StorageSettings {
    /// Takes what stands in files, and notes what is missing for the kind that is wanted.
    pub(super) fn resolve(&mut self, source: &mut SettingsReader) {
        source.read_file("storage.access_key_id", &mut self.access_key_id, self.access_key_id_file.as_deref());
        source.read_file(
            "storage.secret_access_key",
            &mut self.secret_access_key,
            self.secret_access_key_file.as_deref(),
        );
        if self.kind == StorageKind::S3 {
            let needed = [
                ("storage.endpoint", self.endpoint.is_some()),
                ("storage.bucket", self.bucket.is_some()),
                ("storage.access_key_id", self.access_key_id.is_some()),
                ("storage.secret_access_key", self.secret_access_key.is_some()),
            ];
            for (key, _) in needed.iter().filter(|(_, is_there)| !is_there) {
                source.problem(format!("{key} is not set; storage.kind = \"s3\" needs it"));
            }
        }
    }

    /// The bucket, where all that it takes is set.
    pub fn s3(&self) -> Option<S3Settings> {
        let endpoint = self.endpoint.as_ref()?.0.clone();
        Some(S3Settings {
            public_endpoint: self.public_endpoint.as_ref().unwrap_or(self.endpoint.as_ref()?).0.clone(),
            endpoint,
            region: self.region.clone(),
            bucket: self.bucket.clone()?,
            prefix: self.prefix.as_ref().map(|prefix| prefix.0.clone()).unwrap_or_default(),
            path_style: self.path_style,
            access_key_id: self.access_key_id.as_ref()?.0.clone(),
            secret_access_key: self.secret_access_key.as_ref()?.0.clone(),
        })
    }
}
