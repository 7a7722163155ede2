//! Finds the file at a public URL.
//!
//! The answer is a [`Representation`]: bytes at a [`Place`] with everything that a protocol says of them. `serving/` turns
//! it into HTTP and looks at nothing else, so that a derived form of a file, such as a smaller picture, needs only another
//! representation with a type, length and entity tag of its own.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::config::Config;
use crate::db::files::{self, DeliverableFile};
use crate::db::{Db, DbError};
use crate::model::{FileVersion, S3Delivery, ScriptRisk, StorageKind, content_type, essence, is_text_type, safer_type};
use crate::storage::{Blob, BlobHeaders, S3Store, StorageError, Stores};

/// Look-ups of a file that is replaced between its record and its blob.
const MAX_LOOKUPS: u32 = 3;

/// The file of a URL, as it is served.
#[derive(Debug)]
pub struct Representation {
    /// Where the bytes are.
    pub place: Place,
    /// How many they are.
    pub size_bytes: u64,
    /// The MIME type to serve: the safer one of the detected and the declared type.
    pub media_type: String,
    /// How the bytes are compressed (RFC 9110, section 8.4).
    pub content_encoding: Option<String>,
    /// The risk of `media_type`.
    pub script_risk: ScriptRisk,
    /// The name under which a browser saves it.
    pub file_name: String,
    /// The strong entity tag, with its quotes.
    pub entity_tag: String,
    /// When the bytes became what they are.
    pub modified_at: SystemTime,
    /// How long caches may keep it: the value of `Cache-Control`.
    pub cache_control: HeaderValue,
}

/// Where the bytes of a representation are.
#[derive(Debug)]
pub enum Place {
    /// An open blob: its bytes stay even when the file is replaced or deleted.
    Blob(Blob),
    /// An object that this server reads and passes on. The bucket keeps a replaced object for the grace period.
    Object(Arc<S3Store>, Uuid),
    /// An object that clients fetch from the store itself.
    Redirect(Redirect),
}

/// A way to the store that has the bytes, which answers ranges and evaluates conditions itself.
#[derive(Debug)]
pub struct Redirect {
    store: Arc<S3Store>,
    blob_id: Uuid,
    /// Lifetime of the URL.
    seconds: u64,
}

/// Why a file could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The storage of the bytes failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file at the path is another version than the one that was asked for.
    #[error("version {wanted} was asked for; the file at this path is now version {found}")]
    OtherVersion {
        /// The version that was asked for.
        wanted: FileVersion,
        /// The version that is there.
        found: FileVersion,
    },
}

/// The representations of all files.
#[derive(Debug, Clone)]
pub struct Representations {
    db: Db,
    stores: Stores,
    s3_delivery: S3Delivery,
    /// Lifetime of URLs at the store.
    url_seconds: u64,
    /// `Cache-Control` of a file, and of one version of it.
    cache_control: HeaderValue,
    version_cache_control: HeaderValue,
}

impl Representations {
    /// Those of one database and its stores.
    pub fn new(db: Db, stores: Stores, config: &Config) -> Self {
        Self {
            db,
            stores,
            s3_delivery: config.storage.delivery,
            url_seconds: config.storage.url_seconds.as_secs(),
            cache_control: config.delivery.cache_control.clone(),
            version_cache_control: config.delivery.version_cache_control(),
        }
    }

    /// The file at this path of the workspace with this number; `None` where there is none. Names are stored in NFC, and macOS asks
    /// for NFD: both forms find the file. With `wanted`, only that version of it.
    ///
    /// # Errors
    /// [`ServeError`] when the database or the storage fails, or the file is another version.
    pub async fn find(
        &self,
        workspace_no: &str,
        path: &str,
        wanted: Option<&FileVersion>,
    ) -> Result<Option<Representation>, ServeError> {
        // No name contains NUL, and PostgreSQL refuses text with it.
        if workspace_no.contains('\0') || path.contains('\0') {
            return Ok(None);
        }
        let path: String = path.nfc().collect();
        let mut lookups = 0;
        loop {
            lookups += 1;
            let (number, path) = (workspace_no.to_owned(), path.clone());
            let Some(file) = self.db.read(move |tx| files::find_served(tx, &number, &path)).await? else {
                return Ok(None);
            };
            if let Some(wanted) = wanted {
                let found = FileVersion::of(file.id);
                if *wanted != found {
                    return Err(ServeError::OtherVersion { wanted: wanted.clone(), found });
                }
            }
            let cache_control = if wanted.is_some() { &self.version_cache_control } else { &self.cache_control };
            match self.locate(&file).await {
                Ok(place) => return Ok(Some(represent(file, place, cache_control.clone()))),
                // Replaced since its record was read: the next look-up finds the newer file.
                Err(error) if error.is_missing() && lookups < MAX_LOOKUPS => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn locate(&self, file: &DeliverableFile) -> Result<Place, StorageError> {
        let blob_id = file.blob.id;
        match file.blob.storage {
            StorageKind::Local => {
                let store = Arc::clone(self.stores.local()?);
                let opened = tokio::task::spawn_blocking(move || store.open_for_reading(blob_id)).await;
                opened.unwrap_or_else(|error| Err(error.into())).map(Place::Blob)
            }
            StorageKind::S3 => {
                let store = Arc::clone(self.stores.s3()?);
                Ok(match self.s3_delivery {
                    S3Delivery::Redirect => Place::Redirect(Redirect { store, blob_id, seconds: self.url_seconds }),
                    S3Delivery::Stream => Place::Object(store, blob_id),
                })
            }
        }
    }
}

fn represent(file: DeliverableFile, place: Place, cache_control: HeaderValue) -> Representation {
    let entity_tag = entity_tag(&file);
    let served = safer_type(file.mime_type.as_str(), file.declared_type.as_deref());
    // The encoding is that of a text. The bytes may be one although the safer type is not.
    let charset = file.charset.as_deref().filter(|_| is_text_type(essence(served)));
    let media_type = content_type(served, charset);
    // Another type than the recorded one knows nothing of the bytes.
    let content_encoding = file.content_encoding.filter(|_| served == file.mime_type);
    Representation {
        place,
        size_bytes: file.size_bytes,
        script_risk: ScriptRisk::of(&media_type),
        media_type,
        content_encoding,
        file_name: file.name,
        entity_tag,
        modified_at: file.created_at.to_system_time(),
        cache_control,
    }
}

impl Redirect {
    /// The presigned URL at which the store serves the representation with its type, name and cache rule. Each call signs a
    /// new one.
    ///
    /// # Errors
    /// Never, with the settings that were checked at the start.
    pub fn url(&self, representation: &Representation) -> Result<String, StorageError> {
        let headers = BlobHeaders::of_file(&representation.file_name, &representation.media_type);
        let cache_control = representation.cache_control.to_str().unwrap_or_default();
        let encoding = representation.content_encoding.as_deref();
        self.store.presign_get(self.blob_id, cache_control, &headers, encoding, self.seconds)
    }
}

/// The strong entity tag of a file: the store's own one, the file's hash, or its id if neither is known.
fn entity_tag(file: &DeliverableFile) -> String {
    let hash = file.hash.as_ref().and_then(|hash| hash.strip_prefix("blake3:"));
    match (&file.entity_tag, hash) {
        (Some(tag), _) => tag.clone(),
        (None, Some(hash)) => format!("\"{hash}\""),
        (None, None) => format!("\"{}\"", file.id.simple()),
    }
}
