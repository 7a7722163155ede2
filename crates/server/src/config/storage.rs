//! Where the bytes are stored.

use std::path::PathBuf;

use super::section::section;
use super::source::SettingsReader;
use super::value::{Bytes, Endpoint, KeyPrefix, Seconds, Secret};
use crate::model::{S3Delivery, StorageKind};
use crate::storage::S3Settings;

section! {
    #[doc = "Where the bytes are stored."]
    pub struct StorageSettings {
        #[doc = "Directory of the SQLite database and of the files of local storage. It is made if it does not exist; with `database.url` and `storage.kind = \"s3\"` it is not used."]
        data_dir: PathBuf = "data_dir", "./partway-data";
        #[doc = "Storage of new files: `local`, the data directory; `s3`, a bucket of an S3-compatible store, to which clients send parts directly. Files in the other storage stay there and are served as long as it is configured; `partway storage migrate` moves them."]
        kind: StorageKind = "storage.kind", "local";
        #[doc = "Allow local storage with a PostgreSQL database, which other nodes could share: only one node exists."]
        single_node: bool = "storage.single_node", "false";
        #[doc = "Reserve the full size of a file when its upload starts, so that a full disk refuses the start and not a part in the middle. Off: files are sparse and grow as parts arrive. Local storage only."]
        reserve: bool = "storage.reserve", "true";
        #[doc = "Free space that uploads leave on the disk, for the database and the rest of the machine. An upload that would leave less is refused with 507. Local storage only."]
        min_free_bytes: Bytes = "storage.min_free_bytes", "256MiB";
        #[doc = "Have the disk start writing each part as soon as it has arrived, so that completing a large file has little left to wait for. Costs some processor time. Local storage only."]
        early_writeback: bool = "storage.early_writeback", "true";
        #[doc = "The S3-compatible store, as this server reaches it."]
        endpoint: Option<Endpoint> = "storage.endpoint", "";
        #[doc = "The store, as clients reach it, if by another address: URLs of parts and files are signed for it."]
        public_endpoint: Option<Endpoint> = "storage.public_endpoint", "";
        #[doc = "Region of the bucket."]
        region: String = "storage.region", "us-east-1";
        #[doc = "Name of the bucket. It must exist."]
        bucket: Option<String> = "storage.bucket", "";
        #[doc = "Prefix of the keys of all objects. Nothing else in the bucket is touched, and no other program may use the prefix."]
        prefix: Option<KeyPrefix> = "storage.prefix", "";
        #[doc = "Whether URLs have the bucket's name in the path (Garage, MinIO) or in the host (AWS)."]
        path_style: bool = "storage.path_style", "true";
        #[doc = "Id of the access key to the bucket."]
        access_key_id: Option<Secret> = "storage.access_key_id", "";
        #[doc = "File that contains `storage.access_key_id`."]
        access_key_id_file: Option<PathBuf> = "storage.access_key_id_file", "";
        #[doc = "Secret of the access key."]
        secret_access_key: Option<Secret> = "storage.secret_access_key", "";
        #[doc = "File that contains `storage.secret_access_key`."]
        secret_access_key_file: Option<PathBuf> = "storage.secret_access_key_file", "";
        #[doc = "How files of the bucket are served: `redirect`, by a presigned URL of the store; `stream`, through this server."]
        delivery: S3Delivery = "storage.delivery", "redirect";
        #[doc = "How long a presigned URL of a file is valid. Replaced and deleted files stay in the bucket for this long, so that downloads in progress can finish."]
        url_seconds: Seconds = "storage.url_seconds", "1h";
        #[doc = "How often the bucket is searched for multipart uploads that no open session uses; calls whose answers were lost leave them."]
        sweep_seconds: Seconds = "storage.sweep_seconds", "10m";
    }
}

impl StorageSettings {
    /// Reads the secrets from their files, and reports the settings that the chosen kind needs and does not have.
    pub(super) fn resolve(&mut self, source: &mut SettingsReader) {
        source.read_file::<Secret>(
            "storage.access_key_id",
            &mut self.access_key_id,
            self.access_key_id_file.as_deref(),
        );
        source.read_file::<Secret>(
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

    /// The bucket; `None` unless all of its settings are set.
    pub fn s3(&self) -> Option<S3Settings> {
        let endpoint = self.endpoint.clone()?;
        Some(S3Settings {
            public_endpoint: self.public_endpoint.as_ref().unwrap_or(&endpoint).clone(),
            endpoint,
            region: self.region.clone(),
            bucket: self.bucket.clone()?,
            prefix: self.prefix.clone().unwrap_or_default(),
            path_style: self.path_style,
            access_key_id: self.access_key_id.as_ref()?.expose().to_owned(),
            secret_access_key: self.secret_access_key.as_ref()?.expose().to_owned(),
        })
    }
}
