//! The record of one upload in the state directory.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The destination of a file. Another destination is another upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Destination {
    pub(crate) server: String,
    /// Hash of the key. The key itself is never written.
    pub(crate) key_hash: String,
    pub(crate) name: String,
    pub(crate) folder: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) custom_id: Option<String>,
    pub(crate) random_prefix: bool,
}

impl Destination {
    /// The hash that distinguishes uploads of different keys.
    pub(crate) fn hash_of_key(key: &str) -> String {
        blake3::hash(key.as_bytes()).to_hex()[..16].to_owned()
    }

    /// The name of the slot of the upload of `path` to this destination.
    pub(super) fn slot_name(&self, path: &Path) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&serde_json::to_vec(self).unwrap_or_default());
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

/// The record of one upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) destination: Destination,
    pub(super) path: PathBuf,
    pub(super) size_bytes: u64,
    pub(super) modified_ns: i128,
    pub(super) fingerprint: String,
    pub(super) idempotency_key: String,
    pub(super) session_id: Option<String>,
}
